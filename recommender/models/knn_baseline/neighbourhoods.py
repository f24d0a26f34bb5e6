"""Estimates of KNNBaseline from rows of ratings: the compiled loops.

    estimate(u, i) = b_ui + sum over the k nearest of sim * (r - b) / sum of sim

over the items that the user rated, or the users that rated the item; only similarities above 0 count (Koren
2010, formula 3, as in Surprise 1.1, `KNNBaseline`). Of equal similarities the earlier entry of the row
comes first.
"""

from __future__ import annotations

import numpy as np

from recommender.compiled import njit
from recommender.models.knn_baseline import nearest, nearest_levels
from recommender.models.knn_baseline.found_similarities import lengths_of, of_user
from recommender.models.knn_baseline.nearest_levels import columns_for

#: Items without a rating that can be passed over at the cost of looking one candidate up.
_SPARSE = 3


@njit(cache=True)
def _length(rows, row):  # type: ignore[no-untyped-def]
    return np.int64(rows.length[row]) if 0 <= row < rows.start.size else np.int64(0)


@njit(cache=True, error_model="numpy")
def estimate_by_items(  # type: ignore[no-untyped-def]
    users, items, b, p, similarities, levels, found, user, candidates, scores, neighbours
):
    """Estimates and neighbours of `candidates` from the items that the user rated.

    Parameters
    ----------
    similarities, levels : arrays, of one shape
        Of all items with all, or if `found` of the user's with the candidates and more up to whole lanes.
    """
    count = _length(users, user)
    level = b.mean[0] + (b.users[user] if count > 0 else 0.0)
    mine, residuals = np.empty(count, np.int32), np.empty(count)
    for s in range(count):
        place = users.start[user] + s
        mine[s] = users.others[place]
        residuals[s] = users.values[place] - (b.mean[0] + b.items[mine[s]] + b.users[user])
    lengths, places = lengths_of(items, candidates), np.arange(candidates.size)
    rows, columns = np.arange(count).astype(np.int32), columns_for(candidates.size)
    if not found:
        indices = np.where(lengths > 0, candidates, 0).astype(np.int64)
        last = indices.max() + 1 if candidates.size else 0
        if _SPARSE * candidates.size >= last:
            rows, columns, places = mine, columns_for(last), indices
        else:
            similarities, levels = _looked_up(similarities, levels, mine, indices, columns)
    changes, counts = np.zeros(columns), np.zeros(columns, np.int32)
    if count > 0:
        nearest_levels.adjustments(similarities, levels, rows, residuals, p.k, p.min_k, changes, counts)
    for c in range(candidates.size):
        known = lengths[c] > 0
        scores[c] = level + b.items[candidates[c]] + changes[places[c]] if known else level
        neighbours[c] = counts[places[c]] if known else 0


@njit(cache=True)
def _looked_up(similarities, levels, mine, places, columns):  # type: ignore[no-untyped-def]
    """The similarities that are kept of a user's items with few candidates."""
    some, some_levels = np.zeros((mine.size, columns)), np.zeros((mine.size, columns), np.uint8)
    for m in range(mine.size):
        own, own_levels = similarities[mine[m]], levels[mine[m]]
        for c in range(places.size):
            some[m, c], some_levels[m, c] = own[places[c]], own_levels[places[c]]
    return some, some_levels


@njit(cache=True, error_model="numpy")
def estimate_by_users(users, items, b, p, user, candidates, scores, neighbours):  # type: ignore[no-untyped-def]
    """Estimates and neighbours of `candidates` from the users who rated them."""
    known = _length(users, user) > 0
    level = b.mean[0] + (b.users[user] if known else 0.0)
    sims = of_user(users, items, b, p, user) if known else np.zeros(0)
    lengths, longest = lengths_of(items, candidates), 0
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
        nearest.adjustments(row, 1, residuals, count, p.k, p.min_k, change, found)
        scores[c] += change[0]
        neighbours[c] = found[0]
