"""Counts of the last hours: of what is learned from now on, and of the journal before that.

They are no part of the state, so a worker that starts reads the last hours of the journal once more.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from recommender.history.rows import Rows
from recommender.journal.block_reader import read
from recommender.journal.errors import BlockError
from recommender.journal.outcome import Followed
from recommender.messages.requests import Request
from recommender.messages.responses import Failure
from recommender.models.base import FloatArray
from recommender.shard.shard import Shard
from recommender.shard.trending import HOUR, HourlyCounts
from recommender.worker.pacing import give_way
from recommender.worker.replicas import HeldReplica, Replicas

logger = logging.getLogger(__name__)

RETRY_SECONDS = 2.0
POLL_MILLISECONDS = 200
POLL_RECORDS = 20
SLICE_SECONDS = 0.003


class Trends:
    """Keeps the counts of each partition of the journal that is held.

    Parameters
    ----------
    hours : int
        How many hours are kept; 0 counts nothing.
    journal : str
    replicas : Replicas
    options : mapping
        aiokafka's, see `recommender.kafka.plain_clients.client_options`.
    """

    def __init__(self, hours: int, journal: str, replicas: Replicas, options: Mapping[str, Any]) -> None:
        self._hours, self._journal, self._replicas, self._options = hours, journal, replicas, dict(options)
        self._counts: dict[int, HourlyCounts] = {}
        #: By partition: below which offset all was counted, and from which on it was as it was learned.
        self._next: dict[int, int] = {}
        self._begun: dict[int, int] = {}
        self._whole: set[int] = set()
        #: How many indices of items had become free.
        self._freed: dict[int, int] = {}
        #: Where the journal begins that the replica was followed from: indices are others' in another one.
        self._origins: dict[int, int] = {}

    def learned(self, held: HeldReplica, followed: Followed) -> None:
        """Count what a replica has just learned."""
        if not self._hours or not len(followed.records):
            return
        partition = held.replica.partition
        self._notice(held)
        first, last = followed.records[0].offset, followed.records[-1].offset
        if first > self._next.get(partition, -1):
            # The first of this replica, or it was held elsewhere meanwhile: what lies before is read again.
            self._counts[partition] = HourlyCounts(self._hours)
            self._begun[partition] = first
            self._whole.discard(partition)
        elif last < self._next[partition]:
            return  # it went back to its checkpoint, and this was counted before
        self._next[partition] = last + 1
        self._forget(partition, held.replica.shard)
        self._add(partition, held.replica.shard, followed.rows)

    def sums(self, held: HeldReplica, request: Request) -> FloatArray | None:
        """The sums by which a request for a window of time is ranked.

        Raises
        ------
        Failure
            Nothing is counted, or not for that many hours, or not all of it yet.
        """
        if request.window is None:
            return None
        hours = request.window
        if hours > self._hours:
            raise Failure(
                "bad_request",
                f"a window of {hours} h is asked for, but RECOMMENDER_TRENDING_HOURS is {self._hours}",
            )
        partition = held.replica.partition
        self._notice(held)
        if partition not in self._whole:
            text = "the last hours of the journal are still being read"
            raise Failure("not_caught_up", text, retriable=True)
        counts = self._counts.get(partition) or HourlyCounts(self._hours)
        return counts.sums(hours, held.replica.shard.history.item_count)

    def _notice(self, held: HeldReplica) -> None:
        """Count again if the replica has taken over a journal that was rewritten."""
        partition, origin = held.replica.partition, held.replica.rule.origin
        if self._origins.setdefault(partition, origin) != origin:
            self._origins[partition] = origin
            self._counts[partition] = HourlyCounts(self._hours)
            self._begun[partition] = self._next[partition] = held.replica.position
            self._freed[partition] = held.replica.shard.items.freed
            self._whole.discard(partition)

    async def read(self) -> None:
        """Read the last hours of the journal for replicas that lack them."""
        if not self._hours:
            return
        for held in self._replicas:
            partition = held.replica.partition
            self._notice(held)
            if partition not in self._whole and held.caught_up:
                try:
                    await self._read_back(held)
                except (KafkaError, TimeoutError) as error:
                    logger.warning("the last hours of %s cannot be read: %r", held.replica, error)
                    await asyncio.sleep(RETRY_SECONDS)

    async def _read_back(self, held: HeldReplica) -> None:
        partition, began = held.replica.partition, time.monotonic()
        tp = TopicPartition(self._journal, partition)
        if partition not in self._counts:
            self._counts[partition] = HourlyCounts(self._hours)
            self._next[partition] = self._begun[partition] = held.replica.position
        counts, end = self._counts[partition], self._begun[partition]
        consumer = AIOKafkaConsumer(
            **self._options, group_id=None, enable_auto_commit=False, auto_offset_reset="none"
        )
        await consumer.start()
        try:
            consumer.assign([tp])
            since = int((time.time() - self._hours * HOUR) * 1000)
            found = (await consumer.offsets_for_times({tp: since}))[tp]
            consumer.seek(tp, end if found is None else min(end, found.offset))
            seen: dict[Any, int] = {}
            while await consumer.position(tp) < end and self._counts.get(partition) is counts:
                records = await consumer.getmany(tp, timeout_ms=POLL_MILLISECONDS, max_records=POLL_RECORDS)
                for record in records.get(tp, ()):
                    if record.offset < end:
                        self._count_block(record, partition, held.replica.shard, seen)
                        await give_way(SLICE_SECONDS)
        finally:
            await consumer.stop()
        if self._counts.get(partition) is counts:
            self._whole.add(partition)
            logger.info(
                "%s: the last %d hours are counted (%.1f s)",
                held.replica,
                self._hours,
                time.monotonic() - began,
            )

    def _count_block(self, record: Any, partition: int, shard: Shard, seen: dict[Any, int]) -> None:
        """Count a block's ratings, but for those that an earlier block had."""
        try:
            block = read(record.value, self._journal, partition, record.offset)
        except BlockError:
            return  # the follower of the journal says what is to be said
        first = seen.get(block.head.source, 0)
        seen[block.head.source] = max(first, block.head.end)
        new = block.offsets >= first
        rows = block.rows
        self._add(
            partition,
            shard,
            rows.of(new),
        )

    def _forget(self, partition: int, shard: Shard) -> None:
        """Let go of items that were forgotten just now: their indices are others' from now on."""
        before = self._freed.setdefault(partition, shard.items.freed)
        self._freed[partition] = shard.items.freed
        freed = shard.items.freed_since(before)
        if freed is None:
            # Another state, or too many at once: what was counted is counted again.
            self._counts[partition] = HourlyCounts(self._hours)
            self._begun[partition] = self._next[partition]
            self._whole.discard(partition)
        for item in freed or ():
            self._counts[partition].forget(item)

    def _add(self, partition: int, shard: Shard, rows: Rows) -> None:
        rows = rows.ratings_alone()
        positive = shard.positive(rows)
        if positive.any():
            items = shard.items.find_bytes(rows.text, np.ascontiguousarray(rows.spans[positive]), 2)
            known = items >= 0
            self._counts[partition].add(items[known], rows.times[positive][known])
