# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Popularity: the same order for all users."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import njit
from recommender.history.arrays import grown
from recommender.history.events import Events
from recommender.history.history import History
from recommender.models.base import Arrays, FloatArray, IntArray, Model, ModelContext
from recommender.models.elementary import LOG_2, exp, exponentials
from recommender.models.options import between

Number = TypeVar("Number", np.int64, np.float64)


class Popular(Model):
    """The number of users whose rating of an item stands and is positive.

    A rating that was replaced or withdrawn no longer counts.
    """

    def __init__(self, context: ModelContext) -> None:
        self._positive = np.float32(context.positive_weight)
        self._counts = np.zeros(0, np.int64)
        self._items = 0

    def learn(self, events: Events) -> None:
        """Count the positive ones and discount what they replaced."""
        if len(events) == 0:
            return
        self._items = max(self._items, int(events.items.max()) + 1)
        self._counts = grown(self._counts, self._items)
        _count(
            self._positive,
            events.items,
            events.ratings,
            events.weights,
            events.previous_weights,
            self._counts,
        )

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """Counts; 0 for an item never rated."""
        return _gathered(self._counts, candidates)

    def state(self) -> Arrays:
        """`counts`, int64, shape (items,)."""
        return {"counts": self._counts[: self._items].copy()}

    def restore(self, state: Arrays) -> None:
        """Take the counts over."""
        self._counts = state["counts"].astype(np.int64)
        self._items = len(self._counts)

    @staticmethod
    def warm() -> None:
        """Compile or load the kernels."""
        history = History(1)
        model = Popular(ModelContext(history))
        model.learn(history.append([0], [0], [1.0], [1.0], [0.0]))
        model.score(0, np.zeros(1, np.int32))


class PopularRecent(Model):
    r"""Positive ratings, each fading with the number of events learned since.

    .. math:: s_i = \sum_{e \text{ positive, of } i} 2^{-(now - e) / half\_life}

    An item's sum is kept as of its own last event, so nothing is ever renormalised. Which age a replaced or
    withdrawn rating had is not kept; it takes the mean share of the item's positive ratings with it, so the
    sum never falls below zero and is zero when none is left.

    Parameters
    ----------
    half_life : float
        Events of any kind until a rating counts half.
    """

    def __init__(self, context: ModelContext, *, half_life: float = 5000.0) -> None:
        between("popular-recent", "half_life", half_life, 1.0, 1e15)
        self._positive = np.float32(context.positive_weight)
        self._rate = -LOG_2 / half_life
        self._event = 0
        self._items = 0
        self._counts = np.zeros(0, np.int64)
        self._sums = np.zeros(0, np.float64)
        self._updated = np.zeros(0, np.int64)

    def learn(self, events: Events) -> None:
        """Let each event's item fade until now, then add or take away."""
        if len(events) == 0:
            return
        self._items = max(self._items, int(events.items.max()) + 1)
        self._counts = grown(self._counts, self._items)
        self._sums = grown(self._sums, self._items)
        self._updated = grown(self._updated, self._items)
        _fade(
            self._positive,
            self._rate,
            self._event,
            events.items,
            events.ratings,
            events.weights,
            events.previous_weights,
            self._counts,
            self._sums,
            self._updated,
        )
        self._event += len(events)

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """Sums as of now; 0 for an item never rated."""
        ages = _gathered(self._event - self._updated, candidates)
        return _gathered(self._sums, candidates) * exponentials(self._rate * ages)

    def forget_item(self, item: int) -> None:
        """Forget when the last rating of the item faded."""
        if item < self._items:
            self._sums[item], self._updated[item] = 0.0, 0

    def state(self) -> Arrays:
        """`counts`, `sums` and `updated` of shape (items,), and `event`, how many were learned."""
        return {
            "counts": self._counts[: self._items].copy(),
            "sums": self._sums[: self._items].copy(),
            "updated": self._updated[: self._items].copy(),
            "event": np.array([self._event], np.int64),
        }

    def restore(self, state: Arrays) -> None:
        """Take them over."""
        self._counts = state["counts"].astype(np.int64)
        self._sums = state["sums"].astype(np.float64)
        self._updated = state["updated"].astype(np.int64)
        self._items = len(self._counts)
        self._event = int(state["event"][0])

    @staticmethod
    def warm() -> None:
        """Compile or load the kernels."""
        history = History(1)
        model = PopularRecent(ModelContext(history))
        model.learn(history.append([0], [0], [1.0], [1.0], [0.0]))
        model.score(0, np.zeros(1, np.int32))


@njit(cache=True)
def _count(positive, items, ratings, weights, previous_weights, counts):
    for e in range(items.size):
        # A comparison with NaN, which is what nothing stood as, is false.
        counts[items[e]] -= np.int64(previous_weights[e] >= positive)
        counts[items[e]] += np.int64(not np.isnan(ratings[e]) and weights[e] >= positive)


@njit(cache=True)
def _fade(positive, rate, event, items, ratings, weights, previous_weights, counts, sums, updated):
    for e in range(items.size):
        item = items[e]
        now = event + e
        added = not np.isnan(ratings[e]) and weights[e] >= positive
        removed = previous_weights[e] >= positive
        if not added and not removed:
            continue
        faded = sums[item] * exp(rate * np.float64(now - updated[item]))
        if removed:
            faded *= np.float64(counts[item] - 1) / np.float64(counts[item])
            counts[item] -= 1
        if added:
            faded += 1.0
            counts[item] += 1
        sums[item] = faded
        updated[item] = now


def _gathered(values: NDArray[Number], candidates: IntArray) -> FloatArray:
    """Values of the candidates as float64; 0 for those outside."""
    found = np.empty(len(candidates))
    _gather(values, candidates, found)
    return found


@njit(cache=True)
def _gather(values, candidates, found):
    for c in range(candidates.size):
        item = candidates[c]
        found[c] = np.float64(values[item]) if 0 <= item < values.size else 0.0
