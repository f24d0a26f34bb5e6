"""Sparse rows that grow, change and shrink: all ratings of each user, or of each item.

A row keeps its entries in the order in which they first came: a changed rating keeps its place, a withdrawn
one leaves no gap. So rows are what is left of a list of ratings from which some were changed or struck out,
which is the order that a library that is trained on the remaining ratings sees them in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import njit

_SMALLEST = 4


class RatingRows(NamedTuple):
    """The raw arrays, for kernels.

    Entry `s` of row `x` lies at `start[x] + s`, for `s < length[x]`. `others` says which column it is,
    `orders` when it came first: a number that grows with the log and is the same in the rows of users and
    of items.
    """

    start: NDArray[np.int64]
    capacity: NDArray[np.int32]
    length: NDArray[np.int32]
    others: NDArray[np.int32]
    values: NDArray[np.float64]
    orders: NDArray[np.int64]
    used: NDArray[np.int64]  # shape (1,): where the unused end of the arena begins


@njit(cache=True)
def find(rows, row, other):  # type: ignore[no-untyped-def]
    """The place of the entry in the arena, or -1."""
    if row >= rows.start.size:
        return -1
    for place in range(rows.start[row], rows.start[row] + rows.length[row]):
        if rows.others[place] == other:
            return place
    return -1


@njit(cache=True)
def has_room(rows, row):  # type: ignore[no-untyped-def]
    """Return True if the row can take an entry without a larger arena."""
    if rows.length[row] < rows.capacity[row]:
        return True
    return rows.used[0] + max(_SMALLEST, 2 * rows.capacity[row]) <= rows.others.size


@njit(cache=True)
def append(rows, row, other, value, order):  # type: ignore[no-untyped-def]
    """Add an entry that is not there yet; `has_room` said that it fits."""
    length = rows.length[row]
    if length == rows.capacity[row]:
        old, new = rows.start[row], rows.used[0]
        rows.capacity[row] = max(_SMALLEST, 2 * length)
        rows.used[0] = new + rows.capacity[row]
        rows.start[row] = new
        for s in range(length):
            rows.others[new + s] = rows.others[old + s]
            rows.values[new + s] = rows.values[old + s]
            rows.orders[new + s] = rows.orders[old + s]
    place = rows.start[row] + length
    rows.others[place] = other
    rows.values[place] = value
    rows.orders[place] = order
    rows.length[row] = length + 1


@njit(cache=True)
def remove(rows, row, place):  # type: ignore[no-untyped-def]
    """Take an entry out; those behind it move up."""
    rows.length[row] -= 1
    for p in range(place, rows.start[row] + rows.length[row]):
        rows.others[p] = rows.others[p + 1]
        rows.values[p] = rows.values[p + 1]
        rows.orders[p] = rows.orders[p + 1]


@njit(cache=True)
def _pack(rows, packed):  # type: ignore[no-untyped-def]
    """Copy the rows into an empty arena, each at the capacity that `packed` says."""
    end = 0
    for row in range(packed.start.size):
        packed.start[row] = end
        if row < rows.start.size:
            length = rows.length[row]
            packed.length[row] = length
            old = rows.start[row]
            for s in range(length):
                packed.others[end + s] = rows.others[old + s]
                packed.values[end + s] = rows.values[old + s]
                packed.orders[end + s] = rows.orders[old + s]
        end += packed.capacity[row]
    packed.used[0] = end


@njit(cache=True, nogil=True)
def _gather(rows, lengths, others, values, orders):  # type: ignore[no-untyped-def]
    done = 0
    for row in range(lengths.size):
        for place in range(rows.start[row], rows.start[row] + lengths[row]):
            others[done] = rows.others[place]
            values[done] = rows.values[place]
            orders[done] = rows.orders[place]
            done += 1


def empty_rows() -> RatingRows:
    """An empty selection of rows."""
    return RatingRows(
        np.zeros(0, np.int64),
        np.zeros(0, np.int32),
        np.zeros(0, np.int32),
        np.zeros(0, np.int32),
        np.zeros(0, np.float64),
        np.zeros(0, np.int64),
        np.zeros(1, np.int64),
    )


def enlarged(rows: RatingRows, row_count: int) -> RatingRows:
    """The same entries in a larger arena without garbage, with at least `row_count` rows.

    The arena is a multiple of what stands, so growing costs a constant for each entry in the long run.
    """
    count = len(rows.start)
    row_count = max(row_count, count if row_count <= count else 2 * count, 16)
    capacity = np.zeros(row_count, np.int64)
    live = rows.length.astype(np.int64)
    capacity[:count] = np.where(live > 0, np.maximum(_SMALLEST, live + live // 2), 0)
    total = int(capacity.sum())
    # The longest row may be the next to double.
    size = 2 * total + 2 * int(capacity.max(initial=0)) + 256
    packed = RatingRows(
        np.zeros(row_count, np.int64),
        capacity.astype(np.int32),
        np.zeros(row_count, np.int32),
        np.zeros(size, np.int32),
        np.zeros(size, np.float64),
        np.zeros(size, np.int64),
        np.zeros(1, np.int64),
    )
    _pack(rows, packed)
    return packed


def gathered(rows: RatingRows, row_count: int) -> tuple[NDArray[np.int32], RatingRows]:
    """Lengths of the first `row_count` rows, and their entries one row after the other."""
    lengths = np.zeros(row_count, np.int32)
    known = min(row_count, len(rows.length))
    lengths[:known] = rows.length[:known]
    total = int(lengths.sum())
    out = empty_rows()._replace(
        others=np.empty(total, np.int32), values=np.empty(total, np.float64), orders=np.empty(total, np.int64)
    )
    _gather(rows, lengths, out.others, out.values, out.orders)
    return lengths, out


def from_gathered(
    lengths: NDArray[np.int32],
    others: NDArray[np.int32],
    values: NDArray[np.float64],
    orders: NDArray[np.int64],
) -> RatingRows:
    """Rows from what `gathered` gave."""
    live = lengths.astype(np.int64)
    flat = RatingRows(
        np.cumsum(live) - live,
        lengths,
        lengths,
        others,
        values,
        orders,
        np.array([len(others)], np.int64),
    )
    return enlarged(flat, len(lengths))


def transposed(
    lengths: NDArray[np.int32],
    others: NDArray[np.int32],
    values: NDArray[np.float64],
    orders: NDArray[np.int64],
    column_count: int,
) -> RatingRows:
    """The same entries by column, each column in the order in which its entries came."""
    owners = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
    order = np.lexsort((orders, others))
    counts = np.bincount(others, minlength=column_count).astype(np.int32)
    return from_gathered(counts, owners[order], values[order], orders[order])
