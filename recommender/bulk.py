"""Hands an agent a partition's fetched records as one batch, from the offset that we say.

A stock Faust agent costs two tasks and some ten scheduled callbacks for every record. Here the records that
a fetch brought for a partition travel as a single message: the same agents, rebalances, timers and pages,
at some fifty times the rate. And where reading starts is asked of the worker, whose checkpoints know it,
instead of Kafka's committed offsets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, cast

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP, AppT
from yarl import URL

from recommender.ingest import Record

logger = logging.getLogger(__name__)
#: Services log under their class' module; these are Faust's, and its log is quieter than ours.
FAUST_LOGGER = logging.getLogger("faust.recommender")

#: A commit that takes longer is left to the next one, which commits more.
COMMIT_SECONDS = 5.0

#: Asked for the offsets to read on from: of all partitions assigned, those it wants to decide.
Positions = Callable[[set[TP]], Awaitable[Mapping[TP, int]]]


class Batch:
    """Consecutive records of one partition, in the guise of a single Kafka record.

    Attributes
    ----------
    topic : str
    partition : int
    records : list of Record
        At least one, in the order of their offsets.
    """

    __slots__ = ("offset", "partition", "records", "timestamp", "topic")

    key = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_type = 0
    checksum = None
    serialized_key_size = 0
    serialized_value_size = 0

    def __init__(self, topic: str, partition: int, records: list[Record]) -> None:
        self.topic = topic
        self.partition = partition
        self.records = records
        # Faust tells what it has read by the offset, so it must be the last one's.
        self.offset: int = records[-1].offset
        self.timestamp: int = records[-1].timestamp

    @property
    def first_offset(self) -> int:
        """The offset of the first record."""
        return int(self.records[0].offset)

    @property
    def value(self) -> Batch:
        """Itself: the value that reaches the agent."""
        return self


class BatchScheduler(DefaultSchedulingStrategy):
    """Turns what a fetch brought, by partition, into one message for each partition."""

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, Any]]:
        """Batches instead of records, in the order of the default scheduler."""
        batches = {tp: [Batch(tp.topic, tp.partition, list(found))] for tp, found in records.items() if found}
        return super().iterate(batches)


def set_transport(app: AppT, broker: str, positions: Positions) -> None:
    """Give an app the transport that this module describes; before any topic of it is made.

    Parameters
    ----------
    app : faust.App
    broker : str
        Bootstrap servers, separated by commas.
    positions : function
        Called with the assigned partitions each time reading starts or restarts.
    """

    class Thread(driver.AIOKafkaConsumerThread):
        logger = FAUST_LOGGER

        def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
            consumer = super()._create_worker_consumer(transport)
            # Faust's round robin over all partitions parts ratings from requests of the same users wherever
            # the partitions do not divide evenly by the workers. Ranges, topic by topic, never do.
            consumer._partition_assignment_strategy = (RangePartitionAssignor,)
            return consumer

        async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
            """Commit; False where Kafka would not. Faust's own commit ends the worker then."""
            return bool(await self.call_thread(self._commit_offsets, offsets))

        async def _commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
            consumer = self._ensure_consumer()
            mine = {TopicPartition(*tp): offset for tp, offset in offsets.items() if tp in self.assignment()}
            try:
                await asyncio.wait_for(consumer.commit(mine), COMMIT_SECONDS)
            except (KafkaError, TimeoutError) as error:
                logger.debug("offsets not committed: %r", error)
                return False
            return True

    class Consumer(driver.Consumer):
        logger = FAUST_LOGGER

        async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
            return bool(await cast(Thread, self._thread).commit_offsets(offsets))

        def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
            return Thread(self, loop=self.loop, beacon=self.beacon)

        async def perform_seek(self) -> None:
            await super().perform_seek()
            wanted = await positions(set(self.assignment()))
            if wanted:
                await self.seek_wait(wanted)
                for tp, offset in wanted.items():
                    self._read_offset[tp] = offset
                    self._committed_offset[tp] = offset

    class Producer(driver.Producer):
        logger = FAUST_LOGGER

        def _settings_extra(self) -> Mapping[str, Any]:
            # Else a record that is sent again because an answer was lost would be there twice.
            return {**super()._settings_extra(), "enable_idempotence": True}

    class Transport(driver.Transport):
        pass

    Transport.Consumer = Consumer
    Transport.Producer = Producer
    app.transport = cast(Any, Transport)(urls(broker), app)


def urls(broker: str) -> list[URL]:
    """Bootstrap servers as Faust wants them."""
    return [URL(f"kafka://{each}") for each in split(broker)]


def split(text: str) -> list[str]:
    """The parts of a list separated by commas, without blanks."""
    return [part.strip() for part in text.split(",") if part.strip()]
