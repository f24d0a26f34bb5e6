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

import numpy as np

from recommender.compiled import njit
from recommender.models.base import Arrays, FloatArray
from recommender.models.elementary import LOG_2, log

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
        self.first, self.last = first, last
        self.keep = 1.0 - 1.0 / memory
        self.gains = np.zeros(len(FACTORS))
        self.gains[0] = HEAD_START

    @property
    def factor(self) -> float:
        """The factor with the largest gain."""
        return float(FACTORS[int(np.argmax(self.gains))])

    def applied(self, weights: FloatArray) -> FloatArray:
        """The weights with the best factor."""
        scaled = weights.copy()
        scaled[self.first : self.last] *= self.factor
        return scaled

    def state(self) -> Arrays:
        """`gains`, shape (factors,)."""
        return {"gains": self.gains.copy()}

    def restore(self, state: Arrays) -> None:
        """Take them over."""
        self.gains = state["gains"].astype(np.float64)


@njit(cache=True)
def judge(fixed, scaled, stands_for, chosen, keep, gains):
    """Let each factor gain 1 / log2(rank + 2) by the rank that it gives to the chosen row.

    Parameters
    ----------
    fixed, scaled : float array, shape (candidates,)
        The parts of the scores that no factor and that all factors are applied to.
    stands_for : float array, shape (candidates,)
    chosen : int
    """
    own, ranks = np.empty(FACTORS.size), np.zeros(gains.size)
    for k in range(FACTORS.size):
        own[k] = fixed[chosen] + FACTORS[k] * scaled[chosen]
    for row in range(fixed.size):
        for k in range(FACTORS.size):
            ranks[k] += stands_for[row] * np.float64(fixed[row] + FACTORS[k] * scaled[row] > own[k])
    for k in range(gains.size):
        gains[k] *= keep
        if ranks[k] < DEPTH:
            gains[k] += LOG_2 / log(ranks[k] + 2.0)
