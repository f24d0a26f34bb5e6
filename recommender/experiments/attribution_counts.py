"""The counts of attribution by experiment, arm, forced or not, source, position and user."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

StructArray = NDArray[np.void]

KEYS = ("experiment", "arm", "forced", "source", "position", "user")
SUMS = ("places", "attributed", "positive")
#: One row of counts.
COUNT = np.dtype([(name, np.int32) for name in KEYS] + [(name, np.int64) for name in SUMS])
#: Those keys that are numbers of names.
NAMED = ("experiment", "arm", "source", "user")


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
