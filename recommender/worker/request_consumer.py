"""Reads the request topic, in a consumer group of its own.

Requests have a client of their own: a broker answers what one connection asks in turn, so a request would
wait behind a long poll for ratings. And a rebalance of the one group does not disturb the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import TopicPartition
from mode import Service

from recommender.worker.transport import FAUST_LOGGER
from recommender.worker.transport.aiokafka_clients import check_group, leave, patient
from recommender.worker.transport.consumer_thread import COMMIT_SECONDS, GroupError
from recommender.worker.transport.spans import Span, spans_of

logger = logging.getLogger(__name__)

#: How long one poll waits for requests, in milliseconds: partitions that were assigned begin after it.
POLL_MILLISECONDS = 200
#: Requests that one poll takes.
POLL_RECORDS = 500
#: Between two attempts to find out where to begin, while the broker is away.
RETRY_SECONDS = 0.5


class RequestConsumer(Service, ConsumerRebalanceListener):
    """Consumes requests.

    Parameters
    ----------
    options : mapping
        aiokafka's, with the broker, the group and how to log in.
    topic : str
    max_age : float
        How old a request may be where the group has committed nothing, in seconds.
    start_at : function
        Says from which offset a partition that was assigned is read; None if it cannot be answered yet.
    take : function
        Begins to answer consecutive records of a partition.
    passed : function
        Told up to which offset a partition was read: what comes after its last record is none, as the marks
        of transactions are.
    revoked : function
        Settles what is under way, because partitions are about to move.
    assigned : function
        Told which partitions this worker has from now on.

    Attributes
    ----------
    reading, waiting : set of TopicPartition
        The partitions that are read, and those that were assigned and are not read yet.
    """

    logger = FAUST_LOGGER

    def __init__(
        self,
        options: Mapping[str, Any],
        topic: str,
        *,
        max_age: float,
        start_at: Callable[[int, Span], Awaitable[int | None]],
        take: Callable[[int, list[Any]], Awaitable[None]],
        passed: Callable[[int, int], None],
        revoked: Callable[[], Awaitable[None]],
        assigned: Callable[[set[int]], None],
    ) -> None:
        super().__init__()
        self._options, self._topic = dict(options), topic
        self._max_age, self._start_at, self._take, self._passed = max_age, start_at, take, passed
        self._revoked, self._assigned = revoked, assigned
        self._consumer: AIOKafkaConsumer | None = None
        self.waiting: set[TopicPartition] = set()
        self.reading: set[TopicPartition] = set()
        self._assigned_once = False
        self._changed = asyncio.Event()

    @property
    def partitions(self) -> set[int]:
        """The partitions that are read."""
        return {tp.partition for tp in self.reading}

    def ends(self) -> dict[int, int]:
        """The offset after the last request of each partition that is read, as of its last fetch."""
        if self._consumer is None:
            return {}
        found = {}
        for tp in set(self.reading):
            with contextlib.suppress(IllegalStateError):  # it is moving away
                found[tp.partition] = self._consumer.last_stable_offset(tp)
        return {partition: end for partition, end in found.items() if end is not None and end >= 0}

    @property
    def not_joined(self) -> str | None:
        """Explain why no requests are answered yet; None if they are, or other workers have them all."""
        if not self._assigned_once:
            return "the worker has not joined the group of the requests yet"
        if self.waiting:
            return "requests are not read yet"
        return None

    def _running(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "the consumer has not started"
        return self._consumer

    async def on_start(self) -> None:
        """Connect, and begin to join the group."""
        self._consumer = AIOKafkaConsumer(
            **self._options,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="none",
        )
        patient(self._consumer)
        await self.wait(self._consumer.start())
        # Not before: then starting would wait for partitions, and with them for a member that holds up a
        # rebalance.
        if not self.should_stop:
            self._consumer.subscribe([self._topic], listener=self)

    async def on_stop(self) -> None:
        """Leave the group."""
        if self._consumer is not None:
            await leave(self._consumer)

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Settle what is under way."""
        self.waiting.clear()
        self.reading.clear()
        await self._revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Begin to read."""
        self.waiting = set(assigned)
        self._assigned_once = True
        self._assigned({tp.partition for tp in assigned})
        self._changed.set()

    @Service.task
    async def _consume(self) -> None:
        while not self.should_stop:
            try:
                for tp in sorted(self.waiting):
                    await self._begin(tp)
                if not self.reading:
                    await self._idle()
                    continue
                await self._poll()
            except IllegalStateError:
                continue  # partitions are moving away
            except (GroupAuthorizationFailedError, TopicAuthorizationFailedError) as error:
                group = self._options["group_id"]
                raise GroupError(f"group {group!r} cannot read {self._topic}: {error!r}") from error
            except (NoOffsetForPartitionError, OffsetOutOfRangeError) as error:
                self.begin_again(error.args[0])

    async def _idle(self) -> None:
        """Wait for partitions."""
        self._changed.clear()
        check_group(self._running())
        try:
            await asyncio.wait_for(self._changed.wait(), 1.0)
        except TimeoutError:
            return

    async def _poll(self) -> None:
        wanted = set(self.reading)
        found = await self._running().getmany(*wanted, timeout_ms=POLL_MILLISECONDS, max_records=POLL_RECORDS)
        for tp, records in found.items():
            if tp in self.reading and records:
                await self._take(tp.partition, records)
        await asyncio.sleep(0)  # the next ones may be there already, and all else must have a turn
        # Nothing else fetches with this consumer, so all below its position has been handed over.
        for tp in wanted & self.reading:
            self._passed(tp.partition, await self._running().position(tp))

    async def _begin(self, tp: TopicPartition) -> None:
        consumer = self._running()
        try:
            (span,) = (await spans_of(consumer, [tp], [tp], self._max_age)).values()
        except (KafkaError, TimeoutError) as error:
            logger.debug("cannot find out where to begin: %r", error)
            await asyncio.sleep(RETRY_SECONDS)
            return
        offset = await self._start_at(tp.partition, span)
        if offset is None:
            await asyncio.sleep(RETRY_SECONDS)
        elif tp in self.waiting:
            consumer.seek(tp, offset)
            self.waiting.discard(tp)
            self.reading.add(tp)

    def begin_again(self, lost: Any) -> None:
        """Ask again where to read partitions whose log does not have what comes next."""
        for tp in [lost] if isinstance(lost, TopicPartition) else list(lost):
            if tp in self.reading:
                self.reading.discard(tp)
                self.waiting.add(tp)

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        """Commit next offsets by partition; False where Kafka would not."""
        consumer = self._running()
        mine = {TopicPartition(self._topic, partition): offset for partition, offset in offsets.items()}
        mine = {tp: offset for tp, offset in mine.items() if tp in consumer.assignment()}
        if not mine:
            return False
        try:
            await asyncio.wait_for(consumer.commit(mine), COMMIT_SECONDS)
        except (KafkaError, TimeoutError) as error:
            logger.debug("offsets not committed: %r", error)
            return False
        return True
