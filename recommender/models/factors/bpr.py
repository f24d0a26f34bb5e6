# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
r"""Matrix factorization that learns to rank: Bayesian personalized ranking.

Rendle et al.: BPR: Bayesian Personalized Ranking from Implicit Feedback (UAI 2009), in the incremental form
of `flurs.recommender.BPRMFRecommender`. For each positive event of user :math:`u` and item :math:`i`, items
:math:`j` are drawn that the user has not, and for each of them, with :math:`g = 1 / (1 + e^{p_u \cdot (q_i
- q_j)})`:

.. math:: p_u' &= p_u + \eta (g (q_i - q_j) - \lambda p_u) \\
          q_i' &= q_i + \eta (g p_u - \lambda q_i) \\
          q_j' &= q_j + \eta (-g p_u - \lambda q_j)

FluRS adds the terms of :math:`\lambda`, so its vectors grow; with :math:`\lambda = 0`, and the same vectors
and draws, factors are equal to 1e-9. Where FluRS raises because a user has every item, nothing is learned
here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel
from recommender.history.events import Events
from recommender.history.history import History
from recommender.history.index import find
from recommender.models.base import ModelContext
from recommender.models.elementary import exp
from recommender.models.factors import rounded
from recommender.models.factors.kernels import product
from recommender.models.factors.mf import MF
from recommender.models.options import between
from recommender.models.randomness import mix

#: Draws for each negative until they are given up: the user has nearly everything.
_TRIES = 32


class BPR(MF):
    """Users' and items' factors, learned from pairs of an item that was chosen and one that was not.

    Parameters
    ----------
    k : int
        Number of factors.
    learn_rate, l2_reg : float
        The step and the shrinkage above.
    negatives : int
        Items that are drawn for each positive event.
    """

    #: What a user has is read from the history.
    reads_history_to_learn = True

    def __init__(
        self,
        context: ModelContext,
        *,
        k: int = 40,
        learn_rate: float = 0.2,
        l2_reg: float = 0.01,
        negatives: int = 5,
    ) -> None:
        between("bpr", "k", k, 1, 1024)
        between("bpr", "learn_rate", learn_rate, 0.0, 1.0)
        between("bpr", "l2_reg", l2_reg, 0.0, 1.0)
        between("bpr", "negatives", negatives, 1, 1000)
        super().__init__(context, k=k, rank="prediction", rate="constant", negatives=0)
        self._history = context.history
        self._rate, self._shrinkage, self._negatives = learn_rate, l2_reg, negatives

    def learn(self, events: Events) -> None:
        """A step for each negative drawn, at each positive event."""
        if len(events) == 0:
            return
        self._meet(events)
        self._absent[events.items] = 0
        first = self._history.event_count - len(events)
        for e in range(len(events)):
            if events.weights[e] >= self._positive:
                user = int(events.users[e])
                self.step(user, int(events.items[e]), self.draw_negatives(first + e, user))

    def draw_negatives(self, event: int, user: int) -> NDArray[np.int32]:
        """Items that the user has not, each equally likely; by the seed and the event's number alone."""
        drawn = np.empty(self._negatives, np.int32)
        count = _draw(self._history.arrays, user, self._counts[1], self._absent, self._seed, event, drawn)
        return drawn[:count]

    def step(self, user: int, item: int, negatives: NDArray[np.int32]) -> None:
        """Move the vectors of a user, an item and each negative in turn."""
        _rank(*self._factors, user, item, negatives, self._rate, self._shrinkage, self._rounded.changed)

    @staticmethod
    def warm() -> None:
        """Compile or load the kernels."""
        history = History(1)
        model = BPR(ModelContext(history))
        for item in (0, 1):
            model.learn(history.append([item], [item], [1.0], [1.0], [0.0]))
        model.score(0, np.zeros(1, np.int32))
        rounded.warm()


@kernel
def _draw(h, user, items, absent, seed, event, drawn):
    """Fill `drawn` as far as items can be found; how far that is."""
    key = mix(mix(np.uint64(seed), np.uint64(2)), np.uint64(event))
    count = 0
    for attempt in range(drawn.size * _TRIES):
        item = np.int64(mix(key, np.uint64(attempt)) % np.uint64(items))
        if find(h, user, item) < 0 and absent[item] == 0:
            drawn[count] = item
            count += 1
            if count == drawn.size:
                break
    return count


@kernel
def _rank(user_factors, item_factors, user, item, negatives, rate, shrinkage, changed):
    changed[item] = 1
    for n in range(negatives.size):
        other = negatives[n]
        changed[other] = 1
        margin = product(user_factors, user, item_factors, item)
        margin -= product(user_factors, user, item_factors, other)
        gradient = 1.0 / (1.0 + exp(margin))
        for f in range(user_factors.shape[1]):
            p, q, r = user_factors[user, f], item_factors[item, f], item_factors[other, f]
            user_factors[user, f] = p + rate * (gradient * (q - r) - shrinkage * p)
            item_factors[item, f] = q + rate * (gradient * p - shrinkage * q)
            item_factors[other, f] = r + rate * (-gradient * p - shrinkage * r)
