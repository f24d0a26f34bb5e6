"""Names numbered 0, 1, 2, ... in the order in which they come."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from recommender.history.arrays import Arrays
from recommender.history.texts import packed_texts, texts_of


class Names:
    """Numbers names, of which some are forgotten by making another one of the rest.

    Parameters
    ----------
    names : iterable of str
        In the order of their numbers.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._numbers: dict[str, int] = {name: number for number, name in enumerate(names)}

    def register(self, name: str) -> int:
        """The number of a name, which is given the next one if it has none yet."""
        return self._numbers.setdefault(name, len(self._numbers))

    def register_all(self, names: Iterable[str]) -> list[int]:
        """The number of each name."""
        return list(map(self.register, names))

    def all(self) -> list[str]:
        """All names in the order of their numbers."""
        return list(self._numbers)

    def state(self) -> Arrays:
        """The names as one UTF-8 byte array, `bytes`, and their `lengths` in bytes."""
        text, ends = packed_texts(self._numbers)
        return {"bytes": text, "lengths": np.diff(ends, prepend=0).astype(np.uint16)}

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave."""
        self._numbers = {name: at for at, name in enumerate(texts_of(state["bytes"], state["lengths"]))}
