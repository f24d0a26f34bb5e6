# mypy: allow-untyped-defs, allow-untyped-calls
# numba types the kernel by what it is called with.
"""The items of a shard as the items topic knows them: which of them may be recommended."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import njit
from recommender.history.catalog import Catalog
from recommender.history.id_table import joined
from recommender.items.store import ItemStore, grown

#: Items that are looked up one by one; of more the store is looked up in the catalog, so many rows at once.
FEW, AT_ONCE = 1000, 50_000

Int32 = NDArray[np.int32]


class ItemView:
    """Which row of the store each item of a catalog has.

    Parameters
    ----------
    store : ItemStore
    catalog : Catalog
    """

    def __init__(self, store: ItemStore, catalog: Catalog) -> None:
        self.store, self._catalog = store, catalog
        self._rows = np.full(1024, -1, np.int32)
        self._items = self._seen = 0
        #: By row: some user has rated the item.
        self._rated = np.zeros(1024, np.bool_)

    def sync(self) -> None:
        """Take over what is new in the catalog and in the store."""
        store, catalog = self.store, self._catalog
        items, seen = len(catalog), len(store)
        if items == self._items and seen == self._seen:
            return
        self._rows = _at_least(self._rows, items, -1)
        self._rated = _at_least(self._rated, seen, False)
        if items - self._items > FEW:
            # One by one it would take seconds for a large catalog that was loaded just now.
            self._look_up(0, seen)
        else:
            for index in range(self._items, items):
                found = store.row_of(catalog.id_of(index))
                if found is not None:
                    self._rows[index], self._rated[found] = found, True
            self._look_up(self._seen, seen)
        self._items, self._seen = items, seen

    def _look_up(self, first: int, last: int) -> None:
        """Find the items of some rows in the catalog."""
        for start in range(first, last, AT_ONCE):
            ids = self.store.ids[start : min(start + AT_ONCE, last)]
            text, ends = joined([each.encode() for each in ids])
            spans = np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1)
            found = self._catalog.find_bytes(text, spans, 0)
            rows = np.flatnonzero(found >= 0)
            self._rows[found[rows]] = rows + start
            self._rated[rows + start] = True

    def filter(self, categories: list[str] | None, without: list[str]) -> ItemFilter | None:
        """What a request lets through; None if that is every item."""
        store = self.store
        store.expire(time.time())
        allowed = store.allowed(categories, without)
        if allowed is None and not store.hiding:
            return None
        self.sync()
        every = np.zeros(0, np.bool_) if allowed is None else allowed
        return ItemFilter(self, store.hidden, store.sets, self._rows, every, categories is None)

    def boosts_of(self, indices: Int32) -> NDArray[np.float64] | None:
        """The boosts of items; None if no item has one."""
        if not self.store.boosted:
            return None
        self.sync()
        known = indices < len(self._rows)
        rows = np.where(known, self._rows[np.where(known, indices, 0)], -1)
        return np.where(rows >= 0, self.store.boosts[rows], 1.0)

    def unrated(self, allowed: NDArray[np.bool_] | None, most: int, excluded: set[str]) -> list[str]:
        """Items of allowed sets that nobody has rated, the newest first; without sets, or of none, of all."""
        self.sync()
        store, count = self.store, len(self.store)
        shown = ~(store.hidden[:count] | self._rated[:count])
        if allowed is not None and len(allowed):
            shown &= allowed[store.sets[:count]]
        rows = np.flatnonzero(shown)
        found: list[str] = []
        for row in rows[::-1].tolist():
            if len(found) == most:
                break
            if store.ids[row] not in excluded:
                found.append(store.ids[row])
        return found


class ItemFilter(NamedTuple):
    """Tells which items a request lets through.

    Attributes
    ----------
    view : ItemView
    hidden, sets : arrays
        Of the store.
    rows : int32 array
        By item: its row; -1 if the items topic has not named it.
    allowed : bool array
        By set of categories; empty if every set is.
    unlisted : bool
        Items that the topic has not named pass.
    """

    view: ItemView
    hidden: NDArray[np.bool_]
    sets: Int32
    rows: Int32
    allowed: NDArray[np.bool_]
    unlisted: bool

    def all_but(self, without: Int32, count: int) -> Int32:
        """The items that pass, of the first `count`, but for those of `without`; ascending."""
        passed: Int32 = _passing(
            without, count, self.rows, self.hidden, self.sets, self.allowed, self.unlisted
        )
        return passed

    def of(self, indices: Int32) -> Int32:
        """The items that pass, of these."""
        rows = self.rows[indices]
        passing = ~self.hidden[rows]
        if len(self.allowed):
            passing &= self.allowed[self.sets[rows]]
        passed: Int32 = indices[np.where(rows < 0, self.unlisted, passing)]
        return passed

    def passes(self, item: str) -> bool:
        """Return True if an item passes, whether somebody has rated it or not."""
        row = self.view.store.row_of(item)
        return self._passes(-1 if row is None else row)

    def _passes(self, row: int) -> bool:
        if row < 0:
            return self.unlisted
        return not self.hidden[row] and (not len(self.allowed) or bool(self.allowed[self.sets[row]]))

    def why_fewer(self, count: int) -> str:
        """In words, why a list of so many items has become shorter than was asked."""
        nothing = np.zeros(0, np.int32)
        hidden = count - len(
            self._replace(allowed=nothing.astype(np.bool_), unlisted=True).all_but(nothing, count)
        )
        passing = len(self.all_but(nothing, count))
        parts = [f"{hidden} are not available"] if hidden else []
        if count - hidden - passing:
            parts.append(f"{count - hidden - passing} are not of the categories asked for")
        told = f": {' and '.join(parts)}" if parts else ""
        rest = "of these some are rated, excluded or not candidates"
        return f"{passing} of {count} items pass the filter{told}; {rest}"


def _at_least(array: NDArray[Any], size: int, value: object) -> NDArray[Any]:
    return array if size <= len(array) else grown(array, max(size, len(array) * 3 // 2), value)


@njit(cache=True)
def _passing(without, count, rows, hidden, sets, allowed, unlisted):
    keep = np.ones(count, np.bool_)
    for number in without:
        if number < count:
            keep[number] = False
    kept, found = np.empty(count, np.int32), 0
    for number in range(count):
        kept[found] = number
        row = rows[number]
        if row < 0:
            passes = unlisted
        else:
            passes = not hidden[row] and (allowed.size == 0 or allowed[sets[row]])
        found += keep[number] and passes
    return kept[:found]


def warm() -> None:
    """Compile or load the kernel."""
    nothing = np.zeros(0, np.int32)
    _passing(
        nothing, 1, np.zeros(1, np.int32), np.zeros(1, np.bool_), np.zeros(1, np.int32), nothing > 0, True
    )
