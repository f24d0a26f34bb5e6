"""The thread in which aiokafka's consumer lives: it seeks, fetches and commits.

Each batch that it hands over says from which offset it was fetched. Kafka's protocol has that in the request,
not in the answer, and aiokafka keeps it to itself. So here is noted, for each partition, what was asked for
last and what was handed over since then. Nobody but us moves the place where a partition is read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from recommender.errors import RecommenderError
from recommender.worker.demand import Demand
from recommender.worker.transport import bootstrap_patch
from recommender.worker.transport.batch import Batch
from recommender.worker.transport.fetcher_patch import Passing
from recommender.worker.transport.spans import Span, spans_of
from recommender.worker.transport.unwrapped_records import leave_bare

logger = logging.getLogger(__name__)
#: Services log under their class' module; these are Faust's, and its log is quieter than ours.
FAUST_LOGGER = logging.getLogger("faust.recommender")

#: A commit that takes longer is left to the next one, which commits more.
COMMIT_SECONDS = 5.0
#: How often is looked whether the group still wants this worker.
GROUP_LOOK_SECONDS = 1.0


class GroupError(RecommenderError):
    """The worker cannot be, or remain, in its group."""


@dataclass(slots=True)
class Reading:
    """How far a partition was read without a break, since it was last sought.

    Attributes
    ----------
    position : int
        What Kafka has below it was handed over.
    sought_after : int
        How many fetches had begun when it was sought.
    begins : int
        Where the log began when Kafka said that it no longer has what was asked for.
    """

    position: int
    sought_after: int
    begins: int = 0


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka's consumer lives."""

    logger = FAUST_LOGGER

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # By aiokafka's own notes of a partition, which each assignment makes anew.
        self._readings: WeakKeyDictionary[Any, Reading] = WeakKeyDictionary()
        self._fetches = 0
        ours: Any = self.consumer
        self._bare: Collection[str] = ours.bare
        self._demand: Demand = ours.demand
        self._max_age: float = ours.max_age
        self._few_taken = False

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust's round robin over all partitions parts ratings from requests of the same users wherever
        # the partitions do not divide evenly by the workers. Ranges, topic by topic, never do.
        consumer._partition_assignment_strategy = (RangePartitionAssignor,)
        # Else aiokafka goes on elsewhere without a word where Kafka has deleted what it asks for.
        consumer._auto_offset_reset = "none"
        bootstrap_patch.begin_with_brokers(consumer._client)
        return consumer

    async def on_start(self) -> None:
        """Connect."""
        await super().on_start()
        Passing(self._demand).change(self._ensure_consumer()._fetcher)

    @Service.task
    async def _watch_group(self) -> None:
        """End if the group cannot be joined: aiokafka tells only who reads, which nobody does yet."""
        while not self.should_stop:
            await self.sleep(GROUP_LOOK_SECONDS)
            coordinator = self._ensure_consumer()._coordinator
            try:
                coordinator.check_errors()
            except KafkaError as error:
                raise GroupError(f"group {coordinator.group_id!r} cannot be joined: {error!r}") from error

    async def on_thread_stop(self) -> None:
        """Leave the group and disconnect."""
        # aiokafka's end trips over a fetch that waits to be tried again, as while a broker is away.
        with contextlib.suppress(asyncio.CancelledError):
            await super().on_thread_stop()

    def _stopped_set(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has crashed, and its event loop is closed
            super()._stopped_set()

    def look_again(self) -> None:
        """Let who waits for records find those that were fetched already, for partitions that may go on."""
        self.thread_loop.call_soon_threadsafe(self._look_again)

    def _look_again(self) -> None:
        if self._consumer is not None:
            for waiter in list(self._consumer._fetcher._fetch_waiters):
                if not waiter.done():
                    waiter.set_result(None)

    async def _fetch_records(
        self, consumer: AIOKafkaConsumer, active_partitions: set[TP], *args: Any, **limits: Any
    ) -> Mapping[TP, list[Batch]]:
        """One batch for each partition of which something came."""
        self._fetches = number = self._fetches + 1
        leave_bare(consumer, self._bare)
        few = self._few_that_wait(consumer, active_partitions)
        if few:
            active_partitions, limits = few, {**limits, "timeout": 0.0}
        try:
            fetched = await super()._fetch_records(consumer, active_partitions, *args, **limits)
        except NoOffsetForPartitionError:
            return {}  # it will be sought
        except OffsetOutOfRangeError as error:
            await self._find_again(consumer, error.args[0])
            return {}
        except BaseException:
            # What came of other partitions may be lost with it.
            self._readings.clear()
            raise
        if any(tp.topic not in self._bare for tp in fetched):
            self._demand.asked()
        return {
            tp: [self._batch(consumer, tp, records)]
            for tp, records in fetched.items()
            if not self._put_back(consumer, tp, number)
        }

    def _few_that_wait(self, consumer: AIOKafkaConsumer, partitions: set[TP]) -> set[TP]:
        """The partitions to take alone now, if any: requests go ahead of thousands of ratings.

        Every other time all are taken alike, as requests may never end.
        """
        waiting = consumer._fetcher._records
        few = {tp for tp in partitions if tp.topic not in self._bare and tp in waiting}
        self._few_taken = bool(few) and not self._few_taken
        return few if self._few_taken else set()

    def _put_back(self, consumer: AIOKafkaConsumer, tp: TP, number: int) -> bool:
        """Whether a partition was sought after that fetch began: what it brought is fetched again then.

        Who waited for the fetch may be gone, as after a rebalance. What is lost with them would be missed
        only when more comes, which in a quiet partition may take hours.
        """
        reading = self._reading(consumer, tp)
        if reading is None or number > reading.sought_after:
            return False
        consumer.seek(TopicPartition(*tp), reading.position)
        return True

    def _batch(self, consumer: AIOKafkaConsumer, tp: TP, records: list[Any]) -> Batch:
        # aiokafka skips without a word what is no record of ours, such as transaction markers: its own
        # position says less than where it was sought and what it has handed over since.
        reading = self._reading(consumer, tp)
        if reading is None:
            return Batch(tp.topic, tp.partition, records)
        batch = Batch(tp.topic, tp.partition, records, reading.position, reading.begins)
        reading.position = batch.offset + 1
        return batch

    async def _find_again(self, consumer: AIOKafkaConsumer, lost: Mapping[TopicPartition, int]) -> None:
        """Go on where the log begins, if Kafka has deleted what comes before that."""
        for tp, offset in lost.items():
            try:
                begins = (await consumer.beginning_offsets([tp]))[tp]
                ends = (await consumer.end_offsets([tp]))[tp]
            except (KafkaError, TimeoutError) as error:
                logger.debug("%s[%d] offset %d is out of range: %r", *tp, offset, error)
                continue  # Kafka says so again
            notes = _notes(consumer, tp)
            if notes is None or not notes.has_valid_position or notes.position != offset:
                continue  # it moved away or was sought meanwhile
            if offset < begins:
                consumer.seek(tp, begins)
                reading = self._reading(consumer, tp)
                if reading is not None:
                    reading.begins = begins
            elif offset > ends:
                ours: Any = self.consumer
                self.parent_loop.call_soon_threadsafe(ours.begin_again, TP(*tp))

    def _reading(self, consumer: AIOKafkaConsumer, tp: TP | TopicPartition) -> Reading | None:
        notes = _notes(consumer, tp)
        return None if notes is None else self._readings.get(notes)

    async def _seek_wait(self, consumer: AIOKafkaConsumer, partitions: Mapping[TP, int]) -> None:
        for tp, offset in partitions.items():
            self._read_from(consumer, TopicPartition(*tp), offset)

    def _read_from(self, consumer: AIOKafkaConsumer, tp: TopicPartition, offset: int) -> None:
        consumer.seek(tp, offset)
        self._readings[_notes(consumer, tp)] = Reading(offset, self._fetches)

    async def spans(self, partitions: Collection[TP]) -> dict[TP, Span]:
        """What Kafka has of partitions; asked all at once, and unlike Faust's own this does not seek."""
        return dict(await self.call_thread(self._spans, partitions))

    async def _spans(self, partitions: Collection[TP]) -> dict[TP, Span]:
        aged = {tp for tp in partitions if tp.topic not in self._bare}
        return await spans_of(self._ensure_consumer(), partitions, aged, self._max_age)

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commit; False where Kafka would not. Faust's own commit ends the worker then."""
        if self.crashed:
            return False  # it answers nobody any more
        committing = self.call_thread(self._commit_offsets, offsets)
        try:
            return bool(await asyncio.wait_for(committing, COMMIT_SECONDS + 1.0))
        except TimeoutError:
            return False  # it has crashed since

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

    async def read_again(self, tp: TP, offset: int) -> None:
        """See `Consumer.read_again`."""
        await self.call_thread(self._read_again, TopicPartition(*tp), offset)

    async def _read_again(self, tp: TopicPartition, offset: int) -> None:
        with contextlib.suppress(IllegalStateError):  # it is moving away
            self._read_from(self._ensure_consumer(), tp, offset)


def _notes(consumer: AIOKafkaConsumer, tp: TP | TopicPartition) -> Any:
    """What aiokafka keeps of a partition as long as it is assigned, else None."""
    assignment = consumer._subscription.subscription.assignment
    return None if assignment is None else assignment.state_value(tp)
