# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The compiled look-up of a user's entry of an item."""

from __future__ import annotations

import numpy as np

from recommender.compiled import inlined_kernel, kernel
from recommender.history.layout import ITEM_COUNT, USER_COUNT


@inlined_kernel
def last_equal(values, start, count, wanted):
    """The last `s < count` with `values[start + s] == wanted`, or -1.

    Unsigned places and no way out of the loop: so it compiles to vector instructions.
    """
    first, wanted = np.uint64(start), np.int32(wanted)
    found = np.int32(-1)
    for s in range(count):
        found = max(found, np.int32(s) if values[first + np.uint64(s)] == wanted else np.int32(-1))
    return np.int64(found)


@inlined_kernel
def index_place(item, capacity):
    """The place of an index's table where the search for an item begins."""
    return ((np.uint64(item) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)) & np.uint64(capacity - 1)


@kernel
def index_insert(h, index_start, capacity, item, slot):
    place = np.int64(index_place(item, capacity))
    while h.tables[index_start + place] != 0:
        place = (place + 1) & (capacity - 1)
    h.tables[index_start + place] = slot + 1


@kernel
def rebuild_index(h, user):
    u = h.users[user]
    for place in range(u.index_start, u.index_start + u.index_capacity):
        h.tables[place] = 0
    for s in range(u.used):
        if h.entry_items[u.start + s] >= 0:
            index_insert(h, u.index_start, np.int64(u.index_capacity), h.entry_items[u.start + s], s)


@kernel
def standing(h, users, items, ratings, begin, places, again, fresh):
    """Write whether a rating stands of the pair of each of these events, just before it, and whether its item
    is above all before.

    `h` has what was before the event at `begin`, of which on `users`, `items` and `ratings` tell.
    """
    above = np.int32(h.meta[ITEM_COUNT] - 1)
    seen = begin
    for k in range(places.size):
        user, item = users[places[k]], items[places[k]]
        last = np.int32(-1)
        for e in range(begin, places[k]):
            last = max(last, np.int32(e) if users[e] == user and items[e] == item else np.int32(-1))
        while seen < places[k]:
            above = max(above, items[seen])
            seen += 1
        again[k] = not np.isnan(ratings[last]) if last >= 0 else find(h, user, item) >= 0
        fresh[k] = item > above


@inlined_kernel
def find(h, user, item):
    """The slot of the user's entry of the item, or -1."""
    if user < 0 or item < 0 or user >= h.meta[USER_COUNT] or item >= h.meta[ITEM_COUNT]:
        return -1
    u = h.users[user]
    i = h.items[item]
    if u.live == 0 or i.count == 0:
        return -1
    if i.events <= i.capacity and i.events < u.used:
        # The ring has lost no one yet, and it is shorter than the user's own list.
        found = last_equal(h.ring_users, i.start, i.events, user)
        return np.int64(h.ring_entries[i.start + found]) if found >= 0 else -1
    if u.index_capacity == 0:
        return last_equal(h.entry_items, u.start, np.int64(u.used), item)
    place = np.int64(index_place(item, u.index_capacity))
    while h.tables[u.index_start + place] != 0:
        slot = np.int64(h.tables[u.index_start + place]) - 1
        if h.entry_items[u.start + slot] == item:
            return slot
        place = (place + 1) & (u.index_capacity - 1)
    return -1
