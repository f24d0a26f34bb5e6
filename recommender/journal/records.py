"""Records of the journal as they are fetched."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Record(Protocol):
    """The fields of a fetched record of the journal that are read; `timestamp` is in milliseconds."""

    @property
    def offset(self) -> int:
        """The offset in the journal."""

    @property
    def timestamp(self) -> int:
        """The time at which the broker got the record."""

    @property
    def value(self) -> bytes | None:
        """The block."""


def offsets_of(records: Sequence[Record]) -> NDArray[np.int64]:
    """The offsets of records that are in the order of their offsets."""
    first, last = records[0].offset, records[-1].offset
    if last - first == len(records) - 1:  # they ascend, so none is missing
        return np.arange(first, last + 1)
    return np.fromiter([record.offset for record in records], np.int64, len(records))


def pieces(records: Sequence[Record], size: int) -> Iterator[Sequence[Record]]:
    """Consecutive records in pieces of at most `size` bytes, or of one record."""
    ends = list(accumulate(len(record.value or b"") for record in records))
    first = done = 0
    while first < len(records):
        last = max(bisect_right(ends, done + size), first + 1)
        yield records[first:last]
        first, done = last, ends[last - 1]
