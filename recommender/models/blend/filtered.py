# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Filters of a large catalogue: what scores are relative to where some items are left out.

That is what the fading counts of all that pass come to. An event changes the count of one item, and adding
up those of half a million takes two milliseconds. So the sum of each part of the catalogue is kept as of an
event that stays the same for long, and only parts are added up again of which an item was rated since.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel
from recommender.models.base import FloatArray, IntArray, Passing
from recommender.models.blend.blocks import BLOCK
from recommender.models.blend.popularity import (
    LATELY,
    LEAST,
    RATES,
    REMEMBERED,
    Popularity,
    fade,
    keep_least,
    left_of,
)
from recommender.models.elementary import exp

#: So many filters are known at a time, the ones asked for last.
MOST = 16
#: Items of a part, as a power of two.
PART_BITS = 11
#: Sums are as of the last event whose number divides by this. What comes after weighs more, so that it must
#: not be too far: the shortest half-life is 1,000 events, and powers of two end at 1,024.
PERIOD = 1 << 17

Block = tuple[FloatArray, NDArray[np.int64]]


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


class Sums:
    """Sums of the fading counts of some items; they follow from the table, whoever asked before.

    Parameters
    ----------
    items : int32 array, ascending
        All of them in the table.
    """

    def __init__(self, items: IntArray) -> None:
        self._items = items
        parts = (int(items[-1]) >> PART_BITS) + 1 if len(items) else 0
        self._starts = np.searchsorted(items, np.arange(parts + 1) << PART_BITS)
        self._parts = np.zeros((parts, LATELY))
        self._made = np.full(parts, -1)
        self._events = -1

    def totals(self, popularity: Popularity, block: Block) -> FloatArray:
        """The sums as of now, shape (LATELY,)."""
        since, events = self._events, popularity.events
        reference = events - events % PERIOD
        if since < reference or events - since > REMEMBERED:
            since = -1
        found = np.empty(LATELY)
        newest, table, state = popularity.newest, popularity.table, (self._starts, self._made, self._parts)
        add_up(table, newest, since, events, float(reference), self._items, *state, *block, found)
        self._events = events
        return found


class Filters:
    """Keeps what was found of filters: which items they leave out, and sums.

    Nothing of it is part of a state; all of it follows from the state and the filter, whoever asked before.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[NDArray[np.bool_], NDArray[np.uint8], Sums]] = {}

    def of(self, passing: Passing, items: int, popularity: Popularity, block: Block) -> Filtered:
        """A filter of the first items, all of which the table has."""
        key = id(passing.mask)
        found = self._known.pop(key, None)
        if found is None:
            if len(self._known) == MOST:
                del self._known[next(iter(self._known))]
            found = passing.mask, (~passing.mask).view(np.uint8), Sums(passing.listed)
        self._known[key] = found  # the last one now; with its mask, so that no other can be at its place
        _, excluded, sums = found
        totals = sums.totals(popularity, block)
        if passing.few:
            totals = np.maximum(totals, LEAST)
        else:
            totals = popularity.totals - totals
            keep_least(totals, popularity.totals)
        return Filtered(excluded, passing.size(items), totals)

    def clear(self) -> None:
        """Forget all of it."""
        self._known.clear()


@kernel
def add_up(table, newest, since, events, reference, items, starts, made, parts, block, bits, totals):
    """Write to `totals` what the fading counts of `items` come to now.

    Parts of which no item was rated from event `since` on stand in `parts` as of event `reference`; all are
    made if it is -1. `made` has the number of the event at which each was made last.
    """
    if since < 0:
        for part in range(made.size):
            _add_part(table, reference, items, starts, part, block, bits, parts)
            made[part] = events
    else:
        for event in range(since, events):
            part = newest[np.uint64(event) & np.uint64(newest.size - 1)] >> PART_BITS
            if part < made.size and made[part] < events:
                _add_part(table, reference, items, starts, part, block, bits, parts)
                made[part] = events
    left = left_of(exp(-RATES[3] * (np.float64(events) - reference)))
    for t in range(LATELY):
        total = 0.0
        for part in range(made.size):
            total += parts[part, t]
        totals[t] = total * left[t + 1]


@kernel
def _add_part(table, reference, items, starts, part, block, bits, parts):
    for t in range(LATELY):
        parts[part, t] = 0.0
    for begin in range(starts[part], starts[part + 1], BLOCK):
        count = min(BLOCK, starts[part + 1] - begin)
        fade(table, reference, items, block, bits, begin, count)
        for k in range(np.uint64(count)):
            for t in range(LATELY):
                parts[part, t] += block[t, k]
