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

from recommender.models.pairs import pair_index
from recommender.models.similarities import PEARSON_BASELINE, SUMS, add, similarity

_COLUMNS = np.array(SUMS)
#: Similarities that one block of candidates may hold at a time.
_BLOCK = 1 << 21


class Parameters(NamedTuple):
    """What an estimate depends on beside the ratings."""

    kind: int
    k: int
    min_k: int
    min_support: float
    shrinkage: float


@njit(cache=True)
def _kth_largest(sims, count, k, heap):  # type: ignore[no-untyped-def]
    """The k-th largest of more than k, and how many of the k largest equal it."""
    size = 0
    for s in range(count):
        value = sims[s]
        if size < k:
            place = size
            size += 1
            while place > 0 and heap[(place - 1) // 2] > value:
                heap[place] = heap[(place - 1) // 2]
                place = (place - 1) // 2
            heap[place] = value
        elif value > heap[0]:
            place = 0
            while 2 * place + 1 < k:
                child = 2 * place + 1
                if child + 1 < k and heap[child + 1] < heap[child]:
                    child += 1
                if heap[child] >= value:
                    break
                heap[place] = heap[child]
                place = child
            heap[place] = value
    equal = 0
    for place in range(k):
        equal += heap[place] == heap[0]
    return heap[0], equal


@njit(cache=True, error_model="numpy")
def _adjustment(sims, residuals, count, p, heap):  # type: ignore[no-untyped-def]
    """The neighbours' weighted mean residual, and how many neighbours that were."""
    positive = 0
    for s in range(count):
        positive += sims[s] > 0.0
    if positive == 0:
        return 0.0, 0
    threshold, ties = 0.0, 0
    if positive > p.k:
        threshold, ties = _kth_largest(sims, count, p.k, heap)
    total = weight = 0.0
    neighbours = 0
    for s in range(count):
        sim = sims[s]
        if sim == threshold and ties > 0:
            ties -= 1
        elif not sim > threshold:
            continue
        total += sim * residuals[s]
        weight += sim
        neighbours += 1
    return (total / weight if neighbours >= p.min_k else 0.0), neighbours


@njit(cache=True)
def _length(rows, row):  # type: ignore[no-untyped-def]
    return np.int64(rows.length[row]) if 0 <= row < rows.start.size else np.int64(0)


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
    slots = np.full(items.start.size, block.size, np.int64)
    for c in range(block.size):
        if _length(items, block[c]) > 0:
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
        if _length(items, block[c]) > 0 and slots[block[c]] != c:
            sims[c] = sims[slots[block[c]]]


@njit(cache=True, error_model="numpy")
def estimate_by_items(  # type: ignore[no-untyped-def]
    users, items, b, p, pairs, has_pairs, user, candidates, scores, neighbours
):
    """Estimates and neighbours of `candidates` from the items that the user rated.

    `pairs` are the kept sums of all pairs of items; without them they are found from the ratings here.
    """
    count = _length(users, user)
    level = b.mean[0] + (b.users[user] if count > 0 else 0.0)
    mine = np.empty(count, np.int32)
    residuals = np.empty(count)
    for s in range(count):
        place = users.start[user] + s
        mine[s] = users.others[place]
        residuals[s] = users.values[place] - (b.mean[0] + b.items[mine[s]] + b.users[user])
    heap = np.empty(p.k)
    height = max(1, min(candidates.size, _BLOCK // max(1, count)))
    sims = np.zeros((1 if has_pairs else height, count))
    for first in range(0, candidates.size, height):
        block = candidates[first : first + height]
        if not has_pairs and count > 0:
            _block_similarities(users, items, b, p, mine, block, sims)
        for c in range(block.size):
            item = block[c]
            scores[first + c] = level
            neighbours[first + c] = 0
            if _length(items, item) == 0:
                continue
            row = sims[0 if has_pairs else c]
            for s in range(count):
                if mine[s] == item:
                    row[s] = 1.0
                elif has_pairs:
                    row[s] = similarity(pairs, pair_index(item, mine[s]), p.kind, p.min_support, p.shrinkage)
            change, supporting = _adjustment(row, residuals, count, p, heap)
            scores[first + c] = level + b.items[item] + change
            neighbours[first + c] = supporting


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
    longest = 0
    for c in range(candidates.size):
        longest = max(longest, _length(items, candidates[c]))
    row, residuals, heap = np.empty(longest), np.empty(longest), np.empty(p.k)
    for c in range(candidates.size):
        item = candidates[c]
        count = _length(items, item)
        scores[c] = level + (b.items[item] if count > 0 else 0.0)
        neighbours[c] = 0
        if count == 0 or not known:
            continue
        for s in range(count):
            rater = items.others[items.start[item] + s]
            row[s] = sims[rater]
            value = items.values[items.start[item] + s]
            residuals[s] = value - (b.mean[0] + b.users[rater] + b.items[item])
        change, supporting = _adjustment(row, residuals, count, p, heap)
        scores[c] += change
        neighbours[c] = supporting
