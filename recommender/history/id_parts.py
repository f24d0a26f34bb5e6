"""A dictionary of ids in parts, so that none of them takes long to grow.

A dictionary is copied when it is full, also where as many keys leave it as come: with a million of ids that
takes so long that nobody is answered meanwhile. Of the parts one at a time is copied.
"""

from __future__ import annotations

from collections.abc import Iterable

#: A power of two.
_PARTS = 1024
_MASK = _PARTS - 1


class IdParts:
    """Ids and their indices.

    Parameters
    ----------
    items : iterable of (str, int)
    """

    __slots__ = ("_parts",)

    def __init__(self, items: Iterable[tuple[str, int]] = ()) -> None:
        self._parts: list[dict[str, int]] = [{} for _ in range(_PARTS)]
        self.update(items)

    def get(self, identifier: str) -> int | None:
        """The index of an id, or None."""
        return self._parts[hash(identifier) & _MASK].get(identifier)

    def get_all(self, identifiers: Iterable[str]) -> list[int | None]:
        """The index of each id, or None."""
        parts = self._parts
        return [parts[hash(each) & _MASK].get(each) for each in identifiers]

    def update(self, items: Iterable[tuple[str, int]]) -> None:
        """Take ids up with their indices."""
        parts = self._parts
        for identifier, index in items:
            parts[hash(identifier) & _MASK][identifier] = index

    def remove_all(self, identifiers: Iterable[str]) -> None:
        """Remove ids.

        Raises
        ------
        KeyError
            One is not there.
        """
        parts = self._parts
        for each in identifiers:
            del parts[hash(each) & _MASK][each]
