"""Similarities of items, and of a user with all others, added up from the ratings: the compiled loops.

Users are added up in the order of their first ratings, items in that of theirs, as Surprise 1.1 does: so a
similarity depends on nothing but the ratings that stand, and not on which of the two was asked for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import njit
from recommender.models.base import FloatArray, IntArray
from recommender.models.knn_baseline.baselines import Baselines
from recommender.models.knn_baseline.kept_pairs import KeptPairs, put_rows
from recommender.models.knn_baseline.nearest_levels import columns_for, level
from recommender.models.knn_baseline.similarities import PEARSON_BASELINE, SUMS, Parameters, add, similarity
from recommender.models.rating_rows import RatingRows

_COLUMNS = np.array(SUMS)
#: This many similarities are found at a time.
_BLOCK = 1 << 20


@njit(cache=True)
def lengths_of(rows, keys):  # type: ignore[no-untyped-def]
    """The number of ratings of each of many rows: to hand rows to a function costs more than it does."""
    found, lengths = np.zeros(keys.size, np.int64), rows.length
    for n in range(keys.size):
        if 0 <= keys[n] < lengths.size:
            found[n] = lengths[keys[n]]
    return found


@njit(cache=True)
def _by_first_rating(rows, keys):  # type: ignore[no-untyped-def]
    """The order of rows `keys` by their first entry."""
    firsts = np.empty(keys.size, np.int64)
    for n in range(keys.size):
        firsts[n] = rows.orders[rows.start[keys[n]]]
    return np.argsort(firsts)


@njit(cache=True)
def _no_sums(count, kind):  # type: ignore[no-untyped-def]
    """Rows of sums, and one more that is never read: cheaper than a branch for those not asked for."""
    return np.zeros((count + 1, _COLUMNS[kind]))


@njit(cache=True, error_model="numpy")
def of_items(users, items, b, p, wanted, candidates, sims):  # type: ignore[no-untyped-def]
    """Similarities (wanted, candidates) of items; with itself it is 1, with who has no ratings 0."""
    centred = p.kind == PEARSON_BASELINE
    known = lengths_of(items, candidates) > 0
    slots = np.full(items.start.size, candidates.size, np.int64)
    for c in range(candidates.size):
        if known[c]:
            slots[candidates[c]] = c
    sums, found = _no_sums(candidates.size, p.kind), np.zeros(candidates.size)
    for w in range(wanted.size):
        item = wanted[w]
        start = items.start[item]
        raters = items.others[start : start + items.length[item]]
        for n in _by_first_rating(users, raters):
            rater = raters[n]
            centre = b.mean[0] + b.users[rater] if centred else 0.0
            value = items.values[start + n]
            if centred:
                value -= centre + b.items[item]
            for place in range(users.start[rater], users.start[rater] + users.length[rater]):
                other = users.values[place]
                if centred:
                    other -= centre + b.items[users.others[place]]
                add(sums, slots[users.others[place]], p.kind, other, value, 1.0)
        for c in range(candidates.size):
            found[c] = similarity(sums, c, p.kind, p.min_support, p.shrinkage)
            sums[c] = 0.0
        for c in range(candidates.size):
            sim = found[slots[candidates[c]]] if known[c] else 0.0
            sims[w, c] = 1.0 if item == candidates[c] else sim


@njit(cache=True, error_model="numpy")
def of_user(users, items, b, p, user):  # type: ignore[no-untyped-def]
    """Similarities of `user` to all users; 0 where nothing is common."""
    sums = _no_sums(users.start.size, p.kind)
    centred = p.kind == PEARSON_BASELINE
    start = users.start[user]
    mine = users.others[start : start + users.length[user]]
    for n in _by_first_rating(items, mine):
        item = mine[n]
        centre = b.mean[0] + b.items[item] if centred else 0.0
        value = users.values[start + n]
        if centred:
            value -= centre + b.users[user]
        for place in range(items.start[item], items.start[item] + items.length[item]):
            other = items.values[place]
            if centred:
                other -= centre + b.users[items.others[place]]
            add(sums, items.others[place], p.kind, other, value, 1.0)
    sims = np.zeros(users.start.size)
    for other in range(users.start.size):
        if sums[other, 0] > 0.0:
            sims[other] = similarity(sums, other, p.kind, p.min_support, p.shrinkage)
    sims[user] = 1.0
    return sims


@njit(cache=True)
def _levels(sims, kind, levels):  # type: ignore[no-untyped-def]
    for m in range(sims.shape[0]):
        for c in range(sims.shape[1]):
            levels[m, c] = level(sims[m, c], kind)


def items_of(users: RatingRows, user: int) -> IntArray:
    """The items that a user rated."""
    if not 0 <= user < len(users.start):
        return np.empty(0, np.int32)
    return users.others[users.start[user] : users.start[user] + users.length[user]]


def block_height(mine: IntArray) -> int:
    """The number of candidates that are scored together where nothing is kept."""
    return max(1, _BLOCK // max(1, len(mine)))


def found_block(
    users: RatingRows, items: RatingRows, b: Baselines, p: Parameters, mine: IntArray, candidates: IntArray
) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Similarities and levels (mine, whole lanes of candidates)."""
    shape = len(mine), columns_for(len(candidates))
    sims, levels = np.zeros(shape), np.zeros(shape, np.uint8)
    of_items(users, items, b, p, mine, candidates, sims)
    _levels(sims, p.kind, levels)
    return sims, levels


def bring_up_to_date(
    users: RatingRows,
    items: RatingRows,
    b: Baselines,
    p: Parameters,
    kept: KeptPairs,
    item_count: int,
    user: int,
    candidates: IntArray,
) -> None:
    """Find what has changed since it was kept of the similarities of a user's items with candidates.

    A similarity belongs to two rows: where only candidates have changed, those of the fewer are found again.
    """
    mine = items_of(users, user)
    if not len(mine) or not len(candidates):
        return
    found, changed = kept.found, kept.changed

    def find(wanted: IntArray) -> None:
        everything, height = np.arange(item_count, dtype=np.int32), max(1, _BLOCK // item_count)
        for first in range(0, len(wanted), height):
            part = wanted[first : first + height]
            sims = np.empty((len(part), item_count))
            of_items(users, items, b, p, part, everything, sims)
            put_rows(kept, p.kind, part, sims)

    find(mine[found[mine] < changed[mine]])
    others = candidates[(candidates >= 0) & (candidates < item_count)]
    others = others[(found[others] < changed[others]) & (changed[others] > found[mine].min())]
    if len(others):
        behind = mine[found[mine] < changed[others].max()]
        find(np.unique(others) if len(others) <= len(behind) else behind)
