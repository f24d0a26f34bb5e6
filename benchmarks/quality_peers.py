"""Recommenders that others use, behind the interface of our models, so that one replay measures them all.

Each is the plain form of its method, in numpy. Those that cannot learn from one event are fitted again every
`REFIT` positive events, as a service would do that retrains as often as it can afford.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.history.events import Events
from recommender.models.base import Arrays, FloatArray, IntArray, Model, ModelContext

#: Positive events from one fit to the next.
REFIT = 500


class Peer(Model):
    """A matrix of who liked what, and what every peer has in common."""

    def __init__(self, context: ModelContext, users: int, items: int) -> None:
        self.positive = context.positive_weight
        self.liked = np.zeros((users, items), np.float64)
        # The first fit waits for the first request.
        self._since = REFIT

    def learn(self, events: Events) -> None:
        """Take in the positive events, one by one."""
        for user, item, weight in zip(
            events.users.tolist(), events.items.tolist(), events.weights.tolist(), strict=True
        ):
            if weight >= self.positive:
                self.like(user, item)

    def like(self, user: int, item: int) -> None:
        """A positive event."""
        self.liked[user, item] = 1.0
        self._since += 1

    def fit_if_due(self) -> None:
        """Fit again if enough was learned since; at a request, so that no fit is made that nobody asks."""
        if self._since >= REFIT:
            self._since = 0
            self.fit()

    def fit(self) -> None:
        """Fit to everything known."""

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """Scores of the candidates."""
        raise NotImplementedError

    def state(self) -> Arrays:
        """Do nothing: not needed for a replay."""
        return {}

    def restore(self, state: Arrays) -> None:
        """Do nothing: not needed for a replay."""


class EASE(Peer):
    """Steck: Embarrassingly Shallow Autoencoders for Sparse Data (WWW 2019)."""

    def __init__(self, context: ModelContext, users: int, items: int, l2: float = 100.0) -> None:
        super().__init__(context, users, items)
        self._l2 = l2
        self._weights = np.zeros((items, items))

    def fit(self) -> None:
        """The closed form."""
        gram = self.liked.T @ self.liked
        gram[np.diag_indices_from(gram)] += self._l2
        inverse = np.linalg.inv(gram)
        self._weights = -inverse / np.diag(inverse)
        np.fill_diagonal(self._weights, 0.0)

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """The user's row times the weights."""
        self.fit_if_due()
        scores: FloatArray = self._weights[np.flatnonzero(self.liked[user])].sum(axis=0)[candidates]
        return scores


class IALS(Peer):
    """Hu, Koren and Volinsky: Collaborative Filtering for Implicit Feedback Datasets (ICDM 2008)."""

    def __init__(
        self,
        context: ModelContext,
        users: int,
        items: int,
        k: int = 32,
        alpha: float = 10.0,
        l2: float = 10.0,
    ) -> None:
        super().__init__(context, users, items)
        rng = np.random.default_rng(context.seed)
        self._users, self._items = rng.normal(0, 0.1, (users, k)), rng.normal(0, 0.1, (items, k))
        self._alpha, self._l2 = alpha, l2

    def fit(self) -> None:
        """Two sweeps from where the last fit ended."""
        for _ in range(2):
            self._solve(self._users, self._items, self.liked)
            self._solve(self._items, self._users, self.liked.T)

    def _solve(self, rows: FloatArray, others: FloatArray, liked: FloatArray) -> None:
        gram = others.T @ others + self._l2 * np.eye(rows.shape[1])
        for row in np.flatnonzero(liked.any(axis=1)).tolist():
            rows[row] = self._folded(others[liked[row] > 0.0], gram)

    def _folded(self, known: FloatArray, gram: FloatArray) -> FloatArray:
        vector: FloatArray = np.linalg.solve(
            gram + self._alpha * known.T @ known, (1.0 + self._alpha) * known.sum(axis=0)
        )
        return vector

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """The user folded in with all that is known by now, times the items' vectors."""
        self.fit_if_due()
        gram = self._items.T @ self._items + self._l2 * np.eye(self._items.shape[1])
        vector = self._folded(self._items[self.liked[user] > 0.0], gram)
        scores: FloatArray = self._items[candidates] @ vector
        return scores


class River(Peer):
    """A recommender of river's `reco` module, asked for one item after the other."""

    def __init__(self, context: ModelContext, users: int, items: int, name: str) -> None:
        super().__init__(context, users, items)
        from river import optim, reco

        made: dict[str, Any] = {
            "FunkMF": lambda: reco.FunkMF(n_factors=40, optimizer=optim.SGD(0.05), seed=context.seed),
            "BiasedMF": lambda: reco.BiasedMF(n_factors=40, seed=context.seed),
            "Baseline": lambda: reco.Baseline(),
        }
        self._model = made[name]()

    def learn(self, events: Events) -> None:
        """Learn every rating by its value, which is what these predict."""
        for user, item, rating in zip(
            events.users.tolist(), events.items.tolist(), events.ratings.tolist(), strict=True
        ):
            self._model.learn_one(user, item, rating)

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """Predicted ratings."""
        predict = self._model.predict_one
        found: NDArray[np.float64] = np.array([float(predict(user, item)) for item in candidates.tolist()])
        return found
