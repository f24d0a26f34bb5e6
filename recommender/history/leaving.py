# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The compiled loops by which users and items leave a history, once all their ratings are withdrawn."""

from __future__ import annotations

import numpy as np

from recommender.compiled import kernel
from recommender.history.index import find
from recommender.history.kernels import class_of, release
from recommender.history.layout import ENTRIES, INDEX, RINGS, USER_COUNT


@kernel
def raters_of(h, item, users):
    """Write all users whose rating of the item stands, of whom there is room for as many as it counts."""
    i = h.items[item]
    found = 0
    if i.events <= i.capacity:  # the ring has lost no one yet
        for ring in range(i.start, i.start + i.events):
            if h.ring_users[ring] >= 0:
                users[found] = h.ring_users[ring]
                found += 1
        return found
    for user in range(h.meta[USER_COUNT]):
        if found == users.size:
            break
        if find(h, user, item) >= 0:
            users[found] = user
            found += 1
    return found


@kernel
def clear_user(h, user):
    """Give back what a user without ratings has, and let the record be as if there had never been one."""
    u = h.users[user]
    for s in range(u.start, u.start + u.capacity):
        h.entry_items[s], h.entry_positions[s] = 0, 0
        h.entry_ratings[s], h.entry_weights[s] = np.float32(0.0), np.float32(0.0)
    if u.capacity > 0:
        release(h, ENTRIES, h.entry_items, u.start, class_of(u.capacity))
    if u.index_capacity > 0:
        release(h, INDEX, h.tables, u.index_start, class_of(u.index_capacity))
    h.users[user].start, h.users[user].index_start, h.users[user].last_time = 0, 0, 0.0
    h.users[user].capacity, h.users[user].index_capacity = 0, 0
    h.users[user].used, h.users[user].live, h.users[user].events, h.users[user].run = 0, 0, 0, 0


@kernel
def clear_item(h, item):
    """The same of an item that no rating stands of."""
    i = h.items[item]
    if i.capacity > 0:
        release(h, RINGS, h.ring_users, i.start, class_of(i.capacity))
    h.items[item].start, h.items[item].events, h.items[item].capacity, h.items[item].count = 0, 0, 0, 0
    h.items[item].first_event, h.items[item].last_event = 0, 0
    h.items[item].first_time, h.items[item].last_time = 0.0, 0.0
