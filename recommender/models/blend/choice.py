# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""One look of a blend at what a user chose, in one pass over the candidates.

The rows of features are made on the way and not kept: most candidates are only counted, as being ahead of
the chosen one or not. The few that the weights are learned from get their rows made again.
"""

from __future__ import annotations

import numpy as np

from recommender.compiled import njit
from recommender.models.blend.blocks import BLOCK
from recommender.models.blend.features import VIEWS, fill, rows, survey, weighted
from recommender.models.blend.trials import update_leads
from recommender.models.topk import nth_highest

#: The number of candidates that are learned from: of those that score best, and of all below.
BEST, BELOW = 60, 39


@njit(cache=True)
def observe_choice(
    table, now, candidates, sample_weights, sums, chosen, turn, weights, first, last, keep, leads, squares,
    block, bits,
):  # fmt: skip
    """Try all factors on a choice, and make the rows to learn from.

    Parameters
    ----------
    table, now, candidates, sample_weights, sums, block, bits
        As for `survey`, but `sample_weights` is not empty.
    chosen : int
        Place of the candidate that was chosen.
    turn : int
        Decides which of the candidates that do not score well are looked at.
    weights : float array, shape (features,)
    first, last, keep, leads, squares
        See `recommender.models.blend.trials.Trials`; the last two are updated.

    Returns
    -------
    features : float array, shape (rows, features)
    row_weights : float array, shape (rows,)
        For how many candidates each row stands; 0 for the chosen one if it is there for itself only.
    place : int
        The row of the chosen one.
    ahead : float
        How many candidates score higher than that by these weights.
    """
    size = candidates.size
    views, scales = np.empty((VIEWS, size)), np.empty(VIEWS + 3)
    survey(table, now, candidates, sample_weights, sums, block, bits, views, scales)
    fixed, scaled, after = np.empty(size), np.empty(size), np.empty(size)
    for begin in range(0, size, BLOCK):
        count = min(BLOCK, size - begin)
        rows(table, now, candidates, views, scales, block, bits, begin, count)
        weighted(block, weights, 0, first, begin, count, fixed)
        weighted(block, weights, first, last, begin, count, scaled)
        weighted(block, weights, last, weights.size, begin, count, after)
    for c in range(size):
        fixed[c] += after[c]
    ahead = update_leads(fixed, scaled, sample_weights, chosen, keep, leads, squares)
    places, row_weights, place = _picked(fixed + scaled, sample_weights, chosen, turn)
    picked = candidates[places]
    features = np.empty((places.size, weights.size))
    fill(table, now, picked, views[:, places].copy(), scales, block, bits, features)
    return features, row_weights, place, ahead


@njit(cache=True)
def _picked(scores, sample_weights, chosen, turn):
    """The best, a regular part of the others, and the chosen one; in order."""
    count = scores.size
    threshold = nth_highest(scores, BEST) if count > BEST else -np.inf
    step = (count + BELOW - 1) // BELOW
    places, row_weights = np.empty(BEST + BELOW + 1, np.int64), np.empty(BEST + BELOW + 1)
    found, place, below = 0, -1, 0
    for c in range(count):
        best = scores[c] >= threshold and found - below < BEST
        counts = best or (c + turn) % step == 0
        if counts or c == chosen:
            if c == chosen:
                place = found
            places[found] = c
            row_weights[found] = sample_weights[c] * (1.0 if best else step * counts)
            found += 1
            below += not best
    return places[:found], row_weights[:found], place
