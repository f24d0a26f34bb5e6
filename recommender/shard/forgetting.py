"""Forgets users and items: afterwards a shard answers as if they had never been there.

Everything that a shard has by index is a row of somebody: of the history (entries, rings), and of each model
(factors, counts, fading sums, repeats). An index's life is owned by its catalog. To forget a user is

1. to withdraw each rating of the user, as if ``{"rating": null}`` had come for it, which every model knows;
2. to let each model clear what it keeps of the user beside (`Model.forget_user`), and the history the record;
3. to remove the id from the catalog, so that its index is free for whoever comes next.

So a checkpoint holds nothing of the user but an empty place, and a state stays a function of the log. What
all users together have taught (weights of a blend, item vectors of a factorization, recall of a window of
tests) keeps its values: no user can be told from it.
"""

from __future__ import annotations

from collections import Counter

from recommender.history.catalog import Catalog
from recommender.history.rows import FORGET_USER, Rows
from recommender.models.driver import Driver

#: Columns of rows in which ids stand.
_USER, _ITEM = 0, 2


class Forgetting:
    """Forgets.

    Parameters
    ----------
    users, items : Catalog
    driver : Driver
    """

    def __init__(self, users: Catalog, items: Catalog, driver: Driver) -> None:
        self._users, self._items, self._driver = users, items, driver
        self._counts: Counter[tuple[str, str]] = Counter()

    def take(self, rows: Rows, place: int, kind: int) -> None:
        """Do what a row says that is no rating."""
        if kind == FORGET_USER:
            known = self.forget_user(rows.id_at(place, _USER))
        else:
            known = self.forget_item(rows.id_at(place, _ITEM))
        what = "user" if kind == FORGET_USER else "item"
        self._counts[what, "forgotten" if known else "unknown"] += 1

    def forget_user(self, user: str) -> bool:
        """Forget a user; False if nobody knows the user."""
        index = self._users.find(user)
        if index is None:
            return False
        self._driver.forget_user(index)
        self._users.remove(user)
        return True

    def forget_item(self, item: str) -> bool:
        """Forget an item; False if nobody knows it."""
        index = self._items.find(item)
        if index is None:
            return False
        self._driver.forget_item(index)
        self._items.remove(item)
        return True

    def take_counts(self) -> dict[tuple[str, str], int]:
        """How many rows came since this was last called, by ``user`` or ``item`` and their outcome."""
        counts, self._counts = dict(self._counts), Counter()
        return counts
