"""The data that KNNBaseline keeps for all pairs of items: similarities, and the sums that they are made of.

Where sums have no rounding they are kept, and similarities are exact after every rating. Elsewhere a
similarity has to be added up again, in one order, to depend on the ratings alone: then a row of them is found
when a request first needs it, and again once a rating has changed it. When it is found leaves no trace.
"""

from __future__ import annotations

from math import isqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import njit
from recommender.models.knn_baseline.nearest_levels import columns_for, level
from recommender.models.knn_baseline.similarities import SUMS, count_all, similarity
from recommender.models.pairs import pair_count, pair_index

#: What is kept: nothing, similarities that were found, or sums too.
NOTHING, FOUND, SUMMED = range(3)


class KeptPairs(NamedTuple):
    """The arrays, for kernels.

    Attributes
    ----------
    sums : float array, shape (pairs, sums of the similarity)
        Only where similarities follow from them.
    similarities : float array, shape (items, whole lanes of items)
        Symmetric, with 1 on its diagonal. A row lies in one piece, since a request reads all of it.
    levels : uint8 array, shape as `similarities`
        See `nearest_levels`.
    found, changed : int arrays, shape (items,)
        When a row, and the column of the same number, was found, and when it last changed, by `clock`; -1 for
        a row that was never found. A similarity holds if one of its two items was found after both changed.
        Only where there are no sums.
    clock : int array, shape (1,)
    """

    sums: NDArray[np.float64]
    similarities: NDArray[np.float64]
    levels: NDArray[np.uint8]
    found: NDArray[np.int64]
    changed: NDArray[np.int64]
    clock: NDArray[np.int64]


def no_pairs(kind: int) -> KeptPairs:
    """Nothing is kept."""
    none, never = np.zeros((0, 0)), np.zeros(0, np.int64)
    sums, levels = np.zeros((0, SUMS[kind])), none.astype(np.uint8)
    return KeptPairs(sums, none, levels, never, never, np.zeros(1, np.int64))


def most_items(what: int, kind: int, megabytes: int) -> int:
    """The number of items whose pairs fit into `megabytes` MiB."""
    return isqrt((megabytes << 20) // (9 + (4 * SUMS[kind] if what == SUMMED else 0)))


def enlarged(kept: KeptPairs, what: int, kind: int, items: int, most: int) -> KeptPairs:
    """The same with room for `items`, and for a quarter more up to `most`."""
    known = len(kept.similarities)
    if items <= known:
        return kept
    size = min(max(items * 5 // 4, 46), most)
    shape = size, columns_for(size)
    similarities, levels = np.zeros(shape), np.zeros(shape, np.uint8)
    similarities[:known, :known] = kept.similarities[:, :known]
    levels[:known, :known] = kept.levels[:, :known]
    np.fill_diagonal(similarities, 1.0)
    np.fill_diagonal(levels, level(1.0, kind))
    if what == SUMMED:
        sums = np.zeros((pair_count(size), SUMS[kind]))
        sums[: len(kept.sums)] = kept.sums
        return kept._replace(sums=sums, similarities=similarities, levels=levels)
    found, changed = np.full(size, -1, np.int64), np.zeros(size, np.int64)
    found[:known], changed[:known] = kept.found, kept.changed
    return kept._replace(similarities=similarities, levels=levels, found=found, changed=changed)


@njit(cache=True, error_model="numpy")
def put(kept, kind, item, other, value):  # type: ignore[no-untyped-def]
    """Keep a similarity of two different items."""
    own = level(value, kind)
    kept.similarities[item, other] = value
    kept.similarities[other, item] = value
    kept.levels[item, other] = own
    kept.levels[other, item] = own


@njit(cache=True, error_model="numpy")
def refresh(kept, kind, min_support, shrinkage, rows, row, item):  # type: ignore[no-untyped-def]
    """After sums of `item` with the other items in a user's row changed: their similarities."""
    for place in range(rows.start[row], rows.start[row] + rows.length[row]):
        other = rows.others[place]
        if other != item:
            index = pair_index(item, other)
            put(kept, kind, item, other, similarity(kept.sums, index, kind, min_support, shrinkage))


@njit(cache=True, error_model="numpy")
def recount(kept, kind, min_support, shrinkage, rows, items):  # type: ignore[no-untyped-def]
    """All sums and similarities from all rows of users; the sums are zero."""
    count_all(kept.sums, kind, rows)
    for item in range(items):
        for other in range(item):
            index = pair_index(item, other)
            put(kept, kind, item, other, similarity(kept.sums, index, kind, min_support, shrinkage))


@njit(cache=True, error_model="numpy")
def put_rows(kept, kind, rows, sims):  # type: ignore[no-untyped-def]
    """Keep similarities (rows, items) that were found just now."""
    for n in range(rows.size):
        for other in range(sims.shape[1]):
            if other != rows[n]:
                put(kept, kind, rows[n], other, sims[n, other])
        kept.found[rows[n]] = kept.clock[0]


@njit(cache=True)
def mark(kept, item):  # type: ignore[no-untyped-def]
    """Similarities of an item have changed."""
    kept.clock[0] += 1
    kept.changed[item] = kept.clock[0]


@njit(cache=True)
def mark_row(kept, rows, row):  # type: ignore[no-untyped-def]
    """Similarities of all items in a user's row have changed, at least with each other."""
    kept.clock[0] += 1
    for place in range(rows.start[row], rows.start[row] + rows.length[row]):
        kept.changed[rows.others[place]] = kept.clock[0]


def mark_all(kept: KeptPairs) -> None:
    """Everything has changed."""
    kept.clock[0] += 1
    kept.changed[:] = kept.clock[0]
