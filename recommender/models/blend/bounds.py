# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Bounds of items' scores, in far fewer steps than it takes to score them.

A bound may lie too high, which costs time, and never too low. It is raised by far more than what rounding can
do, see `_SLACK`.
"""

from __future__ import annotations

import math

import numpy as np

from recommender.compiled import dividing_kernel, kernel, njit
from recommender.models.blend.blocks import BLOCK, exponentials, logarithms
from recommender.models.blend.cells import MEASURES
from recommender.models.blend.features import FAINT, FLOOR, MIXED, NEW, SPARE
from recommender.models.blend.popularity import LATELY, RATES

#: What rounding may do to a feature, at most: so much, and so much for each event that passed.
_SLACK, _SLACK_OF_EVENT = 1e-6, 1e-15
#: Fading counts are below the exponential of this.
_HIGH = 20.0
_OF_HIGH = math.exp(_HIGH)

# The bin of a number follows from its exponent and the first bits of its fraction: an eighth of it wide.
_SHIFT, _PARTS = np.int64(49), 8
_ONE = np.int64(1023 * _PARTS)
#: Bins of relevances and of the mixture, and how many of them lie below 1.
_RELEVANCE, _RELEVANCE_BELOW = 256, np.int64(240)
_MIXTURE, _MIXTURE_BELOW = 512, np.int64(64)


def _edges(bins: int, below: int) -> list[float]:
    """The begin of each bin, and the end of the last one."""
    parts = (divmod(k - below, _PARTS) for k in range(bins + 1))
    return [math.ldexp(1.0 + eighth / _PARTS, exponent) for exponent, eighth in parts]


# Where the bins of relevances begin, the first one at nothing, and logarithms of where the others do.
_RELEVANCE_EDGES = np.array([0.0, *_edges(_RELEVANCE, int(_RELEVANCE_BELOW))[1:]])
_LOG_RELEVANCE = np.array([math.log(edge + FLOOR) for edge in _RELEVANCE_EDGES.tolist()])
_LOG_MIXTURE = np.array([math.log(edge) for edge in _edges(_MIXTURE, int(_MIXTURE_BELOW))])

# The columns of the features.
_COUNTED, _FADING, _SHARE, _AGE, _MIXED = 4, 5, 9, 10, 11


@njit(cache=True)
def bound_cells(c, now, live, weights, scales, block, bits, highest, reach, bounds):
    """The highest score that items of each cell can have of which no neighbour speaks.

    Parameters
    ----------
    c : Cells
    now, weights, scales, block, bits
        As for `weigh`.
    live : int array
        The cells.
    highest, reach : float array, shape (cells,)
        Written for those: the most of the features that know nothing of the user, and of what lately popular
        items add to the mixture.
    bounds : float array, shape (live,)
        Written.
    """
    slack = (_SLACK + _SLACK_OF_EVENT * now) * np.abs(weights).sum()
    silent = weights[0] * 0.0 + (weights[1] + weights[3]) * math.log(FLOOR)
    for begin in range(0, live.size, BLOCK):
        count = min(BLOCK, live.size - begin)
        _corners(c, now, live, weights, block, begin, count)
        for row in (1, 2, 3):
            exponentials(block, bits, row, SPARE, count)
        for k in range(count):
            mass = 0.0
            for t in range(LATELY):
                mass += scales[5 + t] * (block[1 + t, k] * _OF_HIGH)
            # A mixture that counts against an item is taken for nothing.
            block[0, k] = mass if weights[_MIXED] >= 0.0 else 0.0
            block[_MIXED, k] = block[0, k] + MIXED
        logarithms(block, bits, _AGE, SPARE, count)
        logarithms(block, bits, _MIXED, SPARE, count)
        for k in range(count):
            best = slack
            for f in range(_COUNTED, _MIXED):
                best += weights[f] * block[f, k]
            cell = live[begin + k]
            highest[cell], reach[cell] = best, block[0, k]
            bounds[begin + k] = best + silent + weights[_MIXED] * block[_MIXED, k]


@dividing_kernel
def _corners(c, now, live, weights, block, begin, count):
    """The ends of the cells' boxes that score best, as features but for two logarithms.

    Rows 1 to 3 become logarithms of the fading counts that the mixture draws from.
    """
    for k in range(count):
        box = c.boxes[np.uint64(live[begin + k])]
        block[_COUNTED, k] = box[0 + MEASURES * (weights[_COUNTED] >= 0.0)]
        for b in range(RATES.size):
            faded = box[1 + b + MEASURES * (weights[_FADING + b] >= 0.0)] - RATES[b] * now
            block[_FADING + b, k] = max(faded, FAINT)
        block[_SHARE, k] = box[1 + RATES.size + MEASURES * (weights[_SHARE] >= 0.0)]
        # The older, the earlier the first rating.
        first = box[2 + RATES.size + MEASURES * (weights[_AGE] < 0.0)]
        block[_AGE, k] = max(now - first, 0.0) + NEW
        for t in range(LATELY):
            b = RATES.size - LATELY + t
            block[1 + t, k] = min(box[1 + b + MEASURES] - RATES[b] * now - _HIGH, 0.0)


@njit(cache=True)
def bound_supported(near, taste, cells, scales, weights, highest, reach, most):
    """The highest score that items can have of which neighbours speak; those in no cell: infinity.

    Parameters
    ----------
    near, taste : float array, shape (supported,)
        What neighbours say, relative to popularity.
    cells : int32 array, shape (supported,)
        The cell of each, or -1.
    scales : float array, shape (VIEWS + 3,)
        See `survey`.
    weights : float array, shape (features,)
    highest, reach : float array, shape (cells,)
        From `bound_cells`.
    most : float array, shape (supported,)
        Written.
    """
    of_near, of_taste, share = np.empty(_RELEVANCE), np.empty(_RELEVANCE), np.empty(_RELEVANCE)
    mixed = np.empty(_MIXTURE)
    _tables(scales, weights, of_near, of_taste, share, mixed)
    relative = np.empty((3, BLOCK))
    bits = relative.view(np.int64)
    # Multiplied and not divided by: what that rounds otherwise is far less than what bounds are raised by.
    of_best, of_most = 1.0 / scales[0], 1.0 / scales[1]
    for begin in range(0, most.size, BLOCK):
        count = min(BLOCK, most.size - begin)
        for k in range(count):
            i = np.uint64(begin + k)
            relative[0, k], relative[1, k] = near[i] * of_best, taste[i] * of_most
        for k in range(count):
            c = np.uint64(begin + k)
            relevance = _bin(bits[0, k], _RELEVANCE_BELOW, _RELEVANCE)
            lasting = _bin(bits[1, k], _RELEVANCE_BELOW, _RELEVANCE)
            # Wrong for an item in no cell, which is put right below.
            cell = np.uint64(max(cells[c], 0))
            relative[2, k] = share[relevance] + reach[cell] + MIXED
            most[c] = of_near[relevance] + of_taste[lasting] + highest[cell]
        for k in range(count):
            c = np.uint64(begin + k)
            total = most[c] + mixed[_bin(bits[2, k], _MIXTURE_BELOW, _MIXTURE)]
            most[c] = total if cells[c] >= 0 else np.inf


@kernel
def _bin(bits, below, bins):
    return np.uint64(min(max((bits >> _SHIFT) - _ONE + below, 0), bins - 1))


@njit(cache=True)
def _tables(scales, weights, near, taste, share, mixed):
    """The most that a number of each bin adds to a score, or to the mixture."""
    for k in range(_RELEVANCE):
        low, high = _RELEVANCE_EDGES[k], _RELEVANCE_EDGES[k + 1]
        near[k] = _most(weights[0], low, high) + _most(weights[1], _LOG_RELEVANCE[k], _LOG_RELEVANCE[k + 1])
        taste[k] = _most(weights[2], low, high) + _most(weights[3], _LOG_RELEVANCE[k], _LOG_RELEVANCE[k + 1])
        relevance = high if weights[_MIXED] >= 0.0 else low
        share[k] = relevance * (scales[2] + relevance * (scales[3] + relevance * scales[4]))
    for k in range(_MIXTURE):
        mixed[k] = _most(weights[_MIXED], _LOG_MIXTURE[k], _LOG_MIXTURE[k + 1])
    # What is beyond all bins may be anything.
    mixed[_MIXTURE - 1] = np.inf


@njit(cache=True)
def _most(weight, low, high):
    return max(weight * low, weight * high)
