"""Test-then-learn on the live stream: how well the model does on ratings that it has not learned yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import njit
from recommender.models.base import IntArray, Model, RanksTargets
from recommender.models.randomness import mix

#: Length of the list that a target has to be in.
TOP = 10
#: The rank of a target that could not have been recommended.
MISS = np.iinfo(np.int32).max

#: This many events are sampled in full measure; a test takes as long as learning hundreds of ratings.
DENSE = 20_000
#: How many times thinner the sample of a long stream becomes at most.
THINNEST = 20
_PARTS = 65_536
#: Up to so many candidates it takes less to score all than to find the rank of one without.
MANY = 100_000


def rank_of(item: int, candidates: NDArray[np.int32], scores: NDArray[np.float64]) -> int:
    """The number of candidates that come before `item`; of equal scores half do. 0 is the first place.

    Parameters
    ----------
    item : int
    candidates : int32 array, shape (candidates,), ascending
    scores : float array, shape (candidates,)

    Returns
    -------
    int
        `MISS` if the item is not among the candidates.
    """
    place = _place_of(item, candidates)
    if place < 0:
        return int(MISS)
    score = scores[place]
    return _midway(int(np.count_nonzero(scores > score)), int(np.count_nonzero(scores == score)))


def rank_by(
    model: Model, user: int, item: int, without: IntArray, candidates: IntArray, many: int = MANY
) -> int:
    """The rank that a model gives to an item, as `rank_of` its scores.

    Parameters
    ----------
    model : Model
    user, item : int
    without : int32 array
    candidates : int32 array, ascending
        All items but those.
    many : int
        Up to so many candidates all are scored.
    """
    known = _place_of(item, candidates) >= 0
    if known and len(candidates) > many and isinstance(model, RanksTargets):
        return _midway(*model.ahead_of(user, item, without))
    return rank_of(item, candidates, model.score(user, candidates))


def _place_of(item: int, candidates: IntArray) -> int:
    """The place of an item among candidates, or -1."""
    place = int(np.searchsorted(candidates, item))
    return place if place < len(candidates) and candidates[place] == item else -1


def _midway(higher: int, equal: int) -> int:
    return higher + (equal - 1) // 2


def sample(first: int, count: int, every: int) -> NDArray[np.bool_]:
    """Mark the events from number `first` on that belong to a sample of one in `every`, shape (count,).

    A sample thins out where the stream is long: after `DENSE` events to one in `every` times their number
    over `DENSE`, and at last to one in `THINNEST` times `every`. One of all events stays that. It depends on
    their numbers alone: on their bits, well mixed (the finaliser of SplitMix64, Steele et al., 2014).
    """
    sampled = np.empty(count, dtype=np.bool_)
    _sample(np.uint64(first), np.uint64(every), sampled)
    return sampled


@njit(cache=True)
def _sample(first, every, sampled):  # type: ignore[no-untyped-def]
    for place in range(sampled.size):
        number = first + np.uint64(place)
        mixed = mix(number, np.uint64(0))
        sampled[place] = mixed % every == 0
        if every > 1 and number >= DENSE:
            drawn = np.float64(mixed // every % np.uint64(_PARTS))
            thinner = min(np.float64(number) / DENSE, np.float64(THINNEST))
            sampled[place] &= drawn * thinner < _PARTS


def warm() -> None:
    """Compile or load the kernel."""
    sample(0, 1, 2)


class LiveMetrics:
    """Recall@10 and mean reciprocal rank of each arm's model and of popularity over the newest tests.

    Parameters
    ----------
    window : int
        How many tests are looked back on.
    arms : sequence of str
        Their names, in the order in which ranks come and figures are shown.
    columns : sequence of str, optional
        The same names in the order in which the state keeps them; by default sorted.
    """

    def __init__(self, window: int, arms: Sequence[str], columns: Sequence[str] | None = None) -> None:
        self.window = window
        self.arms = tuple(arms)
        self.tests = 0
        kept = sorted(arms) if columns is None else list(columns)
        self._columns = [*map(kept.index, self.arms), len(kept)]
        self._ranks = np.full((window, len(self._columns)), MISS, dtype=np.int32)

    def add(self, *ranks: int) -> None:
        """Count one test by the ranks that its target had: of each arm in their order, then of popularity."""
        self._ranks[self.tests % self.window, self._columns] = ranks
        self.tests += 1

    def _recent(self) -> NDArray[np.int32]:
        return self._ranks[: min(self.tests, self.window)]

    def _ranks_of(self, place: int) -> NDArray[np.int32]:
        """The newest ranks of an arm, by its place among them; of popularity by -1."""
        return self._recent()[:, self._columns[place]]

    def recalls(self) -> list[float]:
        """The share of targets among the first ten, in the order of `add`; NaN before the first test."""
        recent = self._recent()[:, self._columns]
        return (recent < TOP).mean(axis=0).tolist() if len(recent) else [float("nan")] * len(self._columns)

    def summary(self) -> dict[str, Any]:
        """The metrics as they go to the status page: ``model`` is the first arm's, ``popular`` popularity's.

        They are None before the first test.
        """
        arms = {name: _shown(self._ranks_of(place)) for place, name in enumerate(self.arms)}
        return {
            "tests": self.tests,
            "window": len(self._recent()),
            "model": arms[self.arms[0]],
            "popular": _shown(self._ranks_of(-1)),
            "arms": arms,
        }

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The tests in the window and their number."""
        return {"tests": np.array([self.tests], dtype=np.int64), "ranks": self._recent().copy()}

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `state` gave."""
        self.tests = int(state["tests"][0])
        self._ranks[: len(state["ranks"])] = state["ranks"]


def _shown(ranks: NDArray[np.int32]) -> dict[str, float | None]:
    if not len(ranks):
        return {f"recall@{TOP}": None, "mrr": None}
    found = np.where(ranks == MISS, 0.0, 1.0 / (ranks.astype(np.float64) + 1.0))
    return {f"recall@{TOP}": float((ranks < TOP).mean()), "mrr": float(found.mean())}
