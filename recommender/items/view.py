# mypy: allow-untyped-defs, allow-untyped-calls
# numba types the kernel by what it is called with.
"""The items of a shard as the items topic knows them: which of them may be recommended."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import njit
from recommender.history.catalog import Catalog
from recommender.items.store import ItemStore, grown
from recommender.models.base import Passing

Int32 = NDArray[np.int32]

#: Of all filters that are kept: what they hold, and what any takes.
MAX_FILTER_BYTES, LEAST_BYTES = 32 * 1024 * 1024, 64 * 1024
#: Of so many items those that pass, or the others, are listed once for all requests: to look at each of fewer
#: takes no longer.
LISTED_FROM = 20_000
#: Of all items fewer than one in so many are few.
FEW = 64
_NOTHING = np.zeros(0, np.int32)


class ItemView:
    """The row of the store that each item of a catalog has.

    Parameters
    ----------
    store : ItemStore
    catalog : Catalog
    listed_from : int
        See `LISTED_FROM`.
    """

    def __init__(self, store: ItemStore, catalog: Catalog, *, listed_from: int = LISTED_FROM) -> None:
        self.store, self._catalog, self._listed_from = store, catalog, listed_from
        self._seen = self._change = 0
        #: Of the catalog as it was: how many indices, ids, and indices that had become free.
        self._known = 0, 0, 0
        #: Indices of which no item was known then.
        self._free: set[int] = set()
        #: By item: its row, whether it is hidden, and its set of categories; -1 where it has no row.
        self._rows, self._hidden = np.full(1024, -1, np.int32), np.zeros(1024, np.bool_)
        self._sets = np.full(1024, -1, np.int32)
        #: By row: the item; -1 if no user has rated it.
        self._index = np.full(1024, -1, np.int32)
        #: By what requests ask for, until something changes.
        self._filters: dict[tuple[tuple[str, ...] | None, tuple[str, ...]], ItemFilter] = {}
        self._filter_bytes = 0

    def sync(self) -> None:
        """Take over what is new in the catalog and in the store."""
        store, catalog, changes = self.store, self._catalog, self.store.changes
        items, seen, change = catalog.size, len(store), changes.first + len(changes.rows)
        known = items, len(catalog), catalog.freed
        if (known, seen, change) == (self._known, self._seen, self._change):
            return
        self._forget_filters()
        self._rows, self._sets = (_at_least(each, items, -1) for each in (self._rows, self._sets))
        self._hidden, self._index = _at_least(self._hidden, items, False), _at_least(self._index, seen, -1)
        again, before = self._let_go(), self._known[0]
        self._join_items([catalog.id_at(index) for index in again], again)
        self._join_items(catalog.ids_between(before, items), range(before, items))
        if before:
            found = _numbers(catalog.find_all(store.ids[self._seen : seen]), items)
            self._join(np.arange(self._seen, seen, dtype=np.int32), found)
        rows: Int32 = np.arange(seen, dtype=np.int32)
        if self._change >= changes.first:
            rows = np.array(changes.rows[self._change - changes.first :], np.int32)
        self._take_over(rows[rows < seen])
        self._known, self._seen, self._change = known, seen, change

    def _let_go(self) -> list[int]:
        """Let go of items that were forgotten since; the indices that may be other items' now."""
        freed = self._catalog.freed_since(self._known[2])
        if freed is None:
            self._rows[:], self._sets[:], self._index[:], self._hidden[:] = -1, -1, -1, False
            self._known, self._seen, self._change, self._free = (0, 0, 0), 0, 0, set()
            return []
        for index in freed:
            if self._rows[index] >= 0:
                self._index[self._rows[index]] = -1
            self._rows[index], self._sets[index], self._hidden[index] = -1, -1, False
        again, self._free = sorted(self._free.union(freed)), set()
        return [index for index in again if index < self._known[0]]

    def _join_items(self, ids: Sequence[str], indices: Sequence[int]) -> None:
        """Join items and their rows; a text that is empty is of an index that is free."""
        if not len(indices):
            return
        self._free.update(index for index, each in zip(indices, ids, strict=True) if not each)
        self._join(_numbers(self.store.rows_of(ids), len(self.store)), np.array(indices, np.int32))

    def _join(self, rows: Int32, items: Int32) -> None:
        """Join rows and items, one to one, but for those that are -1."""
        both = (rows >= 0) & (items >= 0)
        rows, items = rows[both], items[both]
        self._rows[items], self._index[rows] = rows, items
        self._take_over(rows)

    def _take_over(self, rows: Int32) -> None:
        """Take over what the store says of some rows, in the order of the items: filters look at all."""
        items = self._index[rows]
        rows, items = rows[items >= 0], items[items >= 0]
        self._hidden[items], self._sets[items] = self.store.hidden[rows], self.store.sets[rows]

    def filter(self, categories: list[str] | None, without: list[str]) -> ItemFilter | None:
        """The items that a request lets through; None if that is every item."""
        store = self.store
        store.expire(time.time())
        if categories is None and not without and not store.hiding:
            return None
        self.sync()
        asked = None if categories is None else tuple(categories), tuple(without)
        found = self._filters.get(asked)
        if found is None:
            found = self._made(store.allowed(categories, without), unlisted=categories is None)
            if self._filter_bytes + found.nbytes > MAX_FILTER_BYTES:
                self._forget_filters()
            self._filters[asked] = found
            self._filter_bytes += found.nbytes
        return found

    def _made(self, allowed: NDArray[np.bool_] | None, *, unlisted: bool) -> ItemFilter:
        """A filter of what there is now."""
        every = np.zeros(0, np.bool_) if allowed is None else allowed
        mask, count = _mask(self._hidden, self._sets, every, unlisted), self._known[0]
        made = ItemFilter(self, mask, self._hidden, every, unlisted)
        if count < self._listed_from:
            return made
        few = bool(2 * np.count_nonzero(mask[:count]) < count)
        return made._replace(known=count, few=few, listed=_chosen(mask, _NOTHING, count, few))

    def _forget_filters(self) -> None:
        self._filters.clear()
        self._filter_bytes = 0

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
        shown = ~store.hidden[:count] & (self._index[:count] < 0)
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
    mask : bool array
        By item: it passes.
    hidden : bool array
        By item: it is not available.
    allowed : bool array
        By set of categories; empty if every set is.
    unlisted : bool
        Items that the topic has not named pass.
    known : int
        Of the first so many items some are listed.
    few : bool
        Fewer than a half of these pass, and they are those that are listed; else the others are.
    listed : int32 array, ascending
    """

    view: ItemView
    mask: NDArray[np.bool_]
    hidden: NDArray[np.bool_]
    allowed: NDArray[np.bool_]
    unlisted: bool
    known: int = 0
    few: bool = False
    listed: Int32 = _NOTHING

    @property
    def nbytes(self) -> int:
        """Memory held beside the view's, in bytes."""
        return self.mask.nbytes + self.allowed.nbytes + self.listed.nbytes + LEAST_BYTES

    def leaves_few(self, count: int) -> bool:
        """Return True if so few of the first `count` pass that a look at each of them costs little."""
        return self.few and (count != self.known or FEW * len(self.listed) < count)

    def of_all(self, count: int) -> Passing | None:
        """The filter of the first `count` items, if these are all of which some are listed."""
        return Passing(self.mask, self.listed, self.few) if count == self.known else None

    def all_but(self, without: Int32, count: int) -> Int32:
        """The items that pass, of the first `count`, but for those of `without`; ascending."""
        if count > self.known or not self.few:
            passed: Int32 = _chosen(self.mask, without, count, True)
            return passed
        listed = self._listed_below(count)
        places = np.searchsorted(listed, without)
        places, without = places[places < len(listed)], without[places < len(listed)]
        return np.delete(listed, places[listed[places] == without])

    def others(self, without: Int32, count: int) -> Int32:
        """The items that do not pass, of the first `count`, and those of `without`; ascending."""
        if count > self.known or self.few:
            others: Int32 = _chosen(self.mask, without, count, False)
            return others
        listed, more = self._listed_below(count), np.unique(without[without < count])
        more = more[self.mask[more]]
        return np.insert(listed, np.searchsorted(listed, more), more)

    def _listed_below(self, count: int) -> Int32:
        return self.listed if count == self.known else self.listed[: np.searchsorted(self.listed, count)]

    def of(self, indices: Int32) -> Int32:
        """The items that pass, of these."""
        return indices[self.mask[indices]]

    def passes(self, item: str) -> bool:
        """Return True if an item passes, whether somebody has rated it or not."""
        store = self.view.store
        row = store.row_of(item)
        if row is None:
            return self.unlisted
        return not store.hidden[row] and (not len(self.allowed) or bool(self.allowed[store.sets[row]]))

    def why_fewer(self, count: int, free: Int32) -> str:
        """Explain why a list of all indices but the `free` ones has become shorter than was asked."""
        hidden = int(np.count_nonzero(self.hidden[:count]))
        passing = len(self.all_but(free, count))
        count -= len(free)
        parts = [f"{hidden} not available"] if hidden else []
        if count - hidden - passing:
            parts.append(f"{count - hidden - passing} not of the categories asked for")
        told = f": {' and '.join(parts)}" if parts else ""
        rest = "some of these the user may have rated, or they are excluded or no candidates"
        return f"{passing} of {count} items that anybody has rated pass the filter{told}; {rest}"


def _numbers(found: list[int | None], below: int) -> Int32:
    """Numbers below a bound, which is when this was asked for; -1 where there is none."""
    given = (-1 if number is None or number >= below else number for number in found)
    return np.fromiter(given, np.int32, len(found))


def _at_least(array: NDArray[Any], size: int, value: object) -> NDArray[Any]:
    return array if size <= len(array) else grown(array, max(size, len(array) * 3 // 2), value)


@njit(cache=True)
def _mask(hidden, sets, allowed, unlisted):
    """Marks of the items that pass."""
    passing = np.empty(sets.size, np.bool_)
    if allowed.size == 0:
        for number in range(sets.size):
            passing[number] = not hidden[number]
    else:
        # Without a branch: a machine guesses wrong what random items do.
        for number in range(sets.size):
            listed = sets[number] >= 0
            allows = allowed[sets[number] * listed]
            passing[number] = (listed & allows & (not hidden[number])) | (unlisted & (not listed))
    return passing


@njit(cache=True)
def _chosen(mask, without, count, passing):
    """Choose of the first numbers those that pass and are not in `without`, or all the others; ascending."""
    keep = mask[:count] == passing
    for number in without:
        if number < count:
            keep[number] = not passing
    kept, found = np.empty(count, np.int32), 0
    for number in range(count):
        kept[found] = number
        found += keep[number]
    return kept[:found]


def warm() -> None:
    """Compile or load the kernels."""
    nothing = np.zeros(0, np.int32)
    mask = _mask(np.zeros(1, np.bool_), np.zeros(1, np.int32), nothing > 0, True)
    _chosen(mask, nothing, 1, True)
