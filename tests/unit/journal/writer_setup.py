"""A journal in memory that acknowledges, refuses and loses blocks as a test says."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from recommender.journal.block import Source, head_of
from recommender.journal.writer import JournalWriter
from tests.unit.journal.blocks import TOPIC, Row, columns

SOURCE, OTHER = Source(TOPIC, 0), Source(TOPIC, 1)


class Journal:
    """A `send` that keeps what is sent, in the order of calls, and answers when it is told to."""

    def __init__(self) -> None:
        self.sent: list[tuple[int, bytes, asyncio.Future[Any]]] = []
        self.fails: Exception | None = None
        self.renewed = 0

    async def __call__(self, partition: int, value: bytes, timestamp: int) -> asyncio.Future[Any]:
        await asyncio.sleep(0)
        if self.fails is not None:
            raise self.fails
        self.sent.append((partition, value, asyncio.get_running_loop().create_future()))
        return self.sent[-1][2]

    async def renew(self) -> None:
        self.renewed += 1

    def ranges(self, source: Source = SOURCE) -> list[tuple[int, int]]:
        heads = [head_of(value) for _, value, _ in self.sent]
        return [(head.begin, head.end) for head in heads if head.source == source]

    def has_sent(self, place: int) -> bool:
        return len(self.sent) > place

    def answer(self, place: int, offset: int | None = None, timestamp_type: int = 1) -> None:
        """Acknowledge one, by default at the offset that is its place."""
        found = SimpleNamespace(
            offset=place if offset is None else offset, timestamp=1000 + place, timestamp_type=timestamp_type
        )
        self.sent[place][2].set_result(found)

    def refuse(self, place: int) -> None:
        self.sent[place][2].set_exception(OSError("refused"))


class Ingest:
    """Who reads sources again, and what it was told."""

    def __init__(self) -> None:
        self.reads: list[tuple[Source, int]] = []

    async def __call__(self, source: Source, offset: int) -> None:
        self.reads.append((source, offset))


def writing(journal: Journal, ingest: Ingest, **options: Any) -> JournalWriter:
    """A writer that tries again at once."""
    return JournalWriter(journal, ingest, retry_seconds=0.0, **options)


def rows(first: int, last: int) -> Any:
    return columns([Row(each, f"u{each}", "x", 1.0, 0.0) for each in range(first, last)])


async def append(writer: JournalWriter, first: int, last: int, source: Source = SOURCE) -> bool:
    return await writer.append(source, first, last, *rows(first, last))
