"""Follows the items topic: every worker reads all of it, from its beginning on each start.

What it says is needed to answer and not to learn, so nothing of it stops anything: a topic that is not there
is looked for again, a record that is none is counted, told of and passed over, and a broker that is away is
waited for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from mode import Service

from recommender.errors import RecommenderError
from recommender.items.store import ItemStore
from recommender.kafka.topics import TopicInfo
from recommender.messages.items import decode_item
from recommender.messages.ratings import BadMessage
from recommender.messages.refusals import Kind
from recommender.messages.unreadable import Unreadable
from recommender.worker.pacing import give_way
from recommender.worker.transport import FAUST_LOGGER
from recommender.worker.transport.bootstrap_patch import patient

logger = logging.getLogger(__name__)

#: How often a topic that is not there, or partitions that are new, are looked for, in seconds.
LOOK_SECONDS = 10.0
#: How long a start waits for the topic to be followed to its end, in seconds.
START_SECONDS = 60.0
RETRY_SECONDS = 1.0
POLL_MILLISECONDS = 200
POLL_RECORDS = 4000
#: This many records are taken over at once; then all else has a turn.
SLICE_RECORDS = 200
SLICE_SECONDS = 0.003
#: At least this many seconds are between two lines of the log about records that are none.
TELL_SECONDS = 60.0


class ItemsFollowing(Service):
    """Keeps a store as the items topic says.

    Parameters
    ----------
    store : ItemStore
    topic : str
    options : mapping
        aiokafka's, see `recommender.kafka.plain_clients.client_options`.
    identify : function
        The topic as it is now; called in a thread. It raises where there is none.
    taken : function
        Called after records were taken over.
    counted : function
        Called with what became of records, ``taken`` or ``refused``, and how many.
    """

    logger = FAUST_LOGGER

    def __init__(
        self,
        store: ItemStore,
        topic: str,
        options: Mapping[str, Any],
        identify: Callable[[], TopicInfo],
        taken: Callable[[], None],
        counted: Callable[[str, int], None],
    ) -> None:
        super().__init__()
        self._store, self._topic, self._options = store, topic, dict(options)
        self._identify, self._taken, self._counted = identify, taken, counted
        self._consumer: AIOKafkaConsumer | None = None
        self._at_end = asyncio.Event()
        self._ends: dict[TopicPartition, int] = {}
        self._found = False
        self._refused: Counter[str] = Counter()
        self._newest, self._told_at = "", -TELL_SECONDS

    async def on_start(self) -> None:
        """Follow to the end, if the topic is there and that does not take too long."""
        self.add_future(self._run())
        waiting = asyncio.ensure_future(self._at_end.wait())
        await self.wait(asyncio.wait([waiting], timeout=START_SECONDS))
        if not waiting.done():
            waiting.cancel()
            logger.error("%s is not followed to its end yet; it is answered without the rest", self._topic)

    async def on_stop(self) -> None:
        """Follow no more."""
        if self._consumer is not None:
            await self._consumer.stop()

    def status(self) -> dict[str, Any]:
        """The part of the status page about items."""
        return {
            "topic": self._topic if self._found else None,
            "items": len(self._store),
            "unavailable": self._store.hiding,
            "categories": len(self._store.categories),
            "refused": dict(self._refused),
            "newest_refusal": self._newest or None,
        }

    async def _run(self) -> None:
        while not self.should_stop:
            try:
                await asyncio.to_thread(self._identify)
                self._found = True
                await self._follow()
            except RecommenderError as error:
                logger.debug("%s is not followed: %s", self._topic, error)
                self._at_end.set()  # there is nothing to follow
                await self.sleep(LOOK_SECONDS)
            except (KafkaError, TimeoutError) as error:
                logger.warning("%s cannot be followed: %r; it is tried again", self._topic, error)
                await self.sleep(RETRY_SECONDS)

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            **self._options,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
        )
        patient(consumer)
        try:
            await consumer.start()
            self._consumer = consumer
            while not self.should_stop:
                await self._assign(consumer)
                until = time.monotonic() + LOOK_SECONDS
                while time.monotonic() < until and not self.should_stop:
                    await self._poll(consumer)
        finally:
            self._consumer = None
            await consumer.stop()

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        """Read all partitions, those that are new from their beginning."""
        finding = await asyncio.to_thread(self._identify)
        partitions = {TopicPartition(self._topic, number) for number in range(finding.partitions)}
        if partitions == consumer.assignment():
            return
        positions = {tp: await consumer.position(tp) for tp in consumer.assignment()}
        consumer.assign(partitions)
        begins = await consumer.beginning_offsets(list(partitions))
        for tp in partitions:
            consumer.seek(tp, positions.get(tp, begins[tp]))
        self._ends = await consumer.end_offsets(list(partitions))

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        found = await consumer.getmany(timeout_ms=POLL_MILLISECONDS, max_records=POLL_RECORDS)
        for records in found.values():
            for first in range(0, len(records), SLICE_RECORDS):
                self._take(records[first : first + SLICE_RECORDS])
                await give_way(SLICE_SECONDS)
        if found:
            self._taken()
        if not self._at_end.is_set():
            positions = {tp: await consumer.position(tp) for tp in self._ends}
            if all(positions[tp] >= end for tp, end in self._ends.items()):
                logger.info("%s: followed, %d items", self._topic, len(self._store))
                self._at_end.set()

    def _take(self, records: Iterable[Any]) -> None:
        taken = 0
        for record in records:
            try:
                if isinstance(record, Unreadable):
                    raise BadMessage(record.cause, Kind.UNREADABLE)
                self._store.put(*decode_item(record.key, record.value, record.headers))
                taken += 1
            except BadMessage as error:
                self._refuse(record, error)
        self._counted("taken", taken)

    def _refuse(self, record: Any, error: BadMessage) -> None:
        self._counted("refused", 1)
        self._refused[error.kind.value] += 1
        self._newest = f"{record.topic}[{record.partition}] offset {record.offset}: {error}"[:400]
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            self._told_at = time.monotonic()
            logger.warning(
                "%s; it is passed over, as %d others were", self._newest, self._refused.total() - 1
            )
