# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The weighted mean over the k nearest neighbours, for 64 candidates side by side: the compiled loops.

Each similarity has a level, a byte that never falls where the similarity rises. Which level parts the k
nearest from the others is found for 64 candidates at once by eight passes over their levels, one for each
bit: a vector of the processor holds 32 of them. Of the similarities themselves only those on that very level
are compared.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numba.extending import register_jitable

from recommender.compiled import njit
from recommender.models.knn_baseline.nearest import cut
from recommender.models.knn_baseline.similarities import COSINE, PEARSON_BASELINE

#: How many candidates lie side by side; the number of columns is a multiple of it.
LANES = 64
#: Columns that one pass over the similarities takes: long pieces of each row, and yet all fit the cache.
WIDTH = 256
#: Neighbours that can be counted in a byte, in fours.
_COUNTED = 252
#: This many similarities are ordered by comparing each with each.
_FEW = 32


@register_jitable
def columns_for(items: int) -> int:
    """The number of items, rounded up to whole lanes."""
    return -(-items // LANES) * LANES


@njit(cache=True, error_model="numpy")
def level(similarity, kind):
    """A similarity's level: 0 where it is not above 0, at most 255.

    Every step keeps the order also where it rounds. Cosines of ratings crowd below 1, and shrunk correlations
    above 0, so these are spread.
    """
    if not similarity > 0.0:
        return np.uint8(0)
    spread = similarity
    if kind == COSINE:
        spread *= spread
        spread *= spread
        spread *= spread
    elif kind == PEARSON_BASELINE:
        spread = sqrt(spread)
    return np.uint8(1 + min(254, np.int64(spread * 254.0)))


@njit(cache=True)
def _count_from(levels, rows, start, bounds, part, counts):
    """Count the levels that are at least its bound, for each of the lanes from column `start` on."""
    for c in range(LANES):
        counts[c] = 0
    for begin in range(0, rows, _COUNTED):
        for c in range(LANES):
            part[c] = 0
        for m in range(begin, min(rows, begin + _COUNTED), 4):
            # Slices tell the compiler that no index is negative, without which there are no vectors.
            level_0, level_1 = levels[m, start : start + LANES], levels[m + 1, start : start + LANES]
            level_2, level_3 = levels[m + 2, start : start + LANES], levels[m + 3, start : start + LANES]
            for c in range(LANES):
                bound = bounds[c]
                two = np.uint8(np.uint8(level_0[c] >= bound) + np.uint8(level_1[c] >= bound))
                more = np.uint8(np.uint8(level_2[c] >= bound) + np.uint8(level_3[c] >= bound))
                part[c] = np.uint8(part[c] + two + more)
        for c in range(LANES):
            counts[c] += part[c]


@njit(cache=True)
def _cut(levels, rows, k, start, found, cuts, above, inside):
    """Find where the k nearest end, for each of the lanes from column `start` on.

    Parameters
    ----------
    found : int array, shape (lanes,)
        Written: how many similarities are above 0.
    cuts : uint8 array, shape (lanes,)
        Written: the level of the k-th nearest; 0 if there are fewer.
    above, inside : int arrays, shape (lanes,)
        Written: how many levels are above the cut, and how many at least the cut.
    """
    part, counts = np.empty(LANES, np.uint8), np.empty(LANES, np.int32)
    bounds = np.ones(LANES, np.uint8)
    for step in range(9):
        _count_from(levels, rows, start, bounds, part, counts)
        if step == 0:
            found[:], inside[:], above[:], cuts[:] = counts, counts, 0, 0
            if found.max() <= k:
                return
        else:
            for c in range(LANES):
                enough = counts[c] >= k
                cuts[c] = bounds[c] if enough else cuts[c]
                inside[c] = counts[c] if enough else inside[c]
                above[c] = above[c] if enough else counts[c]
        for c in range(LANES):
            bounds[c] = cuts[c] | np.uint8(128 >> step)


@njit(cache=True, error_model="numpy")
def _sum_from(similarities, levels, rows, first, width, residuals, bounds, totals, weights):
    """Sums of similarity * residual and of similarity over all levels of at least each column's bound."""
    totals[:width] = 0.0
    weights[:width] = 0.0
    end = first + width
    whole = rows.size - rows.size % 4
    for m in range(0, whole, 4):
        sim_0, sim_1 = similarities[rows[m], first:end], similarities[rows[m + 1], first:end]
        sim_2, sim_3 = similarities[rows[m + 2], first:end], similarities[rows[m + 3], first:end]
        level_0, level_1, level_2, level_3 = levels[m], levels[m + 1], levels[m + 2], levels[m + 3]
        res_0, res_1, res_2, res_3 = residuals[m], residuals[m + 1], residuals[m + 2], residuals[m + 3]
        for c in range(width):
            bound = bounds[c]
            weight_0 = sim_0[c] if level_0[c] >= bound else 0.0
            weight_1 = sim_1[c] if level_1[c] >= bound else 0.0
            weight_2 = sim_2[c] if level_2[c] >= bound else 0.0
            weight_3 = sim_3[c] if level_3[c] >= bound else 0.0
            totals[c] += (weight_0 * res_0 + weight_1 * res_1) + (weight_2 * res_2 + weight_3 * res_3)
            weights[c] += (weight_0 + weight_1) + (weight_2 + weight_3)
    for m in range(whole, rows.size):
        sims, own, residual = similarities[rows[m], first:end], levels[m], residuals[m]
        for c in range(width):
            weight = sims[c] if own[c] >= bounds[c] else 0.0
            totals[c] += weight * residual
            weights[c] += weight


@njit(cache=True, error_model="numpy")
def _sum_within(sims, places, size, take, residuals):
    """The same two sums over the `take` largest of `sims`; of equal ones the earlier are taken."""
    lowest = highest = sims[0]
    for n in range(size):
        lowest, highest = min(lowest, sims[n]), max(highest, sims[n])
    total, weight = 0.0, 0.0
    if lowest == highest:
        for n in range(take):
            total += residuals[places[n]]
        return total * lowest, lowest * take
    if size > _FEW:
        bound, ties = cut(sims, size, take, size, 0.5 * (lowest + highest))
        ties = size if ties < 0 else ties
        for n in range(size):
            tie = sims[n] == bound
            taken = sims[n] if sims[n] > bound or (tie and ties > 0) else 0.0
            ties -= tie
            weight += taken
            total += taken * residuals[places[n]]
        return total, weight
    for n in range(size):
        before = 0
        for other in range(n):
            before += sims[other] >= sims[n]
        for other in range(n + 1, size):
            before += sims[other] > sims[n]
        taken = sims[n] if before < take else 0.0
        weight += taken
        total += taken * residuals[places[n]]
    return total, weight


@njit(cache=True, error_model="numpy")
def adjustments(similarities, levels, rows, residuals, k, min_k, changes, neighbours):
    """The k nearest neighbours' weighted mean residual for each column, and how many neighbours that were.

    Only similarities above 0 count. Of equal ones at the k-th place the earlier rows come first.

    Parameters
    ----------
    similarities : float array, shape (rows, at least columns)
    levels : uint8 array, shape as `similarities`
    rows : int32 array
        The neighbours' rows, in their order.
    residuals : float array, shape as `rows`
    k, min_k : int
        With fewer than `min_k` neighbours the mean is 0.
    changes, neighbours : arrays, shape (columns,), a multiple of `LANES`
        What is found.
    """
    tile = np.zeros(((rows.size + 3) // 4 * 4, WIDTH), np.uint8)
    cuts, bounds = np.empty(WIDTH, np.uint8), np.empty(WIDTH, np.int16)
    found, above, inside = np.empty(WIDTH, np.int32), np.empty(WIDTH, np.int32), np.empty(WIDTH, np.int32)
    totals, weights = np.empty(WIDTH), np.empty(WIDTH)
    tied, places = np.empty(rows.size + 1), np.empty(rows.size + 1, np.int32)
    for first in range(0, changes.size, WIDTH):
        width = min(WIDTH, changes.size - first)
        for m in range(rows.size):
            tile[m, :width] = levels[rows[m], first : first + width]
        for start in range(0, width, LANES):
            lanes = slice(start, start + LANES)
            _cut(tile, len(tile), k, start, found[lanes], cuts[lanes], above[lanes], inside[lanes])
        for c in range(width):
            bounds[c] = max(1, np.int16(cuts[c]) + np.int16(cuts[c] > 0 and inside[c] > k))
        _sum_from(similarities, tile, rows, first, width, residuals, bounds, totals, weights)
        for c in range(width):
            if cuts[c] > 0 and inside[c] > k:
                size = 0
                for m in range(rows.size):
                    places[size] = m
                    size += tile[m, c] == cuts[c]
                for n in range(size):
                    tied[n] = similarities[rows[places[n]], first + c]
                total, weight = _sum_within(tied, places, size, k - above[c], residuals)
                totals[c] += total
                weights[c] += weight
            count = min(found[c], k)
            changes[first + c] = totals[c] / weights[c] if count >= max(1, min_k) else 0.0
            neighbours[first + c] = count
