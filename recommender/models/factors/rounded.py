# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
r"""Item factors rounded to a byte each, to find out in one quick pass which few items may be the best.

Scoring a large catalogue takes as long as reading its factors does. An item's factors in whole steps of its
own length, :math:`q_f \approx s c_f` with :math:`|c_f| \le 127`, are an eighth as long. Each is off by half a
step at most, so with a user's factors rounded to steps of :math:`t`, a prediction is off by no more than

.. math:: | p \cdot q - s t \sum_f c_f d_f | \le \tfrac{s}{2} ( \sum_f |p_f| + 127 k t )

with :math:`d_f` the user's. An item that cannot reach the n-th highest in spite of that is left out, and only
the others, a few dozen of a million, need their exact scores. So the best are the same to the bit. Databases
of vectors scan rounded ones for the same reason (Jegou, Douze and Schmid: Product quantization for nearest
neighbor search, PAMI 2011), but without bounds, and so without a promise.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import dividing_kernel, kernel
from recommender.models.base import FloatArray, IntArray
from recommender.models.topk import replace_least

#: Items are kept in blocks of this many, factor by factor, so that they are summed side by side.
BLOCK = 64
#: The largest rounded factor of an item, and of a user: the sum of 1024 products is below 2**31.
_ITEM, _USER = 127, 8191
#: Bounds of what is rounded; beyond, items are left to exact scores.
_SMALLEST, _LARGEST = 1e-200, 1e150
#: The bound on a score is widened by a share of it and by a constant: the exact scores have rounding errors
#: too.
_RELATIVE, _ABSOLUTE = 1.0 + 1e-6, 1e-15


class RoundedItems:
    """A rounded copy of all items' factors; made from these alone, so it is no state.

    Parameters
    ----------
    width : int
        Factors of an item, a multiple of 4 and at most 1024; those beyond the model's own are 0.

    Attributes
    ----------
    changed : uint8 array, shape (at least items,)
        By item: 1 when its factors have changed, 0 once they are rounded again.
    """

    def __init__(self, width: int) -> None:
        self._codes = np.zeros((0, width, BLOCK), np.int8)
        self._steps = np.zeros(0)
        self.changed = np.zeros(0, np.uint8)
        self._totals, self._highs, self._lows = np.zeros(BLOCK, np.int32), np.zeros(BLOCK), np.zeros(BLOCK)

    def grow(self, count: int) -> None:
        """Make room for at least this many items; the new ones have changed."""
        grown = np.ones(-(-count // BLOCK) * BLOCK, np.uint8)
        grown[: len(self.changed)] = self.changed
        self.changed = grown

    def refresh(self, factors: FloatArray, count: int) -> None:
        """Round the factors of those of the first `count` items that have changed."""
        size = -(-count // BLOCK) * BLOCK
        if size > len(self._steps):
            # Room for as many as there is room for factors: it grows as seldom as theirs.
            codes = np.zeros((len(self.changed) // BLOCK, *self._codes.shape[1:]), np.int8)
            codes[: len(self._codes)] = self._codes
            steps = np.zeros(len(self.changed))
            steps[: len(self._steps)] = self._steps
            self._codes, self._steps = codes, steps
        _round(factors, count, self.changed, self.changed.view(np.uint64), self._codes, self._steps)

    def may_lead(self, user: FloatArray, candidates: IntArray, n: int, by_distance: bool) -> NDArray[np.intp]:
        """Places of the candidates that may be among the best n, ascending; all of the best are there.

        Parameters
        ----------
        user : float array, shape (width,)
        candidates : int32 array
            Items that were there at the last `refresh`; quickest if they are ascending.
        n : int
        by_distance : bool
            Whether scores are predictions, or how near these are to 1.
        """
        largest = float(np.abs(user).max())
        if not largest <= _LARGEST:
            return np.arange(len(candidates))
        step = max(largest / _USER, _SMALLEST)
        reach = 0.5 * float(np.abs(user).sum()) + 0.5 * _ITEM * len(user) * step
        places, highest = np.empty(len(candidates), np.intp), np.empty(len(candidates))
        count = _may_lead(
            self._codes,
            self._steps,
            np.rint(user / step).astype(np.int32),
            step,
            reach * _RELATIVE,
            candidates,
            by_distance,
            np.full(n, -np.inf),
            self._totals,
            self._highs,
            self._lows,
            places,
            highest,
        )
        return places[:count]


@kernel
def _round(factors, count, changed, words, codes, steps):
    for word in range((count + 7) // 8):
        if words[word] == 0:
            continue
        for item in range(8 * word, min(8 * word + 8, count)):
            if changed[item]:
                changed[item] = 0
                _round_item(factors, item, codes, steps)


@dividing_kernel
def _round_item(factors, item, codes, steps):
    block, lane = np.uint64(item // BLOCK), np.uint64(item % BLOCK)
    largest = 0.0
    for f in range(np.uint64(factors.shape[1])):
        size = abs(factors[item, f])
        # Written so that what is no number counts as too large.
        if not size <= largest:
            largest = size if size <= _LARGEST else np.inf
    steps[item] = max(largest / _ITEM, _SMALLEST)
    inverse = 1.0 / steps[item]
    for f in range(np.uint64(factors.shape[1])):
        codes[block, f, lane] = np.int8(math.floor(factors[item, f] * inverse + 0.5))


@kernel
def _may_lead(
    codes, steps, user, step, reach, candidates, by_distance, heap, totals, highs, lows, places, highest
):
    block, found, least = np.uint64(codes.shape[0]), 0, -np.inf
    for c in range(candidates.size):
        item = np.uint64(candidates[c])
        if item // np.uint64(BLOCK) != block:
            block = item // np.uint64(BLOCK)
            _bound(codes, steps, user, step, reach, by_distance, block, totals, highs, lows)
        lane = item % np.uint64(BLOCK)
        # Bounds that are no numbers, of factors too large to be rounded, are below nothing.
        if highs[lane] < least:
            continue
        places[found], highest[found] = c, highs[lane]
        found += 1
        if lows[lane] > least:
            replace_least(heap, lows[lane])
            least = heap[0]
    count = 0
    for place in range(found):
        if not highest[place] < least:
            places[count] = places[place]
            count += 1
    return count


@kernel
def _bound(codes, steps, user, step, reach, by_distance, block, totals, highs, lows):
    """The highest and lowest score that each item of a block may have."""
    for lane in range(BLOCK):
        totals[lane] = 0
    for quarter in range(np.uint64(codes.shape[1]) // np.uint64(4)):
        f = quarter * np.uint64(4)
        g, h, i = f + np.uint64(1), f + np.uint64(2), f + np.uint64(3)
        for lane in range(BLOCK):
            totals[lane] += (
                np.int32(codes[block, f, lane]) * user[f] + np.int32(codes[block, g, lane]) * user[g]
                + np.int32(codes[block, h, lane]) * user[h] + np.int32(codes[block, i, lane]) * user[i]
            )  # fmt: skip
    for lane in range(np.uint64(BLOCK)):
        item = block * np.uint64(BLOCK) + lane
        score, off = np.float64(totals[lane]) * step * steps[item], steps[item] * reach + _ABSOLUTE
        if by_distance:
            score = -abs(1.0 - score)
        high = score + off
        highs[lane] = 0.0 if by_distance and high > 0.0 else high
        lows[lane] = score - off


def warm() -> None:
    """Compile or load the kernels."""
    rounded = RoundedItems(4)
    rounded.grow(1)
    rounded.refresh(np.zeros((1, 4)), 1)
    rounded.may_lead(np.zeros(4), np.zeros(1, np.int32), 1, True)
