"""Copies of the blocks that count, without the rows of those who are forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from recommender.journal.block import Packer, Source, as_copy, head_of
from recommender.journal.block_reader import read
from recommender.journal.forgotten import Forgotten
from recommender.journal.outcome import Followed
from recommender.journal.records import Record
from recommender.journal.rule_kernels import APPLIED, CUT


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
