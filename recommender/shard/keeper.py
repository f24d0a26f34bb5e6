"""Bounds of what a shard keeps: who was active longest ago leaves first.

A stream has no end, and users and items that never come back would be kept for ever. With a bound they leave
as if they had been forgotten (`recommender.shard.forgetting`): their ratings are withdrawn, their indices are
used again.

Bounds are looked at after every so many rows, so that whatever the batches the same leave at the same place.
In between there may be a little more than the bound says. Work is spread: whenever bounds are looked at,
about `MOST` ratings are withdrawn for each row since, which can add but one, and no more than `AT_A_LOOK`; so
a bound that many exceed at once, as when a log pauses for longer than users live, is reached step by step.

Where nobody can come to a bound with the rows at hand, a look would find nothing, and batches stay whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from recommender.history.arrays import Arrays
from recommender.history.history import History
from recommender.shard import bounds as names
from recommender.shard.activity import Activity, Clock
from recommender.shard.bounds import DAY, ROWS, Bounds, Use
from recommender.shard.forgetting import Forgetting
from recommender.shard.leaving import Leaving

#: Ratings that are withdrawn for each row, about, who has none counting as one; and at one look.
MOST, AT_A_LOOK = 4, 8192
#: A user with more ratings leaves in several looks, and of these ratings in each the oldest.
WHOLE = 1024


class Keeper:
    """Keeps a shard within its bounds, and lets items leave that have too many ratings to go in one go.

    Parameters
    ----------
    bounds : Bounds
        If there are none it only does the latter.
    history : History
    forgetting : Forgetting
    leaving : Leaving
    """

    def __init__(self, bounds: Bounds, history: History, forgetting: Forgetting, leaving: Leaving) -> None:
        self._bounds, self._history, self._forgetting, self._leaving = bounds, history, forgetting, leaving
        self._rows = bounds.rows if bounds else ROWS
        self._most = min(MOST * self._rows, AT_A_LOOK)
        self.clock = Clock()
        self.users, self.items = Activity(timed=bounds.by_time), Activity(timed=bounds.by_time)
        self._passed = 0
        #: Those who rated since the last look, where ratings of a user are bounded: whoever has too many is
        #: one of them; and items that lost a rating since: whatever has none is one of them.
        self._rated: list[NDArray[np.int32]] = []
        self._lost: list[NDArray[np.int32]] = []
        self._left: Counter[str] = Counter()
        if bounds:
            forgetting.users_left.append(self.users.remove)
            forgetting.users_active.append(self.pass_events)
            forgetting.ratings_left.append(self._lost.append)
        if bounds.of_items:
            forgetting.items_left.append(self.items.remove)

    @property
    def idle(self) -> bool:
        """True if it need not look however many rows pass."""
        return not self._bounds and not self._leaving

    def stretch(self, count: int, *, withdrawn: bool) -> int:
        """The number of next rows that may be learned before it has to look.

        Parameters
        ----------
        count : int
            How many there are.
        withdrawn : bool
            One of them may withdraw a rating.
        """
        if self.idle or (not withdrawn and self._is_far(count)):
            return count
        return min(count, self._rows - self._passed)

    def _is_far(self, count: int) -> bool:
        """Return True if so many new users, items and ratings would bring nobody to a bound."""
        bounds, history = self._bounds, self._history
        if bounds.by_time or self._leaving or self._lost:
            return False
        return all(
            not bound or known + count <= bound
            for bound, known in (
                (bounds.users, self._forgetting.user_count),
                (bounds.items, self._forgetting.item_count),
                (bounds.in_all, history.rating_count),
                (bounds.ratings, history.longest),
            )
        )

    def pass_events(
        self,
        users: NDArray[np.int32],
        items: NDArray[np.int32],
        ratings: NDArray[np.float32],
        times: NDArray[np.float64],
    ) -> None:
        """Take note of ratings that were learned."""
        if not self._bounds:
            return
        if self._bounds.by_time:
            self.clock.pass_times(times)
        self.users.pass_events(users)
        if self._bounds.of_items:
            self.items.pass_events(items)
        if self._bounds.ratings and self._history.longest > self._bounds.ratings:  # else nobody has too many
            self._rated.append(users)
            if len(self._rated) > self._rows:  # no look clears it where all bounds are far
                self._rated = self._rated[-self._rows :]
        withdrawn = np.isnan(ratings)
        if withdrawn.any():
            self._lost.append(items[withdrawn])

    def pass_rows(self, count: int) -> None:
        """Take note of so many rows, of which some were ratings that were learned; look at the bounds."""
        if self.idle:
            return
        self._passed += count
        if self._passed > self._rows:  # all bounds are far
            self._passed %= self._rows
        elif self._passed == self._rows:
            self._passed, events = 0, self._history.event_count
            if self._bounds:
                self._look()
            self._leaving.work(self._most, self._rows)
            if self._bounds:
                self._history.left += self._history.event_count - events

    def _look(self) -> None:
        if self._bounds.by_time:
            self.clock.tick()
            self.users.tick(self.clock.now)
            self.items.tick(self.clock.now)
        if self._rated:
            rated, self._rated = _joined(self._rated), []
            withdrawn = self._forgetting.withdraw_oldest(rated, self._bounds.ratings)
            self._left[names.MAX_RATINGS_PER_USER] += withdrawn
        self._let_users_leave()
        if self._lost:
            # An item of which no rating stands is known to nobody.
            lost = _joined(self._lost)
            self._lost.clear()
            self._forgetting.forget_unrated(np.unique(lost[self._history.counts_of(lost) == 0]))
        if self._bounds.of_items:
            self._let_items_leave()

    def _let_users_leave(self) -> None:
        bounds, live = self._bounds, self._history.arrays.users["live"]
        excess = self._forgetting.user_count - bounds.users if bounds.users else 0
        surplus = self._history.rating_count - bounds.in_all if bounds.in_all else 0
        expired = self.clock.now - bounds.user_ttl if bounds.user_ttl else -np.inf
        users, _ = self.users.leaving(max(excess, 0), max(surplus, 0), expired, live, self._most)
        if not len(users):
            return
        large = np.flatnonzero(live[users] > WHOLE)
        whole = users[: large[0]] if len(large) else users
        self._count_left(live[whole], excess, surplus)
        self._forgetting.forget_users(whole)
        if len(large):
            oldest = users[large[0] : large[0] + 1]
            self._forgetting.withdraw_oldest(oldest, int(live[oldest[0]]) - WHOLE)

    def _count_left(self, costs: NDArray[np.int32], excess: int, surplus: int) -> None:
        """Count users who leave by the bound that makes each leave, as `Activity.leaving` decides it."""
        by_number = min(len(costs), max(excess, 0))
        self._left[names.MAX_USERS] += by_number
        if surplus <= 0:
            by_ratings = 0
        elif not self._bounds.user_ttl:
            by_ratings = len(costs) - by_number
        else:
            before = np.cumsum(np.maximum(costs, 1)) - np.maximum(costs, 1)
            by_ratings = int(np.count_nonzero(before[by_number:] < surplus))
        self._left[names.MAX_RATINGS] += by_ratings
        self._left[names.USER_TTL] += len(costs) - by_number - by_ratings

    def _let_items_leave(self) -> None:
        bounds = self._bounds
        excess = self._forgetting.item_count - bounds.items if bounds.items else 0
        expired = self.clock.now - bounds.item_ttl if bounds.item_ttl else -np.inf
        nothing = np.zeros(0, np.int32)
        items, _ = self.items.leaving(max(excess, 0), 0, expired, nothing, self._most)
        by_number = min(len(items), max(excess, 0))
        self._left[names.MAX_ITEMS] += by_number
        self._left[names.ITEM_TTL] += len(items) - by_number
        self._forgetting.let_leave(items)

    def take_left(self) -> dict[str, int]:
        """The number of those who left since the last call, by the name of the bound.

        Users or items; for `MAX_RATINGS_PER_USER` ratings.
        """
        left, self._left = {name: count for name, count in self._left.items() if count}, Counter()
        return left

    def uses(self) -> Mapping[str, Use]:
        """The distance to each bound, by its name."""
        known = {
            names.MAX_USERS: self._forgetting.user_count,
            names.MAX_ITEMS: self._forgetting.item_count,
            names.MAX_RATINGS: self._history.rating_count,
            names.MAX_RATINGS_PER_USER: None,
            names.USER_TTL: self._days_since(self.users.oldest_moment),
            names.ITEM_TTL: self._days_since(self.items.oldest_moment),
        }
        return {name: Use(known[name], bound) for name, bound in self._bounds.settings.items()}

    def _days_since(self, moment: float) -> float:
        """The days from a moment until now, by the log's clock; 0 before that ticks."""
        return max(0.0, self.clock.now - moment) / DAY if self.clock.now > -np.inf else 0.0

    def state(self, users: int, items: int) -> Arrays:
        """The order of so many indices, what was passed since the last look, and which items are leaving."""
        if self.idle:
            return {}
        passed = [self._passed, self._history.left][: 1 + bool(self._bounds)]
        kept = {"passed": np.array(passed, np.int64), **self._leaving.state()}
        if self._bounds.by_time:
            kept |= self.clock.state()
        if self._bounds:
            kept |= self.users.state(users)
        if self._bounds.of_items:
            order = self.items.state(items)
            kept |= {f"item_{name}": array for name, array in order.items()}
        return kept

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave; the history and the catalogs are restored."""
        self._passed, self._history.left = [*state["passed"].tolist(), 0][:2] if state else (0, 0)
        self._leaving.restore(state)
        if self._bounds.by_time:
            self.clock.restore(state)
        if self._bounds:
            self.users.restore(state)
            many = self._history.arrays.users["live"] > (self._bounds.ratings or np.inf)
            self._rated = [_places(many)]
            unrated = _places(self._history.item_counts == 0)
            self._lost[:] = [unrated] if len(unrated) else []
        if self._bounds.of_items:
            begin = len("item_")
            order = {name[begin:]: array for name, array in state.items() if name.startswith("item_")}
            self.items.restore(order)


def _places(marked: NDArray[np.bool_]) -> NDArray[np.int32]:
    return np.flatnonzero(marked).astype(np.int32)


def _joined(parts: Iterable[NDArray[np.int32]]) -> NDArray[np.int32]:
    return np.concatenate([np.zeros(0, np.int32), *parts])
