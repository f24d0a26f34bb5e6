"""Test-then-learn on the live stream: how well the model does on ratings that it has not learned yet."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Length of the list that a target has to be in.
TOP = 10
#: The rank of a target that could not have been recommended.
MISS = np.iinfo(np.int32).max


def rank_of(item: int, candidates: NDArray[np.int32], scores: NDArray[np.float64]) -> int:
    """How many candidates come before `item`; of equal scores half do. 0 is the first place.

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
    place = int(np.searchsorted(candidates, item))
    if place == len(candidates) or candidates[place] != item:
        return int(MISS)
    score = scores[place]
    higher = int(np.count_nonzero(scores > score))
    equal = int(np.count_nonzero(scores == score))
    return higher + (equal - 1) // 2


class LiveMetrics:
    """Recall@10 and mean reciprocal rank of the model and of popularity over the newest tests.

    Parameters
    ----------
    window : int
        How many tests are looked back on.
    """

    NAMES = ("model", "popular")

    def __init__(self, window: int) -> None:
        self.window = window
        self.tests = 0
        self._ranks = np.full((window, len(self.NAMES)), MISS, dtype=np.int32)

    def add(self, model: int, popular: int) -> None:
        """Count one test by the ranks that its target had."""
        self._ranks[self.tests % self.window] = model, popular
        self.tests += 1

    def _recent(self) -> NDArray[np.int32]:
        return self._ranks[: min(self.tests, self.window)]

    def recalls(self) -> dict[str, float]:
        """The share of targets among the first ten, by model; NaN before the first test."""
        recent = self._recent()
        return {
            name: float((recent[:, column] < TOP).mean()) if len(recent) else float("nan")
            for column, name in enumerate(self.NAMES)
        }

    def summary(self) -> dict[str, Any]:
        """The metrics as they go to the status page; None before the first test."""
        recent = self._recent()
        shown: dict[str, Any] = {"tests": self.tests, "window": len(recent)}
        for column, name in enumerate(self.NAMES):
            ranks = recent[:, column].astype(np.float64)
            found = np.where(recent[:, column] == MISS, 0.0, 1.0 / (ranks + 1.0))
            shown[name] = {
                f"recall@{TOP}": float((ranks < TOP).mean()) if len(recent) else None,
                "mrr": float(found.mean()) if len(recent) else None,
            }
        return shown

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The tests in the window and their number."""
        return {"tests": np.array([self.tests], dtype=np.int64), "ranks": self._recent().copy()}

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `state` gave."""
        self.tests = int(state["tests"][0])
        self._ranks[: len(state["ranks"])] = state["ranks"]
