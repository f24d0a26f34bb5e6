"""A fixed random order of the items for each user: the floor that any model must beat."""

from __future__ import annotations

import numpy as np

from recommender.history.events import Events
from recommender.models import randomness
from recommender.models.base import Arrays, FloatArray, IntArray, Model, ModelContext


class Random(Model):
    """Scores are uniform in [0, 1), a pure function of (seed, user, item).

    It learns nothing, and the same request always gets the same answer.
    """

    def __init__(self, context: ModelContext) -> None:
        self._seed = np.uint64(context.seed & (2**64 - 1))

    def learn(self, events: Events) -> None:
        """Nothing to learn."""

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """Uniform deviates."""
        scores = np.empty(len(candidates))
        randomness.uniforms(self._seed, np.int64(user), candidates, scores)
        return scores

    def state(self) -> Arrays:
        """Empty: the seed is configuration."""
        return {}

    def restore(self, state: Arrays) -> None:
        """Nothing to take over."""

    @staticmethod
    def warm() -> None:
        """Compile or load the kernel."""
        randomness.uniforms(np.uint64(0), np.int64(0), np.zeros(1, np.int32), np.zeros(1))
