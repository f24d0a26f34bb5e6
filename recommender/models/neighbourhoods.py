"""Estimates of KNNBaseline from rows of ratings: the compiled loops.

    estimate(u, i) = b_ui + sum over the k nearest of sim * (r - b) / sum of sim

over the items that the user rated, or the users that rated the item; only similarities above 0 count (Koren
2010, formula 3, as in Surprise 1.1, `KNNBaseline`). Of equal similarities the earlier entry of the row
comes first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from recommender.models.nearest import adjustments
from recommender.models.similarities import PEARSON_BASELINE, SUMS, add, similarity

_COLUMNS = np.array(SUMS)
#: Similarities that one block of candidates may hold at a time.
_BLOCK = 1 << 21
#: Candidates whose similarities are copied from kept ones at a time, and how many of these: they stay in the
#: cache, and yet each row is read in long pieces.
_TILE = 256
_COPIED = 1 << 15


class Parameters(NamedTuple):
    """What an estimate depends on beside the ratings."""

    kind: int
    k: int
    min_k: int
    min_support: float
    shrinkage: float


@njit(cache=True)
def _length(rows, row):  # type: ignore[no-untyped-def]
    return np.int64(rows.length[row]) if 0 <= row < rows.start.size else np.int64(0)


@njit(cache=True)
def _lengths(rows, keys):  # type: ignore[no-untyped-def]
    """The same of many: to hand rows to a function costs more than it does."""
    found, lengths = np.zeros(keys.size, np.int64), rows.length
    for n in range(keys.size):
        if 0 <= keys[n] < lengths.size:
            found[n] = lengths[keys[n]]
    return found


@njit(cache=True)
def _by_first_rating(rows, keys):  # type: ignore[no-untyped-def]
    """The order of rows `keys` by their first entry: in which Surprise adds them up."""
    firsts = np.empty(keys.size, np.int64)
    for n in range(keys.size):
        firsts[n] = rows.orders[rows.start[keys[n]]]
    return np.argsort(firsts)


@njit(cache=True, error_model="numpy")
def _block_similarities(users, items, b, p, mine, block, sims):  # type: ignore[no-untyped-def]
    """Similarities (block, mine) of candidates and the user's items, from the ratings of all their raters."""
    # Who is no candidate is summed in a row that nobody reads: cheaper than a branch that cannot be foretold.
    slots, lengths = np.full(items.start.size, block.size, np.int64), _lengths(items, block)
    for c in range(block.size):
        if lengths[c] > 0:
            slots[block[c]] = c
    sums = np.zeros((block.size + 1, _COLUMNS[p.kind]))
    centred = p.kind == PEARSON_BASELINE
    for m in range(mine.size):
        start = items.start[mine[m]]
        raters = items.others[start : start + items.length[mine[m]]]
        for n in _by_first_rating(users, raters):
            rater = raters[n]
            centre = b.mean[0] + b.users[rater] if centred else 0.0
            value = items.values[start + n]
            if centred:
                value -= centre + b.items[mine[m]]
            for place in range(users.start[rater], users.start[rater] + users.length[rater]):
                other = users.values[place]
                if centred:
                    other -= centre + b.items[users.others[place]]
                add(sums, slots[users.others[place]], p.kind, other, value, 1.0)
        for c in range(block.size):
            sims[c, m] = similarity(sums, c, p.kind, p.min_support, p.shrinkage)
            sums[c] = 0.0
    for c in range(block.size):
        if lengths[c] > 0 and slots[block[c]] != c:
            sims[c] = sims[slots[block[c]]]


@njit(cache=True)
def _copy_similarities(kept, mine, block, sims):  # type: ignore[no-untyped-def]
    """The same from what is kept for all pairs."""
    places = np.zeros(block.size, np.int64)
    for c in range(block.size):
        if 0 <= block[c] < len(kept.similarities):
            places[c] = block[c]
    # Four rows at a time: each is read as one stream, and four of them write to one place.
    whole = mine.size - mine.size % 4
    for m in range(0, whole, 4):
        row_0, row_1 = kept.similarities[mine[m]], kept.similarities[mine[m + 1]]
        row_2, row_3 = kept.similarities[mine[m + 2]], kept.similarities[mine[m + 3]]
        for c in range(block.size):
            place = places[c]
            sims[c, m] = row_0[place]
            sims[c, m + 1] = row_1[place]
            sims[c, m + 2] = row_2[place]
            sims[c, m + 3] = row_3[place]
    for m in range(whole, mine.size):
        row = kept.similarities[mine[m]]
        for c in range(block.size):
            sims[c, m] = row[places[c]]


@njit(cache=True, error_model="numpy")
def estimate_by_items(  # type: ignore[no-untyped-def]
    users, items, b, p, kept, has_pairs, user, candidates, scores, neighbours
):
    """Estimates and neighbours of `candidates` from the items that the user rated.

    `kept` has the similarities of all pairs of items; without it they are found from the ratings here.
    """
    count = _length(users, user)
    level = b.mean[0] + (b.users[user] if count > 0 else 0.0)
    mine = np.empty(count, np.int32)
    residuals = np.empty(count)
    for s in range(count):
        place = users.start[user] + s
        mine[s] = users.others[place]
        residuals[s] = users.values[place] - (b.mean[0] + b.items[mine[s]] + b.users[user])
    lengths = _lengths(items, candidates)
    height = min(_TILE, _COPIED // max(1, count)) if has_pairs else _BLOCK // max(1, count)
    height = max(1, min(candidates.size, height))
    sims = np.zeros((height, count))
    changes, found = np.empty(height), np.empty(height, np.int32)
    for first in range(0, candidates.size, height):
        block = candidates[first : first + height]
        if has_pairs:
            _copy_similarities(kept, mine, block, sims)
        elif count > 0:
            _block_similarities(users, items, b, p, mine, block, sims)
            for c in range(block.size):
                for s in range(count):
                    if mine[s] == block[c]:
                        sims[c, s] = 1.0
        adjustments(sims, block.size, residuals, count, p.k, p.min_k, changes, found)
        for c in range(block.size):
            known = lengths[first + c] > 0
            scores[first + c] = level + b.items[block[c]] + changes[c] if known else level
            neighbours[first + c] = found[c] if known else 0


@njit(cache=True, error_model="numpy")
def _user_similarities(users, items, b, p, user):  # type: ignore[no-untyped-def]
    """Similarities of `user` to all users; 0 where nothing is common."""
    sums = np.zeros((users.start.size, _COLUMNS[p.kind]))
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


@njit(cache=True, error_model="numpy")
def estimate_by_users(users, items, b, p, user, candidates, scores, neighbours):  # type: ignore[no-untyped-def]
    """Estimates and neighbours of `candidates` from the users who rated them."""
    known = _length(users, user) > 0
    level = b.mean[0] + (b.users[user] if known else 0.0)
    sims = _user_similarities(users, items, b, p, user) if known else np.zeros(0)
    lengths, longest = _lengths(items, candidates), 0
    for c in range(candidates.size):
        longest = max(longest, lengths[c])
    row, residuals = np.empty((1, longest)), np.empty(longest)
    change, found = np.empty(1), np.empty(1, np.int32)
    for c in range(candidates.size):
        item = candidates[c]
        count = lengths[c]
        scores[c] = level + (b.items[item] if count > 0 else 0.0)
        neighbours[c] = 0
        if count == 0 or not known:
            continue
        for s in range(count):
            rater = items.others[items.start[item] + s]
            row[0, s] = sims[rater]
            value = items.values[items.start[item] + s]
            residuals[s] = value - (b.mean[0] + b.users[rater] + b.items[item])
        adjustments(row, 1, residuals, count, p.k, p.min_k, change, found)
        scores[c] += change[0]
        neighbours[c] = found[0]
