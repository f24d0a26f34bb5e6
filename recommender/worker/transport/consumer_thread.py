"""The thread in which aiokafka's consumer of the ratings lives: it fetches batches, and commits.

Of transactions only those that were committed are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import TopicPartition
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode import Service

from recommender.errors import RecommenderError
from recommender.messages.records import Record
from recommender.worker.transport import FAUST_LOGGER
from recommender.worker.transport.aiokafka_clients import leave, patient
from recommender.worker.transport.spans import Span, spans_of

logger = logging.getLogger(__name__)

#: A commit that takes longer is left to the next one, which commits more.
COMMIT_SECONDS = 5.0
#: For how long a broker waits for records where it has none, in milliseconds. A partition whose records are
#: not taken in time is left out of a fetch of the others, and while that waits nothing else is fetched.
FETCH_WAIT_MS = 100
#: For how long records are waited for that were not fetched yet.
TAKE_SECONDS = 0.05
#: How often is looked whether the group still wants this worker.
GROUP_LOOK_SECONDS = 1.0


class Batch:
    """Consecutive records of one partition, in the guise of a single Kafka record.

    Parameters
    ----------
    topic : str
    partition : int
    records : list of Record
        In the order of their offsets; none where there was only what is no record, as marks of transactions.
    begin, end : int
        From which offset it was fetched, and the offset after all that was.
    """

    __slots__ = ("begin", "end", "offset", "partition", "records", "timestamp", "topic")

    key = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_type = 0
    checksum = None
    serialized_key_size = 0
    serialized_value_size = 0

    def __init__(self, topic: str, partition: int, records: list[Record], begin: int, end: int) -> None:
        self.topic = topic
        self.partition = partition
        self.records = records
        self.begin = begin
        self.end = end
        self.offset = end - 1
        self.timestamp: int = records[-1].timestamp if records else -1

    @property
    def value(self) -> Batch:
        """The batch itself: the value that reaches the agent."""
        return self


class GroupError(RecommenderError):
    """The worker cannot be, or remain, in its group."""


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread in which aiokafka's consumer lives.

    Faust makes it, so how patient it is stands in its class.
    """

    logger = FAUST_LOGGER
    commit_seconds = COMMIT_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Up to which offset each partition was handed over.
        self._ends: dict[TP, int] = {}
        self._created: AIOKafkaConsumer | None = None

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = self._created = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        patient(consumer)
        return consumer

    @property
    def _aiokafka(self) -> AIOKafkaConsumer:
        """The consumer of aiokafka."""
        if self._created is None:
            raise ConsumerNotStarted("Consumer thread not yet started")
        return self._created

    @Service.task
    async def _watch_group(self) -> None:
        """End if the group cannot be joined: aiokafka says so only to readers, of which there is none yet."""
        while not self.should_stop:
            await self.sleep(GROUP_LOOK_SECONDS)
            coordinator = self._aiokafka._coordinator
            try:
                coordinator.check_errors()
            except KafkaError as error:
                raise GroupError(f"group {coordinator.group_id!r} cannot be joined: {error!r}") from error

    async def on_thread_stop(self) -> None:
        """Leave the group and disconnect."""
        # aiokafka's end trips over a fetch that waits to be tried again, as while a broker is away.
        with contextlib.suppress(asyncio.CancelledError):
            # Faust's, without its own stop of the consumer.
            await super(driver.AIOKafkaConsumerThread, self).on_thread_stop()
            if self._created is not None:
                await leave(self._created)

    def _stopped_set(self) -> None:
        with contextlib.suppress(RuntimeError):  # it has crashed, and its event loop is closed
            super()._stopped_set()

    async def getmany(
        self,
        active_partitions: set[TP] | None,
        timeout: float,  # noqa: ASYNC109 - Faust's
    ) -> Any:
        """Fetch from these partitions as they are now: Faust changes its set while this thread reads it."""
        asked = None if active_partitions is None else set(active_partitions)
        return await super().getmany(asked, timeout)

    async def _fetch_records(
        self, consumer: AIOKafkaConsumer, active_partitions: set[TP], *args: Any, **limits: Any
    ) -> Mapping[TP, list[Batch]]:
        """One batch for each partition of which something came."""
        # Faust waits for a second, also for a partition that is there already, but was not asked for: it had
        # enough waiting when this began.
        limits["timeout"] = min(limits.get("timeout") or 0.0, TAKE_SECONDS)
        fetched = await super()._fetch_records(consumer, active_partitions, *args, **limits)
        batches = {}
        for tp in active_partitions:
            records = fetched.get(tp, [])
            end = max(self._position(consumer, tp), records[-1].offset + 1 if records else 0)
            begin = self._ends.get(tp, records[0].offset if records else end)
            # Where there was only what is no record, such as marks of transactions, that is no lag.
            if records or end > begin:
                batches[tp] = [Batch(tp.topic, tp.partition, records, begin, end)]
                self._ends[tp] = end
        return batches

    def _position(self, consumer: AIOKafkaConsumer, tp: TP) -> int:
        """The offset after all that was fetched of a partition; 0 where it is not known."""
        asking = consumer.position(TopicPartition(*tp))
        try:
            asking.send(None)
        except StopIteration as known:
            return int(known.value)
        except KafkaError:  # it has moved away
            return 0
        asking.close()  # it would wait until the position is known
        return 0

    def ends(self) -> dict[TP, int]:
        """The offset after the last record that may be read of each partition, as of its last fetch."""
        consumer = self._created
        if consumer is None:
            return {}
        found = {}
        for tp in consumer.assignment():
            with contextlib.suppress(IllegalStateError):  # it has just moved away
                found[TP(*tp)] = consumer.last_stable_offset(tp)
        return {tp: end for tp, end in found.items() if end is not None and end >= 0}

    async def spans(self, partitions: Collection[TP]) -> dict[TP, Span]:
        """The spans of partitions in Kafka; asked all at once."""
        return dict(await self.call_thread(self._spans, partitions))

    async def _spans(self, partitions: Collection[TP]) -> dict[TP, Span]:
        return await spans_of(self._aiokafka, partitions, (), 0.0)

    async def offsets_at(self, times: Mapping[TP, float]) -> dict[TP, int | None]:
        """See `Consumer.offsets_at`."""
        return dict(await self.call_thread(self._offsets_at, times))

    async def _offsets_at(self, times: Mapping[TP, float]) -> dict[TP, int | None]:
        wanted = {TopicPartition(*tp): max(0, int(seconds * 1000)) for tp, seconds in times.items()}
        found = await self._aiokafka.offsets_for_times(wanted)
        return {TP(*tp): None if each is None else each.offset for tp, each in found.items()}

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commit; False where Kafka would not. Faust's own commit ends the worker then."""
        if self.crashed:
            return False  # it does not answer any more
        committing = self.call_thread(self._commit_offsets, offsets)
        try:
            return bool(await asyncio.wait_for(committing, self.commit_seconds + 1.0))
        except TimeoutError:
            return False  # it has crashed since

    async def _commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        consumer = self._aiokafka
        mine = {TopicPartition(*tp): offset for tp, offset in offsets.items() if tp in self.assignment()}
        if not mine:
            return False  # they are moving away
        try:
            await asyncio.wait_for(consumer.commit(mine), self.commit_seconds)
        except (KafkaError, TimeoutError) as error:
            logger.debug("offsets not committed: %r", error)
            return False
        return True

    async def read_again(self, tp: TP, offset: int) -> None:
        """See `Consumer.read_again`."""
        await self.call_thread(self._read_again, TopicPartition(*tp), offset)

    async def _read_again(self, tp: TopicPartition, offset: int) -> None:
        with contextlib.suppress(IllegalStateError):  # it is moving away
            self._aiokafka.seek(tp, offset)
            self._ends[TP(*tp)] = offset
