"""An ingestor without Kafka, on a journal that answers when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from recommender.ingest.ingest import BatchDecoder, Ingest, Ingested
from recommender.journal.block import Source, head_of
from recommender.journal.rule import Rule
from recommender.journal.writer import JournalWriter
from recommender.worker.ingestor import Ingestor
from recommender.worker.pacing import Pace, RecentRequests
from recommender.worker.transport.consumer_thread import Batch
from recommender.worker.transport.spans import Span
from tests.support.doubles import FakeRecord, Sent, rating_value
from tests.unit.journal.blocks import TOPIC
from tests.unit.journal.writer_setup import Journal

DECODER = 77


def rating(offset: int) -> FakeRecord:
    return FakeRecord(offset, rating_value(f"u{offset}", "x", 5, timestamp=offset))


def bad(offset: int) -> FakeRecord:
    return FakeRecord(offset, b"bad")


def batch(records: Sequence[FakeRecord], begin: int | None = None, end: int | None = None) -> Batch:
    """What a fetch brought, by default nothing but these records."""
    fetched: list[Any] = list(records)
    begin = fetched[0].offset if begin is None else begin
    return Batch("ratings", 3, fetched, begin, fetched[-1].offset + 1 if end is None else end)


class Worker:
    """An ingestor of partition 3 on a journal that answers when it is told to."""

    def __init__(self, learn_slice: float = 60.0, **limits: Any) -> None:
        self.journal, self.sent = Journal(), Sent()
        self.rule = Rule("journal")
        self.applied: int | None = 0
        self.reads: list[int] = []
        self.ingested: list[tuple[int, Ingested]] = []
        self.followed = 0
        self.writer = JournalWriter(self.journal, self._read_again, rules=self._rules, retry_seconds=0.0)
        self.ingestor = Ingestor(
            Ingest("ratings", BatchDecoder(0.5, 5.0)),
            self.writer,
            self.sent.together,
            topic_id=TOPIC,
            decoder=DECODER,
            dead_letter_topic="dlt",
            letter_partitions=2,
            applied=lambda source: self.applied,
            follow_to_end=self._follow_to_end,
            pace=Pace(learn_slice, RecentRequests()),
            ingested=lambda partition, ingested, records: self.ingested.append((partition, ingested)),
            **limits,
        )

    def _rules(self) -> list[Rule]:
        return []

    async def _read_again(self, source: Source, offset: int) -> None:
        assert source == Source(TOPIC, 3)
        self.reads.append(offset)

    async def _follow_to_end(self) -> None:
        self.followed += 1

    async def begin(self, **span: Any) -> int:
        """Own the partition; where it is read from."""
        found = Span(**{"begins": 0, "ends": 1000, "committed": None, **span})
        return (await self.ingestor.begin({3: found}))[3]

    def ranges(self) -> list[tuple[int, int, int]]:
        """From and to where each block accounts, and its rows."""
        heads = [head_of(value) for _, value, _ in self.journal.sent]
        assert {each.source for each in heads} <= {Source(TOPIC, 3)}
        assert {each.decoder for each in heads} <= {DECODER}
        return [(each.begin, each.end, each.rows) for each in heads]

    async def answer(self, *places: int) -> None:
        """Acknowledge blocks."""
        for place in places:
            self.journal.answer(place)
        await asyncio.sleep(0)

    async def answer_all(self) -> None:
        """Acknowledge all that was sent."""
        await self.answer(*(place for place, each in enumerate(self.journal.sent) if not each[2].done()))

    def letters(self) -> list[tuple[int | None, int]]:
        """The partitions of the letters, and their records' offsets."""
        told = [(each.partition, dict(each.headers)) for each in self.sent.to("dlt")]
        return [(partition, int(headers["__connect.errors.offset"])) for partition, headers in told]


async def begun(**options: Any) -> Worker:
    """A worker that owns the partition from its first record on."""
    worker = Worker(**options)
    assert await worker.begin() == 0
    return worker
