"""Places and ratings as rows of arrays: collected, put in order, joined, counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.experiments.names import Names

StructArray = NDArray[np.void]

KEYS = ("experiment", "arm", "forced", "source", "position", "user")
SUMS = ("places", "attributed", "positive")
#: One row of counts.
COUNT = np.dtype([(name, np.int32) for name in KEYS] + [(name, np.int64) for name in SUMS])
#: Those keys that are numbers of names.
NAMED = ("experiment", "arm", "source", "user")

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: What is numbered.
NUMBERED = ("user", "request", "item", "experiment", "arm", "source")
PLACE = np.dtype(
    [
        ("time", np.float64),
        *((name, np.int32) for name in NUMBERED),
        ("position", np.int16),
        ("forced", np.int8),
        ("sign", np.int8),
    ]
)
RATING = np.dtype(
    [
        ("time", np.float64),
        ("offset", np.int64),
        ("user", np.int32),
        ("item", np.int32),
        ("sign", np.int8),
    ]
)


class Table:
    """Rows that grow at the end; those that came last are in parts until they are read."""

    def __init__(self, kind: np.dtype[np.void]) -> None:
        self._rows = np.zeros(0, kind)
        self._parts: list[StructArray] = []
        self._new: list[tuple[int | float, ...]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, row: tuple[int | float, ...]) -> None:
        """Add one row."""
        self._new.append(row)
        self._count += 1

    def extend(self, rows: StructArray) -> None:
        """Add rows."""
        self._parts.append(rows)
        self._count += len(rows)

    def rows(self) -> StructArray:
        """All rows, not a copy."""
        if self._parts or self._new:
            new = np.array(self._new, self._rows.dtype)
            self.replace(np.concatenate([self._rows, *self._parts, new]))
        return self._rows

    def replace(self, rows: StructArray) -> None:
        """Hold these rows and no others."""
        self._rows, self._parts, self._new, self._count = rows, [], [], len(rows)


def ranks_of(names: Names) -> Ints:
    """Each number's place among the sorted names."""
    ids = names.all()
    ranks = np.empty(len(ids), np.int64)
    ranks[sorted(range(len(ids)), key=ids.__getitem__)] = np.arange(len(ids))
    return ranks


def renumbered(rows: StructArray, ranks: dict[str, Ints]) -> StructArray:
    """A copy in which each number of a name is its rank."""
    copy = rows.copy()
    for name in ranks.keys() & set(rows.dtype.names or ()):
        copy[name] = ranks[name][rows[name]]
    return copy


def counts_once(places: StructArray, window: float) -> Bools:
    """Choose the places that count: for a user's request and item the earliest, then others a window later.

    Ties are decided by everything else; a later place counts if it is more than a window after the one that
    counted before.
    """
    keys = ("sign", "forced", "source", "arm", "experiment", "position", "time", "item", "request", "user")
    order = np.lexsort([places[name] for name in keys])
    ordered = places[order]
    same = np.zeros(len(places), np.bool_)
    same[1:] = np.all([ordered[name][1:] == ordered[name][:-1] for name in keys[-3:]], axis=0)
    once = np.ones(len(places), np.bool_)
    counted = 0.0
    # Only where a request was logged again.
    for row in np.flatnonzero(same | np.roll(same, -1)).tolist():
        time = float(ordered["time"][row])
        if same[row] and time - counted <= window:
            once[order[row]] = False
        else:
            counted = time
    return once


def attribute(places: StructArray, ratings: StructArray, window: float) -> None:
    """Set the sign of each place that has none yet to that of the rating it led to, if there is one."""
    count = len(places)
    both = {name: np.concatenate([places[name], ratings[name]]) for name in ("user", "item", "time")}
    is_rating = np.arange(count + len(ratings)) >= count
    # At equal times a rating answers the recommendation; among recommendations the last request counts, and
    # among ratings the one that stands first in the log.
    ties = np.concatenate([places["request"], ratings["offset"]])
    more = np.concatenate([places["experiment"], ratings["sign"]])
    order = np.lexsort((more, ties, is_rating, both["time"], both["item"], both["user"]))
    place = ~is_rating[order]
    latest = np.maximum.accumulate(np.where(place, np.arange(len(order)), -1))
    rows = np.flatnonzero(~place & (latest >= 0))
    rated, led = order[rows], order[latest[rows]]
    joined = (
        (both["user"][rated] == both["user"][led])
        & (both["item"][rated] == both["item"][led])
        & (both["time"][rated] - both["time"][led] <= window)
    )
    rated, led = rated[joined], led[joined]
    # In this order a place's ratings follow each other, the earliest first.
    led, first = np.unique(led, return_index=True)
    open_ = places["sign"][led] == 0
    places["sign"][led[open_]] = ratings["sign"][rated[first[open_]] - count]


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of places and of what became of them.

    Attributes
    ----------
    rows : structured array, shape (groups,)
        Sorted by ``experiment``, ``arm``, ``forced``, ``source``, ``position`` and ``user``, each a number
        into `names` but for the position, which counts from 0, and ``forced``, which is 1 where a request
        named the arm. ``places`` were shown, to ``attributed`` of them a rating
        is attributed, and ``positive`` of those are.
    names : dict of str to list of str
        The ids of each key, sorted.
    """

    rows: StructArray
    names: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, experiment: str) -> Counts:
        """The counts of one experiment."""
        known = self.names["experiment"]
        number = known.index(experiment) if experiment in known else -1
        return Counts(self.rows[self.rows["experiment"] == number], self.names)


def summed(rows: StructArray) -> StructArray:
    """Rows of equal keys made one, in the order of the keys."""
    rows = rows[np.lexsort([rows[name] for name in reversed(KEYS)])]
    if len(rows) < 2:
        return rows
    first = np.ones(len(rows), np.bool_)
    first[1:] = np.any([rows[name][1:] != rows[name][:-1] for name in KEYS], axis=0)
    starts = np.flatnonzero(first)
    groups = rows[starts]
    for name in SUMS:
        groups[name] = np.add.reduceat(rows[name], starts)
    return groups
