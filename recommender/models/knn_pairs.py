"""What KNNBaseline keeps for all pairs of items: the sums that similarities are made of, and these."""

from __future__ import annotations

from math import isqrt
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recommender.models.pairs import pair_count, pair_index
from recommender.models.similarities import SUMS, count_all, similarity


class KeptPairs(NamedTuple):
    """The arrays, for kernels.

    Attributes
    ----------
    sums : float array, shape (pairs, sums of the similarity)
    similarities : float array, shape (items, items)
        Symmetric, with 1 on its diagonal. A row lies in one piece, since a request reads all of it.
    """

    sums: NDArray[np.float64]
    similarities: NDArray[np.float64]


def no_pairs(kind: int) -> KeptPairs:
    """Nothing is kept."""
    return KeptPairs(np.zeros((0, SUMS[kind])), np.zeros((0, 0)))


def most_items(kind: int, megabytes: int) -> int:
    """Of how many items so many MiB can keep all pairs."""
    return isqrt((megabytes << 20) // (4 * SUMS[kind] + 8))


def enlarged(kept: KeptPairs, items: int, most: int) -> KeptPairs:
    """The same with room for `items`, and for a quarter more up to `most`."""
    known = len(kept.similarities)
    if items <= known:
        return kept
    size = min(max(items * 5 // 4, 46), most)
    larger = np.zeros((size, size))
    larger[:known, :known] = kept.similarities
    np.fill_diagonal(larger, 1.0)
    sums = np.zeros((pair_count(size), kept.sums.shape[1]))
    sums[: len(kept.sums)] = kept.sums
    return KeptPairs(sums, larger)


@njit(cache=True, error_model="numpy")
def refresh(kept, kind, min_support, shrinkage, rows, row, item):  # type: ignore[no-untyped-def]
    """After sums of `item` with the other items in a user's row changed: their similarities."""
    for place in range(rows.start[row], rows.start[row] + rows.length[row]):
        other = rows.others[place]
        if other != item:
            sim = similarity(kept.sums, pair_index(item, other), kind, min_support, shrinkage)
            kept.similarities[item, other] = sim
            kept.similarities[other, item] = sim


@njit(cache=True, error_model="numpy")
def recount(kept, kind, min_support, shrinkage, rows, items):  # type: ignore[no-untyped-def]
    """All sums and similarities from all rows of users; the sums are zero."""
    count_all(kept.sums, kind, rows)
    for item in range(items):
        for other in range(item):
            sim = similarity(kept.sums, pair_index(item, other), kind, min_support, shrinkage)
            kept.similarities[item, other] = sim
            kept.similarities[other, item] = sim
