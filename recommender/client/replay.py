"""Sends ratings to Kafka: each exactly once, at the pace asked for, and counted when the broker has it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from kafka import KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from recommender.client.pace import Pace
from recommender.client.producer import DELIVERY_SECONDS, open_producer
from recommender.client.ratings import HEADERS, Format, checked, encode_checked
from recommender.kafka.topics import TopicsError
from recommender.messages import contract
from recommender.messages.ratings import Event, Forget, Rating

#: Ratings on their way: what bounds the memory, as kafka-python's own buffer has no bound.
WINDOW = 10_000
#: How long a replay that is stopped waits for what is on its way.
STOP_SECONDS = 10.0
#: What the outcome of the last rating may take above the producer's delivery timeout.
GRACE_SECONDS = 2.0
_REPORT_SECONDS = 0.1


class ReplayProgress(NamedTuple):
    """The progress of a replay.

    Attributes
    ----------
    sent : int
        Ratings handed to the producer.
    delivered, failed : int
        Of those, what the broker confirmed and what it did not.
    silent : float
        Seconds for which the broker has confirmed nothing although something is on its way.
    """

    sent: int
    delivered: int
    failed: int
    silent: float


class Result(NamedTuple):
    """The end of a replay.

    Attributes
    ----------
    delivered, failed : int
        Ratings that the broker confirmed, and those that were sent but not confirmed.
    resume : int
        How many of the ratings are done with. The one at this position is the next to be sent; what
        overtook it on another partition would come twice, which teaches the same as once.
    cause : str
        Why the first of the failed ones failed; empty if none did.
    complete : bool
        All were sent. False if it was stopped, or if the broker gave no more confirmations.
    """

    delivered: int
    failed: int
    resume: int
    cause: str
    complete: bool


def replay(
    ratings: Iterable[Event],
    broker: KafkaProducer | str,
    topic: str,
    *,
    rate: float | None = None,
    speed: float | None = None,
    message_format: Format = "json",
    delivery_seconds: float = DELIVERY_SECONDS,
    security: Mapping[str, Any] | None = None,
    scale: tuple[float, float] = contract.KNOWN_SCALE,
    progress: Callable[[ReplayProgress], None] | None = None,
    stop: threading.Event | None = None,
) -> Result:
    """Send ratings in the order given, keyed by user, and wait until the broker has them.

    A rating that is too large for the topic is counted as failed and the replay continues. After any
    other failure nothing more is sent, so that no later rating of a user overtakes a lost one. One that the
    worker would refuse is not sent, and ends the replay.

    Parameters
    ----------
    ratings : iterable of Rating, Forget or Merge
        Read as they are sent. What forgets or merges is sent once all before it are delivered, and before all
        that come after it.
    broker : KafkaProducer or str
        A producer, which stays open, or bootstrap servers HOST:PORT separated by commas.
    topic : str
    rate : float, optional
        At most this many ratings a second.
    speed : float, optional
        This many times real time, by the timestamps.
    message_format : "json" or "msgpack"
    delivery_seconds : float
        How long the broker may be away. Only where `broker` is an address, as the next one.
    security : mapping, optional
        kafka-python's own options: ``security_protocol``, ``sasl_mechanism``, ...
    scale : (float, float)
        Of ratings, as the worker has it; by default wide enough for every feedback policy.
    progress : callable, optional
        Called about ten times a second, and at the end.
    stop : threading.Event, optional
        Once set, nothing more is sent and what is on its way gets ten seconds.

    Raises
    ------
    BrokerUnreachableError, TopicsError
        There is no broker, or no such topic.
    SourceError
        `speed` is given but the first rating has no timestamp; or the worker would refuse a rating, what
        came before which is sent.
    """
    ratings = checked(ratings, scale)
    if isinstance(broker, str):
        with open_producer(broker, topic, delivery_seconds, security) as producer:
            return _Replay(producer, topic, message_format, progress, stop).run(ratings, rate, speed)
    return _Replay(broker, topic, message_format, progress, stop).run(ratings, rate, speed)


class _Refused(NamedTuple):
    """Stands where the future of a rating would, when the rating was never sent."""

    exception: KafkaError
    is_done: bool = True


class _Replay:
    """One replay: the ratings on their way, oldest first, and the count of the others."""

    def __init__(
        self,
        producer: KafkaProducer,
        topic: str,
        message_format: Format,
        progress: Callable[[ReplayProgress], None] | None,
        stop: threading.Event | None,
    ) -> None:
        self._producer, self._topic, self._format = producer, topic, message_format
        self._progress = progress or (lambda _: None)
        self._stop = stop or threading.Event()
        self._waiting: deque[Any] = deque()
        self._delivered = self._failed = 0
        self._lost_at: int | None = None
        self._cause = ""
        self._heard = self._reported = time.monotonic()
        # kafka-python promises an outcome within its delivery timeout, but without a connection to the
        # broker some ratings never get one.
        self._patience = producer.config["delivery_timeout_ms"] / 1000 + GRACE_SECONDS

    def run(self, ratings: Iterable[Event], rate: float | None, speed: float | None) -> Result:
        complete = False
        try:
            # Asked for here, so that waiting for it does not count as time of the replay.
            self._producer.partitions_for(self._topic)
        except KafkaError as error:
            raise TopicsError(f"Topic {self._topic} cannot be written: {error}") from error
        pace = Pace(rate, speed)
        try:
            for rating in ratings:
                if not self._until(pace.due(rating)):
                    break
                alone = not isinstance(rating, Rating)
                if alone:
                    self._wait_for_all()
                self._send(rating)
                if alone:
                    self._wait_for_all()
                if self._ending():
                    break
            else:
                complete = True
        except BaseException:
            self._drain(STOP_SECONDS)
            raise
        self._drain()
        return Result(
            self._delivered,
            self._failed,
            self._delivered + self._failed if self._lost_at is None else self._lost_at,
            self._cause,
            complete and self._lost_at is None,
        )

    def _send(self, rating: Event) -> None:
        value = encode_checked(rating, self._format)
        # Of a forgotten item only the item is known.
        key = (rating.user or (rating.item if isinstance(rating, Forget) else None) or "").encode()
        if not self._waiting:
            self._heard = time.monotonic()
        try:
            future = self._producer.send(self._topic, value, key, headers=HEADERS[self._format])
        except KafkaError as error:
            future = _Refused(error)
        self._waiting.append(future)
        self._settle()
        while len(self._waiting) >= WINDOW and not self._ending():
            self._wait_for_oldest()

    def _wait_for_all(self) -> None:
        """Wait for what is on its way, unless the replay is to stop."""
        while self._waiting and not self._ending():
            self._wait_for_oldest()

    def _ending(self) -> bool:
        """Return True if nothing more is to be sent."""
        return self._stop.is_set() or self._lost_at is not None

    def _until(self, due: float) -> bool:
        """Wait for a moment of the monotonic clock; False if the replay is to stop."""
        while not self._ending():
            left = due - (now := time.monotonic())
            self._tick(now)
            # A shorter wait would cost more than it is long.
            if left < 0.002:
                return True
            self._settle()
            self._stop.wait(min(left, _REPORT_SECONDS))
        return False

    def _wait_for_oldest(self) -> None:
        # Its own error, if it has one, is counted by _settle.
        with suppress(KafkaError):
            self._waiting[0].get(timeout=_REPORT_SECONDS)
        self._settle()
        self._tick(time.monotonic())

    def _drain(self, seconds: float | None = None) -> None:
        """Wait for what is on its way; it fails by itself when the delivery time is over."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._waiting:
            if deadline is None and self._stop.is_set():
                deadline = time.monotonic() + STOP_SECONDS
            if deadline is not None and time.monotonic() > deadline:
                self._give_up(f"no confirmation within {STOP_SECONDS:g} s of the stop")
                break
            self._wait_for_oldest()
        self._report(time.monotonic())

    def _settle(self) -> None:
        """Count those that are decided, from the oldest on."""
        waiting = self._waiting
        while waiting and waiting[0].is_done:
            done = waiting.popleft()
            if done.exception is None:
                self._delivered += 1
                self._heard = time.monotonic()
                continue
            self._cause = self._cause or str(done.exception)
            too_large = isinstance(done, _Refused) and isinstance(done.exception, MessageSizeTooLargeError)
            if self._lost_at is None and not too_large:
                self._lost_at = self._delivered + self._failed
            self._failed += 1

    def _give_up(self, cause: str) -> None:
        """Count what is still on its way as failed: it is not known whether it arrived."""
        self._cause = self._cause or cause
        if self._lost_at is None:
            self._lost_at = self._delivered + self._failed
        self._failed += len(self._waiting)
        self._waiting.clear()

    def _tick(self, now: float) -> None:
        """Report now and then, and stop waiting for a broker that is gone."""
        if now - self._reported >= _REPORT_SECONDS:
            self._report(now)
        if self._waiting and now - self._heard > self._patience:
            self._give_up(f"no confirmation from the broker for {self._patience:g} s")

    def _report(self, now: float) -> None:
        self._reported = now
        sent = self._delivered + self._failed + len(self._waiting)
        silent = now - self._heard if self._waiting else 0.0
        self._progress(ReplayProgress(sent, self._delivered, self._failed, silent))
