"""The worker's Kafka consumer: it reads each partition from where we say, and commits only what we say.

Faust's own keeps notes of what it has read and what was acked, and seeks and commits by them. Here shards and
answers know how far they are, so none of these notes is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

logger = logging.getLogger(__name__)
#: Services log under their class' module; these are Faust's, and its log is quieter than ours.
FAUST_LOGGER = logging.getLogger("faust.recommender")

#: A commit that takes longer is left to the next one, which commits more.
COMMIT_SECONDS = 5.0
#: Partitions whose state is there within so many seconds begin together; slower ones hold up no others. It
#: must be less than Faust's patience, `broker_request_timeout`: after that it would stop reading for good.
TOGETHER_SECONDS = 1.0
#: Between two attempts to find out where to begin, while the broker is away.
RETRY_SECONDS = 0.5

#: How long a fetch waits for records, in milliseconds: whatever else is asked of that broker waits behind it.
FETCH_WAIT = 250


@dataclass(frozen=True, slots=True)
class Span:
    """What Kafka has of a partition.

    Attributes
    ----------
    begins, ends : int
        The first offset of its log, and the one after the last.
    committed : int or None
        What the group has committed, if it has.
    """

    begins: int
    ends: int
    committed: int | None


#: Asked for the offsets to read on from, of all partitions of one number.
Positions = Callable[[Mapping[TP, Span]], Awaitable[Mapping[TP, int]]]


class NotKept(dict[TP, int | None]):
    """Faust's notes of what it has read, not kept.

    Faust drops what lies before its notes, and takes them while a batch is on its way: after a seek back, a
    batch that is read again would be dropped in silence.
    """

    def __missing__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        pass


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka's consumer lives."""

    logger = FAUST_LOGGER

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust's round robin over all partitions parts ratings from requests of the same users wherever
        # the partitions do not divide evenly by the workers. Ranges, topic by topic, never do.
        consumer._partition_assignment_strategy = (RangePartitionAssignor,)
        consumer._fetch_max_wait_ms = FETCH_WAIT
        return consumer

    async def spans(self, partitions: Collection[TP]) -> dict[TP, Span]:
        """What Kafka has of partitions; asked all at once, and unlike Faust's own this does not seek."""
        return dict(await self.call_thread(self._spans, partitions))

    async def _spans(self, partitions: Collection[TP]) -> dict[TP, Span]:
        consumer, theirs = self._ensure_consumer(), [TopicPartition(*tp) for tp in partitions]
        begins, ends, *committed = await asyncio.gather(
            consumer.beginning_offsets(theirs),
            consumer.end_offsets(theirs),
            *map(consumer.committed, theirs),
        )
        found = zip(partitions, theirs, committed, strict=True)
        return {tp: Span(begins[their], ends[their], offset) for tp, their, offset in found}

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commit; False where Kafka would not. Faust's own commit ends the worker then."""
        return bool(await self.call_thread(self._commit_offsets, offsets))

    async def _commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        consumer = self._ensure_consumer()
        mine = {TopicPartition(*tp): offset for tp, offset in offsets.items() if tp in self.assignment()}
        if not mine:
            return False  # they are moving away
        try:
            await asyncio.wait_for(consumer.commit(mine), COMMIT_SECONDS)
        except (KafkaError, TimeoutError) as error:
            logger.debug("offsets not committed: %r", error)
            return False
        return True

    async def read_again(self, tp: TP, offset: int) -> int | None:
        """See `Consumer.read_again`."""
        return cast("int | None", await self.call_thread(self._read_again, tp, offset))

    async def _read_again(self, tp: TP, offset: int) -> int | None:
        consumer, partition = self._ensure_consumer(), TopicPartition(*tp)
        try:
            consumer.seek(partition, offset)
            begins = await consumer.beginning_offsets([partition])
        except (KafkaError, TimeoutError) as error:
            logger.debug("%s[%d] offset %d cannot be read again now: %r", *tp, offset, error)
            return None
        return int(begins[partition])


class Consumer(driver.Consumer):
    """Faust's consumer, without its notes.

    Attributes
    ----------
    positions : function
        Where to read on; asked each time reading starts or restarts.
    """

    logger = FAUST_LOGGER
    positions: Positions

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = NotKept()
        self._starting: asyncio.Future[Any] | None = None

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _ours(self) -> ConsumerThread:
        return cast(ConsumerThread, self._thread)

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Nothing: this is Faust's commit of what was acked."""
        return False

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commit next offsets of what is durable; False where Kafka would not."""
        return await self._ours.commit_offsets(offsets)

    async def read_again(self, tp: TP, offset: int) -> int | None:
        """Fetch a partition again from an offset.

        Returns
        -------
        int or None
            Where its log begins. None if that cannot be found out, or the partition is moving away: then it
            will be asked anew where to read on.
        """
        return await self._ours.read_again(tp, offset)

    async def perform_seek(self) -> None:
        """Ask where to read on, and read from there.

        The partitions of one number begin together, as soon as their state is there.
        """
        self._forget_start()
        assigned = set(self.assignment())
        if assigned:
            self.pause_partitions(assigned)
            self._starting = self.add_future(self._begin(assigned))
            await asyncio.wait([self._starting], timeout=TOGETHER_SECONDS)

    async def _begin(self, partitions: set[TP]) -> None:
        while partitions <= self.assignment():
            try:
                spans = await self._ours.spans(partitions)
                break
            except (KafkaError, TimeoutError) as error:
                logger.debug("cannot find out where to begin: %r", error)
                await asyncio.sleep(RETRY_SECONDS)
        else:
            return  # they are moving away
        numbers: dict[int, dict[TP, Span]] = {}
        for tp, span in spans.items():
            numbers.setdefault(tp.partition, {})[tp] = span
        await asyncio.gather(*map(self._read, numbers.values()))

    async def _read(self, partitions: Mapping[TP, Span]) -> None:
        """Read the partitions of one number from where they are to be read."""
        wanted = await self.positions(partitions)
        try:
            await self.seek_wait(wanted)
        except IllegalStateError:
            return  # they are moving away
        self.resume_partitions(set(partitions))

    def _forget_start(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let go of partitions, also of those that have not begun yet."""
        self._forget_start()
        await super().on_partitions_revoked(revoked)

    async def on_stop(self) -> None:
        """Begin nothing more."""
        self._forget_start()
        await super().on_stop()
