"""A history and a model on it, driven as a shard drives them, and random ratings for them to learn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.history.history import History
from recommender.models.base import Arrays, IntArray, Model, ModelContext
from recommender.models.driver import Driver

#: Makes a new, empty model.
Factory = Callable[[ModelContext], Model]
#: A user, an item, a rating (NaN withdraws), its weight and its time.
Event = tuple[int, int, float, float, float]

USERS, ITEMS = 12, 20
_POSITIVE = 1.0


class Driven:
    """A history and a model on it, driven as a shard drives them."""

    def __init__(self, make: Factory, seed: int = 3) -> None:
        self.history = History(32)
        self.model = make(ModelContext(self.history, seed, _POSITIVE, (1.0, 5.0)))
        self._driver = Driver(self.history, [self.model], _POSITIVE)

    def learn(self, log: Sequence[Event], cuts: Sequence[int] = ()) -> Driven:
        """Learn a log, in one go or in pieces."""
        start = 0
        for stop in [*sorted(cuts), len(log)]:
            users, items, ratings, weights, times = (
                zip(*log[start:stop], strict=True) if stop > start else [()] * 5
            )
            self._driver.learn(
                np.array(users, np.int32),
                np.array(items, np.int32),
                np.array(ratings, np.float32),
                np.array(weights, np.float32),
                np.array(times, np.float64),
            )
            start = stop
        return self

    def forget_user(self, user: int) -> Driven:
        """Forget a user, as a shard does."""
        self._driver.forget_user(user)
        return self

    def forget_item(self, item: int) -> Driven:
        """Forget an item, as a shard does."""
        self._driver.forget_item(item)
        return self

    def withdraw(self, users: IntArray, item: int) -> Driven:
        """Let some users withdraw their ratings of an item."""
        self._driver.withdraw(users, np.full(len(users), item, np.int32))
        return self

    def withdraw_all(self, user: int) -> Driven:
        """Let a user withdraw all ratings."""
        items = self.history.items_of(user)
        self._driver.withdraw(np.full(len(items), user, np.int32), items)
        return self

    def state(self) -> Arrays:
        """The state of the model and of its history."""
        history = {f"history.{name}": array for name, array in self.history.state().items()}
        return history | self.model.state()

    def restored(self, make: Factory, seed: int = 3) -> Driven:
        """A new one with the same state."""
        other = Driven(make, seed)
        other.history.restore(self.history.state())
        other.model.restore(self.model.state())
        return other

    def scores(self, users: int = USERS + 2, items: int = ITEMS + 4) -> NDArray[np.float64]:
        """Scores of all items for all users, and for some that are unknown."""
        return np.array([self.model.score(user, first(items)) for user in range(users)])


def random_log(count: int, seed: int, users: int = USERS, items: int = ITEMS) -> list[Event]:
    """Ratings, some of them repeated or withdrawn; indices appear in order."""
    rng = np.random.default_rng(seed)
    seen_users = seen_items = 0
    log: list[Event] = []
    for e in range(count):
        user = min(int(rng.integers(0, users)), seen_users)
        item = min(int(rng.zipf(1.4)) - 1, items - 1, seen_items)
        seen_users, seen_items = max(seen_users, user + 1), max(seen_items, item + 1)
        rating = float(rng.choice([1.0, 2.0, 3.0, 4.0, 5.0, math.nan]))
        log.append((user, item, rating, 0.0 if rating != rating else rating / 4, float(e // 3)))
    return log


def first(count: int) -> IntArray:
    """The first indices."""
    return np.arange(count, dtype=np.int32)


def expect_scores(what: str, scores: NDArray[np.float64], count: int) -> None:
    """Expect one finite number for each candidate."""
    assert isinstance(scores, np.ndarray), f"{what} is a {type(scores).__name__}: expected a numpy array"
    assert scores.shape == (count,), f"{what} has shape {scores.shape}: expected ({count},)"
    assert scores.dtype == np.float64, f"{what} has dtype {scores.dtype}: expected float64"
    assert np.isfinite(scores).all(), f"{what} is {scores}: expected finite numbers"


def expect_same(left: Driven, right: Driven, what: str) -> None:
    """Compare states, and the scores that come from them."""
    expect_equal(left.state(), right.state(), what)
    assert left.scores().tobytes() == right.scores().tobytes(), f"{what}: scores differ"


def expect_equal(left: Arrays, right: Arrays, what: str) -> None:
    """Compare two states, to the bit."""
    assert left.keys() == right.keys(), f"{what}: arrays {sorted(left)} and {sorted(right)}"
    for name in left:
        one, other = left[name], right[name]
        assert one.dtype == other.dtype, f"{what}: array {name!r} is {one.dtype} and {other.dtype}"
        assert one.shape == other.shape, f"{what}: array {name!r} has shapes {one.shape} and {other.shape}"
        assert one.tobytes() == other.tobytes(), f"{what}: array {name!r} differs"
