"""Arrays with one row for each pair of items, as a triangle that grows at its end as items come."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import njit

Number = TypeVar("Number", np.int32, np.float64)


@njit(cache=True)
def pair_index(a, b):  # type: ignore[no-untyped-def]
    """The row of the pair (a, b), a != b, in either order."""
    low, high = min(a, b), max(a, b)
    return np.int64(high) * (np.int64(high) - 1) // 2 + np.int64(low)


def pair_count(items: int) -> int:
    """The number of pairs that a number of items have."""
    return items * (items - 1) // 2


def enlarged(pairs: NDArray[Number], items: int, limit: int) -> NDArray[Number]:
    """The same rows with room for all pairs of `items`, and for a quarter more items up to `limit` rows."""
    if pair_count(items) <= len(pairs):
        return pairs
    rows = min(max(pair_count(items * 5 // 4), 1024), limit)
    larger = np.zeros((rows, *pairs.shape[1:]), pairs.dtype)
    larger[: len(pairs)] = pairs
    return larger
