# mypy: allow-untyped-defs, allow-untyped-calls
# numba types the kernels by what they are called with.
"""Trials of factors: variants of the learned ranking, compared on each observed choice.

A softmax is fitted to where all choices fall, a recommendation is seen only at the top. There popularity,
which explains most of the choices that nobody could foresee, tends to have a weight that is too large, and
where nothing but popularity can be known, one that is too small. So a few factors for the weights of
popularity are tried on every choice, each by the place that it would have given to what was chosen. The one
with the largest lead is used, as in follow the leader (Cesa-Bianchi and Lugosi: Prediction, Learning, and
Games, 2006), but of each lead so much is taken off as chance may have given it: where choices are seldom
foreseen, a few lucky ones must not decide.
"""

from __future__ import annotations

import numpy as np

from recommender.compiled import kernel, njit
from recommender.models.base import Arrays, FloatArray
from recommender.models.elementary import LOG_2, log

#: The factors that are tried; the first is used until another one leads. The one that is 1 is `UNSCALED`.
FACTORS = np.array([0.375, 0.625, 0.25, 1.0, 0.0, 2.0, 4.0])
UNSCALED = 3
#: Standard errors that are taken off a lead.
DOUBT = 1.0
#: The square of a lead that is thought possible before anything was tried.
FIRST_SQUARE = 0.5
#: Places beyond this gain nothing.
DEPTH = 100


class Trials:
    """Leads of the factors over the first of them.

    Parameters
    ----------
    first, last : int
        The factors are for the weights of features `first` to `last`, without the latter.
    memory : float
        Choices until the gain of an old one has fallen to 1/e.
    """

    def __init__(self, first: int, last: int, memory: float = 1000.0) -> None:
        self.first, self.last = first, last
        self.keep = 1.0 - 1.0 / memory
        #: Sums of what each factor gained more than the first, and of the squares of that.
        self.leads, self.squares = np.zeros(len(FACTORS)), np.full(len(FACTORS), FIRST_SQUARE)
        self._doubts = np.full(len(FACTORS), DOUBT)
        self._doubts[0] = 0.0

    @property
    def best(self) -> int:
        """The number of the factor to use."""
        return int(np.argmax(self.leads - self._doubts * np.sqrt(self.squares)))

    def applied(self, weights: FloatArray) -> FloatArray:
        """The weights with the factor to use."""
        scaled = weights.copy()
        scaled[self.first : self.last] *= FACTORS[self.best]
        return scaled

    def state(self) -> Arrays:
        """`leads` and `squares`, shape (factors,)."""
        return {"leads": self.leads.copy(), "squares": self.squares.copy()}

    def restore(self, state: Arrays) -> None:
        """Take them over."""
        self.leads = state["leads"].astype(np.float64)
        self.squares = state["squares"].astype(np.float64)


@njit(cache=True)
def update_leads(fixed, scaled, sample_weights, chosen, keep, leads, squares):
    """Let each factor gain 1 / log2(rank + 2) by the rank that it gives to the chosen row.

    Parameters
    ----------
    fixed, scaled : float array, shape (candidates,)
        The parts of the scores that no factor and that all factors are applied to.
    sample_weights : float array, shape (candidates,)
        Whole numbers.
    chosen : int
    keep : float
    leads, squares : float array, shape (factors,)
        Updated.

    Returns
    -------
    float
        How many are ahead of the chosen row by the scores themselves.
    """
    ranks = np.zeros(FACTORS.size)
    # As whole numbers, whose sum becomes vector instructions: they may be added in any order.
    row_weights = sample_weights.astype(np.int64)
    for k in range(FACTORS.size):
        ranks[k] = _ahead(fixed, scaled, FACTORS[k], row_weights, chosen)
    for k in range(FACTORS.size):
        gain = LOG_2 / log(ranks[k] + 2.0) if ranks[k] < DEPTH else 0.0
        first = LOG_2 / log(ranks[0] + 2.0) if ranks[0] < DEPTH else 0.0
        lead = gain - first
        leads[k] = leads[k] * keep + lead
        squares[k] = squares[k] * keep + (1.0 - keep) * FIRST_SQUARE + lead * lead
    return ranks[UNSCALED]


@kernel
def _ahead(fixed, scaled, factor, row_weights, chosen):
    """Count the rows above the chosen one where a factor is applied."""
    own, ahead = fixed[chosen] + factor * scaled[chosen], np.int64(0)
    for row in range(np.uint64(fixed.size)):
        ahead += row_weights[row] if fixed[row] + factor * scaled[row] > own else np.int64(0)
    return ahead
