# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The compiled loops that read a history's arrays out, and lay them out again."""

from __future__ import annotations

import numpy as np

from recommender.compiled import kernel, njit
from recommender.history.index import rebuild_index
from recommender.history.kernels import allocate, class_of, copy
from recommender.history.layout import ENTRIES, INDEX, ITEM_COUNT, LONGEST, RINGS, SCANNED, USER_COUNT


@njit(cache=True)
def entries_of(h, user):
    """Arena places of the user's entries, oldest first."""
    if user < 0 or user >= h.meta[USER_COUNT]:
        return np.empty(0, np.int64)
    u = h.users[user]
    left = np.int64(u.live)
    places = np.empty(left, np.int64)
    s = u.start + u.used
    while left > 0:
        s -= 1
        if h.entry_items[s] >= 0:
            left -= 1
            places[left] = s
    return places


# Saving and loading run in threads alongside the event loop.
@kernel
def pack(h, ranks, entry_items, entry_ratings, entry_weights, entry_positions, ring_users, ring_entries):
    """Copy what lives, user by user and item by item, into dense arrays."""
    place = 0
    clean = True
    for user in range(h.meta[USER_COUNT]):
        u = h.users[user]
        if u.used == u.live:
            count = np.int64(u.live)
            copy(h.entry_items, u.start, entry_items, place, count)
            copy(h.entry_ratings, u.start, entry_ratings, place, count)
            copy(h.entry_weights, u.start, entry_weights, place, count)
            copy(h.entry_positions, u.start, entry_positions, place, count)
            place += count
            continue
        clean = False
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
        capacity = np.int64(i.capacity)
        size = min(i.events, capacity)
        offset = i.events % capacity if size == capacity and size > 0 else 0
        for _ in range(size):
            user = h.ring_users[i.start + offset]
            slot = h.ring_entries[i.start + offset]
            offset = offset + 1 if offset + 1 < capacity else 0
            ring_users[place] = user
            ring_entries[place] = slot if user >= 0 else -1
            if user >= 0 and not clean:
                u = h.users[user]
                if u.used != u.live:
                    ring_entries[place] = ranks[u.start + slot]
            place += 1


@kernel
def unpack(
    h, live, sizes, entry_items, entry_ratings, entry_weights, entry_positions, ring_users, ring_entries
):
    """Lay dense arrays out as `pack` found them; `sizes` are the ring capacities of the items."""
    place = 0
    for user in range(live.size):
        count = np.int64(live[user])
        if count == 0:
            continue
        size_class = class_of(max(4, count))
        start = allocate(h, ENTRIES, h.entry_items, size_class)
        copy(entry_items, place, h.entry_items, start, count)
        copy(entry_ratings, place, h.entry_ratings, start, count)
        copy(entry_weights, place, h.entry_weights, start, count)
        copy(entry_positions, place, h.entry_positions, start, count)
        place += count
        h.users[user].start = start
        h.users[user].capacity = 1 << size_class
        h.users[user].used = count
        h.users[user].live = count
        h.meta[LONGEST] = max(h.meta[LONGEST], 1 << size_class)
        if (1 << size_class) > SCANNED:
            h.users[user].index_start = allocate(h, INDEX, h.tables, size_class + 1)
            h.users[user].index_capacity = 2 << size_class
            rebuild_index(h, user)
    place = 0
    for item in range(sizes.size):
        events = h.items[item].events
        if events == 0:
            continue
        capacity = np.int64(sizes[item])
        start = allocate(h, RINGS, h.ring_users, class_of(capacity))
        h.items[item].start = start
        h.items[item].capacity = capacity
        for e in range(max(0, events - capacity), events):
            h.ring_users[start + e % capacity] = ring_users[place]
            h.ring_entries[start + e % capacity] = ring_entries[place]
            place += 1
