"""Tells workers what users like: ratings, and who is to be forgotten or merged."""

from __future__ import annotations

from datetime import datetime

from recommender.client import arguments
from recommender.client.connection import Connection
from recommender.client.ratings import Written, encode_forget, encode_merge, encode_rating


class Rater:
    """The half of a client that writes to the ratings topic.

    Parameters
    ----------
    connection : Connection
    rating_scale : (float, float) or None
        The lowest and the highest rating; None checks nothing.
    """

    def __init__(self, connection: Connection, rating_scale: tuple[float, float] | None) -> None:
        self._connection = connection
        self._rating_scale = rating_scale

    def rate(
        self,
        user: str | int,
        item: str | int,
        rating: float | None,
        timestamp: float | datetime | None = None,
        *,
        timeout: float = 10.0,
    ) -> Written:
        """Send a rating and wait until Kafka has it.

        Parameters
        ----------
        user, item : str or int
            Ids: an integer, also NumPy's, means its decimal text.
        rating : float or None
            On the client's `rating_scale`; None withdraws an earlier rating.
        timestamp : float or datetime, optional
            When it was given: in seconds since 1970, or a `datetime` with a time zone.
        timeout : float
            Seconds to wait for Kafka.

        Returns
        -------
        Written
            Its partition and offset.

        Raises
        ------
        TypeError, ValueError
            An argument is not what the worker would take; nothing is sent.
        RatingUnconfirmed
            Kafka did not confirm it in time. It may still be written, but not twice.
        ConnectionBroken
            The connection to Kafka is lost; the rating was not sent.
        TopicMissing, ClientError
            It cannot be written.
        """
        timeout = arguments.seconds("timeout", timeout)
        user = arguments.identifier("user", user)
        value = encode_rating(user, item, rating, timestamp, scale=self._rating_scale)
        return self._connection.write(user, value, f"the rating of {str(item)!r} by {user!r}", timeout)

    def forget(
        self, user: str | int | None = None, *, item: str | int | None = None, timeout: float = 10.0
    ) -> Written:
        """Ask to forget all that is known of a user, or of an item, and wait until Kafka has that.

        As soon as it is learned they are answered as if they had never been there. What the topics hold of
        them stays there.

        Parameters
        ----------
        user, item : str or int
            One of them.
        timeout : float
            Seconds to wait for Kafka.

        Returns
        -------
        Written
            Its partition and offset: a request with `after` is answered once it is learned.

        Raises
        ------
        TypeError, ValueError, RatingUnconfirmed, ConnectionBroken, TopicMissing, ClientError
            As for `rate`.
        """
        timeout = arguments.seconds("timeout", timeout)
        value = encode_forget(user, item)
        name, given = ("item", item) if user is None else ("user", user)
        key = arguments.identifier(name, given)
        return self._connection.write(key, value, f"that {name} {key!r} is to be forgotten", timeout)

    def merge(self, user: str | int, guest: str | int, timeout: float = 10.0) -> Written:
        """Say that a guest turned out to be a user, and wait until Kafka has that.

        The user gets the guest's ratings but for items that both rated, and the guest is forgotten.

        Parameters
        ----------
        user, guest : str or int
        timeout : float
            Seconds to wait for Kafka.

        Returns
        -------
        Written
            Its partition and offset: a request with `after` is answered once it is learned.

        Raises
        ------
        TypeError, ValueError, RatingUnconfirmed, ConnectionBroken, TopicMissing, ClientError
            As for `rate`.
        """
        timeout = arguments.seconds("timeout", timeout)
        value = encode_merge(user, guest)
        key = arguments.identifier("user", user)
        return self._connection.write(key, value, f"that guest {str(guest)!r} is {key!r}", timeout)
