"""Ids to dense indices and back: one catalog of users and one of items in each shard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from recommender.history.arrays import Arrays
from recommender.history.id_table import IdTable, register_pairs
from recommender.history.texts import packed_texts, texts_of, utf8

#: The number of last freed indices that are remembered, for those who keep something alongside a catalog.
REMEMBERED = 4096


class Copy(Protocol):
    """A copy of a catalog in the making."""

    def forget(self, indices: NDArray[np.int32]) -> None:
        """Take note that indices have lost their ids."""


class Catalog:
    """Numbers ids 0, 1, 2, ... in the order in which they are registered.

    A catalog owns the life of its indices. An id that is removed leaves its index free, and the next id that
    is new is given the one that became free last. Until it is removed, an index means one id in all arrays;
    whoever has arrays by index clears its row before the index is freed
    (`recommender.shard.forgetting.Forgetting` sees to that). Where that takes a while, an index is held back
    meanwhile: it has no id, and is given to nobody before it is released.

    Attributes
    ----------
    table : IdTable
        The ids by their bytes: they are kept nowhere else.
    copies : set of Copy
        Copies in the making.
    """

    __slots__ = ("_free_array", "_free_at", "_freed", "_freed_last", "_held", "copies", "table")

    def __init__(self) -> None:
        self.copies: WeakSet[Copy] = WeakSet()
        self._freed, self._freed_last = 0, np.zeros(0, np.int32)
        self._clear()

    def _clear(self) -> None:
        self.table = IdTable()
        self._held: set[int] = set()
        self._free_array, self._free_at = np.zeros(0, np.int32), (0, 0, 0)

    def __len__(self) -> int:
        return self.size - self.table.free_count - len(self._held)

    @property
    def size(self) -> int:
        """The largest index that was ever given, plus one."""
        return len(self.table)

    @property
    def free(self) -> NDArray[np.int32]:
        """The indices that no id has: free ones, and those that are held back."""
        state = (self._freed, self.table.free_count, len(self._held))
        if state != self._free_at:
            held = np.fromiter(self._held, np.int32, len(self._held))
            self._free_array, self._free_at = np.concatenate([self.table.free, held]), state
        return self._free_array

    @property
    def freed(self) -> int:
        """The number of times that an id was removed."""
        return self._freed

    def freed_since(self, count: int) -> list[int] | None:
        """The indices that lost their id since `freed` was `count`; None where that is too long ago."""
        new = self._freed - count
        if new > len(self._freed_last) or new < 0:
            return None
        freed: list[int] = self._freed_last[len(self._freed_last) - new :].tolist()
        return freed

    def __contains__(self, identifier: str) -> bool:
        return self.find(identifier) is not None

    def find(self, identifier: str) -> int | None:
        """The index of an id, or None if it was never registered."""
        index = self.table.find(np.frombuffer(utf8(identifier), np.uint8))
        return None if index < 0 else index

    def find_all(self, identifiers: Iterable[str]) -> list[int | None]:
        """The index of each id, None where it was never registered."""
        text, ends = packed_texts(identifiers)
        found = self.table.find_all(text, np.stack([ends - np.diff(ends, prepend=0), ends], axis=1), 0)
        return [None if index < 0 else index for index in found.tolist()]

    def find_bytes(self, text: NDArray[np.uint8], spans: NDArray[np.int64], column: int) -> NDArray[np.int32]:
        """The index of each id that stands in a text, -1 where it was never registered.

        Parameters
        ----------
        text : uint8 array
            UTF-8.
        spans : int64 array, shape (ids, columns)
        column : int
            Of the spans: where an id begins; in the next column it ends.
        """
        return self.table.find_all(text, spans, column)

    def register(self, identifier: str) -> int:
        """The index of an id, which is given the next one if it has none yet."""
        return self.register_all([identifier])[0]

    def register_all(self, identifiers: Sequence[str]) -> list[int]:
        """The index of each id; unseen ones are registered in the order in which they stand."""
        indices: list[int] = self.table.register_all(*packed_texts(identifiers)).tolist()
        return indices

    def remove(self, identifier: str) -> int:
        """Remove an id; the index that is free now.

        Raises
        ------
        KeyError
            It was never registered.
        """
        index = self.find(identifier)
        if index is None:
            raise KeyError(identifier)
        self.remove_all([index])
        return index

    def remove_all(self, indices: Sequence[int] | NDArray[np.int32], *, held: bool = False) -> None:
        """Remove the ids of indices, which differ, and are free then, or held back until `release`.

        Raises
        ------
        KeyError
            An index has no id.
        """
        removed = np.asarray(indices, np.int32)
        without = removed[self.table.arrays.hashes[removed] < 0]
        if len(without):
            raise KeyError(f"index {without[0]} has no id")
        self.table.remove(removed)
        self._freed += len(removed)
        self._freed_last = np.concatenate([self._freed_last, removed])[-REMEMBERED:]
        for each in self.copies:
            each.forget(removed)
        if held:
            self._held.update(removed.tolist())
        else:
            self.table.release(removed)

    def release(self, indices: Sequence[int]) -> None:
        """Let indices that are held back be free."""
        self._held.difference_update(indices)
        self.table.release(np.array(indices, np.int32))

    def id_of(self, index: int) -> str:
        """The id that has an index.

        Raises
        ------
        IndexError
            No id has that index.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"index {index} is not among {self.size}")
        if not self.table.has(index):
            raise IndexError(f"index {index} is free")
        return self.table.text(index)

    def id_at(self, index: int) -> str:
        """The id that has an index; empty where it is free."""
        return self.table.text(index) if self.table.has(index) else ""

    def ids_between(self, first: int, last: int) -> list[str]:
        """The ids whose indices are from `first` to before `last`, and an empty text where there is none."""
        return texts_of(*self.table.gathered(np.arange(first, min(last, self.size))))

    def ids(self) -> list[str]:
        """All ids in the order of their indices, and an empty text for each index that has none."""
        return self.ids_between(0, self.size)

    def state(self) -> Arrays:
        """The ids as one UTF-8 byte array and their lengths in bytes, in the order of indices.

        An index that is free or held back has the length 0; in which order free ones are given again is told
        by `free`, which is there only where one is free.
        """
        return state_of(*self.table.gathered(np.arange(self.size)), self.table.free)

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave."""
        self._clear()
        lengths = state["lengths"]
        text = np.ascontiguousarray(state["bytes"], np.uint8).view()
        text.flags.writeable = False  # as all other texts are, for compiled code
        self.table.register_all(text, np.cumsum(lengths, dtype=np.int64))
        # Nobody who has seen what was there before has seen this.
        self._freed += REMEMBERED + 1
        self._freed_last = self._freed_last[:0]
        empty = np.flatnonzero(lengths == 0).tolist()
        if empty:
            free = state["free"].astype(np.int32) if "free" in state else np.zeros(0, np.int32)
            self._held = set(empty).difference(free.tolist())
            self.table.release(free)


def state_of(text: NDArray[Any], lengths: NDArray[Any], free: NDArray[np.int32]) -> Arrays:
    """The state of a catalog with these ids, see `Catalog.state`."""
    state: Arrays = {"bytes": text, "lengths": lengths}
    # Where nobody was ever removed it is what it was before anybody could be.
    return state | {"free": free.copy()} if len(free) else state


def register_bytes(
    users: Catalog,
    items: Catalog,
    text: NDArray[np.uint8],
    spans: NDArray[np.int64],
    values: NDArray[np.float32],
    used: NDArray[np.bool_],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The indices of users and items of many ratings, which are given the next ones if they have none yet.

    Parameters
    ----------
    users, items : Catalog
    text : uint8 array
        UTF-8, in which the ids stand.
    spans : int64 array, shape (ratings, 4)
        Where the user begins and ends, then the item.
    values : float32 array
        NaN withdraws, which registers neither user nor item.
    used : bool array
        False where a rating is to be passed over; then its indices mean nothing. What takes back a rating
        of somebody or something unseen is unmarked here.
    """
    return register_pairs(users.table, items.table, text, spans, values, used)
