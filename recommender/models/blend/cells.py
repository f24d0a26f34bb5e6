# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Items sorted into cells of such as look alike, with bounds that hold until an item is rated again.

What a blend knows of an item without asking who wants it fades by rules that are the same for all items. So
of each cell it is kept between which values its items lie, as numbers that do not change with time, and at
any time it follows from them how high the best of the cell may score. Which cell an item lies in decides only
how near that bound is, never what is recommended; nothing of this is part of a model's state.

The items of the newest events lie in no cell: they change too quickly. An item enters one when it has rested
for a while, and another one twice as it fades further.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel, njit
from recommender.models.base import FloatArray
from recommender.models.blend.features import UNKNOWN
from recommender.models.blend.popularity import (
    COUNT,
    FIRST,
    HALF_LIVES,
    LOG_COUNT,
    LOG_FADING,
    LOG_SHARE,
    RATES,
    ROOT,
    UPDATED,
)
from recommender.models.randomness import mix

#: What bounds are kept of: the count, the fading counts, the positive share, and the first rating's event.
MEASURES = len(HALF_LIVES) + 3
_SHARE, _FIRST = MEASURES - 2, MEASURES - 1

#: The numbers of events without a rating after which an item enters a cell, and then another one.
RESTS = np.array([1024, 16_384, 262_143])
#: An item lies in no cell while one of this many last events is about it.
NEWEST = int(RESTS[0])
#: Events of which it is known which item they were about.
_REMEMBERED = 1 << 18
#: How far apart the values of one cell may lie, about: logarithms of fading counts.
_STEP = 1.0
#: Logarithm of a fading count that says no more than none.
_GONE = -6.0

#: Places of `meta`: free cells, and items that were looked at.
_FREE, _KNOWN = 0, 1


class Cells(NamedTuple):
    """The cells, and where each item is.

    `cell`, `following` and `preceding` have one number for each item, which is -1 for none. `newest` tells
    the item of each of the last events, or -1; `slots` where a cell is by its key. Of each cell there are its
    key, the first of its items, how many there are, and the least and the largest of their measures in a row
    of `boxes`; `free` lists the others.
    """

    cell: NDArray[np.int32]
    following: NDArray[np.int32]
    preceding: NDArray[np.int32]
    newest: NDArray[np.int32]
    slots: NDArray[np.int32]
    keys: NDArray[np.uint64]
    heads: NDArray[np.int32]
    sizes: NDArray[np.int32]
    boxes: FloatArray
    free: NDArray[np.int32]
    meta: NDArray[np.int64]


def empty_cells(items: int, cells: int) -> Cells:
    """Room for a number of items, of which none is known, and of cells, a power of two."""
    return Cells(
        np.full(items, -1, np.int32),
        np.full(items, -1, np.int32),
        np.full(items, -1, np.int32),
        np.full(_REMEMBERED, -1, np.int32),
        np.full(2 * cells, -1, np.int32),
        np.zeros(cells, np.uint64),
        np.full(cells, -1, np.int32),
        np.zeros(cells, np.int32),
        np.empty((cells, 2 * MEASURES)),
        np.arange(cells, dtype=np.int32)[::-1].copy(),
        np.array([cells, 0], np.int64),
    )


def with_room(c: Cells, items: int, cells: int) -> Cells:
    """The same with room for more of both."""
    if items > len(c.cell):
        more = np.full(items - len(c.cell), -1, np.int32)
        cell, following, preceding = (np.concatenate([each, more]) for each in c[:3])
        c = c._replace(cell=cell, following=following, preceding=preceding)
    if cells > len(c.keys):
        old, grown = len(c.keys), empty_cells(0, cells)
        for name in ("keys", "heads", "sizes", "boxes"):
            getattr(grown, name)[:old] = getattr(c, name)
        grown.meta[:] = c.meta
        _tidy(grown)
        c = grown._replace(**{name: getattr(c, name) for name in Cells._fields[:4]})
    return c


@njit(cache=True)
def _tidy(c):
    """Forget the keys of cells that are empty; they are free."""
    mask = np.uint64(c.slots.size - 1)
    c.slots[:] = -1
    free = 0
    for cell in range(c.keys.size - 1, -1, -1):
        if c.sizes[cell] == 0:
            c.free[free] = cell
            free += 1
            continue
        slot = c.keys[cell] & mask
        while c.slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        c.slots[slot] = cell
    c.meta[_FREE] = free


@kernel
def _faded(table, i, b):
    """The logarithm of a fading count as it would be had it not faded since the first event."""
    return table[i, LOG_FADING + b] + RATES[b] * table[i, UPDATED]


@kernel
def _whole(value):
    """The whole part of a number that is not far below 0, as one above 0."""
    return np.uint64(np.int64(math.floor(value) + 1024.0))


@kernel
def _key(table, item, now):
    """A number that items share which look alike; any would do."""
    i = np.uint64(item)
    if table[i, COUNT] <= 0.0:
        return np.uint64(0)
    key = mix(_whole(2.0 * table[i, LOG_COUNT]), _whole(-2.0 * table[i, LOG_SHARE]))
    key = mix(key, _whole(math.log(now - table[i, FIRST] + 1.0)))
    # The one with the shortest half-life has faded away before an item enters a cell.
    for b in range(1, RATES.size):
        faded = _faded(table, i, b)
        if faded - RATES[b] * now > _GONE:
            key = mix(key, _whole(faded / _STEP))
        else:
            key = mix(key, np.uint64(0))
    return key


@kernel
def _enter(c, table, item, now):
    """Put an item into its cell, if there is a free one or it has one already; or False."""
    key = _key(table, item, now)
    mask = np.uint64(c.slots.size - 1)
    slot = key & mask
    while c.slots[slot] >= 0 and c.keys[np.uint64(c.slots[slot])] != key:
        slot = (slot + np.uint64(1)) & mask
    cell = np.int64(c.slots[slot])
    if cell < 0:
        if c.meta[_FREE] == 0:
            return False
        c.meta[_FREE] -= 1
        cell = np.int64(c.free[np.uint64(c.meta[_FREE])])
        c.slots[slot], c.keys[np.uint64(cell)] = cell, key
        c.heads[np.uint64(cell)] = -1
    box = c.boxes[np.uint64(cell)]
    if c.sizes[np.uint64(cell)] == 0:
        box[:MEASURES], box[MEASURES:] = np.inf, -np.inf
    i = np.uint64(item)
    if table[i, COUNT] <= 0.0:
        _hold(box, 0, 0.0)
        for b in range(RATES.size):
            _hold(box, 1 + b, -np.inf)
        _hold(box, _SHARE, UNKNOWN)
        _hold(box, _FIRST, np.inf)
    else:
        _hold(box, 0, table[i, LOG_COUNT])
        for b in range(RATES.size):
            _hold(box, 1 + b, _faded(table, i, b))
        _hold(box, _SHARE, table[i, LOG_SHARE])
        _hold(box, _FIRST, table[i, FIRST])
    head = c.heads[np.uint64(cell)]
    c.following[i], c.preceding[i], c.cell[i] = head, -1, cell
    if head >= 0:
        c.preceding[np.uint64(head)] = item
    c.heads[np.uint64(cell)] = item
    c.sizes[np.uint64(cell)] += 1
    return True


@kernel
def _hold(box, measure, value):
    box[measure] = min(box[measure], value)
    box[MEASURES + measure] = max(box[MEASURES + measure], value)


@kernel
def leave(c, item):
    """Take an item out of its cell, if it lies in one."""
    i = np.uint64(item)
    cell, after, before = c.cell[i], c.following[i], c.preceding[i]
    if cell < 0:
        return
    if before >= 0:
        c.following[np.uint64(before)] = after
    else:
        c.heads[np.uint64(cell)] = after
    if after >= 0:
        c.preceding[np.uint64(after)] = before
    c.sizes[np.uint64(cell)] -= 1
    c.cell[i] = -1


@njit(cache=True)
def pass_events(c, table, items, first, known, begin):
    """Take in that events passed, and what the table's rows became by all of them.

    Parameters
    ----------
    c : Cells
    table : float array
    items : int32 array
        The items of the events.
    first : int
        The number of the first event.
    known : int
        How many items there are now.
    begin : int
        Which of the events to begin with.

    Returns
    -------
    int
        The event to begin with when there is more room for cells; their number where all are done.
    """
    now = np.float64(first)
    for item in range(c.meta[_KNOWN], known):
        if table[item, ROOT] == 0.0 and not _enter(c, table, item, now):
            return begin
        c.meta[_KNOWN] = item + 1
    for e in range(begin, items.size):
        if c.meta[_FREE] < RESTS.size:
            _tidy(c)
            if c.meta[_FREE] < c.keys.size // 4:
                return e
        event, item = np.int64(first + e), items[e]
        leave(c, item)
        c.newest[event % _REMEMBERED] = item
        for rest in RESTS:
            rested = event - rest
            if rested < 0:
                break
            other = c.newest[rested % _REMEMBERED]
            if other >= 0 and table[other, UPDATED] == np.float64(rested):
                leave(c, other)
                _enter(c, table, other, np.float64(event))
    return items.size


@njit(cache=True)
def fill_cells(c, table, now, known):
    """Take in all items as the table has them; False where there is too little room for cells.

    `c` has no cells yet.
    """
    for item in range(known):
        rated, updated = table[item, ROOT] > 0.0, np.int64(table[item, UPDATED])
        if rated and now - updated <= _REMEMBERED:
            c.newest[updated % _REMEMBERED] = item
        rests = not rated or now - updated > NEWEST
        if rests and not _enter(c, table, item, np.float64(now)):
            return False
    c.meta[_KNOWN] = known
    return True
