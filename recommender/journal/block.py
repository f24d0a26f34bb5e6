"""A block of the journal: ratings of one source partition, as columns behind a fixed header.

A block is the value of one Kafka record without a key, in little-endian:

===== ==== ==========================================================================================
place type content
===== ==== ==========================================================================================
0     4 B  magic ``RJB1``
4     u16  flags: 1 = a column of offsets is there, 2 = a column of kinds is there, 4 = several rows may be of
           one offset (with 1 only), 8 = a copy, 16 = a mark
6     u16  number of the rewriting that the copy or mark belongs to; 0 of other blocks
8     i32  source partition
12    u32  rows, at most 1,000
16    i64  the first source offset that the block accounts for
24    i64  one past the last
32    u32  bytes of all users
36    u32  bytes of all items
40    16 B id of the source topic; a topic that is deleted and created again has another one
56    u64  fingerprint of what decides how a record is decoded: see `recommender.journal.fingerprint`
===== ==== ==========================================================================================

Then the columns: times (f64, seconds), ratings (f32, NaN withdraws), with flag 1 each row's offset less the
block's first (u32), with flag 2 each row's kind (u8), lengths of users less 1 (u8), of items less 1 (u8), the
users' UTF-8, the items' UTF-8. Without flag 1 the rows are those of all offsets of the range.

A block accounts for its whole range: offsets without a row had no record, or one that is not a rating. It may
have no rows at all. Kind 0 is a rating; 1 forgets the user and 2 the item, and the other id is ``*`` then; 3
merges a guest, who stands in place of the item, into the user. A reader that does not know a kind or a flag
must not pass over it, so it stops.

Copies and marks are what `recommender.journal.rewriting` writes. A mark has no rows, and the number of its
kind in place of the partition: 0 where a rewriting begins; 1 where it is complete, with the offset of its
beginning as `from` and `to`; 2 where it asks those who write to hold for a moment.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.history.rows import Rows
from recommender.journal import block_kernels, sharding
from recommender.journal.block_kernels import COPY, HEADER_BYTES, MARK, MAX_ROW_BYTES, MAX_ROWS, MAX_SPAN

MAGIC = b"RJB1"
#: Bytes of a block at most. A topic takes a record and some 100 bytes around it of 1 MiB by default.
MAX_BLOCK_BYTES = HEADER_BYTES + MAX_ROWS * MAX_ROW_BYTES

#: Kinds of marks.
BEGINS, COMPLETE, HOLD = 0, 1, 2

HEADER = struct.Struct("<4sHHiIqqII16sQ")
_NO_KINDS = np.zeros(0, np.uint8)


class Source(NamedTuple):
    """A partition of a topic whose ratings are in the journal.

    Attributes
    ----------
    topic_id : bytes
        Kafka's id of the topic, 16 bytes.
    partition : int
    """

    topic_id: bytes
    partition: int


class Head(NamedTuple):
    """The fields of a block's header.

    Attributes
    ----------
    flags, rows, user_bytes, item_bytes : int
    source : Source
    begin, end : int
        The source offsets that the block accounts for: from `begin` on, below `end`.
    decoder : int
        Fingerprint of what decides how a record is decoded.
    number : int
        Of the rewriting that a copy or mark belongs to; else 0.
    """

    flags: int
    rows: int
    begin: int
    end: int
    user_bytes: int
    item_bytes: int
    source: Source
    decoder: int
    number: int = 0


def head_of(value: bytes) -> Head:
    """Read the header of a block; nothing is checked but that there are enough bytes."""
    _, flags, number, partition, rows, begin, end, users, items, topic_id, decoder = HEADER.unpack_from(value)
    return Head(flags, rows, begin, end, users, items, Source(topic_id, partition), decoder, number)


def as_copy(value: bytes, number: int) -> bytes:
    """The same block as a copy that belongs to the rewriting of a number."""
    flags = head_of(value).flags | COPY
    return value[:4] + struct.pack("<HH", flags, number) + value[8:]


def mark(kind: int, number: int, begin: int = 0) -> bytes:
    """The mark of a rewriting.

    Parameters
    ----------
    kind : int
        `BEGINS`, `COMPLETE` or `HOLD`.
    number : int
        Of the rewriting.
    begin : int
        Where the rewriting begins in the journal, if it is complete.
    """
    return HEADER.pack(MAGIC, MARK, number, kind, 0, begin, begin, 0, 0, bytes(16), 0)


def is_beginning(value: bytes | None) -> bool:
    """Return True of the mark where a rewriting begins."""
    if value is None or len(value) != HEADER_BYTES or value[:4] != MAGIC:
        return False
    head = head_of(value)
    return head.flags == MARK and head.source.partition == BEGINS


class Packer:
    """Packs the rows of one source partition into blocks.

    Parameters
    ----------
    source : Source
    decoder : int
        Fingerprint of what decides how a record is decoded, in 64 bits without a sign.
    partitions : int
        Of the journal. A range of source offsets becomes one block for each of them.
    most : int
        Rows of a block at most: `MAX_ROWS`, or fewer.
    """

    def __init__(
        self, source: Source, decoder: int = 0, partitions: int = 1, *, most: int = MAX_ROWS
    ) -> None:
        self.source = source
        self._partitions, self._most = partitions, most
        header = HEADER.pack(MAGIC, 0, 0, source.partition, 0, 0, 0, 0, 0, source.topic_id, decoder)
        self._head = np.frombuffer(header, "<i8")

    def pack(
        self,
        begin: int,
        end: int,
        rows: Rows,
        offsets: NDArray[np.int64],
        first: int = 0,
        last: int | None = None,
        keep: NDArray[np.bool_] | None = None,
    ) -> bytes:
        """One block, which accounts for the source offsets from `begin` on, below `end`.

        Parameters
        ----------
        begin, end : int
        rows : Rows
        offsets : int64 array
            The source offset of each row, ascending; rows of one record have the same.
        first, last : int
            Which rows there are, at most `most` of them; all by default.
        keep : bool array, optional
            Of these, the rows that are written; by default those that are plain.

        Raises
        ------
        ValueError
            There are too many rows, or one cannot be written: an offset out of the range, an id of no or too
            many bytes, a time or a rating that is no number.
        """
        last = len(offsets) if last is None else last
        if last - first > self._most:
            raise ValueError(f"{last - first} rows in a block: expected at most {self._most}")
        keep = rows.plain if keep is None else keep
        out = np.empty(HEADER_BYTES + (last - first) * MAX_ROW_BYTES, np.uint8)
        kinds = _NO_KINDS if rows.kinds is None else rows.kinds
        columns = (rows.text, rows.spans, rows.ratings, rows.times, offsets, keep, kinds)
        size = block_kernels.pack(*columns, first, last, begin, end, self._head, out)
        if size < 0:
            raise ValueError(
                f"rows for source offsets {begin} to {end - 1} cannot be packed: expected ascending offsets "
                "in this range, ids of 1 to 256 bytes of UTF-8, finite times, and ratings that are finite in "
                "32 bits, or NaN"
            )
        return out[:size].tobytes()

    def keeps(self, rows: Rows) -> list[NDArray[np.bool_]]:
        """The rows that go to each partition of the journal."""
        return sharding.split(rows, self._partitions)

    def pack_range(
        self, begin: int, end: int, rows: Rows, offsets: NDArray[np.int64]
    ) -> Iterator[tuple[int, list[bytes]]]:
        """Blocks that together account for the source offsets from `begin` on, below `end`.

        Rows below `begin` are passed over. Those of one record are in one block, so that they count together:
        a record has at most `most`.

        Yields
        ------
        end : int
            Where the range of these blocks ends.
        blocks : list of bytes
            One for each partition of the journal.
        """
        keeps = self.keeps(rows)
        first, count = int(np.searchsorted(offsets, begin)), len(offsets)
        while begin < end:
            # A row that lies too far from the first offset begins a block of its own.
            near = int(np.searchsorted(offsets, begin + MAX_SPAN))
            last = min(first + self._most, count, near)
            if last < count and last > first and offsets[last] == offsets[last - 1]:
                last = int(np.searchsorted(offsets, offsets[last]))
                if last <= first:
                    raise ValueError(f"source offset {offsets[first]} has more than {self._most} rows")
            block_end = end if last == count else int(offsets[last])
            yield block_end, [self.pack(begin, block_end, rows, offsets, first, last, each) for each in keeps]
            first, begin = last, block_end


def warm(partitions: int = 1) -> None:
    """Compile or load the kernels for a journal of this many partitions."""
    text, offsets = np.frombuffer(b"ui", np.uint8), np.zeros(1, np.int64)
    rows = Rows(text, np.array([[0, 1, 1, 2]]), np.zeros(1), np.zeros(1), np.ones(1, np.bool_))
    list(Packer(Source(bytes(16), 0), partitions=partitions).pack_range(0, 1, rows, offsets))
