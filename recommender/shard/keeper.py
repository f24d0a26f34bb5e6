"""Bounds of what a shard keeps: who was active longest ago leaves first.

A stream has no end, and users who never come back would be kept for ever. With a bound they leave as if they
had been forgotten (`recommender.shard.forgetting`): their ratings are withdrawn, their indices used again.

Bounds are looked at after every so many rows, so that whatever the batches the same leave at the same place.
In between there may be a little more than the bound says, by one part in 64. Work is spread: whenever bounds
are looked at, at most `MOST` users leave for each row since; so a bound that many exceed at once, as when a
log pauses for longer than users live, is reached step by step.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from recommender.history.history import History
from recommender.shard.activity import Activity
from recommender.shard.bounds import Bounds
from recommender.shard.forgetting import Forgetting
from recommender.shard.state import Arrays

#: Users that leave at most for each row.
MOST = 4


class Keeper:
    """Keeps a shard within its bounds.

    Parameters
    ----------
    bounds : Bounds
    history : History
    forgetting : Forgetting
    """

    def __init__(self, bounds: Bounds, history: History, forgetting: Forgetting) -> None:
        self._bounds, self._history, self._forgetting = bounds, history, forgetting
        self.activity = Activity()
        self._passed = 0
        #: Who rated, and what, since the last look.
        self._users: list[NDArray[np.int32]] = []
        self._items: list[NDArray[np.int32]] = []

    @property
    def left(self) -> int:
        """The number of rows that may be learned before `look`."""
        return self._bounds.rows - self._passed

    def pass_events(
        self, users: NDArray[np.int32], items: NDArray[np.int32], times: NDArray[np.float64]
    ) -> None:
        """Take note of ratings that were learned."""
        self.activity.pass_events(users, times)
        self._users.append(users)
        self._items.append(items)

    def pass_rows(self, count: int) -> None:
        """Take note of so many rows, of which some were ratings that were learned; look at the bounds."""
        self._passed += count
        if self._passed >= self._bounds.rows:
            self._look()

    def _look(self) -> None:
        users, items = _unique(self._users), _unique(self._items)
        self._users, self._items, self._passed = [], [], 0
        self.activity.tick()
        touched = [items]
        if self._bounds.ratings:
            touched.append(self._forgetting.withdraw_oldest(users, self._bounds.ratings))
        touched.append(self._forgetting.forget_users(self._leaving()))
        # An item of which no rating stands is known to nobody.
        found = _unique(touched)
        self._forgetting.forget_unrated(found[self._history.counts_of(found) == 0])

    def _leaving(self) -> list[int]:
        """The users who leave now, in the order in which they were active."""
        most = MOST * self._bounds.rows
        excess = self._forgetting.user_count - self._bounds.users if self._bounds.users else 0
        found = []
        for place, (user, seen) in enumerate(islice(self.activity.oldest(), most)):
            expired = self._bounds.user_ttl > 0 and seen < self.activity.now - self._bounds.user_ttl
            if place >= excess and not expired:
                break
            found.append(user)
        return found

    def state(self, users: int) -> Arrays:
        """The order of `users` indices, and what was passed since the last look."""
        return {
            **self.activity.state(users),
            "passed": np.array([self._passed], np.int64),
            "users": _joined(self._users),
            "items": _joined(self._items),
        }

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave."""
        self.activity.restore(state)
        self._passed = int(state["passed"][0])
        self._users, self._items = [state["users"].astype(np.int32)], [state["items"].astype(np.int32)]


def _joined(parts: Iterable[NDArray[np.int32]]) -> NDArray[np.int32]:
    return np.concatenate([np.zeros(0, np.int32), *parts])


def _unique(parts: Iterable[NDArray[np.int32]]) -> NDArray[np.int32]:
    found: NDArray[np.int32] = np.unique(_joined(parts))
    return found
