"""The ingesting side of the worker: what the ratings topic holds goes into the journal.

Reading the ratings topic is at least once, as with any consumer group. That each rating counts once is the
journal's business: a block counts from where its source partition was applied to, or not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from recommender.history.rows import Rows
from recommender.ingest.ingest import Ingested
from recommender.journal.block import Source
from recommender.journal.lanes import start_offset
from recommender.journal.writer import JournalWriter
from recommender.messages.records import Outgoing, Record
from recommender.worker.pacing import Pace, clock, give_way
from recommender.worker.transport.consumer_thread import Batch
from recommender.worker.transport.spans import Span

logger = logging.getLogger(__name__)

CHUNK = 1000

#: Sends records to partitions of a topic; returns when the brokers have all of them.
SendAll = Callable[[str, Sequence[Outgoing]], Awaitable[None]]
#: Returns once all is there that records of a topic need.
Prepare = Callable[[Sequence[Record]], Awaitable[None]]


class Reads(Protocol):
    """Reads records of a topic, as `recommender.ingest.ingest.Ingest` does."""

    topic: str

    def read(self, partition: int, records: Sequence[Record]) -> Ingested:
        """Read consecutive records of a partition."""


@runtime_checkable
class Judges(Protocol):
    """Reads records, and can judge how it does."""

    def judge(self) -> None:
        """Judge by what comes next."""


async def _at_once() -> None:
    """Wait for nothing."""


class Ingestor:
    """Writes the ratings of the partitions of a topic that the worker was assigned into the journal.

    Parameters
    ----------
    ingest : Reads
    writer : JournalWriter
    send_all : SendAll
    topic_id : bytes
        Kafka's id of the topic.
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
        Called with every run that is on its way into the journal: the partition, what came of the records,
        and the records.
    keep_up : function
        Returns once nearly all is learned that this worker has written: writing takes less time.
    prepare : Prepare, optional
        Called with records before they are read.
    mapped : function, optional
        The fingerprint by which a source partition's last records were mapped; 0 where they were not, or
        nobody knows.
    chunk : int
        At most this many records are decoded between two looks at the clock.
    """

    def __init__(
        self,
        ingest: Reads,
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
        keep_up: Callable[[], Awaitable[None]] = _at_once,
        prepare: Prepare | None = None,
        mapped: Callable[[Source], int] = lambda source: 0,
        chunk: int = CHUNK,
    ) -> None:
        self._ingest, self._writer, self._send_all = ingest, writer, send_all
        self._topic_id, self._decoder = topic_id, decoder
        self._dead_letter_topic, self._letter_partitions = dead_letter_topic, letter_partitions
        self._applied, self._follow_to_end = applied, follow_to_end
        self._pace, self._ingested, self._mapped = pace, ingested, mapped
        self._keep_up, self._prepare = keep_up, prepare
        self._chunk = chunk
        #: Of each partition: behind which offset there is no record up to which other.
        self._passed: dict[int, tuple[int, int]] = {}
        #: Of each partition that is not read from its beginning: the first offset that is.
        self._firsts: dict[int, int] = {}

    def source(self, partition: int) -> Source:
        """A partition of the topic, as the journal calls it."""
        return Source(self._topic_id, partition)

    async def begin(
        self, spans: Mapping[int, Span], firsts: Mapping[int, int] | None = None
    ) -> dict[int, int]:
        """Own partitions from now on; from which offset each is to be read.

        Parameters
        ----------
        spans : mapping of int to Span
        firsts : mapping of int to int, optional
            Where partitions of which nothing was read yet are to be read from, instead of the beginning.

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
            self._compare_mapping(source, place, start)
            self._writer.begin(source, start, self._decoder)
            self._firsts.pop(partition, None)
            if firsts and partition in firsts:
                self._firsts[partition] = firsts[partition]
                await self._pass_to_first(source)
            starts[partition] = max(start, span.begins, self._firsts.get(partition, 0))
        return starts

    def _compare_mapping(self, source: Source, place: str, start: int) -> None:
        """Say so where records were mapped in another way before; a mapping that is new is judged."""
        before = self._mapped(source)
        if before and before != self._decoder:
            logger.warning(
                "%s was mapped in another way up to offset %d (%08x, now %08x): what was learned so stays",
                place,
                start - 1,
                before >> 32,
                self._decoder >> 32,
            )
        if before != self._decoder and isinstance(self._ingest, Judges):
            self._ingest.judge()

    async def _pass_to_first(self, source: Source) -> None:
        """Account for what lies before the first offset that is read, where that is not done yet."""
        after, first = self._writer.next_offset(source), self._firsts.get(source.partition, 0)
        if after is not None and after < first:
            await self._writer.append(source, after, first, _NO_ROWS, np.zeros(0, np.int64))

    async def revoke(self, partitions: Sequence[int] | None = None) -> dict[int, int]:
        """Give partitions away, all by default; what may be committed of each."""
        owned = [each for each in self._writer.committable() if each.topic_id == self._topic_id]
        given = owned if partitions is None else [self.source(each) for each in partitions]
        return {source.partition: offset for source, offset in (await self._writer.revoke(given)).items()}

    def committable(self) -> dict[int, int]:
        """The offset up to which each partition is in the journal."""
        committable = self._writer.committable()
        return {
            source.partition: self._past(source.partition, offset)
            for source, offset in committable.items()
            if source.topic_id == self._topic_id
        }

    def learned(self, partition: int, applied: Callable[[Source], int | None]) -> int | None:
        """The offset up to which a partition is learned; None if it is not read here.

        Where this worker does not follow all of the journal it is what is in the journal.
        """
        in_journal = self._writer.committable().get(self.source(partition))
        if in_journal is None:
            return None
        learned = applied(self.source(partition))
        return self._past(partition, in_journal if learned is None else learned)

    def _past(self, partition: int, offset: int) -> int:
        """The offset behind one and what is known to be no record: that needs no block, and is no lag."""
        after, end = self._passed.get(partition, (-1, -1))
        return max(offset, end) if offset == after else offset

    async def take(self, batch: Batch) -> None:
        """Write a partition's records into the journal; returns when the next ones may come.

        Raises
        ------
        Exception
            A dead letter could not be delivered. The worker must stop then: nothing is committed past it.
        """
        if self._prepare is not None:
            await self._prepare(batch.records)
        await self._write(batch)
        await self._keep_up()

    async def _write(self, batch: Batch) -> None:
        """Write records; returns when all of it is on its way."""
        source, records = self.source(batch.partition), batch.records
        if self._firsts:
            await self._pass_to_first(source)
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
            count, started = self._pace.count(self._chunk), clock()
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
        offsets = np.fromiter([record.offset for record in run.records], np.int64, len(run.records))
        end, places = int(offsets[-1]) + 1, run.ingested.places
        of_rows = offsets if places is None else offsets[places]
        sent = await self._writer.append(source, run.first, end, run.ingested.rows, of_rows)
        if sent:
            self._ingested(source.partition, run.ingested, run.records)
        return sent


class _Run(NamedTuple):
    """Consecutive records, what they came to, and the offset that they begin at."""

    ingested: Ingested
    records: Sequence[Record]
    first: int


_NO_ROWS = Rows(
    np.zeros(0, np.uint8), np.zeros((0, 4), np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.bool_)
)
