# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The compiled loops that learn events into a history's arrays."""

from __future__ import annotations

import numpy as np

from recommender.compiled import inlined_kernel, kernel
from recommender.history.index import find, index_insert, index_place, last_equal, rebuild_index
from recommender.history.instructions import prefetch
from recommender.history.layout import (
    DONE,
    ENTRIES,
    EVENT_COUNT,
    INDEX,
    ITEM_COUNT,
    LONGEST,
    NEED_ENTRIES,
    NEED_INDEX,
    NEED_ITEMS,
    NEED_RINGS,
    NEED_USERS,
    NEGATIVE,
    RATING_COUNT,
    RINGS,
    RUN_LIMIT,
    SCANNED,
    SIZE_CLASSES,
    USER_COUNT,
)

#: So many events ahead is asked for what an event reads, and twice as many for the records that say where.
_AHEAD = 8


@kernel
def copy(source, begin, target, place, count):
    for s in range(np.uint64(count)):
        target[np.uint64(place) + s] = source[np.uint64(begin) + s]


@kernel
def _move(h, old, new):
    h.entry_items[new] = h.entry_items[old]
    h.entry_ratings[new] = h.entry_ratings[old]
    h.entry_weights[new] = h.entry_weights[old]
    h.entry_positions[new] = h.entry_positions[old]


@kernel
def class_of(size):
    size_class = 0
    while (1 << size_class) < size:
        size_class += 1
    return size_class


@kernel
def _has_room(h, arena, size_class, length):
    if h.meta[arena] + (1 << size_class) <= length:
        return True
    for larger in range(size_class, SIZE_CLASSES):  # noqa: SIM110 (a generator does not compile)
        if h.free[arena, larger] > 0:
            return True
    return False


@kernel
def allocate(h, arena, links, size_class):
    """A segment of 2**size_class; there is room for it."""
    for larger in range(size_class, SIZE_CLASSES):
        start = h.free[arena, larger] - 1
        if start >= 0:
            h.free[arena, larger] = links[start]
            while larger > size_class:
                larger -= 1
                release(h, arena, links, start + (1 << larger), larger)
            return start
    start = h.meta[arena]
    h.meta[arena] = start + (1 << size_class)
    return start


@kernel
def release(h, arena, links, start, size_class):
    links[start] = h.free[arena, size_class]
    h.free[arena, size_class] = start + 1


@kernel
def ring_slot(h, item, user):
    """The place of a user in the item's ring, or -1."""
    i = h.items[item]
    found = last_equal(h.ring_users, i.start, min(i.events, np.int64(i.capacity)), user)
    return i.start + found if found >= 0 else -1


@kernel
def _compact(h, user):
    u = h.users[user]
    kept = 0
    for s in range(u.used):
        item = h.entry_items[u.start + s]
        if item < 0:
            continue
        if kept != s:
            _move(h, u.start + s, u.start + kept)
            ring = ring_slot(h, item, user)
            if ring >= 0:
                h.ring_entries[ring] = kept
        kept += 1
    h.users[user].used = kept
    if u.index_capacity > 0:
        rebuild_index(h, user)


@kernel
def _remove(h, user, slot):
    u = h.users[user]
    item = h.entry_items[u.start + slot]
    ring = ring_slot(h, item, user)
    if ring >= 0:
        h.ring_users[ring] = -1
    h.items[item].count -= 1
    h.entry_items[u.start + slot] = -1
    h.users[user].live -= 1
    h.meta[RATING_COUNT] -= 1
    if u.used - h.users[user].live > max(16, u.used // 2):
        _compact(h, user)


@kernel
def _grow_segment(h, user):
    u = h.users[user]
    old, used = u.start, np.int64(u.used)
    size_class = class_of(max(4, 2 * np.int64(u.capacity)))
    new = allocate(h, ENTRIES, h.entry_items, size_class)
    if u.capacity > 0:
        copy(h.entry_items, old, h.entry_items, new, used)
        copy(h.entry_ratings, old, h.entry_ratings, new, used)
        copy(h.entry_weights, old, h.entry_weights, new, used)
        copy(h.entry_positions, old, h.entry_positions, new, used)
        release(h, ENTRIES, h.entry_items, old, size_class - 1)
    h.users[user].start = new
    h.users[user].capacity = 1 << size_class
    h.meta[LONGEST] = max(h.meta[LONGEST], 1 << size_class)
    if (1 << size_class) > SCANNED:
        if u.index_capacity > 0:
            release(h, INDEX, h.tables, u.index_start, size_class)
        h.users[user].index_start = allocate(h, INDEX, h.tables, size_class + 1)
        h.users[user].index_capacity = 2 << size_class
        rebuild_index(h, user)


@kernel
def _grow_ring(h, item, limit):
    i = h.items[item]
    old, used = i.start, np.int64(i.capacity)
    size_class = class_of(min(max(8, 2 * np.int64(used)), limit))
    new = allocate(h, RINGS, h.ring_users, size_class)
    if used > 0:
        copy(h.ring_users, old, h.ring_users, new, used)
        copy(h.ring_entries, old, h.ring_entries, new, used)
        release(h, RINGS, h.ring_users, old, class_of(used))
    h.items[item].start = new
    h.items[item].capacity = min(1 << size_class, limit)


@inlined_kernel
def _lacking(h, user, item, limit):
    """The arrays that have to grow before this event can be learned, judged on the safe side."""
    u = h.users[user]
    if u.used == u.capacity:
        size_class = class_of(max(4, 2 * np.int64(u.capacity)))
        if not _has_room(h, ENTRIES, size_class, h.entry_items.size):
            return NEED_ENTRIES
        if (1 << size_class) > SCANNED and not _has_room(h, INDEX, size_class + 1, h.tables.size):
            return NEED_INDEX
    i = h.items[item]
    if i.events == i.capacity and i.capacity < limit:
        size_class = class_of(min(max(8, 2 * np.int64(i.capacity)), limit))
        if not _has_room(h, RINGS, size_class, h.ring_users.size):
            return NEED_RINGS
    return DONE


@inlined_kernel
def _next_position(h, user, time):
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


@inlined_kernel
def _enter(h, user, item, rating, weight, time, limit):
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
        index_insert(h, u.index_start, np.int64(u.index_capacity), item, slot)
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
    h.meta[RATING_COUNT] += 1


@inlined_kernel
def _fetch_records(h, user, item):
    """Have the records of a user and an item brought near."""
    prefetch(h.users, user)
    prefetch(h.items, item)


@inlined_kernel
def _fetch_entries(h, user, item):
    """Have what an event of a user and an item reads and writes brought near; their records are."""
    u, i = h.users[user], h.items[item]
    end = np.uint64(u.start + u.used)
    prefetch(h.entry_items, np.uint64(u.start))
    prefetch(h.entry_items, end)
    prefetch(h.entry_ratings, end)
    prefetch(h.entry_weights, end)
    prefetch(h.entry_positions, end)
    if u.index_capacity > 0:
        prefetch(h.tables, np.uint64(u.index_start) + index_place(item, u.index_capacity))
    if i.capacity > 0:
        ring = np.uint64(i.start + i.events % i.capacity)
        prefetch(h.ring_users, ring)
        prefetch(h.ring_entries, ring)


@kernel
def append(
    h, limit, highest, begin, users, items, ratings, weights, times, previous_ratings, previous_weights,
    numbers, previous_positions,
):  # fmt: skip
    """Learn events from `begin` on; how many are learned, and what has to grow before the next.

    With `highest` a rating that is lower than the one that stands becomes that one.
    """
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
        if e + 2 * _AHEAD < users.size:
            _fetch_records(h, np.uint64(users[e + 2 * _AHEAD]), np.uint64(items[e + 2 * _AHEAD]))
        if e + _AHEAD < users.size:
            _fetch_entries(h, np.uint64(users[e + _AHEAD]), np.uint64(items[e + _AHEAD]))
        user, item = np.int64(users[e]), np.int64(items[e])
        withdrawn = np.isnan(ratings[e])
        if not withdrawn:
            lacking = _lacking(h, user, item, limit)
            if lacking != DONE:
                return e, lacking
        previous_ratings[e] = np.nan
        previous_weights[e] = np.nan
        numbers[e], previous_positions[e] = h.users[user].events, -1
        slot = find(h, user, item)
        if slot >= 0:
            previous_ratings[e] = h.entry_ratings[h.users[user].start + slot]
            previous_weights[e] = h.entry_weights[h.users[user].start + slot]
            previous_positions[e] = h.entry_positions[h.users[user].start + slot]
            if highest and ratings[e] < previous_ratings[e]:  # never of a withdrawal, which is NaN
                ratings[e] = previous_ratings[e]
                weights[e] = previous_weights[e]
            _remove(h, user, slot)
        if not withdrawn:
            _enter(h, user, item, ratings[e], weights[e], times[e], limit)
        h.meta[EVENT_COUNT] += 1
    return users.size, DONE
