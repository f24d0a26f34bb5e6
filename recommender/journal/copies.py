"""Copies of the blocks that count, without the rows of those who are forgotten, and how they are appended."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from recommender.journal.block import Packer, Source, as_copy, head_of
from recommender.journal.block_reader import read
from recommender.journal.errors import JournalError
from recommender.journal.forgotten import Forgotten
from recommender.journal.outbox import JournalProducer
from recommender.journal.outcome import Followed
from recommender.journal.records import Record
from recommender.journal.rule_kernels import APPLIED, CUT

#: Copies that are not answered, at most.
IN_FLIGHT = 500


class Copy(NamedTuple):
    """A block of a rewriting.

    Attributes
    ----------
    source : Source
    end : int
        Up to which offset of the source it accounts.
    value : bytes
    rows, left_out : int
        The rows that it has, and those that it is without.
    """

    source: Source
    end: int
    value: bytes
    rows: int
    left_out: int


class Copies:
    """Makes copies of what was followed, in the journal's order.

    Parameters
    ----------
    forgotten : Forgotten
    number : int
        Of the rewriting.

    Attributes
    ----------
    reached : dict of Source to int
        Up to which offset each source was copied.
    """

    def __init__(self, forgotten: Forgotten, number: int) -> None:
        self._forgotten, self._number = forgotten, number
        self.reached: dict[Source, int] = {}

    def of(self, followed: Followed, first: int, *, cleanse: bool) -> Iterator[Copy]:
        """Copies of the blocks that count.

        Parameters
        ----------
        followed : Followed
        first : int
            The number of its first row among those that count.
        cleanse : bool
            Leave out who is forgotten; else nobody is.
        """
        touched = self._forgotten.cleanse(followed.rows, first).touched if cleanse else None
        done = 0
        counted = zip(followed.records, followed.outcomes.tolist(), followed.taken.tolist(), strict=True)
        for record, outcome, taken in counted:
            if outcome not in (APPLIED, CUT):
                continue
            assert record.value is not None
            head = head_of(record.value)
            begin, self.reached[head.source] = self.reached.get(head.source, 0), head.end
            if touched is not None and touched[done : done + taken].any():
                yield self._without(record, begin, first + done)
            elif outcome == CUT:
                yield self._without(record, begin, None)
            else:
                value = as_copy(record.value, self._number)
                yield Copy(head.source, head.end, value, taken, 0)
            done += taken

    def _without(self, record: Record, begin: int, number: int | None) -> Copy:
        """A copy without what counted before, and without the forgotten where its first row has a number."""
        block = read(record.value, "the journal", 0, record.offset)
        head, new = block.head, block.offsets >= begin
        rows, offsets = block.rows.of(new), block.offsets[new]
        count = len(offsets)
        if number is not None:
            cleansed = self._forgotten.cleanse(rows, number)
            rows, offsets = cleansed.rows.of(cleansed.kept), offsets[cleansed.kept]
        value = Packer(head.source, head.decoder).pack(begin, head.end, rows, offsets)
        return Copy(head.source, head.end, as_copy(value, self._number), len(offsets), count - len(offsets))


def repeated(records: Sequence[Record], reached: Mapping[Source, int], forgotten: Forgotten) -> int | None:
    """The offset of a block that once more has rows of somebody who is forgotten; None if there is none.

    Parameters
    ----------
    records : sequence of Record
        Blocks that came after those that were copied; copies and marks are passed over.
    reached : mapping of Source to int
        Up to which offset each source was copied.
    forgotten : Forgotten
    """
    for record in records:
        if record.value is None:
            continue
        head = head_of(record.value)
        if head.number or head.begin >= reached.get(head.source, 0):
            continue
        block = read(record.value, "the journal", 0, record.offset)
        if forgotten.names(block.rows.of(block.offsets < reached[head.source])):
            return record.offset
    return None


class CopySender:
    """Appends copies and marks, in order.

    Parameters
    ----------
    producer : JournalProducer
    partition : int
        Of the journal.
    place : str
        The partition, for errors.

    Attributes
    ----------
    blocks, rows, left_out : int
        The copies so far, the rows that they have, and those that they are without.
    """

    def __init__(self, producer: JournalProducer, partition: int, place: str) -> None:
        self._producer, self._partition, self._place = producer, partition, place
        self._flying: deque[asyncio.Future[Any]] = deque()
        self._last = -1
        self.blocks = self.rows = self.left_out = 0

    async def queue(self, copy: Copy) -> None:
        """Append a copy; its answer is waited for later."""
        self.blocks, self.rows = self.blocks + 1, self.rows + copy.rows
        self.left_out += copy.left_out
        await self._send(copy.value)
        while len(self._flying) > IN_FLIGHT:
            await self._first_answer()

    async def send(self, value: bytes) -> int:
        """Append a record; where it stands."""
        await self._send(value)
        return await self.answered()

    async def answered(self) -> int:
        """Wait for all answers; where the last record stands."""
        while self._flying:
            await self._first_answer()
        return self._last

    async def _send(self, value: bytes) -> None:
        try:
            self._flying.append(await self._producer(self._partition, value, int(time.time() * 1000)))
        except Exception as error:
            raise self._refused(error) from error

    async def _first_answer(self) -> None:
        try:
            self._last = (await self._flying.popleft()).offset
        except Exception as error:
            raise self._refused(error) from error

    def _refused(self, error: Exception) -> JournalError:
        said = str(error) or type(error).__name__
        return JournalError(f"{self._place} does not take copies: {said}. It says the same as before")
