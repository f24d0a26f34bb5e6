"""Ids to dense indices and back: one catalog of users and one of items in each shard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.history.id_table import IdTable, register_pairs


class Catalog:
    """Numbers ids 0, 1, 2, ... in the order in which they are registered.

    Indices are never reused, so that an index in any array means one id for ever.
    """

    __slots__ = ("_ids", "_indices", "_table")

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._indices: dict[str, int] = {}
        # The same by bytes; behind until it is asked.
        self._table = IdTable()

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._indices

    def find(self, identifier: str) -> int | None:
        """The index of an id, or None if it was never registered."""
        return self._indices.get(identifier)

    def find_all(self, identifiers: Iterable[str]) -> list[int | None]:
        """The index of each id, None where it was never registered."""
        return list(map(self._indices.get, identifiers))

    def register(self, identifier: str) -> int:
        """The index of an id, which is given the next one if it has none yet."""
        index = self._indices.get(identifier)
        if index is None:
            index = len(self._ids)
            self._indices[identifier] = index
            self._ids.append(identifier)
        return index

    def register_all(self, identifiers: Sequence[str]) -> list[int]:
        """The index of each id; unseen ones are registered in the order in which they stand."""
        for identifier in dict.fromkeys(identifiers):
            self.register(identifier)
        return list(map(self._indices.__getitem__, identifiers))

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
        first = len(self._ids)
        if len(self._table) > first:
            new = self._table.tail(first)
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
        return self._ids[index]

    def ids_between(self, first: int, last: int) -> list[str]:
        """The ids whose indices are from `first` to before `last`."""
        return self._ids[first:last]

    def ids(self) -> list[str]:
        """All ids in the order of their indices."""
        return list(self._ids)

    def state(self, count: int | None = None) -> dict[str, NDArray[np.generic]]:
        """The ids as one UTF-8 byte array and their lengths in bytes, in the order of indices.

        Parameters
        ----------
        count : int, optional
            The number of ids to take, from the first on. As ids are never changed, that is the state at the
            time when there were no more, also while others are being registered.
        """
        ids = self._ids[:count]
        text = "".join(ids)
        lengths = map(len, ids) if text.isascii() else (len(each.encode()) for each in ids)
        return {
            "bytes": np.frombuffer(text.encode(), dtype=np.uint8),
            "lengths": np.fromiter(lengths, dtype=np.uint16, count=len(ids)),
        }

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `state` gave."""
        text = state["bytes"].tobytes()
        ends = np.cumsum(state["lengths"], dtype=np.int64).tolist()
        starts = [0, *ends][: len(ends)]
        self._ids = [text[start:end].decode() for start, end in zip(starts, ends, strict=True)]
        self._indices = {identifier: index for index, identifier in enumerate(self._ids)}
        self._table = IdTable()


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
