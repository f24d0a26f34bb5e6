"""Users and items that a journal forgets, and so the rows that a copy is to be without.

All rows of a user go, up to the last one that forgets the user, and with them the rows that forget. What
comes later stays: who comes back is new. A guest who was merged into a user is that user from then on, so

* where the user is forgotten later, the guest's rows go too;
* where the guest is forgotten later, but not the user, the ratings stay the user's. Only the id of the guest
  has to go: another one that nobody has takes its place.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.history.catalog import Catalog
from recommender.history.id_table import ITEM, USER
from recommender.history.rows import FORGET_ITEM, FORGET_USER, MERGE, Rows


class _Event(NamedTuple):
    """A row that is no rating, by its number among the rows that count."""

    number: int
    kind: int
    user: str
    other: str


class _Fates:
    """Ends of rows by id, and what happens up to there: None where rows go, else the id for its place."""

    def __init__(self) -> None:
        self._ends: dict[str, list[int]] = {}
        self._fates: dict[str, list[str | None]] = {}
        self._catalog = Catalog()

    def __len__(self) -> int:
        return len(self._ends)

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._ends

    def add_before(self, identifier: str, number: int, fate: str | None) -> None:
        """Say what happens up to a row that lies before all that were said of this id."""
        self._catalog.register(identifier)
        self._ends.setdefault(identifier, []).insert(0, number)
        self._fates.setdefault(identifier, []).insert(0, fate)

    def at(self, identifier: str, number: int) -> str | None:
        """The fate of an id in a row: itself where nothing happens."""
        ends = self._ends.get(identifier, [])
        place = bisect_left(ends, number)
        return self._fates[identifier][place] if place < len(ends) else identifier

    def among(self, rows: Rows, column: int, which: NDArray[np.bool_]) -> list[int]:
        """The places of those rows that name one of these ids."""
        if not self._ends or not which.any():
            return []
        found = self._catalog.find_bytes(rows.text, np.ascontiguousarray(rows.spans), column)
        places: list[int] = np.flatnonzero((found >= 0) & which).tolist()
        return places


class Cleansed(NamedTuple):
    """Rows without the forgotten.

    Attributes
    ----------
    rows : Rows
        All of them; ids that are replaced stand behind the text.
    kept : bool array
        Those that stay.
    touched : bool array
        Those that go, or have another id than before.
    """

    rows: Rows
    kept: NDArray[np.bool_]
    touched: NDArray[np.bool_]


class Forgotten:
    """The users and items that are forgotten.

    All rows that count are shown to `note`, in the journal's order; then `settle` is called once.
    """

    def __init__(self) -> None:
        self._events: list[_Event] = []
        self._users, self._items = _Fates(), _Fates()

    def __len__(self) -> int:
        """The number of ids that are to be found no more; known after `settle`."""
        return len(self._users) + len(self._items)

    @property
    def any_noted(self) -> bool:
        """True if a row was noted that forgets somebody."""
        return any(each.kind != MERGE for each in self._events)

    def note(self, rows: Rows, first: int) -> None:
        """Take note of rows, of which the first has this number."""
        for place, kind in rows.others():
            ids = rows.id_at(place, USER), rows.id_at(place, ITEM)
            self._events.append(_Event(first + place, kind, *ids))

    def settle(self) -> None:
        """Decide who goes, from the last row to the first: whose user a guest became is decided first."""
        for number, kind, user, other in reversed(self._events):
            if kind == FORGET_USER:
                self._users.add_before(user, number, None)
            elif kind == FORGET_ITEM:
                self._items.add_before(other, number, None)
            elif kind == MERGE and self._users.at(user, number) is None:
                self._users.add_before(other, number, None)
            elif kind == MERGE and other in self._users:
                self._users.add_before(other, number, f"merged-{uuid.uuid4().hex}")
        self._events.clear()

    def cleanse(self, rows: Rows, first: int) -> Cleansed:
        """Say which rows stay, of which the first has this number."""
        kept = np.ones(len(rows.ratings), np.bool_)
        touched = np.zeros(len(kept), np.bool_)
        text, spans = [rows.text], None
        size = len(rows.text)
        for place, column, fates in self._named(rows):
            identifier = rows.id_at(place, column)
            fate = fates.at(identifier, first + place)
            if fate == identifier:
                continue
            touched[place] = True
            if fate is None:
                kept[place] = False
                continue
            spans = rows.spans.copy() if spans is None else spans
            text.append(np.frombuffer(fate.encode(), np.uint8))
            spans[place, column : column + 2] = size, size + len(text[-1])
            size += len(text[-1])
        if spans is not None:
            joined = np.concatenate(text)
            joined.flags.writeable = False  # as all other texts are, for compiled code
            rows = rows._replace(text=joined, spans=spans)
        return Cleansed(rows, kept, touched)

    def names(self, rows: Rows) -> bool:
        """Return True if a row has an id that is to be found no more."""
        return bool(self._named(rows))

    def _named(self, rows: Rows) -> list[tuple[int, int, _Fates]]:
        """The places and columns in which such an id stands."""
        kinds = np.zeros(len(rows.ratings), np.uint8) if rows.kinds is None else rows.kinds
        # In place of the id that a row is not about stands one that is nobody's.
        users, items = kinds != FORGET_ITEM, (kinds != FORGET_USER) & (kinds != MERGE)
        found: list[tuple[int, int, _Fates]] = []
        for column, fates, which in (
            (USER, self._users, users),
            (ITEM, self._users, kinds == MERGE),
            (ITEM, self._items, items),
        ):
            found += [(place, column, fates) for place in fates.among(rows, column, which)]
        return found
