"""The ingesting side of the worker: what the ratings topic holds goes into the journal.

Reading the ratings topic is at least once, as with any consumer group. That each rating counts once is the
journal's business: a block counts from where its source partition was applied to, or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from recommender.ingest.ingest import Ingest, Ingested
from recommender.journal.block import Source
from recommender.journal.lanes import start_offset
from recommender.journal.writer import JournalWriter
from recommender.messages.records import Outgoing, Record
from recommender.worker.pacing import Pace, clock, give_way
from recommender.worker.transport.batch import Batch
from recommender.worker.transport.spans import Span

logger = logging.getLogger(__name__)

#: At most so many records are decoded between two looks at the clock.
CHUNK = 1000

#: Sends records to partitions of a topic; returns when the brokers have all of them.
SendAll = Callable[[str, Sequence[Outgoing]], Awaitable[None]]


class Ingestor:
    """Writes the ratings of the partitions that the worker was assigned into the journal.

    Parameters
    ----------
    ingest : Ingest
    writer : JournalWriter
    send_all : SendAll
    topic_id : bytes
        Kafka's id of the ratings topic.
    decoder : int
        Fingerprint of what decides how a record is decoded.
    dead_letter_topic : str
    letter_partitions : int
        How many partitions it has: a letter goes to the one of its record's number, as far as there are so
        many.
    applied : function
        Up to which offset a source partition is in the state, by the least replica; None where this worker
        does not follow all of the journal.
    follow_to_end : function
        Returns once the journal is followed to where it ended when it was called.
    pace : Pace
        How long decoding may keep the event loop.
    ingested : function
        Told of every run that is on its way into the journal: the partition, what came of the records, and
        the records.
    """

    def __init__(
        self,
        ingest: Ingest,
        writer: JournalWriter,
        send_all: SendAll,
        *,
        topic_id: bytes,
        decoder: int,
        dead_letter_topic: str,
        letter_partitions: int,
        applied: Callable[[Source], int | None],
        follow_to_end: Callable[[], Awaitable[None]],
        pace: Pace,
        ingested: Callable[[int, Ingested, Sequence[Record]], None],
    ) -> None:
        self._ingest, self._writer, self._send_all = ingest, writer, send_all
        self._topic_id, self._decoder = topic_id, decoder
        self._dead_letter_topic, self._letter_partitions = dead_letter_topic, letter_partitions
        self._applied, self._follow_to_end = applied, follow_to_end
        self._pace, self._ingested = pace, ingested
        #: Of each partition: behind which offset there is no record up to which other.
        self._passed: dict[int, tuple[int, int]] = {}

    def source(self, partition: int) -> Source:
        """A partition of the ratings topic, as the journal calls it."""
        return Source(self._topic_id, partition)

    async def begin(self, spans: Mapping[int, Span]) -> dict[int, int]:
        """Own partitions from now on; from which offset each is to be read.

        Raises
        ------
        SourceShorter
            A partition ends before the place up to which it is in the journal.
        """
        await self._follow_to_end()
        starts = {}
        for partition, span in spans.items():
            source = self.source(partition)
            applied = self._applied(source)
            place = f"{self._ingest.topic}[{partition}]"
            start = start_offset(
                place, span.committed, applied, span.ends, followed_to_end=applied is not None
            )
            if start < span.begins:
                # Only what was never read is lost: what is in the journal may expire in its topic.
                log = logger.warning if start else logger.info
                log("%s begins at offset %d, and offset %d comes next", place, span.begins, start)
            self._passed.pop(partition, None)
            self._writer.begin(source, start, self._decoder)
            starts[partition] = max(start, span.begins)
        return starts

    async def revoke(self, partitions: Sequence[int] | None = None) -> dict[int, int]:
        """Give partitions away, all by default; what may be committed of each."""
        owned = list(self._writer.committable())
        given = owned if partitions is None else [self.source(each) for each in partitions]
        return {source.partition: offset for source, offset in (await self._writer.revoke(given)).items()}

    def committable(self) -> dict[int, int]:
        """Up to which offset each partition is in the journal."""
        committable = self._writer.committable()
        return {
            source.partition: self._past(source.partition, offset) for source, offset in committable.items()
        }

    def learned(self, partition: int, applied: Callable[[Source], int | None]) -> int | None:
        """Up to which offset a partition is learned; None if it is not read here.

        Where this worker does not follow all of the journal it is what is in the journal.
        """
        in_journal = self._writer.committable().get(self.source(partition))
        if in_journal is None:
            return None
        learned = applied(self.source(partition))
        return self._past(partition, in_journal if learned is None else learned)

    def _past(self, partition: int, offset: int) -> int:
        """Past an offset and what is known to be no record behind it: that needs no block, and is no lag."""
        after, end = self._passed.get(partition, (-1, -1))
        return max(offset, end) if offset == after else offset

    async def take(self, batch: Batch) -> None:
        """Write a partition's records into the journal; returns when all of it is on its way.

        Raises
        ------
        Exception
            A dead letter could not be delivered. The worker must stop then: nothing is committed past it.
        """
        source, records = self.source(batch.partition), batch.records
        after = self._writer.next_offset(source)
        if after is None:
            return  # it moved away, or it is read again
        if records and records[0].offset < after:
            records = [record for record in records if record.offset >= after]
        if records and not await self._writer.expects(source, records[0].offset):
            return
        held_back: list[_Run] = []
        first = records[0].offset if records else after
        while records:
            count, started = self._pace.count(CHUNK), clock()
            run = _Run(self._ingest.read(source.partition, records[:count]), records[:count], first)
            # They came in one fetch: what is missing between two runs is no gap between fetches.
            records, first = records[count:], records[:count][-1].offset + 1
            if held_back or run.ingested.dead_letters:
                held_back.append(run)
            elif not await self._append(source, run):
                return
            if self._pace.is_over(len(run.records), clock() - started):
                await give_way(self._pace.seconds)
        # Letters go before the blocks that account for them: once those are there nothing is read again.
        letters = [letter for run in held_back for letter in run.ingested.dead_letters]
        if letters:
            place = source.partition % self._letter_partitions
            await self._send_all(
                self._dead_letter_topic, [letter._replace(partition=place) for letter in letters]
            )
        for run in held_back:
            if not await self._append(source, run):
                return
        after = self._writer.next_offset(source)
        if after is not None:
            past = self._past(batch.partition, after)
            if batch.records or batch.begin <= past:
                self._passed[batch.partition] = after, max(past, batch.end)

    async def _append(self, source: Source, run: _Run) -> bool:
        offsets = np.fromiter((record.offset for record in run.records), np.int64, len(run.records))
        sent = await self._writer.append(source, run.first, int(offsets[-1]) + 1, run.ingested.rows, offsets)
        if sent:
            self._ingested(source.partition, run.ingested, run.records)
        return sent


class _Run(NamedTuple):
    """Consecutive records, what they came to, and the offset that they begin at."""

    ingested: Ingested
    records: Sequence[Record]
    first: int
