"""The arrays of a history and the compiled loops that change them.

Everything here is layout: what it means is said in `recommender.history`. All records are valid when
their bytes are zero, so arrays may grow by zero-filled memory.

Users own segments of the entry arena and, once a segment is long, an open-addressing table of the
index arena that finds an item's entry in it; items own segments of the ring arena. Segments have
power-of-two capacities. An outgrown one goes to the free list of its size and is split for smaller
ones, so garbage never exceeds what is in use. A removed entry stays as a tombstone (item -1) until
tombstones outnumber the living; then the segment is compacted and the rings follow.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

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


# These loops make no arrays. Telling numba so spares the reference counts of all arrays at each call of a
# helper, which otherwise cost four times the work itself.
kernel = njit(cache=True, _nrt=False)


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
    index: NDArray[np.int32]
    free: NDArray[np.int64]  # (arena, size class): first free segment + 1; the rest is linked in place
    meta: NDArray[np.int64]


# The arenas, and where meta keeps the end of what was handed out. Not plain integers: a kernel would be
# compiled anew for each of those.
ENTRIES, RINGS, INDEX = np.int64(0), np.int64(1), np.int64(2)
EVENT_COUNT, USER_COUNT, ITEM_COUNT, LONGEST = 3, 4, 5, 6
META_SIZE = 8
SIZE_CLASSES = 40

DONE, NEED_USERS, NEED_ITEMS, NEED_ENTRIES, NEED_RINGS, NEED_INDEX, NEGATIVE = range(7)


@kernel
def _copy(source, begin, target, place, count):  # type: ignore[no-untyped-def]
    for s in range(np.uint64(count)):
        target[np.uint64(place) + s] = source[np.uint64(begin) + s]


@kernel
def _move(h, old, new):  # type: ignore[no-untyped-def]
    h.entry_items[new] = h.entry_items[old]
    h.entry_ratings[new] = h.entry_ratings[old]
    h.entry_weights[new] = h.entry_weights[old]
    h.entry_positions[new] = h.entry_positions[old]


@kernel
def _size_class(size):  # type: ignore[no-untyped-def]
    size_class = 0
    while (1 << size_class) < size:
        size_class += 1
    return size_class


@kernel
def _has_room(h, arena, size_class, length):  # type: ignore[no-untyped-def]
    if h.meta[arena] + (1 << size_class) <= length:
        return True
    for larger in range(size_class, SIZE_CLASSES):  # noqa: SIM110 (a generator does not compile)
        if h.free[arena, larger] > 0:
            return True
    return False


@kernel
def _allocate(h, arena, links, size_class):  # type: ignore[no-untyped-def]
    """A segment of 2**size_class; there is room for it."""
    for larger in range(size_class, SIZE_CLASSES):
        start = h.free[arena, larger] - 1
        if start >= 0:
            h.free[arena, larger] = links[start]
            while larger > size_class:
                larger -= 1
                _release(h, arena, links, start + (1 << larger), larger)
            return start
    start = h.meta[arena]
    h.meta[arena] = start + (1 << size_class)
    return start


@kernel
def _release(h, arena, links, start, size_class):  # type: ignore[no-untyped-def]
    links[start] = h.free[arena, size_class]
    h.free[arena, size_class] = start + 1


@kernel
def _last_equal(values, start, count, wanted):  # type: ignore[no-untyped-def]
    """The last `s < count` with `values[start + s] == wanted`, or -1.

    Unsigned places and no way out of the loop: so it compiles to vector instructions.
    """
    first, wanted = np.uint64(start), np.int32(wanted)
    found = np.int32(-1)
    for s in range(count):
        found = max(found, np.int32(s) if values[first + np.uint64(s)] == wanted else np.int32(-1))
    return np.int64(found)


@kernel
def _hash(item, capacity):  # type: ignore[no-untyped-def]
    return ((np.uint64(item) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & np.uint64(capacity - 1)


@kernel
def _index_insert(h, index_start, capacity, item, slot):  # type: ignore[no-untyped-def]
    place = np.int64(_hash(item, capacity))
    while h.index[index_start + place] != 0:
        place = (place + 1) & (capacity - 1)
    h.index[index_start + place] = slot + 1


@kernel
def _rebuild_index(h, user):  # type: ignore[no-untyped-def]
    u = h.users[user]
    for place in range(u.index_start, u.index_start + u.index_capacity):
        h.index[place] = 0
    for s in range(u.used):
        if h.entry_items[u.start + s] >= 0:
            _index_insert(h, u.index_start, np.int64(u.index_capacity), h.entry_items[u.start + s], s)


@kernel
def find(h, user, item):  # type: ignore[no-untyped-def]
    """The slot of the user's entry of the item, or -1."""
    if user < 0 or item < 0 or user >= h.meta[USER_COUNT] or item >= h.meta[ITEM_COUNT]:
        return -1
    u = h.users[user]
    i = h.items[item]
    if u.live == 0 or i.count == 0:
        return -1
    if i.events <= i.capacity and i.events < u.used:
        # The ring has lost no one yet, and it is shorter than the user's own list.
        found = _last_equal(h.ring_users, i.start, i.events, user)
        return np.int64(h.ring_entries[i.start + found]) if found >= 0 else -1
    if u.index_capacity == 0:
        return _last_equal(h.entry_items, u.start, np.int64(u.used), item)
    place = np.int64(_hash(item, u.index_capacity))
    while h.index[u.index_start + place] != 0:
        slot = np.int64(h.index[u.index_start + place]) - 1
        if h.entry_items[u.start + slot] == item:
            return slot
        place = (place + 1) & (u.index_capacity - 1)
    return -1


@kernel
def _ring_slot(h, item, user):  # type: ignore[no-untyped-def]
    """Where the ring of the item holds the user, or -1."""
    i = h.items[item]
    found = _last_equal(h.ring_users, i.start, min(i.events, np.int64(i.capacity)), user)
    return i.start + found if found >= 0 else -1


@kernel
def _compact(h, user):  # type: ignore[no-untyped-def]
    u = h.users[user]
    kept = 0
    for s in range(u.used):
        item = h.entry_items[u.start + s]
        if item < 0:
            continue
        if kept != s:
            _move(h, u.start + s, u.start + kept)
            ring = _ring_slot(h, item, user)
            if ring >= 0:
                h.ring_entries[ring] = kept
        kept += 1
    h.users[user].used = kept
    if u.index_capacity > 0:
        _rebuild_index(h, user)


@kernel
def _remove(h, user, slot):  # type: ignore[no-untyped-def]
    u = h.users[user]
    item = h.entry_items[u.start + slot]
    ring = _ring_slot(h, item, user)
    if ring >= 0:
        h.ring_users[ring] = -1
    h.items[item].count -= 1
    h.entry_items[u.start + slot] = -1
    h.users[user].live -= 1
    if u.used - h.users[user].live > max(16, u.used // 2):
        _compact(h, user)


@kernel
def _grow_segment(h, user):  # type: ignore[no-untyped-def]
    u = h.users[user]
    old, used = u.start, np.int64(u.used)
    size_class = _size_class(max(4, 2 * np.int64(u.capacity)))
    new = _allocate(h, ENTRIES, h.entry_items, size_class)
    if u.capacity > 0:
        _copy(h.entry_items, old, h.entry_items, new, used)
        _copy(h.entry_ratings, old, h.entry_ratings, new, used)
        _copy(h.entry_weights, old, h.entry_weights, new, used)
        _copy(h.entry_positions, old, h.entry_positions, new, used)
        _release(h, ENTRIES, h.entry_items, old, size_class - 1)
    h.users[user].start = new
    h.users[user].capacity = 1 << size_class
    h.meta[LONGEST] = max(h.meta[LONGEST], 1 << size_class)
    if (1 << size_class) > SCANNED:
        if u.index_capacity > 0:
            _release(h, INDEX, h.index, u.index_start, size_class)
        h.users[user].index_start = _allocate(h, INDEX, h.index, size_class + 1)
        h.users[user].index_capacity = 2 << size_class
        _rebuild_index(h, user)


@kernel
def _grow_ring(h, item, limit):  # type: ignore[no-untyped-def]
    i = h.items[item]
    old, used = i.start, np.int64(i.capacity)
    size_class = _size_class(min(max(8, 2 * np.int64(used)), limit))
    new = _allocate(h, RINGS, h.ring_users, size_class)
    if used > 0:
        _copy(h.ring_users, old, h.ring_users, new, used)
        _copy(h.ring_entries, old, h.ring_entries, new, used)
        _release(h, RINGS, h.ring_users, old, _size_class(used))
    h.items[item].start = new
    h.items[item].capacity = min(1 << size_class, limit)


@kernel
def _lacking(h, user, item, limit):  # type: ignore[no-untyped-def]
    """What has to grow before this event can be learned, judged on the safe side."""
    u = h.users[user]
    if u.used == u.capacity:
        size_class = _size_class(max(4, 2 * np.int64(u.capacity)))
        if not _has_room(h, ENTRIES, size_class, h.entry_items.size):
            return NEED_ENTRIES
        if (1 << size_class) > SCANNED and not _has_room(h, INDEX, size_class + 1, h.index.size):
            return NEED_INDEX
    i = h.items[item]
    if i.events == i.capacity and i.capacity < limit:
        size_class = _size_class(min(max(8, 2 * np.int64(i.capacity)), limit))
        if not _has_room(h, RINGS, size_class, h.ring_users.size):
            return NEED_RINGS
    return DONE


@kernel
def _next_position(h, user, time):  # type: ignore[no-untyped-def]
    """Number a new event of the user and move its whole run to the run's new middle."""
    u = h.users[user]
    number = u.events
    run = u.run
    if run > 0 and time == u.last_time and run < RUN_LIMIT:
        before = np.int32(2 * number - run - 1)
        moved = min(np.int64(run), np.int64(u.used))
        first = np.uint64(u.start + u.used - moved)
        for s in range(np.uint64(moved)):
            h.entry_positions[first + s] += np.int32(h.entry_positions[first + s] == before)
        run += 1
    else:
        run = np.int32(1)
    h.users[user].run = run
    h.users[user].events = number + 1
    h.users[user].last_time = time
    return 2 * number - run + 1


@kernel
def _enter(h, user, item, rating, weight, time, limit):  # type: ignore[no-untyped-def]
    position = _next_position(h, user, time)
    u = h.users[user]
    if u.used == u.capacity:
        if u.capacity > 0 and 2 * u.live <= u.used:
            _compact(h, user)
        else:
            _grow_segment(h, user)
    u = h.users[user]
    slot = np.int64(u.used)
    h.entry_items[u.start + slot] = item
    h.entry_ratings[u.start + slot] = rating
    h.entry_weights[u.start + slot] = weight
    h.entry_positions[u.start + slot] = position
    h.users[user].used += 1
    h.users[user].live += 1
    if u.index_capacity > 0:
        _index_insert(h, u.index_start, np.int64(u.index_capacity), item, slot)
    i = h.items[item]
    if i.events == i.capacity and i.capacity < limit:
        _grow_ring(h, item, limit)
    i = h.items[item]
    ring = i.start + i.events % i.capacity
    h.ring_users[ring] = user
    h.ring_entries[ring] = slot
    if i.events == 0:
        h.items[item].first_event = h.meta[EVENT_COUNT]
        h.items[item].first_time = time
    h.items[item].last_event = h.meta[EVENT_COUNT]
    h.items[item].last_time = time
    h.items[item].events += 1
    h.items[item].count += 1


@kernel
def append(h, limit, begin, users, items, ratings, weights, times, previous_ratings, previous_weights):  # type: ignore[no-untyped-def]
    """Learn events from `begin` on; how many are learned, and what has to grow before the next."""
    most_users, most_items = 0, 0
    if begin == 0:
        for e in range(users.size):
            if users[e] < 0 or items[e] < 0:
                return e, NEGATIVE
            most_users = max(most_users, np.int64(users[e]) + 1)
            most_items = max(most_items, np.int64(items[e]) + 1)
        h.meta[USER_COUNT] = max(h.meta[USER_COUNT], most_users)
        h.meta[ITEM_COUNT] = max(h.meta[ITEM_COUNT], most_items)
    if h.meta[USER_COUNT] > h.users.size:
        return begin, NEED_USERS
    if h.meta[ITEM_COUNT] > h.items.size:
        return begin, NEED_ITEMS
    for e in range(begin, users.size):
        user, item = np.int64(users[e]), np.int64(items[e])
        withdrawn = np.isnan(ratings[e])
        if not withdrawn:
            lacking = _lacking(h, user, item, limit)
            if lacking != DONE:
                return e, lacking
        previous_ratings[e] = np.nan
        previous_weights[e] = np.nan
        slot = find(h, user, item)
        if slot >= 0:
            previous_ratings[e] = h.entry_ratings[h.users[user].start + slot]
            previous_weights[e] = h.entry_weights[h.users[user].start + slot]
            _remove(h, user, slot)
        if not withdrawn:
            _enter(h, user, item, ratings[e], weights[e], times[e], limit)
        h.meta[EVENT_COUNT] += 1
    return users.size, DONE


@njit(cache=True)
def entries_of(h, user, newest):  # type: ignore[no-untyped-def]
    """Arena places of the user's entries, oldest first; of the newest only, if `newest` >= 0."""
    if user < 0 or user >= h.meta[USER_COUNT]:
        return np.empty(0, np.int64)
    u = h.users[user]
    left = np.int64(u.live) if newest < 0 else min(np.int64(u.live), newest)
    places = np.empty(left, np.int64)
    s = u.start + u.used
    while left > 0:
        s -= 1
        if h.entry_items[s] >= 0:
            left -= 1
            places[left] = s
    return places


@kernel
def pack(h, ranks, entry_items, entry_ratings, entry_weights, entry_positions, ring_users, ring_entries):  # type: ignore[no-untyped-def]
    """Copy what lives, user by user and item by item, into dense arrays."""
    place = 0
    for user in range(h.meta[USER_COUNT]):
        u = h.users[user]
        if u.used == u.live:
            count = np.int64(u.live)
            _copy(h.entry_items, u.start, entry_items, place, count)
            _copy(h.entry_ratings, u.start, entry_ratings, place, count)
            _copy(h.entry_weights, u.start, entry_weights, place, count)
            _copy(h.entry_positions, u.start, entry_positions, place, count)
            place += count
            continue
        rank = 0
        for s in range(u.start, u.start + u.used):
            if h.entry_items[s] >= 0:
                entry_items[place] = h.entry_items[s]
                entry_ratings[place] = h.entry_ratings[s]
                entry_weights[place] = h.entry_weights[s]
                entry_positions[place] = h.entry_positions[s]
                ranks[s] = rank
                rank += 1
                place += 1
    place = 0
    for item in range(h.meta[ITEM_COUNT]):
        i = h.items[item]
        for e in range(max(0, i.events - i.capacity), i.events):
            ring = i.start + e % i.capacity
            user = h.ring_users[ring]
            ring_users[place] = user
            ring_entries[place] = -1
            if user >= 0:
                u = h.users[user]
                slot = h.ring_entries[ring]
                ring_entries[place] = slot if u.used == u.live else ranks[u.start + slot]
            place += 1


@njit(cache=True)
def unpack(
    h, live, sizes, entry_items, entry_ratings, entry_weights, entry_positions, ring_users, ring_entries
):  # type: ignore[no-untyped-def]
    """Lay dense arrays out as `pack` found them; `sizes` are the ring capacities of the items."""
    place = 0
    for user in range(live.size):
        count = np.int64(live[user])
        if count == 0:
            continue
        size_class = _size_class(max(4, count))
        start = _allocate(h, ENTRIES, h.entry_items, size_class)
        _copy(entry_items, place, h.entry_items, start, count)
        _copy(entry_ratings, place, h.entry_ratings, start, count)
        _copy(entry_weights, place, h.entry_weights, start, count)
        _copy(entry_positions, place, h.entry_positions, start, count)
        place += count
        h.users[user].start = start
        h.users[user].capacity = 1 << size_class
        h.users[user].used = count
        h.users[user].live = count
        h.meta[LONGEST] = max(h.meta[LONGEST], 1 << size_class)
        if (1 << size_class) > SCANNED:
            h.users[user].index_start = _allocate(h, INDEX, h.index, size_class + 1)
            h.users[user].index_capacity = 2 << size_class
            _rebuild_index(h, user)
    place = 0
    for item in range(sizes.size):
        events = h.items[item].events
        if events == 0:
            continue
        capacity = np.int64(sizes[item])
        start = _allocate(h, RINGS, h.ring_users, _size_class(capacity))
        h.items[item].start = start
        h.items[item].capacity = capacity
        for e in range(max(0, events - capacity), events):
            h.ring_users[start + e % capacity] = ring_users[place]
            h.ring_entries[start + e % capacity] = ring_entries[place]
            place += 1
