"""Similarity of two users or items from sums over what both have: msd, cosine, pearson, pearson_baseline.

The formulas, and the order of their operations, are those of Surprise 1.1 (Nicolas Hug, scikit-surprise),
module `similarities`. A pair's sums are a row of floats: how many raters both have, then sums over them.
For ratings that are multiples of 1/256 the sums are exact, so it does not matter in which order they were
made, or whether something was added and taken away again. `pearson_baseline` sums what ratings differ from
their baselines.
"""

from __future__ import annotations

from math import sqrt
from typing import NamedTuple

import numpy as np

from recommender.compiled import njit
from recommender.models.pairs import pair_index

MSD, COSINE, PEARSON, PEARSON_BASELINE = range(4)
SIMILARITIES = ("msd", "cosine", "pearson", "pearson_baseline")
#: How many sums each similarity needs, the count included.
SUMS = (2, 4, 6, 4)

#: Sums over up to 2**19 raters of ratings up to 256 that are multiples of 1/256 have no rounding.
_GRID = 256.0


class Parameters(NamedTuple):
    """The options that an estimate depends on."""

    kind: int
    k: int
    min_k: int
    min_support: float
    shrinkage: float


@njit(cache=True, error_model="numpy")
def add(sums, row, kind, a, b, sign):  # type: ignore[no-untyped-def]
    """Count (sign 1) or take back (sign -1) a rater that gave `a` and `b` in a row of sums."""
    sums[row, 0] += sign
    if kind == MSD:
        sums[row, 1] += sign * (a - b) ** 2
        return
    sums[row, 1] += sign * (a * b)
    sums[row, 2] += sign * (a * a)
    sums[row, 3] += sign * (b * b)
    if kind == PEARSON:
        sums[row, 4] += sign * a
        sums[row, 5] += sign * b


@njit(cache=True, error_model="numpy")
def similarity(sums, row, kind, min_support, shrinkage):  # type: ignore[no-untyped-def]
    """The similarity that a row of sums gives; 0 where it is not defined, where Surprise divides by zero."""
    count = sums[row, 0]
    if count < min_support or count < 1.0:
        return 0.0
    if kind == MSD:
        return 1.0 / (sums[row, 1] / count + 1.0)
    if kind == COSINE:
        norm = sqrt(sums[row, 2] * sums[row, 3])
        return sums[row, 1] / norm if norm > 0.0 else 0.0
    if kind == PEARSON:
        own, other = sums[row, 4], sums[row, 5]
        spread = (count * sums[row, 2] - own**2) * (count * sums[row, 3] - other**2)
        if not spread > 0.0:
            return 0.0
        return (count * sums[row, 1] - own * other) / sqrt(spread)
    norm = sqrt(sums[row, 2] * sums[row, 3])
    if count < 2.0 or not norm > 0.0:
        return 0.0
    return sums[row, 1] / norm * ((count - 1.0) / (count - 1.0 + shrinkage))


@njit(cache=True, error_model="numpy")
def add_pair(pairs, kind, item, value, other, other_value, sign):  # type: ignore[no-untyped-def]
    """`add` for two items that one user rated."""
    if other < item:
        add(pairs, pair_index(other, item), kind, other_value, value, sign)
    elif other > item:
        add(pairs, pair_index(other, item), kind, value, other_value, sign)


@njit(cache=True, error_model="numpy")
def count_rating(pairs, kind, rows, row, item, value, sign):  # type: ignore[no-untyped-def]
    """Add or take back the pairs of `item`, rated `value`, with all other items in the user's row."""
    for place in range(rows.start[row], rows.start[row] + rows.length[row]):
        add_pair(pairs, kind, item, value, rows.others[place], rows.values[place], sign)


@njit(cache=True, error_model="numpy")
def count_all(pairs, kind, rows):  # type: ignore[no-untyped-def]
    """Sums of all pairs of items from scratch; `pairs` is zero."""
    for row in range(rows.start.size):
        begin = rows.start[row]
        for p in range(begin, begin + rows.length[row]):
            for q in range(begin, p):
                add_pair(pairs, kind, rows.others[p], rows.values[p], rows.others[q], rows.values[q], 1.0)


@njit(cache=True)
def survey(users, items, ratings):  # type: ignore[no-untyped-def]
    """The largest user, the largest item, and whether sums of products of the ratings have no rounding."""
    user, item, exact = -1, -1, True
    for e in range(users.size):
        user, item, rating = max(user, users[e]), max(item, items[e]), ratings[e]
        if not np.isnan(rating):
            exact = exact and abs(rating) <= _GRID and rating * _GRID == np.floor(rating * _GRID)
    return user, item, exact
