# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The features of a user and each candidate, as a row of numbers.

Two kinds of evidence: what other users' histories say around the user's newest items
(`recommender.models.blend.evidence`), and how often, how lately and how well each item was rated
(`recommender.models.blend.popularity`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import dividing_kernel, kernel
from recommender.models.base import FloatArray, IntArray
from recommender.models.blend.blocks import BLOCK, exponentials, logarithms
from recommender.models.blend.marks import Sums
from recommender.models.blend.popularity import (
    COUNT,
    FADING,
    FIRST,
    LATELY,
    LEAST,
    LOG_COUNT,
    LOG_FADING,
    LOG_SHARE,
    RATES,
    ROOT,
    UPDATED,
    Popularity,
    left_of,
    totals_without,
)
from recommender.models.elementary import LOG_2
from recommender.models.topk import all_but

#: The columns of a row of features, in order.
FEATURES = (
    "sequence",  # sequence neighbours, over the best candidate's
    "log sequence",
    "taste",  # users who share any of the user's last items, for all of their histories; likewise
    "log taste",
    "log popularity",
    "log popularity, 200",  # with a half-life of 200 events
    "log popularity, 1000",
    "log popularity, 5000",
    "log popularity, 30000",
    "log positive share",
    "log age",
    "log mixture",  # of what sequence neighbours and lately popular items say, as probabilities
)
#: The columns that know nothing of the user: first, and the one after the last.
POPULARITY = (4, 11)
#: The columns that may be rankings of their own: of two that rank alike, one.
SINGLES = (0, 2, 4, 5, 6, 7, 8, 11)
#: What a relative score counts at least, so that its logarithm is finite.
FLOOR = 1e-3
#: Logarithm of the smallest fading count that is told from none, and of the positive share of an unrated
#: item.
FAINT, UNKNOWN = -2.302585092994046, -LOG_2
#: Added to the mixture, so that its logarithm is finite.
MIXED = 0.01
#: Added to the age of an item, and the age of one that is yet to come.
NEW = 10.0

#: What a survey keeps of each candidate.
VIEWS = 5
#: Rows of a block: the features, and one to write to.
SPARE, ROWS = len(FEATURES), len(FEATURES) + 1

#: Stands for a one for each candidate.
_EACH = np.empty(0)


def surveyed(
    popularity: Popularity,
    items: int,
    candidates: IntArray,
    sums: Sums,
    block: tuple[FloatArray, NDArray[np.int64]],
) -> tuple[FloatArray, FloatArray]:
    """The `views` and `scales` of a survey, on the shorter way: by the candidates, or by what is missing.

    Parameters
    ----------
    popularity : Popularity
    items : int
        How many there are.
    candidates : int32 array
    sums : float array, shape (items, 2)
        From `evidence`.
    block : pair of arrays
        Room, from `room(ROWS)`.
    """
    views, scales = np.empty((VIEWS, len(candidates))), np.empty(VIEWS + 3)
    table, now = popularity.table, popularity.now
    if 2 * len(candidates) < items or items > popularity.items:
        survey(table, now, candidates, _EACH, sums, *block, views, scales)
        return views, scales
    # Of most items the totals are known but for what those add that are missing.
    missing, left = all_but(candidates, items), np.empty(LATELY)
    totals_without(table, now, missing, popularity.totals, *block, left)
    survey_most(table, now, candidates, float(len(candidates)), left, sums, *block, views, scales)
    return views, scales


@kernel
def survey(table, now, candidates, sample_weights, sums, block, bits, views, scales):
    """The measures of the rows of all candidates, before any row can be made.

    Parameters
    ----------
    table : float array, shape (items, COLUMNS)
    now : float
        The number of the next event.
    candidates : int32 array
    sample_weights : float array
        For how many each candidate stands where not all items are candidates; empty: each for itself.
    sums : float array, shape (items, 2)
        From `evidence`.
    block, bits : arrays
        Room, from `room(ROWS)`.
    views : float array, shape (VIEWS, candidates)
        Written: both sums relative to popularity, and the fading counts that the mixture draws from.
    scales : float array, shape (VIEWS + 3,)
        Written: the largest of both sums, and the mixture's share of each of its lists by its total.
    """
    best, most = LEAST, LEAST
    once, twice, thrice = 0.0, 0.0, 0.0
    first, second, third = LEAST, LEAST, LEAST
    size = 0.0
    for begin in range(0, candidates.size, BLOCK):
        count = min(BLOCK, candidates.size - begin)
        view(table, now, candidates, sums, block, bits, begin, count, views)
        for c in range(np.uint64(begin), np.uint64(begin + count)):
            sample_weight = sample_weights[c] if sample_weights.size > 0 else 1.0
            relevance = views[0, c]
            best, most = max(best, relevance), max(most, views[1, c])
            size += sample_weight
            once += sample_weight * relevance
            twice += sample_weight * relevance * relevance
            thrice += sample_weight * relevance * relevance * relevance
            first += sample_weight * views[2, c]
            second += sample_weight * views[3, c]
            third += sample_weight * views[4, c]
    _scale(scales, size, best, most, once, twice, thrice, first, second, third)


@kernel
def survey_most(table, now, candidates, size, totals, sums, block, bits, views, scales):
    """Survey as `survey` does, where `candidates` are all of which `sums` says anything, among `size` in all.

    What the fading counts of all those come to is told by `totals`, which `totals_without` makes.
    """
    for begin in range(0, candidates.size, BLOCK):
        count = min(BLOCK, candidates.size - begin)
        view(table, now, candidates, sums, block, bits, begin, count, views)
    survey_told(views[0], views[1], candidates.size, size, totals, scales)


@kernel
def survey_told(near, taste, count, size, totals, scales):
    """Write the scales by the first `count` relevances, ascending by item, among `size` items in all."""
    best, most = LEAST, LEAST
    once, twice, thrice = 0.0, 0.0, 0.0
    for c in range(np.uint64(count)):
        relevance = near[c]
        best, most = max(best, relevance), max(most, taste[c])
        once += relevance
        twice += relevance * relevance
        thrice += relevance * relevance * relevance
    _scale(scales, size, best, most, once, twice, thrice, totals[0], totals[1], totals[2])


@kernel
def _scale(scales, size, best, most, once, twice, thrice, first, second, third):
    scales[0], scales[1] = best, most
    scales[2] = 0.2 * size / max(once / best, LEAST)
    scales[3] = 0.3 * size / max(twice / best / best, LEAST)
    scales[4] = 0.2 * size / max(thrice / best / best / best, LEAST)
    scales[5], scales[6], scales[7] = 0.1 * size / first, 0.1 * size / second, 0.1 * size / third


@dividing_kernel
def view(table, now, candidates, sums, block, bits, begin, count, views):
    for k in range(count):
        item = np.int64(candidates[np.uint64(begin + k)])
        if item < 0 or item >= sums.shape[0] or table[np.uint64(item), COUNT] <= 0.0:
            for row in range(VIEWS):
                block[row, k] = 0.0
            block[5, k] = 1.0
            block[6, k] = 0.0
        else:
            i = np.uint64(item)
            block[0, k], block[1, k] = sums[i, 0], sums[i, 1]
            block[2, k], block[3, k], block[4, k] = (
                table[i, FADING + 1], table[i, FADING + 2], table[i, FADING + 3],
            )  # fmt: skip
            block[5, k] = table[i, ROOT]
            block[6, k] = -RATES[3] * (now - table[i, UPDATED])
    exponentials(block, bits, 6, 7, count)
    for k in range(count):
        c = np.uint64(begin + k)
        _, slow, slower, slowest = left_of(block[6, k])
        views[0, c], views[1, c] = block[0, k] / block[5, k], block[1, k] / block[5, k]
        views[2, c] = block[2, k] * slow
        views[3, c] = block[3, k] * slower
        views[4, c] = block[4, k] * slowest


@dividing_kernel
def rows(table, now, candidates, views, scales, block, bits, begin, count):
    """The features of `count` candidates from the one at `begin`, as the columns of `block`.

    An item that nobody has rated is known by its absence.
    """
    for k in range(count):
        item = np.int64(candidates[np.uint64(begin + k)])
        if item < 0 or item >= table.shape[0] or table[np.uint64(item), COUNT] <= 0.0:
            block[4, k] = 0.0
            block[5, k], block[6, k], block[7, k], block[8, k] = FAINT, FAINT, FAINT, FAINT
            block[9, k], block[10, k] = UNKNOWN, NEW
        else:
            i = np.uint64(item)
            passed = now - table[i, UPDATED]
            block[4, k] = table[i, LOG_COUNT]
            block[5, k] = max(table[i, LOG_FADING] - RATES[0] * passed, FAINT)
            block[6, k] = max(table[i, LOG_FADING + 1] - RATES[1] * passed, FAINT)
            block[7, k] = max(table[i, LOG_FADING + 2] - RATES[2] * passed, FAINT)
            block[8, k] = max(table[i, LOG_FADING + 3] - RATES[3] * passed, FAINT)
            block[9, k] = table[i, LOG_SHARE]
            block[10, k] = now - table[i, FIRST] + NEW
    best, most = scales[0], scales[1]
    for k in range(count):
        c = np.uint64(begin + k)
        relevance, near = views[0, c] / best, views[1, c] / most
        block[0, k], block[1, k] = relevance, relevance + FLOOR
        block[2, k], block[3, k] = near, near + FLOOR
        # A candidate drawn from one of several lists, where a product asks all of them to agree. Sequence
        # neighbours speak three times, as they are and sharpened: how far their best stand out differs.
        share = relevance * (scales[2] + relevance * (scales[3] + relevance * scales[4]))
        share += scales[5] * views[2, c] + scales[6] * views[3, c] + scales[7] * views[4, c]
        block[11, k] = share + MIXED
    logarithms(block, bits, 1, SPARE, count)
    logarithms(block, bits, 3, SPARE, count)
    logarithms(block, bits, 10, SPARE, count)
    logarithms(block, bits, 11, SPARE, count)


@kernel
def fill(table, now, candidates, views, scales, block, bits, features):
    """Rows of features for the candidates, after a `survey`."""
    for begin in range(0, candidates.size, BLOCK):
        count = min(BLOCK, candidates.size - begin)
        rows(table, now, candidates, views, scales, block, bits, begin, count)
        for k in range(count):
            for f in range(features.shape[1]):
                features[np.uint64(begin + k), f] = block[f, k]


@kernel
def weigh(table, now, candidates, views, scales, weights, block, bits, scores):
    """The rows' weighted sums, added in the order of the features."""
    for begin in range(0, candidates.size, BLOCK):
        count = min(BLOCK, candidates.size - begin)
        rows(table, now, candidates, views, scales, block, bits, begin, count)
        weighted(block, weights, 0, weights.size, begin, count, scores)


@dividing_kernel
def weighted(block, weights, first, last, begin, count, scores):
    """Set a block of scores to the weighted sums of the features from `first` to before `last`."""
    for k in range(count):
        scores[np.uint64(begin + k)] = 0.0
    for f in range(first, last):
        weight = weights[f]
        for k in range(count):
            scores[np.uint64(begin + k)] += block[f, k] * weight
