"""The outcome of following records of the journal: what counts of them, and counts of what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.history.rows import Rows
from recommender.journal.block import Source
from recommender.journal.block_reader import read
from recommender.journal.errors import BlockError
from recommender.journal.records import Record


class Counts(NamedTuple):
    """Counts of what was followed of a journal partition.

    Attributes
    ----------
    applied : int
        Blocks that counted, also in part.
    cut : int
        Of these, blocks that counted in part.
    duplicate, ahead : int
        Blocks that did not count. Those ahead must be rare: something before them was lost.
    rows : int
        Ratings that counted, and rows that say whom to forget.
    """

    applied: int
    cut: int
    duplicate: int
    ahead: int
    rows: int


class Followed(NamedTuple):
    """The outcome of following some records.

    Attributes
    ----------
    rows : Rows
        What counts, in the journal's order. Ratings are float32, as the journal has them.
    applied : dict of Source to int
        Up to which offset each source is applied now, of those that moved.
    records : sequence of Record
        Those that were followed.
    outcomes : uint8 array, shape (records,)
        What became of each block: `PASSED`, `APPLIED`, `CUT`, `DUPLICATE` or `AHEAD` of
        `recommender.journal.rule_kernels`.
    taken : int32 array, shape (records,)
        The rows that each block gave.
    error : BlockError or None
        Why following stops here; what came before it is followed.
    """

    rows: Rows
    applied: dict[Source, int]
    records: Sequence[Record]
    outcomes: NDArray[np.uint8]
    taken: NDArray[np.int32]
    error: BlockError | None

    def origin(self, row: int) -> tuple[Source, int]:
        """The source of a row, and its offset there."""
        ends = np.cumsum(self.taken)
        place = int(np.searchsorted(ends, row, side="right"))
        record = self.records[place]
        block = read(record.value, "journal", 0, record.offset)
        # Of a block that is cut the last rows count.
        return block.head.source, int(block.offsets[row - int(ends[place])])
