"""The arrays of a history; what they mean is said in `recommender.history.history`.

All records are valid when their bytes are zero, so arrays may grow by zero-filled memory.

Users own segments of the entry arena and, once a segment is long, an open-addressing table of the index
arena that finds an item's entry in it; items own segments of the ring arena. Segments have power-of-two
capacities. An outgrown one goes to the free list of its size and is split for smaller ones, so garbage never
exceeds what is in use. A removed entry stays as a tombstone (item -1) until tombstones outnumber the living;
then the segment is compacted and the rings follow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.history.arrays import enlarge

#: A run of events with one timestamp is cut after this many: an append moves no more positions than that.
RUN_LIMIT = 64
#: Segments of more entries than this have an index; shorter ones are scanned.
SCANNED = 1024

USER = np.dtype(
    [
        ("start", np.int64),
        ("index_start", np.int64),
        ("last_time", np.float64),
        ("capacity", np.int32),
        ("index_capacity", np.int32),
        ("used", np.int32),  # entries and tombstones in the segment
        ("live", np.int32),
        ("events", np.int32),  # the next event's number
        ("run", np.int32),  # length of the newest run
    ]
)
ITEM = np.dtype(
    [
        ("start", np.int64),
        ("events", np.int64),  # rating events ever; the newest lie at events % capacity in the ring
        ("first_event", np.int64),
        ("last_event", np.int64),
        ("first_time", np.float64),
        ("last_time", np.float64),
        ("capacity", np.int32),
        ("count", np.int32),  # users whose rating stands
    ]
)


class HistoryArrays(NamedTuple):
    """The raw arrays, for kernels.

    Valid until the next `append`, which may move them. Entry `s` of user `u` lies at
    `users[u].start + s` for `s < users[u].used`; `entry_items` is -1 where it was removed. The ring slot
    of an item's event `e` is `items[i].start + e % items[i].capacity`; `ring_users` is -1 where it was
    removed, else `ring_entries` is the rating's `s`.
    """

    users: NDArray[np.void]
    items: NDArray[np.void]
    entry_items: NDArray[np.int32]
    entry_ratings: NDArray[np.float32]
    entry_weights: NDArray[np.float32]
    entry_positions: NDArray[np.int32]
    ring_users: NDArray[np.int32]
    ring_entries: NDArray[np.int32]
    tables: NDArray[np.int32]
    free: NDArray[np.int64]  # (arena, size class): first free segment + 1; the rest is linked in place
    meta: NDArray[np.int64]


# The arenas, and where meta keeps the end of what was handed out. Not plain integers: a kernel would be
# compiled again for each of those.
ENTRIES, RINGS, INDEX = np.int64(0), np.int64(1), np.int64(2)
EVENT_COUNT, USER_COUNT, ITEM_COUNT, LONGEST, RATING_COUNT = 3, 4, 5, 6, 7
META_SIZE = 8
SIZE_CLASSES = 40

DONE, NEED_USERS, NEED_ITEMS, NEED_ENTRIES, NEED_RINGS, NEED_INDEX, NEGATIVE = range(7)

_GROWS = {
    NEED_USERS: ("users",),
    NEED_ITEMS: ("items",),
    NEED_ENTRIES: ("entry_items", "entry_ratings", "entry_weights", "entry_positions"),
    NEED_RINGS: ("ring_users", "ring_entries"),
    NEED_INDEX: ("tables",),
}


def empty_arrays() -> HistoryArrays:
    """The arrays of a history in which nothing happened."""
    return HistoryArrays(
        users=np.zeros(0, USER),
        items=np.zeros(0, ITEM),
        entry_items=np.zeros(0, np.int32),
        entry_ratings=np.zeros(0, np.float32),
        entry_weights=np.zeros(0, np.float32),
        entry_positions=np.zeros(0, np.int32),
        ring_users=np.zeros(0, np.int32),
        ring_entries=np.zeros(0, np.int32),
        tables=np.zeros(0, np.int32),
        free=np.zeros((3, SIZE_CLASSES), np.int64),
        meta=np.zeros(META_SIZE, np.int64),
    )


def grow(arrays: HistoryArrays, lacking: int, raters_per_item: int, size: int = 0) -> None:
    """Make room where a kernel found too little.

    Parameters
    ----------
    arrays : HistoryArrays
    lacking : int
        One of the kinds of room that are named ``NEED_...``.
    raters_per_item : int
    size : int
        So much in all at least; 0: as much as the next event may need.
    """
    meta = arrays.meta
    least = {
        NEED_USERS: int(meta[USER_COUNT]),
        NEED_ITEMS: int(meta[ITEM_COUNT]),
        NEED_ENTRIES: int(meta[ENTRIES] + max(64, 2 * meta[LONGEST])),
        NEED_INDEX: int(meta[INDEX] + max(4096, 4 * meta[LONGEST])),
        NEED_RINGS: int(meta[RINGS] + 2 * max(64, raters_per_item)),
    }[lacking]
    for name in _GROWS[lacking]:
        enlarge(getattr(arrays, name), max(least, size))
