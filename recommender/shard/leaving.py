"""Items that left: gone for every answer at once, their ratings withdrawn a few at a time.

An item may have a million ratings, and to withdraw them in one go would take a second. So its id is removed
at once, which takes it out of all answers, and its index is held back. With the rows of the log that follow

1. the raters that the history keeps of the item, its newest ones, withdraw their ratings, item by item in the
   order in which they left;
2. where older ones are left, users are passed through in the order of their indices, round and round, and
   withdraw what they have of any such item;
3. an item of which no rating stands is forgotten (`recommender.models.driver.Driver`), and its index is free.

How many rows passed decides how far this is, nothing else, so a state stays a function of the log.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.history.arrays import Arrays, grown
from recommender.history.catalog import Catalog
from recommender.history.history import History
from recommender.models.driver import Driver

#: An item with no more ratings leaves in one go, and so does one that is looked for at no more users.
AT_ONCE, FEW_USERS = 1024, 4096
#: Users that are passed through for each row.
USERS = 2


class Leaving:
    """Lets items leave.

    Parameters
    ----------
    items : Catalog
    history : History
    driver : Driver
    """

    def __init__(self, items: Catalog, history: History, driver: Driver) -> None:
        self._items, self._history, self._driver = items, history, driver
        self._clear()

    def _clear(self) -> None:
        #: Those whose newest raters are next, and those of which only older raters are left, in order.
        self._queue: list[int] = []
        self._spread: list[int] = []
        #: By item: whether it is one of the latter.
        self._marks = np.zeros(0, np.uint8)
        #: The user who is passed through next.
        self._next = 0

    def __bool__(self) -> bool:
        return bool(self._queue or self._spread)

    def are_leaving(self, items: NDArray[np.int32]) -> NDArray[np.bool_]:
        """True for those items that are leaving, shape as `items`."""
        found: NDArray[np.bool_] = np.isin(items, np.array([*self._queue, *self._spread], np.int32))
        return found

    def leave(self, indices: Sequence[int]) -> None:
        """Let items leave: for all who ask they are gone, but their ratings stand until `work`."""
        self._items.remove_all(indices, held=True)
        self._queue += indices

    def leave_at_once(self, index: int) -> None:
        """Let an item leave; its ratings are withdrawn at once where they are few."""
        few = int(self._history.counts_of(np.array([index], np.int32))[0]) <= AT_ONCE
        if few and (self._history.finds_raters(index) or self._history.user_count <= FEW_USERS):
            self._driver.forget_item(index)
            self._items.remove_all([index])
        else:
            self.leave([index])

    def work(self, ratings: int, rows: int) -> None:
        """Withdraw ratings of items that left.

        Parameters
        ----------
        ratings : int
            How many about of those whom the history keeps of each item.
        rows : int
            The rows that passed since this was last called.
        """
        if self._queue:
            self._withdraw_newest(ratings)
        if self._spread:
            self._pass_through(USERS * rows)

    def _withdraw_newest(self, most: int) -> None:
        raters: list[NDArray[np.int32]] = []
        count = 0
        while count < len(self._queue) and most > 0:
            raters.append(np.sort(self._history.raters(self._queue[count])))
            most -= max(1, len(raters[-1]))
            count += 1
        taken, self._queue = self._queue[:count], self._queue[count:]
        items = np.repeat(np.array(taken, np.int32), [len(users) for users in raters])
        self._driver.withdraw(np.concatenate(raters), items)
        self._spread += taken
        self._mark(taken)
        self._forget_unrated()

    def _pass_through(self, count: int) -> None:
        if self._next >= self._history.user_count:
            self._next = 0
        self._next, users, items = self._history.entries_of_marked(self._marks, self._next, count, count)
        self._driver.withdraw(users, items)
        self._forget_unrated()
        if not self._spread:
            self._next = 0

    def _forget_unrated(self) -> None:
        spread = np.array(self._spread, np.int32)
        standing = self._history.counts_of(spread) > 0
        gone = spread[~standing]
        if len(gone):
            self._spread = spread[standing].tolist()
            self._marks[gone] = 0
            self._driver.forget_unrated(gone)
            self._items.release(gone.tolist())

    def _mark(self, items: Sequence[int]) -> None:
        self._marks = grown(self._marks, self._items.size)
        self._marks[items] = 1

    def state(self) -> Arrays:
        """The state of what is leaving; nothing if no item is."""
        if not self:
            return {}
        return {
            "leaving": np.array(self._queue, np.int32),
            "spread": np.array(self._spread, np.int32),
            "next": np.array([self._next], np.int64),
        }

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave; the catalog and the history are restored."""
        self._clear()
        if "leaving" in state:
            self._queue, self._spread = state["leaving"].tolist(), state["spread"].tolist()
            self._next = int(state["next"][0])
            self._mark(self._spread)
