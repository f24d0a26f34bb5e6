"""Filters of a large catalogue: what scores are relative to where some items are left out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.models.base import FloatArray, Passing
from recommender.models.blend.popularity import LATELY, Popularity, totals_among, totals_without

#: So many filters are known at a time, the ones asked for last.
MOST = 16


class Filtered(NamedTuple):
    """A filter as a look at the catalogue needs it.

    Attributes
    ----------
    excluded : uint8 array
        By item: 1 where it does not pass.
    size : int
        The number of items that pass.
    totals : float array, shape (LATELY,)
        What the fading counts of those come to.
    """

    excluded: NDArray[np.uint8]
    size: int
    totals: FloatArray


class Filters:
    """Keeps what was found of filters: which items they leave out, and totals until the next event.

    Nothing of it is part of a state; all of it follows from the state and the filter, whoever asked before.
    """

    def __init__(self) -> None:
        self._masks: dict[int, tuple[NDArray[np.bool_], NDArray[np.uint8]]] = {}
        self._totals: dict[int, FloatArray] = {}
        self._events = -1

    def of(
        self,
        passing: Passing,
        items: int,
        popularity: Popularity,
        block: tuple[FloatArray, NDArray[np.int64]],
    ) -> Filtered:
        """A filter of the first items, all of which the table has."""
        key = id(passing.mask)
        found = self._masks.pop(key, None)
        if found is None:
            if len(self._masks) == MOST:
                oldest = next(iter(self._masks))
                del self._masks[oldest]
                self._totals.pop(oldest, None)
            found = passing.mask, (~passing.mask).view(np.uint8)
        self._masks[key] = found  # the last one now; with its mask, so that no other can be at its place
        if self._events != popularity.events:
            self._totals.clear()
            self._events = popularity.events
        totals = self._totals.get(key)
        if totals is None:
            totals = self._totals[key] = np.empty(LATELY)
            table, now, listed = popularity.table, popularity.now, passing.listed
            if passing.few:
                totals_among(table, now, listed, *block, totals)
            else:
                totals_without(table, now, listed, popularity.totals, *block, totals)
        return Filtered(found[1], passing.size(items), totals)

    def clear(self) -> None:
        """Forget all of it."""
        self._masks.clear()
        self._totals.clear()
