# mypy: allow-untyped-defs, allow-untyped-calls
# numba types the kernels by what they are called with.
"""How far to trust some of the weights: variants of a ranking, tried on each observed choice.

A softmax is fitted to where all choices fall, a recommendation is seen only at the top. There popularity,
which explains most of the choices that nobody could foresee, tends to have a weight that is too large. How
much too large differs by stream. So a few factors for those weights are tried on every choice, each by the
place that it would have given to what was chosen, and the best so far is used: follow the leader, as in
Cesa-Bianchi and Lugosi: Prediction, Learning, and Games, 2006.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from recommender.models.base import Arrays, FloatArray

#: The factors that are tried; of equally good ones the first is used.
FACTORS = np.array([0.375, 0.625, 0.25, 1.0, 0.0])
#: What the first one is ahead by, so that it takes more than chance to leave it.
HEAD_START = 15.0
#: Places beyond this gain nothing.
DEPTH = 20


class Trials:
    """Gains of the factors for the weights of features `first` to `last`, without the latter.

    Parameters
    ----------
    first, last : int
    memory : float
        Choices until the gain of an old one has fallen to 1/e.
    """

    def __init__(self, first: int, last: int, memory: float = 1000.0) -> None:
        self._first, self._last = first, last
        self._keep = 1.0 - 1.0 / memory
        self._gains = np.zeros(len(FACTORS))
        self._gains[0] = HEAD_START

    @property
    def factor(self) -> float:
        """The factor with the largest gain."""
        return float(FACTORS[int(np.argmax(self._gains))])

    def applied(self, weights: FloatArray) -> FloatArray:
        """The weights with the best factor."""
        scaled = weights.copy()
        scaled[self._first : self._last] *= self.factor
        return scaled

    def learn(self, features: FloatArray, stands_for: FloatArray, weights: FloatArray, chosen: int) -> None:
        """Try all factors on one choice, each gaining 1 / log2(rank + 2); see `ListwiseRanker.learn`."""
        _try(features, stands_for, weights, chosen, self._first, self._last, FACTORS, self._keep, self._gains)

    def state(self) -> Arrays:
        """`gains`, shape (factors,)."""
        return {"gains": self._gains.copy()}

    def restore(self, state: Arrays) -> None:
        """Take them over."""
        self._gains = state["gains"].astype(np.float64)


@njit(cache=True)
def _try(features, stands_for, weights, chosen, first, last, factors, keep, gains):
    rows, size = features.shape
    fixed, scaled = np.zeros(rows), np.zeros(rows)
    for row in range(rows):
        for f in range(size):
            part = features[row, f] * weights[f]
            if first <= f < last:
                scaled[row] += part
            else:
                fixed[row] += part
    for k in range(factors.size):
        own = fixed[chosen] + factors[k] * scaled[chosen]
        rank = 0.0
        for row in range(rows):
            if fixed[row] + factors[k] * scaled[row] > own:
                rank += stands_for[row]
        gains[k] *= keep
        if rank < DEPTH:
            gains[k] += 1.0 / math.log2(rank + 2.0)
