"""Reads one block, for people and for tests: what it holds, or in words what is wrong with it.

Followers read whole fetches, see `recommender.journal.rule`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.history.rows import Rows
from recommender.journal.block import MAGIC, Head, head_of
from recommender.journal.block_kernels import (
    COPY,
    HEADER_BYTES,
    KINDS,
    KNOWN_FLAGS,
    LAST_KIND,
    LAST_MARK,
    MARK,
    MAX_ROWS,
    OFFSETS,
    ROW_BYTES,
    SEVERAL,
)
from recommender.journal.errors import BlockError


class Block(NamedTuple):
    """A block's content.

    Attributes
    ----------
    head : Head
    rows : Rows
        Ids stand where they stand in the block.
    offsets : int64 array
        The source offset of each row.
    """

    head: Head
    rows: Rows
    offsets: NDArray[np.int64]


class _Columns(NamedTuple):
    times: NDArray[np.float64]
    ratings: NDArray[np.float32]
    offsets: NDArray[np.uint32] | None
    kinds: NDArray[np.uint8]
    user_sizes: NDArray[np.int64]
    item_sizes: NDArray[np.int64]
    text: int


def read(value: bytes | None, journal: str, partition: int, offset: int) -> Block:
    """The content of the block at an offset of the journal.

    Raises
    ------
    BlockError
        It is not a block, it is damaged, or it has what this version does not know.
    """
    fault = fault_of(value)
    if fault is not None:
        raise BlockError(journal, partition, offset, fault)
    assert value is not None
    head = head_of(value)
    columns = _columns(value, head)
    count = head.rows
    spans = np.empty((count, 4), np.int64)
    for column, sizes, begin in (
        (0, columns.user_sizes, columns.text),
        (2, columns.item_sizes, columns.text + head.user_bytes),
    ):
        ends = begin + np.cumsum(sizes)
        spans[:, column], spans[:, column + 1] = ends - sizes, ends
    relative = np.arange(count) if columns.offsets is None else columns.offsets.astype(np.int64)
    text = np.frombuffer(value, np.uint8)
    rows = Rows(
        text,
        spans,
        columns.ratings.astype(np.float64),
        columns.times.copy(),
        np.ones(count, np.bool_),
        columns.kinds.copy() if columns.kinds.any() else None,
    )
    return Block(head, rows, head.begin + relative)


def fault_of(value: bytes | None) -> str | None:
    """Say in words what is wrong with a record of the journal; None of a block that is whole."""
    if value is None:
        return "the record has no value: expected a block"
    if len(value) < HEADER_BYTES:
        return f"the record has {len(value)} bytes: expected a block of at least {HEADER_BYTES}"
    if value[:4] != MAGIC:
        return f"the record begins with {value[:4]!r}: expected a block, which begins with {MAGIC!r}"
    head = head_of(value)
    return _fault_of_header(value, head) or _fault_of_columns(value, head, _columns(value, head))


def fault_of_decoder(value: bytes | None, expected: Sequence[int]) -> str:
    """Say in words that a block that is whole has ratings of none of the decoders that are expected."""
    found, decoders = head_of(value or b"").decoder, ", ".join(f"{each:#x}" for each in expected)
    return (
        f"the block has ratings of decoder {found:#x}, expected {decoders}: they are of another scale or "
        "format. Set RECOMMENDER_RATING_MIN and _MAX, and skips in RECOMMENDER_FEEDBACK, as when they were "
        "written, or begin a new journal"
    )


def _fault_of_header(value: bytes, head: Head) -> str | None:
    if head.flags & ~KNOWN_FLAGS or (head.number != 0) != (head.flags & (COPY | MARK) != 0):
        return (
            f"the block has flags {head.flags:#x} and number {head.number:#x}: expected at most "
            f"{KNOWN_FLAGS:#x}, and a number with {COPY:#x} or {MARK:#x} only. A newer version has written "
            "it: upgrade this one"
        )
    if head.flags & MARK and (head.flags != MARK or head.rows or head.source.partition > LAST_MARK):
        return (
            f"the block is a mark of kind {head.source.partition} with flags {head.flags:#x} and {head.rows} "
            f"rows: expected kind 0 to {LAST_MARK}, flags {MARK:#x} and no rows"
        )
    if head.source.partition < 0:
        return f"the block is of source partition {head.source.partition}: expected at least 0"
    if not 0 <= head.begin <= head.end:
        return f"the block's range is from {head.begin} to {head.end}: expected 0 <= from <= to"
    span = head.end - head.begin
    several = bool(head.flags & SEVERAL)
    if several and not head.flags & OFFSETS:
        return "the block has several rows of one source offset and no offsets: expected both or neither"
    if head.rows > MAX_ROWS or (head.rows > span and not several):
        return (
            f"the block has {head.rows} rows for {span} source offsets: expected at most {MAX_ROWS} of them"
        )
    if not head.flags & OFFSETS and head.rows != span:
        return f"the block has {head.rows} rows without offsets for {span} source offsets: expected as many"
    size = _size(head)
    if len(value) != size:
        return f"the block has {len(value)} bytes: expected {size}, as its header says"
    return None


def _size(head: Head) -> int:
    row = ROW_BYTES + (4 if head.flags & OFFSETS else 0) + (1 if head.flags & KINDS else 0)
    return HEADER_BYTES + head.rows * row + head.user_bytes + head.item_bytes


def _columns(value: bytes, head: Head) -> _Columns:
    """The columns of a block whose header has no fault."""
    count, at = head.rows, HEADER_BYTES
    found: list[NDArray[Any]] = []
    kinds = [
        "<f8",
        "<f4",
        *(["<u4"] if head.flags & OFFSETS else []),
        *(["u1"] if head.flags & KINDS else []),
    ]
    for kind in (*kinds, "u1", "u1"):
        found.append(np.frombuffer(value, kind, count, at))
        at += found[-1].nbytes
    times, ratings, *others, users, items = found
    offsets = others[0] if head.flags & OFFSETS else None
    named = others[-1] if head.flags & KINDS else np.zeros(count, np.uint8)
    return _Columns(
        times, ratings, offsets, named, users.astype(np.int64) + 1, items.astype(np.int64) + 1, at
    )


def _fault_of_columns(value: bytes, head: Head, columns: _Columns) -> str | None:
    offsets = columns.offsets
    if offsets is not None and head.rows:
        ascending = np.diff(offsets.astype(np.int64)) >= (0 if head.flags & SEVERAL else 1)
        if not ascending.all() or int(offsets[-1]) >= head.end - head.begin:
            return f"the block's rows have offsets that do not ascend from {head.begin} to {head.end - 1}"
    for row in np.flatnonzero(columns.kinds > LAST_KIND).tolist():
        kind = int(columns.kinds[row])
        return (
            f"row {row} is of kind {kind}: expected at most {LAST_KIND}. A newer version has written it: "
            "upgrade this one"
        )
    at = columns.text
    for name, sizes, total in (
        ("users", columns.user_sizes, head.user_bytes),
        ("items", columns.item_sizes, head.item_bytes),
    ):
        if int(sizes.sum()) != total:
            return f"the block's {name} have {int(sizes.sum())} bytes: expected {total}, as its header says"
    for row in np.flatnonzero(~np.isfinite(columns.times)).tolist():
        return f"row {row} has time {columns.times[row]}: expected a finite number"
    for row in np.flatnonzero(np.isinf(columns.ratings)).tolist():
        return f"row {row} has rating {columns.ratings[row]}: expected a finite number, or NaN to withdraw"
    for name, sizes in (("user", columns.user_sizes), ("item", columns.item_sizes)):
        for row, size in enumerate(sizes.tolist()):
            try:
                value[at : at + size].decode()
            except UnicodeDecodeError as error:
                return f"the {name} of row {row} is not UTF-8: {error.reason}"
            at += size
    return None
