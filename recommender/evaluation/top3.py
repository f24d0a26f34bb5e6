"""Top-3 accuracy: of the three items that a model puts first for a user, how many the user liked.

Unlike test-then-learn it looks only at items that a user rated, as where every item shown is voted on. It is
how *Serving Findka's recommendations* (2020) tells how good its recommender is. Ratings become signed (+1 and
-1, what is between is left out) and are split at random; models learn one part in time order, and order each
user's items of the other part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.errors import RecommenderError
from recommender.evaluation.streams import dense
from recommender.history.history import History
from recommender.models import registry
from recommender.models.base import FloatArray, IntArray, ModelContext
from recommender.models.driver import Driver
from recommender.shard import warmup
from recommender.shard.feedback import Feedback

#: How many items are shown.
SHOWN = 3
#: Names of the two figures that every accuracy has to be compared with.
RANDOM, ALL = "random three", "all test items"


class SplitError(RecommenderError):
    """Ratings cannot be split as asked, or nothing is left to test."""


@dataclass(frozen=True, slots=True)
class Signed:
    """Signed ratings in time order.

    Attributes
    ----------
    users, items : int32 arrays
        Dense indices.
    ratings : float32 array
        1 or -1.
    times : float64 array
        Seconds.
    """

    users: IntArray
    items: IntArray
    ratings: NDArray[np.float32]
    times: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def of(
        cls,
        users: NDArray[Any],
        items: NDArray[Any],
        ratings: NDArray[np.float64],
        times: NDArray[np.float64],
        positive: float = 4.0,
        negative: float = 2.0,
    ) -> Signed:
        """Ratings of at least `positive` are +1, those of at most `negative` -1; others are left out.

        Raises
        ------
        SplitError
            `negative` is not below `positive`, or no rating is left.
        """
        if not negative < positive:
            raise SplitError(f"--negative {negative:g} must be below --positive {positive:g}")
        kept = np.flatnonzero((ratings >= positive) | (ratings <= negative))
        if not len(kept):
            raise SplitError(f"no rating is at least {positive:g} or at most {negative:g}")
        signs = np.where(ratings[kept] >= positive, 1.0, -1.0).astype(np.float32)
        return cls(dense(users[kept]), dense(items[kept]), signs, np.asarray(times[kept], np.float64))

    def part(self, chosen: NDArray[np.bool_]) -> Signed:
        """The chosen ratings, in the same order."""
        return Signed(self.users[chosen], self.items[chosen], self.ratings[chosen], self.times[chosen])


def split(count: int, share: float, seed: int) -> NDArray[np.bool_]:
    """Mark the ratings that are tested: a share of `count`, at random.

    Raises
    ------
    SplitError
        `share` leaves nothing to learn or nothing to test.
    """
    tested = np.zeros(count, np.bool_)
    size = round(count * share)
    if not 0 < size < count:
        raise SplitError(f"--test {share:g} of {count} ratings leaves nothing to test or nothing to learn")
    tested[np.random.default_rng(seed).permutation(count)[:size]] = True
    return tested


def shown_share(estimates: FloatArray, neighbours: IntArray, positive: NDArray[np.bool_]) -> float:
    """The share of positive items among the first three by estimate, then by neighbours.

    Items that are equal in both come in any order: the share is what is expected of it.

    Parameters
    ----------
    estimates, neighbours, positive : arrays, shape (items,), at least 3
    """
    order = np.lexsort((-neighbours.astype(np.int64), -estimates))
    last = order[SHOWN - 1]
    tied = (estimates == estimates[last]) & (neighbours == neighbours[last])
    higher = (estimates > estimates[last]) | (
        (estimates == estimates[last]) & (neighbours > neighbours[last])
    )
    room = SHOWN - np.count_nonzero(higher)
    return float((np.count_nonzero(positive & higher) + room * positive[tied].mean()) / SHOWN)


#: Estimates and neighbours of items for a user.
Estimator = Callable[[int, IntArray], tuple[FloatArray, IntArray]]


def accuracy(test: Signed, estimate: Estimator) -> float:
    """The mean of `shown_share` over users with at least three test items; NaN if there is none."""
    shares = []
    for user, rows in _testers(test):
        items = test.items[rows]
        shares.append(shown_share(*estimate(user, items), test.ratings[rows] > 0.0))
    return float(np.mean(shares)) if shares else float("nan")


def floors(test: Signed, seed: int) -> dict[str, float]:
    """The accuracy of three random test items, and of all of them, averaged over the same users."""
    random = np.random.default_rng(seed)

    def drawn(user: int, items: IntArray) -> tuple[FloatArray, IntArray]:
        return random.random(len(items)), np.zeros(len(items), np.int32)

    shares = [float((test.ratings[rows] > 0.0).mean()) for _, rows in _testers(test)]
    return {RANDOM: accuracy(test, drawn), ALL: float(np.mean(shares)) if shares else float("nan")}


def tested_users(test: Signed) -> int:
    """The number of users with at least three test items."""
    return len(_testers(test))


def _testers(test: Signed) -> list[tuple[int, NDArray[np.intp]]]:
    order = np.argsort(test.users, kind="stable")
    cuts = np.flatnonzero(np.diff(test.users[order])) + 1
    groups = np.split(order, cuts) if len(order) else []
    return [(int(test.users[rows[0]]), rows) for rows in groups if len(rows) >= SHOWN]


def learned(model: str, train: Signed, seed: int = 0) -> Estimator:
    """A model that has learned ratings in their order, as it estimates.

    Raises
    ------
    ModelError
        The model is not known.
    """
    feedback = Feedback.parse("signed")
    history = History()
    context = ModelContext(history, seed, feedback.positive_weight, (feedback.low, feedback.high))
    made = registry.create(model, context)
    weights = feedback.weights(train.ratings)
    driver = Driver(history, [made], feedback.positive_weight)
    driver.learn(train.users, train.items, train.ratings, weights, train.times)

    def estimate(user: int, items: IntArray) -> tuple[FloatArray, IntArray]:
        neighbours = made.neighbours(user, items)
        return made.score(user, items), np.zeros(len(items), np.int32) if neighbours is None else neighbours

    return estimate


@dataclass(slots=True)
class Result:
    """Top-3 accuracies of one contestant, one for each split."""

    name: str
    accuracies: list[float] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Name, mean, and the standard deviation over splits; None where nothing was tested."""
        values = np.array(self.accuracies)
        mean = float(values.mean())
        spread = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        return {
            "model": self.name,
            "top3_accuracy": mean if mean == mean else None,
            "deviation": spread if spread == spread else None,
        }


def evaluate(
    ratings: Signed,
    models: Sequence[str],
    share: float = 0.2,
    splits: int = 5,
    seed: int = 0,
    progress: Callable[[int], object] = lambda _: None,
) -> tuple[list[Result], int]:
    """Measure models, and the two figures to compare them with, on splits of seeds `seed`, `seed` + 1, ...

    Parameters
    ----------
    ratings : Signed
    models : sequence of str
        As the registry names them.
    share : float
        How much is tested, between 0 and 1.
    splits : int
    seed : int
    progress : callable
        Called with 1 for each model of each split.

    Returns
    -------
    results : list of Result
        `RANDOM`, `ALL`, then the models.
    users : int
        How many users were tested, over all splits.

    Raises
    ------
    ModelError, SplitError
    """
    for name in models:
        registry.check(name)
    warmup.warm(tuple(models))
    results = [Result(name) for name in (RANDOM, ALL, *models)]
    users = 0
    for number in range(splits):
        tested = split(len(ratings), share, seed + number)
        train, test = ratings.part(~tested), ratings.part(tested)
        users += tested_users(test)
        values = list(floors(test, seed + number).values())
        for name in models:
            values.append(accuracy(test, learned(name, train, seed)))
            progress(1)
        for result, value in zip(results, values, strict=True):
            result.accuracies.append(value)
    if not users:
        raise SplitError(f"no user has {SHOWN} test items: choose a larger --test")
    return results, users
