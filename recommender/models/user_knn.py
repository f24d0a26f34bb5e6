# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
r"""User neighbours: what those who rate as you do gave to an item.

Papagelis et al.: Incremental Collaborative Filtering for Highly-Scalable Recommendation Algorithms (ISMIS
2005), which `flurs.recommender.UserKNNRecommender` means to be. With :math:`\mu_u` the mean of a user's
ratings and sums over the items that both rated:

.. math:: S_{uv} = \frac{\sum_i (r_{ui} - \mu_u)(r_{vi} - \mu_v)}
                        {\sqrt{\sum_i (r_{ui} - \mu_u)^2} \sqrt{\sum_i (r_{vi} - \mu_v)^2}}
                   \cdot \frac{n}{n + shrink}, \qquad
          \hat r_{ui} = \mu_u + \frac{\sum_{v \in N_k} S_{uv} (r_{vi} - \mu_v)}{\sum_{v \in N_k} S_{uv}}

:math:`N_k` are the k most similar users of positive similarity; those of them count who rated the item, and
an item that none of them rated is predicted as :math:`\mu_u`. FluRS updates its sums event by event with
cross terms that go wrong at a second rating, counts unrated items as rated 0, and costs users x items an
event. Here nothing is kept but sums of ratings by user: similarities are found for the one user who asks,
from the raters of that user's items, so re-rating and withdrawal are exact.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel, njit
from recommender.history.arrays import grown
from recommender.history.events import Events
from recommender.history.history import History
from recommender.history.layout import ITEM_COUNT, USER_COUNT
from recommender.models.base import Arrays, FloatArray, IntArray, Model, ModelContext
from recommender.models.options import between

# Sums over the items that two users both rated.
_COUNT, _OWN, _OTHER, _OWN_SQUARED, _OTHER_SQUARED, _PRODUCT = range(6)


class UserKNN(Model):
    """Ratings predicted from the most similar users; see the module.

    Parameters
    ----------
    k : int
        Number of neighbours, FluRS' default.
    shrink : float
        Items that two users must share for a similarity to count half; 0 is FluRS' formula.
    """

    def __init__(self, context: ModelContext, *, k: int = 5, shrink: float = 0.0) -> None:
        between("user-knn", "k", k, 1, 1_000_000)
        between("user-knn", "shrink", shrink, 0.0, 1e9)
        self._history: History = context.history
        self._k, self._shrink = k, shrink
        self._sums = np.zeros((0, 2))
        self._users = 0

    def learn(self, events: Events) -> None:
        """Keep each user's number and sum of ratings."""
        if len(events) == 0:
            return
        self._users = max(self._users, int(events.users.max()) + 1)
        self._sums = grown(self._sums, self._users)
        _add(events.users, events.ratings, events.previous_ratings, self._sums)

    def forget_user(self, user: int) -> None:
        """Forget what rounding has left of the sum."""
        if user < self._users:
            self._sums[user] = 0.0

    def similarities(self, user: int) -> tuple[IntArray, FloatArray]:
        """The neighbours, most similar first, and how similar they are; equal ones by index."""
        if not 0 <= user < self._users or self._sums[user, 0] == 0.0:
            return np.empty(0, np.int32), np.empty(0)
        shared = np.zeros((self._history.user_count, 6))
        _share(self._history.arrays, user, shared)
        others = np.flatnonzero(shared[:, _COUNT] > 0.0)
        found = _similar(shared[others], self._means()[others], self._means()[user], self._shrink)
        others, found = others[found > 0.0], found[found > 0.0]
        order = np.lexsort((others, -found))[: self._k]
        return others[order].astype(np.int32), found[order]

    def _means(self) -> FloatArray:
        means: FloatArray = self._sums[: self._users, 1] / np.maximum(self._sums[: self._users, 0], 1.0)
        return means

    def _votes(self, user: int) -> NDArray[np.float64]:
        """Weighted deviations, weights and numbers of neighbours for each item, shape (items, 3)."""
        votes = np.zeros((self._history.item_count, 3))
        neighbours, found = self.similarities(user)
        if len(neighbours):
            _vote(self._history.arrays, neighbours, found, self._means(), votes)
        return votes

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """Predicted ratings; 0 for a user of whom nothing is known."""
        known = 0 <= user < self._users
        scores = np.full(len(candidates), float(self._means()[user]) if known else 0.0)
        votes = self._votes(user)
        inside = (candidates >= 0) & (candidates < len(votes))
        rows = votes[candidates[inside]]
        scores[inside] += np.where(rows[:, 1] > 0.0, rows[:, 0] / np.maximum(rows[:, 1], 1e-300), 0.0)
        return scores

    def neighbours(self, user: int, candidates: IntArray) -> IntArray:
        """The number of neighbours who rated each candidate."""
        votes = self._votes(user)
        counts = np.zeros(len(candidates), np.int32)
        inside = (candidates >= 0) & (candidates < len(votes))
        counts[inside] = votes[candidates[inside], 2]
        return counts

    def state(self) -> Arrays:
        """`sums`, shape (users, 2): how many ratings of each user stand, and their sum."""
        return {"sums": self._sums[: self._users].copy()}

    def restore(self, state: Arrays) -> None:
        """Take the sums over."""
        self._sums = state["sums"].astype(np.float64)
        self._users = len(self._sums)

    @staticmethod
    def warm() -> None:
        """Compile or load the kernels."""
        history = History(4)
        model = UserKNN(ModelContext(history))
        model.learn(history.append([0, 0, 1, 1], [0, 1, 0, 1], [1.0, 2.0, 1.0, 2.0], [1.0] * 4, [0.0] * 4))
        model.score(0, np.arange(2, dtype=np.int32))


@kernel
def _add(users, ratings, previous_ratings, sums):
    for e in range(users.size):
        row = sums[users[e]]
        if not np.isnan(previous_ratings[e]):
            row[0] -= 1.0
            row[1] -= np.float64(previous_ratings[e])
        if not np.isnan(ratings[e]):
            row[0] += 1.0
            row[1] += np.float64(ratings[e])


@kernel
def _share(h, user, shared):
    """Sums over the items that each other user shares with this one."""
    own = h.users[user]
    for s in range(own.start, own.start + own.used):
        item = h.entry_items[s]
        if item < 0 or item >= h.meta[ITEM_COUNT]:
            continue
        rating = np.float64(h.entry_ratings[s])
        i = h.items[item]
        for ring in range(i.start, i.start + min(i.events, np.int64(i.capacity))):
            other = h.ring_users[ring]
            if other < 0 or other == user or other >= h.meta[USER_COUNT]:
                continue
            given = np.float64(h.entry_ratings[h.users[other].start + h.ring_entries[ring]])
            shared[other, _COUNT] += 1.0
            shared[other, _OWN] += rating
            shared[other, _OTHER] += given
            shared[other, _OWN_SQUARED] += rating * rating
            shared[other, _OTHER_SQUARED] += given * given
            shared[other, _PRODUCT] += rating * given


@njit(cache=True)
def _similar(shared, means, mean, shrink):
    found = np.zeros(len(shared))
    for row in range(len(shared)):
        count, own, other, own_squared, other_squared, product = shared[row]
        covariance = product - means[row] * own - mean * other + count * mean * means[row]
        own_spread = own_squared - 2.0 * mean * own + count * mean * mean
        other_spread = other_squared - 2.0 * means[row] * other + count * means[row] * means[row]
        # Differences of equal sums leave a rest that is no spread.
        if own_spread > 1e-9 and other_spread > 1e-9:
            found[row] = (
                covariance / (math.sqrt(own_spread) * math.sqrt(other_spread)) * count / (count + shrink)
            )
    return found


@kernel
def _vote(h, neighbours, found, means, votes):
    for n in range(neighbours.size):
        v = h.users[neighbours[n]]
        for s in range(v.start, v.start + v.used):
            item = h.entry_items[s]
            if item >= 0:
                votes[item, 0] += found[n] * (np.float64(h.entry_ratings[s]) - means[neighbours[n]])
                votes[item, 1] += found[n]
                votes[item, 2] += 1.0
