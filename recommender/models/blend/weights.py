"""The weights of a blend: how much each feature counts, learned from what users choose.

A choice teaches how to rank (`recommender.models.blend.ranking`), the more the nearer to the top it stood
(`recommender.models.blend.worth`); and it tells how far to trust popularity at the top of the list
(`recommender.models.blend.trials`).
"""

from __future__ import annotations

import numpy as np

from recommender.history.history import History
from recommender.models.base import Arrays, FloatArray, IntArray
from recommender.models.blend.blocks import room
from recommender.models.blend.choice import observe_choice
from recommender.models.blend.features import POPULARITY, ROWS
from recommender.models.blend.marks import Sums
from recommender.models.blend.ranking import ListwiseRanker
from recommender.models.blend.trials import Trials
from recommender.models.blend.worth import Worth

#: Weights before the first observation, in the order of `FEATURES`: about the mean of what was learned on the
#: first halves of nine streams of several kinds (films, purchases, files that developers change, generated
#: ones).
PRIOR = np.array([0.6, 0.0, 0.0, -0.1, -0.4, 0.15, 0.05, 0.4, 0.2, 0.5, -0.15, 0.65])
#: How firmly they are held: two over the variance between those streams, but the two kinds of neighbours less
#: firmly. There are streams where one of them, or both, say nothing, and that must be found out soon.
PRECISION = 2.0 * np.array([5.0, 11.0, 2.0, 20.0, 4.5, 19.0, 28.0, 35.0, 14.0, 6.0, 10.0, 14.0])
#: Users with fewer entries than this have a short history.
SHORT = 6


def context_of(history: History, user: int) -> int:
    """0 for a user without history, 1 for a short one, -1 for all others."""
    entries = int(history.arrays.users["live"][user]) if 0 <= user < history.user_count else 0
    if entries == 0:
        return 0
    return 1 if entries < SHORT else -1


class Weights:
    """Learns the weights, and has them for each context.

    Parameters
    ----------
    memory : float
        Observations until an old one counts 1/e.

    Attributes
    ----------
    ranker : ListwiseRanker
    trials : Trials
    applied : dict
        The weights as they are applied, by context; until the next observation.
    """

    def __init__(self, memory: float) -> None:
        self.ranker = ListwiseRanker(PRIOR, PRECISION, contexts=2, firmness=2.0, memory=memory)
        self.trials = Trials(*POPULARITY)
        self.applied: dict[int, FloatArray] = {}
        self._worth = Worth(memory)
        self._block = room(ROWS)

    def of(self, context: int) -> FloatArray:
        """The weights for a context, in the order of `FEATURES`."""
        found = self.applied.get(context)
        if found is None:
            found = self.applied[context] = self.trials.applied(self.ranker.weights(context))
        return found

    def learn(
        self,
        table: FloatArray,
        now: float,
        candidates: IntArray,
        sample_weights: FloatArray,
        sums: Sums,
        *,
        chosen: int,
        turn: int,
        context: int,
    ) -> None:
        """Learn from what a user chose among candidates; the parameters are those of `observe_choice`."""
        trials = self.trials
        features, row_weights, row, ahead = observe_choice(
            table,
            now,
            candidates,
            sample_weights,
            sums,
            chosen,
            turn,
            self.ranker.weights(context),
            trials.first,
            trials.last,
            trials.keep,
            trials.leads,
            trials.squares,
            *self._block,
        )
        self.ranker.learn(features, row_weights, row, context, self._worth.of(ahead))
        self.applied.clear()

    def state(self) -> Arrays:
        """The states of the parts."""
        return {**self.ranker.state(), **self.trials.state(), **self._worth.state()}

    def restore(self, state: Arrays) -> None:
        """Take them over."""
        self.ranker.restore(state)
        self.trials.restore(state)
        self._worth.restore(state)
        self.applied.clear()
