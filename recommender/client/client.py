"""Ask for recommendations over Kafka, from any program."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Self

from recommender.client import arguments
from recommender.client.connection import Connection
from recommender.client.errors import (
    BadReply,
    BrokerUnreachable,
    ClientClosed,
    ClientError,
    ConnectionBroken,
    RatingUnconfirmed,
    RecommendTimeout,
    RequestFailed,
    TopicMissing,
)
from recommender.client.messages import After, decode_reply, encode_request
from recommender.client.rater import Rater
from recommender.client.ratings import Written
from recommender.kafka.topics import Topics
from recommender.messages.contract import KNOWN_SCALE
from recommender.messages.responses import Recommended, Response

__all__ = [
    "BadReply",
    "BrokerUnreachable",
    "Client",
    "ClientClosed",
    "ClientError",
    "ConnectionBroken",
    "RatingUnconfirmed",
    "RecommendTimeout",
    "Recommended",
    "RequestFailed",
    "Response",
    "TopicMissing",
    "Written",
]


class Client(Rater):
    """Sends ratings and asks for recommendations.

    One client serves all threads of a program; making one takes a moment, so keep it. After `os.fork` the
    child needs its own.

    Parameters
    ----------
    bootstrap_servers : str or sequence of str
        Addresses HOST:PORT; in one string separated by commas.
    topic_prefix : str
        What the worker's setting of this name says.
    security : mapping, optional
        kafka-python's own options: ``security_protocol``, ``sasl_mechanism``, ``ssl_cafile``, ...
    reply_topic : str, optional
        Where replies shall go. The worker's setting ``reply_topics`` must allow it. By default
        ``recommendation-responses``, which all clients share.
    connect_timeout : float
        Seconds to wait for a broker; 0 makes one attempt.
    rating_scale : (float, float) or None
        The lowest and the highest rating that `rate` sends: what the worker takes, which follows from its
        settings ``RECOMMENDER_FEEDBACK``, ``RECOMMENDER_RATING_MIN`` and ``RECOMMENDER_RATING_MAX``, which
        the client cannot see. By default from -1 to 5, which holds the scale of every feedback policy whose
        bounds are not set, (-1, 1) or (0.5, 5); None checks nothing.

    Raises
    ------
    TypeError, ValueError
        An argument is not what it should be; here and in all methods the text names the argument, its value
        and what was expected.
    BrokerUnreachable
        No broker answers there.
    TopicMissing
        The topic of requests or of replies does not exist.

    Examples
    --------
    >>> with Client("localhost:9092") as client:                       # doctest: +SKIP
    ...     written = client.rate("42", "50", 5)
    ...     response = client.recommend("42", n=10, after=written)
    ...     print([each.item for each in response.items])
    """

    def __init__(
        self,
        bootstrap_servers: str | Sequence[str] = "localhost:9092",
        topic_prefix: str = "",
        *,
        security: Mapping[str, Any] | None = None,
        reply_topic: str | None = None,
        connect_timeout: float = 10.0,
        rating_scale: tuple[float, float] | None = KNOWN_SCALE,
    ) -> None:
        self._servers = bootstrap_servers = arguments.addresses(bootstrap_servers)
        topics = Topics("" if topic_prefix == "" else arguments.text("topic_prefix", topic_prefix))
        self._replies_to = arguments.text("reply_topic", reply_topic) if reply_topic else topics.responses
        scale = arguments.scale(rating_scale)
        seconds = arguments.seconds("connect_timeout", connect_timeout, or_none=True)
        super().__init__(
            Connection(bootstrap_servers, topics, self._replies_to, seconds, security or {}), scale
        )

    def recommend(
        self,
        user: str | int | None = None,
        n: int = 10,
        *,
        items: Iterable[str | int] | None = None,
        exclude: Iterable[str | int] | None = (),
        include_rated: bool = False,
        after: After | None = None,
        arm: str | None = None,
        timeout: float = 5.0,
        similar_to: str | int | None = None,
        explain: bool = False,
        explore: float | None = None,
        categories: Iterable[str] | None = None,
        not_categories: Iterable[str] | None = None,
        titles: bool = False,
        history: Iterable[str | int] | None = None,
        popular: bool = False,
        window: str | None = None,
        hide_seen: int | None = None,
        hide_seen_for: float | None = None,
    ) -> Response:
        """The n best items for a user or a guest, the n most similar ones to an item, or the n most popular.

        Parameters
        ----------
        user : str or int, optional
            An id: an integer, also NumPy's, means its decimal text.
        n : int
            At most this many items, 1 to 1,000.
        items : iterable of str or int, optional
            The candidates, at most 10,000; by default every item.
        exclude : iterable of str or int
            Never recommend these.
        include_rated : bool
            Items that the user has rated may be recommended, too.
        after : Written, int or mapping, optional
            Answer only once this is learned: what `rate` has returned, an offset of the user's partition of
            the ratings, or ``{"journal": offset}`` with an offset of the journal, as a response names it.
        arm : str, optional
            Answer with this arm of an experiment, whatever the user's own is.
        timeout : float
            Seconds to wait for the answer. The worker gives up at the same time.
        similar_to : str or int, optional
            An item, instead of a user.
        explain : bool
            Also say which of the user's own items led to each.
        explore : float, optional
            The probability with which each place is given to chance, from 0 to 1; 0 turns exploration off.
            By default as the worker is set.
        categories, not_categories : iterable of str, optional
            Only items of at least one of these, and none of any of those, as the items topic says.
        titles : bool
            Also say what the items are called, as the items topic says.
        history : iterable of str or int, optional
            Items that a guest has liked, the oldest first, instead of a user; nothing of it is stored.
        popular : bool
            The popular items, instead of a user or without what the user has rated.
        window : str, optional
            With `popular`: of the last hours or days, as ``24h``.
        hide_seen : int, optional
            Leave out what the user was shown this many times and has not rated, by the recommendations log; 0
            leaves out nothing. By default as the worker is set.
        hide_seen_for : float, optional
            Only what was shown in this many hours up to now counts.

        Raises
        ------
        TypeError, ValueError
            An argument is not what it should be.
        RecommendTimeout
            No answer came in time.
        RequestFailed, BadReply
            The worker answered with a failure, or something else than the worker answered.
        ConnectionBroken
            The connection to Kafka was lost and did not come back within a second.
        ClientClosed
            The client was closed, before or while waiting.
        """
        request = encode_request(
            user,
            n,
            items=items,
            exclude=exclude,
            include_rated=include_rated,
            after=after,
            arm=arm,
            similar_to=similar_to,
            explain=explain,
            explore=explore,
            categories=categories,
            not_categories=not_categories,
            titles=titles,
            history=history,
            popular=popular,
            window=window,
            hide_seen=hide_seen,
            hide_seen_for=hide_seen_for,
        )
        key: Any = user if user is not None else similar_to
        key = "" if key is None else key
        return decode_reply(self.request(key, request, timeout))

    def request(self, user: str | int, value: bytes, timeout: float = 5.0) -> bytes | None:
        """Send a request that is encoded already; the reply as received, also where it is a failure.

        Parameters
        ----------
        user : str or int
            The key of the request; it may be empty.
        value : bytes
            As `encode_request` makes it.
        timeout : float
            Seconds to wait for the reply.

        Raises
        ------
        RecommendTimeout, ConnectionBroken, ClientClosed
            As for `recommend`.
        """
        timeout = arguments.seconds("timeout", timeout)
        user = "" if user == "" else arguments.identifier("user", user)
        if not isinstance(value, bytes):
            raise TypeError(f"value must be bytes, as encode_request makes them, got {type(value).__name__}")
        return self._connection.ask(user, value, timeout)

    def close(self) -> None:
        """End the client. Calls that still wait raise `ClientClosed`; closing twice is fine."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        connection = getattr(self, "_connection", None)
        if connection is not None and not connection.closed and connection.is_ours:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()

    def __repr__(self) -> str:
        waiting = self._connection.waiting
        return f"<Client of {self._servers}, replies from {self._replies_to}, {waiting} awaited>"
