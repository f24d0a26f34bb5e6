r"""Repeats: how likely a user takes something again, and which of the user's items it will be.

Whether the next choice is an item that the user has already, and which one it is, are two questions. As
candidates among all others, a user's own items would crowd out new ones, or the other way round. So the first
question is a gate: with :math:`\rho` the share of repeats among choices of users like this one,

.. math:: P(i) = \rho\, P_{own}(i) \text{ for what the user has}, \quad (1 - \rho)\, P_{new}(i) \text{ else}

:math:`P_{new}` is the blend's own softmax, and :math:`P_{own}` another one, over features of the user's items
(`recommender.models.blend.repeated_pairs`), whose weights are learned from observed repeats as the blend
learns its own.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recommender.history.arrays import enlarge
from recommender.history.events import Events
from recommender.history.history import History
from recommender.models.base import Arrays, FloatArray, IntArray
from recommender.models.blend.blocks import room
from recommender.models.blend.ranking import ListwiseRanker
from recommender.models.blend.repeated_pairs import (
    FEATURES,
    LENGTHS,
    ROWS,
    count_times,
    empty_pairs,
    enter_all,
    log_shares,
    own_items,
    repeated_share,
    with_room,
)
from recommender.models.blend.sample import Budget

#: Weights before the first repeat was observed, in the order of `FEATURES`, and how firmly they are held.
PRIOR = np.array([0.3, 0.2, 0.5, -0.3, 0.0, 0.0])
PRECISION = np.full(len(PRIOR), 5.0)

#: Events that are counted at once, unless somebody asks before.
_AT_ONCE = 2048
_COUNTED = (
    "users", "items", "ratings", "weights", "previous_weights", "numbers", "previous_positions",
)  # fmt: skip
_SAVED = ("users", "items", "times", "short", "long")


class Repeats:
    """Counts what each user takes again, and learns which of their items a user takes next.

    Parameters
    ----------
    history : History
    positive : float
        Events of at least this weight are choices.
    memory : float
        Observations until an old one counts 1/e.
    observations : float
        How many repeats are learned from at first.

    Attributes
    ----------
    ranker : ListwiseRanker
        The weights of the features of a user's own items.
    budget : Budget
        How many repeats may be learned from.
    """

    def __init__(self, history: History, positive: np.float32, memory: float, observations: float) -> None:
        self._history, self._positive, self._memory = history, positive, memory
        self.budget = Budget(observations)
        self._block = room(ROWS)
        self._begin()

    def _begin(self) -> None:
        self.ranker = ListwiseRanker(PRIOR, PRECISION, contexts=0, firmness=1.0, memory=self._memory)
        self._pairs = empty_pairs()
        self._last = np.zeros(0, np.uint8)
        self._shares = np.zeros((LENGTHS, 2, 2))
        #: Events that are still to be counted, and how many.
        self._waiting: list[Events] = []
        self._uncounted = 0

    def learn(self, events: Events) -> None:
        """Count the events, many at once: a call for each would cost more than the work."""
        self._waiting.append(events)
        self._uncounted += len(events)
        if self._uncounted >= _AT_ONCE:
            self._count()

    def _count(self) -> None:
        if not self._waiting:
            return
        runs = ([getattr(events, name) for events in self._waiting] for name in _COUNTED)
        columns = tuple(np.concatenate(each) if len(each) > 1 else each[0] for each in runs)
        self._waiting, self._uncounted = [], 0
        enlarge(self._last, int(columns[0].max()) + 1)
        self._pairs = with_room(self._pairs, len(columns[0]))
        count_times(self._pairs, self._positive, columns, self._last, self._shares)

    def forget_users(self, users: IntArray) -> None:
        """Forget users all of whose ratings are withdrawn."""
        self._count()
        self._last[users[users < len(self._last)]] = 0

    def own(self, user: int) -> tuple[IntArray, FloatArray]:
        """The items that the user may take again, and their features, a row for each."""
        self._count()
        if not self._history.has(user):
            return np.zeros(0, np.int32), np.zeros((0, len(FEATURES)))
        items, features = own_items(self._history.arrays, self._pairs, user, *self._block)
        return items, features

    def observe(self, user: int, item: int) -> None:
        """Learn from an item that the user is about to take again."""
        items, features = self.own(user)
        place = np.flatnonzero(items == item)
        if len(place) == 0 or len(items) < 2:
            return
        self.ranker.learn(features, np.ones(len(items)), int(place[0]), -1)
        self.budget.take(len(items), len(items))

    def score(
        self, user: int, candidates: IntArray, new: NDArray[np.bool_], scores: FloatArray
    ) -> FloatArray:
        """Logarithms of how likely each candidate is next.

        Parameters
        ----------
        user : int
        candidates : int32 array
        new : bool array, shape (candidates,)
            Which of them the user does not have.
        scores : float array
            The blend's own, of those that are new.
        """
        items, features = self.own(user)
        weighted = np.zeros(len(items))
        for column, weight in zip(features.T, self.ranker.weights(-1).tolist(), strict=True):
            weighted += column * weight
        number = int(self._history.arrays.users["events"][user])
        share = float(
            repeated_share(self._shares, number, int(self._last[user]) if user < len(self._last) else 0)
        )
        order = np.argsort(items, kind="stable")
        # What the user has but did not take, as what was disliked, is the least likely of all.
        places = np.searchsorted(items[order], candidates)
        found = places < len(items)
        found[found] = items[order][places[found]] == candidates[found]
        total = np.full(len(candidates), np.nan)
        if found.any():
            own = weighted[order][places[found]]
            log_shares(own, share if new.any() else 1.0, *self._block)
            total[found] = own
        if new.any():
            log_shares(scores, 1.0 - share if found.any() else 1.0, *self._block)
            total[new] = scores
        rest = ~(found | new)
        if rest.any():
            known = total[~rest]
            total[rest] = (float(known.min()) if len(known) else 0.0) - 1.0
        return total

    def state(self) -> Arrays:
        """Columns of the pairs, `last` of all users, `shares`, `observed`, and the ranker's; prefixed."""
        self._count()
        count, last = int(self._pairs.filled[0]), np.zeros(self._history.user_count, np.uint8)
        last[: len(self._last)] = self._last[: len(last)]
        kept: Arrays = {name: getattr(self._pairs, name)[:count].copy() for name in _SAVED}
        kept |= {"last": last, "shares": self._shares.copy()}
        kept |= {
            "observed": np.array([self.budget.observed, self.budget.work], np.int64),
            **self.ranker.state(),
        }
        return {f"repeats_{name}": array for name, array in kept.items()}

    def restore(self, state: Arrays) -> None:
        """Take them over."""
        begin = len("repeats_")
        kept = {name[begin:]: array for name, array in state.items() if name.startswith("repeats_")}
        self._begin()
        count = len(kept["users"])
        self._pairs = with_room(self._pairs, count)
        for name in _SAVED:
            getattr(self._pairs, name)[:count] = kept[name]
        enter_all(self._pairs, count)
        self._last, self._shares = kept["last"].astype(np.uint8), kept["shares"].astype(np.float64)
        self.budget.observed, self.budget.work = (int(count) for count in kept["observed"])
        self.ranker.restore(kept)
