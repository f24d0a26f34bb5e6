"""The worth of an observed choice for learning: the more, the nearer to the top it stood.

The likelihood of a softmax is made of all choices alike, and most are of items that no model puts among
the first hundred. Weights fitted to those tell what lies somewhere in the first thousand from what does not,
which no list of ten shows. So an observation counts for less, the more candidates score higher than what was
chosen.

The worths' mean is kept near 1: where little can be foreseen, or is not known yet, no choice stands near the
top, and all of them together must not count for less.
"""

from __future__ import annotations

import numpy as np

from recommender.models.base import Arrays

#: The number of candidates ahead with which an observation is worth half of what it is with none.
HALF = 50.0
#: The mean before the first observation, and how many observations it always stands for.
FIRST_MEAN, FIRST_COUNT = 0.3, 20.0
#: The most that an observation counts for.
MOST = 5.0


class Worth:
    """Keeps the mean worth of observations.

    Parameters
    ----------
    memory : float
        Observations until an old one counts 1/e.
    """

    def __init__(self, memory: float = 1000.0) -> None:
        self._keep = 1.0 - 1.0 / memory
        self._total, self._count = 0.0, 0.0

    def of(self, ahead: float) -> float:
        """The number of observations that one counts for, by how many candidates stand ahead of it."""
        raw = 1.0 / (1.0 + ahead / HALF)
        self._total = self._total * self._keep + raw
        self._count = self._count * self._keep + 1.0
        mean = (self._total + FIRST_COUNT * FIRST_MEAN) / (self._count + FIRST_COUNT)
        return min(raw / mean, MOST)

    def state(self) -> Arrays:
        """`worths`: their sum and their number, both fading."""
        return {"worths": np.array([self._total, self._count])}

    def restore(self, state: Arrays) -> None:
        """Take them over."""
        self._total, self._count = (float(value) for value in state["worths"])
