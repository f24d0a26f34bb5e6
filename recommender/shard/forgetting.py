"""Forgets users and items: afterwards a shard answers as if they had never been there.

Everything that a shard has by index is a row of somebody: of the history (entries, rings), and of each model
(factors, counts, fading sums, repeats). An index's life is owned by its catalog. To forget a user is

1. to withdraw each rating of the user, as if ``{"rating": null}`` had come for it, which every model knows;
2. to let each model clear what else it keeps of the user (`Model.forget_user`), and the history the record;
3. to remove the id from the catalog, so that its index is free for whoever comes next.

So a checkpoint holds nothing of the user but an empty place, and a state stays a function of the log. What
all users together have taught (weights of a blend, item vectors of a factorization, recall of a window of
tests) keeps its values: no user can be told from it.

An item with many ratings is gone at once too, its ratings a few at a time: `recommender.shard.leaving`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recommender.history.catalog import Catalog
from recommender.history.history import History
from recommender.history.rows import FORGET_USER, MERGE, Rows
from recommender.models.driver import Driver
from recommender.shard.leaving import Leaving

#: Columns of rows in which ids stand.
_USER, _ITEM = 0, 2
#: Seconds between two ratings that a guest leaves.
_STEP = 1e-3


class Forgetting:
    """Forgets.

    Parameters
    ----------
    users, items : Catalog
    history : History
    driver : Driver
    leaving : Leaving
        For items.
    """

    def __init__(
        self, users: Catalog, items: Catalog, history: History, driver: Driver, leaving: Leaving
    ) -> None:
        self._users, self._items, self._history, self._driver = users, items, history, driver
        self._leaving = leaving
        #: Told of the indices of users and of items that have left.
        self.users_left: list[Callable[[NDArray[np.int32]], None]] = []
        self.items_left: list[Callable[[NDArray[np.int32]], None]] = []
        #: Told of the items of ratings that were withdrawn with a user, or as a user's oldest.
        self.ratings_left: list[Callable[[NDArray[np.int32]], None]] = []
        #: Told of the users, items, ratings and times of ratings that came by merging.
        self.users_active: list[Callable[..., None]] = []
        self._counts: Counter[tuple[str, str]] = Counter()

    def take(self, rows: Rows, place: int, kind: int) -> None:
        """Do what a row says that is no rating."""
        user, item = rows.id_at(place, _USER), rows.id_at(place, _ITEM)
        if kind == MERGE:
            known = self.merge(user, item, float(rows.times[place]))
            self._counts["guest", "merged" if known else "unknown"] += 1
            return
        known = self.forget_user(user) if kind == FORGET_USER else self.forget_item(item)
        what = "user" if kind == FORGET_USER else "item"
        self._counts[what, "forgotten" if known else "unknown"] += 1

    def forget_user(self, user: str) -> bool:
        """Forget a user; False if nobody knows the user."""
        index = self._users.find(user)
        if index is None:
            return False
        self.forget_users(np.array([index], np.int32))
        return True

    def merge(self, user: str, guest: str, time: float) -> bool:
        """Let a user have a guest's ratings, and forget the guest; False if nobody knows the guest.

        They come after the user's own, in the guest's order. Where both rated an item the user's own stands.
        """
        index = self._users.find(guest)
        if index is None:
            return False
        items, ratings, weights = self._history.rated(index)
        stays = ~self._leaving.are_leaving(items)
        items, ratings, weights = items[stays], ratings[stays], weights[stays]
        self.forget_user(guest)
        index = self._users.find(user)
        new = np.ones(len(items), np.bool_)
        if index is not None:
            new = ~np.isin(items, self._history.items_of(index))
        count = int(np.count_nonzero(new))
        if count == 0:
            return True
        users = np.full(count, self._users.register(user), np.int32)
        # Of equal times they would be of one moment, without an order.
        times = time - _STEP * np.arange(count - 1, -1, -1.0)
        self._driver.learn_known(users, items[new], ratings[new], weights[new], times)
        for told in self.users_active:
            told(users, items[new], ratings[new], times)
        return True

    @property
    def user_count(self) -> int:
        """The number of known users."""
        return len(self._users)

    @property
    def item_count(self) -> int:
        """The number of known items."""
        return len(self._items)

    def forget_users(self, indices: NDArray[np.int32]) -> None:
        """Forget users by their indices, which differ."""
        if not len(indices):
            return
        items = self._driver.forget_users(indices)
        self._users.remove_all(indices)
        for told in self.users_left:
            told(indices)
        self._tell_of_ratings(items)

    def withdraw_oldest(self, users: NDArray[np.int32], most: int) -> int:
        """Withdraw the oldest ratings of those users who have more than so many; how many these are."""
        known, live = users[users < self._history.user_count], self._history.arrays.users["live"]
        many = np.unique(known[live[known] > most])
        if not len(many):
            return 0
        excess = live[many] - most
        items = self._history.oldest_items(many, excess)
        self._driver.withdraw(np.repeat(many, excess), items)
        self._tell_of_ratings(items)
        return len(items)

    def forget_unrated(self, indices: NDArray[np.int32]) -> None:
        """Forget items of which no rating stands, as far as they are known; the indices differ."""
        known = np.array([index for index in indices.tolist() if self._items.id_at(index)], np.int32)
        if len(known):
            self._driver.forget_unrated(known)
            self._items.remove_all(known.tolist())
            self._tell_of_items(known)

    def let_leave(self, indices: NDArray[np.int32]) -> None:
        """Forget items by their indices, their ratings a few at a time."""
        if len(indices):
            self._leaving.leave(indices.tolist())
            self._tell_of_items(indices)

    def _tell_of_ratings(self, items: NDArray[np.int32]) -> None:
        for told in self.ratings_left if len(items) else ():
            told(items)

    def _tell_of_items(self, indices: NDArray[np.int32]) -> None:
        for told in self.items_left:
            told(indices)

    def forget_item(self, item: str) -> bool:
        """Forget an item; False if nobody knows it."""
        index = self._items.find(item)
        if index is None:
            return False
        self._leaving.leave_at_once(index)
        self._tell_of_items(np.array([index], np.int32))
        return True

    def take_counts(self) -> dict[tuple[str, str], int]:
        """The counts of rows since the last call, by ``user`` or ``item`` and their outcome."""
        counts, self._counts = dict(self._counts), Counter()
        return counts
