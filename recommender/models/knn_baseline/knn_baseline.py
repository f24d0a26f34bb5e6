"""KNNBaseline over ids, for use without Kafka: `train`, `top` and `set_rating`, as Findka had them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from recommender.errors import RecommenderError
from recommender.history.catalog import Catalog
from recommender.history.history import History
from recommender.models.base import Arrays, IntArray, ModelContext
from recommender.models.knn_baseline.model import KNNBaselineModel
from recommender.models.topk import best


class RatingError(RecommenderError):
    """A rating is not a finite number within the scale."""


class Estimate(NamedTuple):
    """One answer of `KNNBaseline.top`.

    Attributes
    ----------
    item : str
    estimate : float
        The rating that the user is expected to give.
    neighbours : int
        On how many actual neighbours it rests: a confidence.
    cold_start : bool
        The user or the item has no ratings: the estimate is what is known of the baseline.
    """

    item: str
    estimate: float
    neighbours: int
    cold_start: bool


class KNNBaseline:
    """Estimates of what users would rate, that adapt at once to each rating.

    The three functions of *Serving Findka's recommendations* (2020), which wrapped Surprise's algorithm of
    the same name: `train`, `top` and `set_rating`. Ids are strings.

    Parameters
    ----------
    **options
        Those of `KNNBaselineModel`: `similarity="msd"`, `user_based=False`, `k=40`, `min_k=1`,
        `min_support=1`, `shrinkage=100`, `n_epochs=10`, `reg_u=15`, `reg_i=10`, `low` and `high` (the
        scale), `retrain=10_000`, `memory=256`.

    Attributes
    ----------
    users, items : Catalog
        All ids that were ever rated by or rated, until the next `train`.
    model : KNNBaselineModel
        The same over indices.

    Raises
    ------
    ModelError
        An option is out of range.

    Examples
    --------
    >>> knn = KNNBaseline(low=-1, high=1)
    >>> knn.train([("ann", "tea", 1), ("ann", "milk", 1), ("bob", "tea", 1)])
    >>> [answer.item for answer in knn.top("bob", ["milk", "rum"], n=1)]
    ['milk']
    >>> knn.set_rating("bob", "tea", None)
    >>> knn.top("bob", ["milk"])[0].cold_start
    True
    """

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._low, self._high = options.get("low", -math.inf), options.get("high", math.inf)
        self._clear()

    def _clear(self) -> None:
        self.users, self.items = Catalog(), Catalog()
        self.model = KNNBaselineModel(ModelContext(History()), **self._options)

    def train(self, ratings: Iterable[tuple[str, str, float]] | None = None) -> None:
        """Learn from scratch.

        Parameters
        ----------
        ratings : iterable of (user, item, rating), optional
            What replaces all that was learned; of one user and item, the last counts. By default the
            ratings that stand.

        Raises
        ------
        RatingError
            A rating is not a finite number within the scale; then nothing was changed.
        """
        if ratings is not None:
            given = list(ratings)
            for _, _, rating in given:
                self._check(rating)
            self._clear()
            self.model.learn_ratings(
                np.array([self.users.register(user) for user, _, _ in given], np.int32),
                np.array([self.items.register(item) for _, item, _ in given], np.int32),
                np.array([rating for _, _, rating in given], np.float64),
            )
        self.model.train()

    def set_rating(self, user: str, item: str, rating: float | None) -> None:
        """Learn a new or changed rating, or withdraw one (`None`), at once.

        A changed rating keeps its place in the order of ratings, as in a dictionary; one that was withdrawn
        and comes again is the newest.

        Raises
        ------
        RatingError
            The rating is not a finite number within the scale.
        """
        if rating is not None:
            self._check(rating)
        elif user not in self.users or item not in self.items:
            return
        self.model.learn_ratings(
            np.array([self.users.register(user)], np.int32),
            np.array([self.items.register(item)], np.int32),
            np.array([math.nan if rating is None else rating], np.float64),
        )

    def top(self, user: str, items: Sequence[str], n: int = 20) -> list[Estimate]:
        """The `n` best of `items` for `user`.

        Ordered by estimate, then by the number of actual neighbours, then by their order in `items`. An
        item that is named twice is answered once.

        Raises
        ------
        ValueError
            n is less than 1.
        """
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        named = list(dict.fromkeys(items))
        candidates = self._indices(named)
        index = self.users.find(user)
        known_user = index is not None and self.model.knows(index)
        scores, neighbours = self.model.estimate(-1 if index is None else index, candidates)
        known = self.model.knows_items(candidates)
        return [
            Estimate(
                named[place],
                float(scores[place]),
                int(neighbours[place]),
                not (known_user and bool(known[place])),
            )
            for place in best(scores, neighbours, n).tolist()
        ]

    def state(self) -> Arrays:
        """All that was learned, as named arrays; `restore` of it gives the same model to the bit."""
        parts = {"users": self.users.state(), "items": self.items.state(), "model": self.model.state()}
        return {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave."""
        parts: dict[str, Arrays] = {"users": {}, "items": {}, "model": {}}
        for path, array in state.items():
            part, _, name = path.partition("/")
            parts[part][name] = array
        self.users.restore(parts["users"])
        self.items.restore(parts["items"])
        self.model.restore(parts["model"])

    def _indices(self, items: Sequence[str]) -> IntArray:
        found = self.items.find_all(items)
        return np.array([-1 if index is None else index for index in found], np.int32)

    def _check(self, rating: float) -> None:
        if not (math.isfinite(rating) and self._low <= rating <= self._high):
            raise RatingError(f"rating {rating} is not a number between {self._low:g} and {self._high:g}")
