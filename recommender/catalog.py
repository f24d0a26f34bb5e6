"""Ids to dense indices and back: one catalog of users and one of items in each shard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


class Catalog:
    """Numbers ids 0, 1, 2, ... in the order in which they are registered.

    Indices are never reused, so that an index in any array means one id for ever.
    """

    __slots__ = ("_ids", "_indices")

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._indices: dict[str, int] = {}

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

    def ids(self) -> list[str]:
        """All ids in the order of their indices."""
        return list(self._ids)

    def state(self, count: int | None = None) -> dict[str, NDArray[np.generic]]:
        """The ids as one UTF-8 byte array and their lengths in bytes, in the order of indices.

        Parameters
        ----------
        count : int, optional
            Of the first so many ids only. As ids are never changed, that is the state at the time when there
            were so many, also while others are being registered.
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
