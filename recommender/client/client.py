"""Ask for recommendations over Kafka, from any program."""

from __future__ import annotations

import os
import time
import uuid
import warnings
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from kafka.errors import KafkaError, KafkaTimeoutError

from recommender.client import arguments
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
from recommender.client.ratings import Written, encode_forget, encode_merge, encode_rating
from recommender.client.replies import Replies
from recommender.client.sender import Sender, missing
from recommender.kafka import admin
from recommender.kafka.clients import close_consumer, open_consumer, open_producer
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

CLOSE_SECONDS = 2.0
#: The least time that opening a connection gets, once a broker has answered.
CONNECT_SECONDS = 5.0


class Client:
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
        self._closed = True
        self._servers = bootstrap_servers = arguments.addresses(bootstrap_servers)
        self._topics = Topics("" if topic_prefix == "" else arguments.text("topic_prefix", topic_prefix))
        self._replies_to = (
            arguments.text("reply_topic", reply_topic) if reply_topic else self._topics.responses
        )
        self._rating_scale = arguments.scale(rating_scale)
        self._process = os.getpid()
        seconds = arguments.seconds("connect_timeout", connect_timeout, or_none=True)
        try:
            self._open(seconds, security or {})
        except admin.BrokerUnreachableError as error:
            raise BrokerUnreachable(str(error)) from None
        except KafkaError as error:
            raise BrokerUnreachable(f"Connecting to {bootstrap_servers} failed: {error}") from error
        self._closed = False

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
        self._check_process()
        give_up_at = time.monotonic() + timeout
        correlation = uuid.uuid4().bytes
        headers = [
            ("kafka_correlationId", correlation),
            ("kafka_replyTopic", self._replies_to.encode()),
            ("deadline-ms", str(int((time.time() + timeout) * 1000)).encode()),
        ]
        reply = self._replies.expect(correlation, timeout)
        try:
            sent = self._sender.send(self._topics.requests, user, value, headers)
            sent.add_errback(lambda error: self._replies.fail(correlation, self._sender.explain(error)))
            return reply.result(max(0.0, give_up_at - time.monotonic()))
        except TimeoutError:
            where = "and no worker answered" if sent.succeeded() else "and did not reach Kafka"
            raise RecommendTimeout(
                f"No recommendations for user {user!r} within {timeout:g} s: "
                f"the request was sent to {self._topics.requests} {where}"
            ) from None
        finally:
            self._replies.forget(correlation)

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
        return self._write(user, value, f"the rating of {str(item)!r} by {user!r}", timeout)

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
        return self._write(key, value, f"that {name} {key!r} is to be forgotten", timeout)

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
        return self._write(key, value, f"that guest {str(guest)!r} is {key!r}", timeout)

    def _write(self, key: str, value: bytes, what: str, timeout: float) -> Written:
        """Write a record to the ratings topic and wait until Kafka has it."""
        self._check_process()
        self._replies.check_connected(timeout)
        sent = self._sender.send(self._topics.ratings, key, value, [])
        try:
            metadata = sent.get(timeout)
        except KafkaTimeoutError:
            raise RatingUnconfirmed(f"Kafka did not confirm {what} within {timeout:g} s") from None
        except KafkaError as error:
            raise self._sender.explain(error) from error
        return Written(metadata.partition, metadata.offset)

    def close(self) -> None:
        """End the client. Calls that still wait raise `ClientClosed`; closing twice is fine."""
        if self._closed or self._process != os.getpid():
            return
        self._closed = True
        self._replies.close(CLOSE_SECONDS)
        self._sender.close(CLOSE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and self._process == os.getpid():
            warnings.warn(f"unclosed {self!r}", ResourceWarning, stacklevel=2, source=self)
            self.close()

    def __repr__(self) -> str:
        return f"<Client of {self._servers}, replies from {self._replies_to}>"

    def _open(self, seconds: float, security: Mapping[str, Any]) -> None:
        give_up_at = time.monotonic() + seconds
        with admin.open_admin(self._servers, seconds, security):
            pass  # It waits, and says what is wrong where kafka-python only says that time is up.
        seconds = max(CONNECT_SECONDS, give_up_at - time.monotonic())
        consumer, network = open_consumer(self._servers, seconds, security)
        try:
            for topic in (self._topics.requests, self._replies_to):
                if not consumer.partitions_for_topic(topic):
                    raise missing(topic, self._servers)
            producer = open_producer(self._servers, seconds, security)
            self._sender = Sender(producer, self._servers)
            try:
                self._replies = Replies(consumer, network, self._replies_to, seconds)
            except BaseException:
                self._sender.close(0)
                raise
        except BaseException:
            close_consumer(consumer)
            raise

    def _check_process(self) -> None:
        if self._process != os.getpid():
            raise ClientClosed("The client was made before this process was forked: make one in the child")
