"""Follows a topic that says what is needed to answer and not to learn: every worker reads all its partitions.

Nothing of it stops anything: a topic that is not there is looked for again, a record that is none is counted,
told of and passed over, and a broker that is away is waited for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition
from mode import Service

from recommender.errors import RecommenderError
from recommender.kafka.topics import TopicInfo
from recommender.messages.ratings import BadMessage
from recommender.messages.refusals import Kind
from recommender.messages.unreadable import Unreadable
from recommender.worker.pacing import give_way
from recommender.worker.transport import FAUST_LOGGER
from recommender.worker.transport.aiokafka_clients import patient

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


class TopicFollowing(Service):
    """Reads a topic from some place on, and all that comes.

    Parameters
    ----------
    topic : str
    options : mapping
        aiokafka's, see `recommender.kafka.plain_clients.client_options`.
    identify : function
        The topic as it is now; called in a thread. It raises where there is none.
    counted : function
        Told of records: what became of them, ``taken`` or ``refused``, and how many.
    """

    logger = FAUST_LOGGER

    def __init__(
        self,
        topic: str,
        options: Mapping[str, Any],
        identify: Callable[[], TopicInfo],
        counted: Callable[[str, int], None],
    ) -> None:
        super().__init__()
        self.topic, self._options = topic, dict(options)
        self._identify, self._counted = identify, counted
        self._consumer: AIOKafkaConsumer | None = None
        self._at_end = asyncio.Event()
        self._ends: dict[TopicPartition, int] = {}
        self.found = False
        self._refused: Counter[str] = Counter()
        self._newest, self._told_at = "", -TELL_SECONDS

    def take(self, records: Sequence[Any]) -> int:
        """Take records over; how many of them were taken. `take_each` helps."""
        raise NotImplementedError

    def taken(self) -> None:
        """Do what is to be done after each fetch."""

    def size(self) -> str:
        """The content by now, in words."""
        raise NotImplementedError

    async def begins(
        self, consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """The place from which partitions are read that are new here."""
        found: Mapping[TopicPartition, int] = await consumer.beginning_offsets(list(partitions))
        return found

    async def on_start(self) -> None:
        """Follow to the end, if the topic is there and that does not take too long."""
        self.add_future(self._run())
        waiting = asyncio.ensure_future(self._at_end.wait())
        await self.wait(asyncio.wait([waiting], timeout=START_SECONDS))
        if not waiting.done():
            waiting.cancel()
            logger.error("%s is not followed to its end yet; it is answered without the rest", self.topic)

    async def on_stop(self) -> None:
        """Follow no more."""
        if self._consumer is not None:
            await self._consumer.stop()

    def status(self) -> dict[str, Any]:
        """The part of the status page about any topic."""
        return {
            "topic": self.topic if self.found else None,
            "refused": dict(self._refused),
            "newest_refusal": self._newest or None,
        }

    def take_each(self, records: Sequence[Any], take: Callable[[Any], None]) -> int:
        """Take records one by one, and pass over those that are none; how many were taken."""
        taken = 0
        for record in records:
            try:
                if isinstance(record, Unreadable):
                    raise BadMessage(record.cause, Kind.UNREADABLE)
                take(record)
                taken += 1
            except BadMessage as error:
                self._refuse(record, error)
        return taken

    async def _run(self) -> None:
        while not self.should_stop:
            try:
                await asyncio.to_thread(self._identify)
                self.found = True
                await self._follow()
            except RecommenderError as error:
                logger.debug("%s is not followed: %s", self.topic, error)
                self._at_end.set()  # there is nothing to follow
                await self.sleep(LOOK_SECONDS)
            except (KafkaError, TimeoutError) as error:
                logger.warning("%s cannot be followed: %r; it is tried again", self.topic, error)
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
        """Read all partitions, those that are new from where they are to be read."""
        finding = await asyncio.to_thread(self._identify)
        partitions = {TopicPartition(self.topic, number) for number in range(finding.partitions)}
        if partitions == consumer.assignment():
            return
        positions = {tp: await consumer.position(tp) for tp in consumer.assignment()}
        consumer.assign(partitions)
        begins = await self.begins(consumer, sorted(partitions))
        for tp in partitions:
            consumer.seek(tp, positions.get(tp, begins[tp]))
        self._ends = await consumer.end_offsets(list(partitions))

    async def _poll(self, consumer: AIOKafkaConsumer) -> None:
        found = await consumer.getmany(timeout_ms=POLL_MILLISECONDS, max_records=POLL_RECORDS)
        for records in found.values():
            for first in range(0, len(records), SLICE_RECORDS):
                self._counted("taken", self.take(records[first : first + SLICE_RECORDS]))
                await give_way(SLICE_SECONDS)
        if found:
            self.taken()
        if not self._at_end.is_set():
            positions = {tp: await consumer.position(tp) for tp in self._ends}
            if all(positions[tp] >= end for tp, end in self._ends.items()):
                logger.info("%s: followed, %s", self.topic, self.size())
                self._at_end.set()

    def _refuse(self, record: Any, error: BadMessage) -> None:
        self._counted("refused", 1)
        self._refused[error.kind.value] += 1
        self._newest = f"{record.topic}[{record.partition}] offset {record.offset}: {error}"[:400]
        if time.monotonic() - self._told_at >= TELL_SECONDS:
            self._told_at = time.monotonic()
            logger.warning(
                "%s; it is passed over, as %d others were", self._newest, self._refused.total() - 1
            )
