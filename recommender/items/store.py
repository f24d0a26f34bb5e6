"""The content of the items topic, as arrays: one row for each item that it has ever named."""

from __future__ import annotations

import heapq
import math
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.messages.items import ItemInfo
from recommender.messages.refusals import BadMessage, Kind

MAX_ITEMS, MAX_CATEGORIES = 10_000_000, 100_000
#: Changes that are told by default.
MAX_CHANGES = 100_000
NOWHERE = ()
GONE = ItemInfo(available=False)


class Changes(NamedTuple):
    """The rows that changed last, in order; `first` is the number of the first of them, of all changes."""

    first: int
    rows: list[int]


class ItemStore:
    """Titles, availability, categories and boosts of items.

    Items have few different sets of categories, so a row holds the number of its set, and a filter looks at
    the sets first. A set that no item has any more is taken for the next new one.

    Parameters
    ----------
    max_items, max_categories : int
        Items, and different categories of all of them, that are kept; what comes beyond is refused.
    most_changes : int
        Changes that are kept; a view that has missed more reads all rows.

    Attributes
    ----------
    ids : list of str
        By row.
    hidden : bool array
        By row: not available, past its time, or gone.
    sets : int32 array
        By row: the number of its set of categories; 0 is the empty one.
    boosts : float64 array
        By row, as soon as one is another than 1.
    boosted : int
        How many rows have another boost than 1.
    hiding : int
        How many rows are hidden.
    changes : Changes
    """

    def __init__(
        self,
        *,
        max_items: int = MAX_ITEMS,
        max_categories: int = MAX_CATEGORIES,
        most_changes: int = MAX_CHANGES,
    ) -> None:
        self._max_items, self._max_categories = max_items, max_categories
        self._most_changes = most_changes
        self.ids: list[str] = []
        # One row more than none: it is looked at for items that have none, and means nothing.
        self.hidden = np.zeros(1, np.bool_)
        self.sets = np.zeros(1, np.int32)
        self.boosts = np.ones(1, np.float64)
        self.boosted = self.hiding = 0
        self.changes = Changes(0, [])
        self._rows: dict[str, int] = {}
        self._titles: list[str | None] = []
        self._until: dict[int, float] = {}
        self._ending: list[tuple[float, int]] = []
        self._numbers: dict[tuple[str, ...], int] = {NOWHERE: 0}
        self._members: list[tuple[str, ...]] = [NOWHERE]
        self._uses = [1]
        self._free: list[int] = []
        self._with: defaultdict[str, set[int]] = defaultdict(set)
        #: The same as arrays, of those that were asked for since they changed.
        self._arrays: dict[str, NDArray[np.int32]] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def row_of(self, item: str) -> int | None:
        """The row of an item, if the topic has ever named it."""
        return self._rows.get(item)

    def rows_of(self, items: Iterable[str]) -> list[int | None]:
        """The row of each item, None where the topic has never named it."""
        return list(map(self._rows.get, items))

    def title_of(self, item: str) -> str | None:
        """The title of an item."""
        row = self._rows.get(item)
        return None if row is None else self._titles[row]

    def boost_of(self, item: str) -> float | None:
        """The boost of an item, if it has one."""
        row = self._rows.get(item)
        boost = 1.0 if row is None or not self.boosted else float(self.boosts[row])
        return None if boost == 1.0 else boost

    @property
    def categories(self) -> list[str]:
        """All categories that some item has."""
        return sorted(self._with)

    def put(self, item: str, info: ItemInfo | None, now: float | None = None) -> None:
        """Take over what a record says of an item; None if it is gone.

        Raises
        ------
        BadMessage
            There are too many items or categories.
        """
        said = GONE if info is None else info
        categories = said.categories
        if categories not in self._numbers:
            new = [each for each in categories if each not in self._with]
            if new and len(self._with) + len(new) > self._max_categories:
                told = f"there are {self._max_categories} categories already: no others are taken"
                raise BadMessage(told, Kind.BAD_FIELD)
        row = self._rows.get(item)
        if row is None:
            row = self._add(item)
            number = self._numbers.get(categories)
            if number is not None and said.available and said.until == math.inf and said.boost == 1.0:
                # Most say no more than that; of a million all the rest would take seconds.
                self._titles[row] = said.title
                self._uses[0] -= 1
                self._uses[number] += 1
                self.sets[row] = number
                self._changed(row)
                return
        hidden = not said.available or said.until <= (time.time() if now is None else now)
        if hidden or self.hiding:
            self._hide(row, hidden)
        self._titles[row] = said.title
        until = said.until if said.available else math.inf
        if self._until or until != math.inf:
            self._end(row, until)
        if said.boost != 1.0 or self.boosted:
            if len(self.boosts) < len(self.hidden):
                self.boosts = grown(self.boosts, len(self.hidden), 1.0)
            self.boosted += int(said.boost != 1.0) - int(self.boosts[row] != 1.0)
            self.boosts[row] = said.boost
        self._enter(row, categories)
        self._changed(row)

    def _changed(self, row: int) -> None:
        first, rows = self.changes
        if len(rows) == self._most_changes:
            # Another list, not this one emptied: a view may look at it in a thread.
            self.changes = Changes(first + self._most_changes, [row])
        else:
            rows.append(row)

    def expire(self, now: float) -> None:
        """Hide what ceased to be available by now."""
        while self._ending and self._ending[0][0] <= now:
            until, row = heapq.heappop(self._ending)
            if self._until.get(row) == until:
                del self._until[row]
                self._hide(row, True)
                self._changed(row)

    def allowed(self, categories: list[str] | None, without: list[str]) -> NDArray[np.bool_] | None:
        """Mark the sets, by number, that have one of these categories and none of the others; None: all."""
        if categories is None and not without:
            return None
        found = np.full(len(self._members), categories is None)
        for name in categories or ():
            found[self._numbers_with(name)] = True
        for name in without:
            found[self._numbers_with(name)] = False
        return found

    def _numbers_with(self, category: str) -> NDArray[np.int32]:
        found = self._arrays.get(category)
        if found is None:
            members = self._with.get(category, ())
            found = np.fromiter(members, np.int32, len(members))
            if members:
                self._arrays[category] = found
        return found

    def _add(self, item: str) -> int:
        row = len(self.ids)
        if row >= self._max_items:
            raise BadMessage(f"there are {self._max_items} items already: no others are taken", Kind.BAD_ITEM)
        if row == len(self.hidden):
            size = max(1024, row * 3 // 2)
            self.hidden = grown(self.hidden, size, False)
            self.sets = grown(self.sets, size, 0)
            if self.boosted:
                self.boosts = grown(self.boosts, size, 1.0)
        self._rows[item] = row
        self.ids.append(item)
        self._titles.append(None)
        self._uses[0] += 1
        return row

    def _hide(self, row: int, hidden: bool) -> None:
        self.hiding += hidden - int(self.hidden[row])
        self.hidden[row] = hidden

    def _end(self, row: int, until: float) -> None:
        if math.isinf(until):
            self._until.pop(row, None)
        elif self._until.get(row) != until:
            self._until[row] = until
            heapq.heappush(self._ending, (until, row))
            if len(self._ending) > 2 * len(self._until) + 1024:
                self._ending = [(moment, each) for each, moment in self._until.items()]
                heapq.heapify(self._ending)

    def _enter(self, row: int, categories: tuple[str, ...]) -> None:
        """Give a row its set of categories, and forget a set that no row has any more."""
        old, number = int(self.sets[row]), self._numbers.get(categories)
        if number == old:
            return
        if number is None:
            number = self._free.pop() if self._free else len(self._members)
            if number == len(self._members):
                self._members.append(categories)
                self._uses.append(0)
            self._members[number] = categories
            self._numbers[categories] = number
            for name in categories:
                self._with[name].add(number)
                self._arrays.pop(name, None)
        self._uses[number] += 1
        self._uses[old] -= 1
        self.sets[row] = number
        if not self._uses[old]:
            self._forget(old)

    def _forget(self, number: int) -> None:
        del self._numbers[self._members[number]]
        for name in self._members[number]:
            self._with[name].discard(number)
            self._arrays.pop(name, None)
            if not self._with[name]:
                del self._with[name]
        self._members[number] = NOWHERE
        self._free.append(number)


#: What is known where there is no items topic: nothing.
NO_ITEMS = ItemStore()


def grown(array: NDArray[Any], size: int, value: object) -> NDArray[Any]:
    """A longer array that begins with `array`; the rest of it is `value`."""
    longer = np.full(size, value, array.dtype)
    longer[: len(array)] = array
    return longer
