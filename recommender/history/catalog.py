"""Ids to dense indices and back: one catalog of users and one of items in each shard."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.history.id_parts import IdParts
from recommender.history.id_table import IdTable, register_pairs
from recommender.history.snapshot import CatalogView

#: The number of last freed indices that are remembered, for those who keep something alongside a catalog.
REMEMBERED = 4096


class Catalog:
    """Numbers ids 0, 1, 2, ... in the order in which they are registered.

    A catalog owns the life of its indices. An id that is removed leaves its index free, and the next id that
    is new is given the one that became free last. Until it is removed, an index means one id in all arrays;
    whoever has arrays by index clears its row before the index is freed
    (`recommender.shard.forgetting.Forgetting` sees to that). Where that takes a while, an index is held back
    meanwhile: it has no id, and is given to nobody before it is released.
    """

    __slots__ = (
        "_free",
        "_free_array",
        "_free_at",
        "_freed",
        "_freed_last",
        "_held",
        "_ids",
        "_indices",
        "_is_viewed",
        "_table",
    )

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        #: By index; empty where it is free.
        self._ids: list[str] = []
        self._indices = IdParts()
        self._free: list[int] = []
        self._held: set[int] = set()
        # The same by bytes; behind until it is asked, but never while an index is free or held.
        self._table = IdTable()
        self._is_viewed = False
        self._freed, self._freed_last = 0, deque[int](maxlen=REMEMBERED)
        self._free_array, self._free_at = np.zeros(0, np.int32), (0, 0, 0)

    def __len__(self) -> int:
        return len(self._ids) - len(self._free) - len(self._held)

    @property
    def size(self) -> int:
        """The largest index that was ever given, plus one."""
        return len(self._ids)

    @property
    def free(self) -> NDArray[np.int32]:
        """The indices that no id has: free ones, and those that are held back."""
        state = (self._freed, len(self._free), len(self._held))
        if state != self._free_at:
            held = np.fromiter(self._held, np.int32, len(self._held))
            self._free_array, self._free_at = np.concatenate([self._table.free, held]), state
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
        return list(self._freed_last)[len(self._freed_last) - new :]

    def __contains__(self, identifier: str) -> bool:
        return self._indices.get(identifier) is not None

    def find(self, identifier: str) -> int | None:
        """The index of an id, or None if it was never registered."""
        return self._indices.get(identifier)

    def find_all(self, identifiers: Iterable[str]) -> list[int | None]:
        """The index of each id, None where it was never registered."""
        return self._indices.get_all(identifiers)

    def register(self, identifier: str) -> int:
        """The index of an id, which is given the next one if it has none yet."""
        index = self._indices.get(identifier)
        if index is None:
            if self._free:
                index = self._by_bytes().register(identifier)
                self._follow()
                return index
            index = len(self._ids)
            self._indices.update([(identifier, index)])
            self._ids.append(identifier)
        return index

    def remove(self, identifier: str) -> int:
        """Remove an id; the index that is free now.

        Raises
        ------
        KeyError
            It was never registered.
        """
        index = self._indices.get(identifier)
        if index is None:
            raise KeyError(identifier)
        self.remove_all([index])
        return index

    def remove_all(self, indices: Sequence[int], *, held: bool = False) -> None:
        """Remove the ids of indices, which are free then, or held back until `release`.

        Raises
        ------
        KeyError
            An index has no id.
        """
        ids = self._own_ids()
        self._indices.remove_all([ids[index] for index in indices])
        self._by_bytes().remove(np.array(indices, np.int32))
        for index in indices:
            ids[index] = ""
        self._freed += len(indices)
        self._freed_last.extend(indices)
        self._held.update(indices)
        if not held:
            self.release(indices)

    def release(self, indices: Sequence[int]) -> None:
        """Let indices that are held back be free."""
        table = self._by_bytes()  # has all ids: it takes none up while an index is free
        self._held.difference_update(indices)
        self._free.extend(indices)
        table.release(np.array(indices, np.int32))

    def _own_ids(self) -> list[str]:
        """The ids, to be changed: what a view has stays as it is."""
        if self._is_viewed:
            self._ids, self._is_viewed = list(self._ids), False
        return self._ids

    def register_all(self, identifiers: Sequence[str]) -> list[int]:
        """The index of each id; unseen ones are registered in the order in which they stand."""
        return list(map(self.register, identifiers))

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
        return self._by_bytes().find_all(text, spans, column)

    def _by_bytes(self) -> IdTable:
        if len(self._table) < len(self._ids):
            self._table.add(self._ids[len(self._table) :])
        return self._table

    def _follow(self) -> None:
        """Take over what was registered by bytes."""
        given = len(self._free) - self._table.free_count
        if given:
            again = self._free[-given:]
            del self._free[-given:]
            ids, texts = self._own_ids(), self._table.texts(again)
            for index, text in zip(again, texts, strict=True):
                ids[index] = text
            self._indices.update(zip(texts, again, strict=True))
        first = len(self._ids)
        if len(self._table) > first:
            new = self._table.texts(range(first, len(self._table)))
            self._indices.update(zip(new, range(first, first + len(new)), strict=True))
            self._ids += new

    def id_of(self, index: int) -> str:
        """The id that has an index.

        Raises
        ------
        IndexError
            No id has that index.
        """
        if index < 0:
            raise IndexError(f"index {index} is negative")
        if not self._ids[index]:
            raise IndexError(f"index {index} is free")
        return self._ids[index]

    def id_at(self, index: int) -> str:
        """The id that has an index; empty where it is free."""
        return self._ids[index]

    def ids_between(self, first: int, last: int) -> list[str]:
        """The ids whose indices are from `first` to before `last`."""
        return self._ids[first:last]

    def ids(self) -> list[str]:
        """All ids in the order of their indices, and an empty text for each index that has none."""
        return list(self._ids)

    def view(self) -> CatalogView:
        """All of it as it is now."""
        self._is_viewed = True
        return CatalogView(self._ids, len(self._ids), tuple(self._free))

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The ids as one UTF-8 byte array and their lengths in bytes, in the order of indices.

        An index that is free or held back has the length 0; in which order free ones are given again is told
        by `free`, which is there only where one is free.
        """
        return self.view().state()

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `state` gave."""
        text = state["bytes"].tobytes()
        ends = np.cumsum(state["lengths"], dtype=np.int64).tolist()
        starts = [0, *ends][: len(ends)]
        freed = self._freed
        self._clear()
        self._ids = [text[start:end].decode() for start, end in zip(starts, ends, strict=True)]
        self._indices.update((identifier, index) for index, identifier in enumerate(self._ids) if identifier)
        # Nobody who has seen what was there before has seen this.
        self._freed = freed + REMEMBERED + 1
        empty = np.flatnonzero(state["lengths"] == 0).tolist()
        if empty:
            self._free = state["free"].tolist() if "free" in state else []
            self._held = set(empty).difference(self._free)
            self._table.add(self._ids)
            self._table.set_free(self._free)


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
    indices = register_pairs(users._by_bytes(), items._by_bytes(), text, spans, values, used)
    users._follow()
    items._follow()
    return indices
