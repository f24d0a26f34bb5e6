"""Blocks on their way to the journal: a producer, its answers, and another one after a failure."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from recommender.journal.changes import Changes
from recommender.journal.lanes import Flight, Lane

logger = logging.getLogger(__name__)

#: Blocks that are not answered, at most.
IN_FLIGHT = 48
#: The wait after the first failure, doubled after each further one up to a bound.
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.1, 5.0
#: Blocks of this many bytes are written together: less than what a topic takes at once by default, 1 MiB.
BATCH_BYTES = 900_000
#: Between two attempts to reach a broker.
CONNECT_SECONDS = 0.5
#: How long it may take to close a producer; one that cannot reach its broker needs a request's timeout.
CLOSE_SECONDS = 2.0


class Answer(Protocol):
    """A broker's answer for one block, as aiokafka has it."""

    offset: int
    timestamp: int
    timestamp_type: int


#: Sends a block to a partition of the journal with a timestamp in milliseconds. What it returns is done when
#: the broker has answered. It is called one call at a time, and a partition's blocks must land in that order.
Send = Callable[[int, bytes, int], Awaitable["asyncio.Future[Any]"]]


class Acknowledged(NamedTuple):
    """A block that is in the journal, as a follower would fetch it."""

    offset: int
    timestamp: int
    value: bytes


class Outbox:
    """Sends the blocks of lanes and takes note of the answers.

    Parameters
    ----------
    send : Send
    renew : function, optional
        Makes a new producer; called after a failure, when all that was in flight is answered.
    acknowledged : function, optional
        Called with the journal's partition and each block that is in the journal.
    failed : function
        Called at each failure: no lane may send until `renew` returns. A new producer's blocks might overtake
        those of the one before.
    answered : function
        Called when a lane's block was answered.
    clock : function
        Seconds since 1970.
    retry_seconds : float
        After a failure a new producer is made after this time, then after twice as long, and so on up to
        `LONGEST_RETRY_SECONDS`.

    Attributes
    ----------
    in_flight : int
        Blocks that are not answered.
    must_renew : bool
        Whether something has failed since the producer was made.
    error : str or None
        Why the journal takes no blocks, as long as that is so.
    """

    def __init__(
        self,
        send: Send,
        *,
        renew: Callable[[], Awaitable[None]] | None,
        acknowledged: Callable[[int, Acknowledged], None] | None,
        failed: Callable[[], None],
        answered: Callable[[Lane], None],
        clock: Callable[[], float],
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._retry_seconds = retry_seconds
        self._send, self._new_producer, self._acknowledged = send, renew, acknowledged
        self._on_failed, self._on_answered, self._clock = failed, answered, clock
        self.in_flight = 0
        self.must_renew = False
        self.error: str | None = None
        self.changes = Changes()
        #: Held while blocks are sent.
        self.order = asyncio.Lock()
        self._renewing = asyncio.Lock()
        self._failures = 0
        self._failing_since: float | None = None

    def has_room(self, blocks: int) -> bool:
        """Return True if this many more blocks may be in flight."""
        return self.in_flight == 0 or self.in_flight + blocks <= IN_FLIGHT

    async def send(self, lane: Lane, end: int, blocks: list[bytes]) -> None:
        """Send the blocks of a lane's next range, one for each partition of the journal; `order` is held."""
        flight = lane.send(end)
        self.in_flight += len(blocks)
        stamp = int(self._clock() * 1000)
        sent = 0
        try:
            for partition, value in enumerate(blocks):
                if lane.stopped:  # those that are left would be ahead
                    break
                answer = await self._send(partition, value, stamp)
                sent += 1
                answer.add_done_callback(
                    functools.partial(self._answered, lane, flight, partition, value, stamp)
                )
        except Exception as error:
            self._failed(error)
        finally:
            # Also when cancelled: it is not known then what became of it.
            for partition in range(sent, len(blocks)):
                self._count(lane, flight, partition, None)

    def _answered(
        self,
        lane: Lane,
        flight: Flight,
        partition: int,
        value: bytes,
        stamp: int,
        answer: asyncio.Future[Any],
    ) -> None:
        """Take note of a broker's answer."""
        error = asyncio.CancelledError() if answer.cancelled() else answer.exception()
        if error is not None:
            self._failed(error)
            self._count(lane, flight, partition, None)
            return
        found: Answer = answer.result()
        self._succeeded()
        if self._acknowledged is not None:
            # Where the broker stamps no records, aiokafka gives all of a batch the timestamp of the first.
            timestamp = found.timestamp if found.timestamp_type == 1 else stamp
            self._acknowledged(partition, Acknowledged(found.offset, timestamp, value))
        self._count(lane, flight, partition, found.offset)

    def _count(self, lane: Lane, flight: Flight, partition: int, offset: int | None) -> None:
        self.in_flight -= 1
        lane.answer(flight, partition, offset)
        self._on_answered(lane)
        self.changes.notify()

    def _failed(self, error: BaseException) -> None:
        self._failures += not self.must_renew
        self.must_renew = True
        self.error = _named(error)
        if self._failing_since is None:
            self._failing_since = time.monotonic()
            logger.error("the journal takes no blocks (%s); they are sent again until it does", self.error)
        self._on_failed()

    def _succeeded(self) -> None:
        if self._failing_since is not None and not self.must_renew:
            away = time.monotonic() - self._failing_since
            logger.warning("the journal takes blocks again after %.0f s", away)
            self._failing_since, self._failures, self.error = None, 0, None

    async def renew(self) -> None:
        """Make a new producer when all is answered; calls that come meanwhile wait for the same one."""
        async with self._renewing:
            while self.must_renew:
                if self.in_flight:
                    await self.changes.wait()
                    continue
                wait = self._retry_seconds * 2 ** (self._failures - 1)
                await asyncio.sleep(min(wait, LONGEST_RETRY_SECONDS))
                async with self.order:
                    await self._renew_now()

    async def _renew_now(self) -> None:
        """Make a new producer unless something was sent meanwhile; nothing is sent while this runs."""
        if self.in_flight:
            return
        try:
            if self._new_producer is not None:
                await self._new_producer()
        except Exception as error:
            self._failures += 1
            self.error = _named(error)
        else:
            self.must_renew = False


def _named(error: BaseException) -> str:
    return str(error) or type(error).__name__


class JournalProducer:
    """The journal's own Kafka producer: blocks in the order in which they come, acknowledged by all replicas.

    It need not be idempotent: the rule passes over a block that is written twice. What it needs is order. A
    partition has one request in flight, and aiokafka puts a batch that it sends again before those that wait.

    Parameters
    ----------
    topic : str
        The journal.
    options : mapping
        See `recommender.kafka.plain_clients.client_options`.
    """

    def __init__(self, topic: str, options: Mapping[str, Any]) -> None:
        self._topic = topic
        self._options = {**options, "acks": "all", "linger_ms": 0, "max_batch_size": BATCH_BYTES}
        self._producer: AIOKafkaProducer | None = None
        self._connected = False
        self._closing: set[asyncio.Task[None]] = set()

    async def __call__(self, partition: int, value: bytes, timestamp: int) -> asyncio.Future[Any]:
        """Send a block; what it returns is done when the brokers have it.

        Raises
        ------
        KafkaError
            It was not sent.
        """
        if self._producer is None:
            self._producer = await self._start()
        sent: asyncio.Future[Any] = await self._producer.send(
            self._topic, value, partition=partition, timestamp_ms=timestamp
        )
        return sent

    async def start(self) -> None:
        """Connect; returns when a broker answers."""
        if self._producer is None:
            self._producer = await self._start()

    async def renew(self) -> None:
        """Replace the producer after an error, while none of its blocks is in flight."""
        self._retire()
        await self.start()

    async def _start(self) -> AIOKafkaProducer:
        """A producer. If a broker is away later than at the start, sending says so."""
        away_since, level = None, logging.DEBUG if self._connected else logging.ERROR
        while True:
            made = AIOKafkaProducer(**self._options)
            try:
                await made.start()
            except KafkaError as error:
                await made.stop()
                if away_since is None:
                    away_since = time.monotonic()
                    logger.log(level, "%s cannot be written: %s; will retry until it can", self._topic, error)
                await asyncio.sleep(CONNECT_SECONDS)
            except BaseException:
                await made.stop()
                raise
            else:
                if away_since is not None:
                    away = time.monotonic() - away_since
                    logger.log(
                        min(level, logging.WARNING), "%s: a broker answers after %.0f s", self._topic, away
                    )
                self._connected = True
                return made

    def _retire(self) -> None:
        """Close the producer in the background, if there is one."""
        if self._producer is not None:
            task = asyncio.create_task(_stop(self._producer))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            self._producer = None

    async def close(self) -> None:
        """Close what is open; what is in flight then may still be written."""
        self._retire()
        if self._closing:
            _, late = await asyncio.wait(self._closing, timeout=CLOSE_SECONDS)
            if late:
                logger.warning("%s: a producer whose broker is away is closed in the background", self._topic)


async def _stop(producer: AIOKafkaProducer) -> None:
    try:
        await producer.stop()
    except KafkaError as error:
        logger.debug("closing a producer: %r", error)
