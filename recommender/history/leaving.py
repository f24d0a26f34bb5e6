# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The compiled loops by which users and items leave a history."""

from __future__ import annotations

import numpy as np

from recommender.compiled import inlined_kernel, kernel
from recommender.history.index import find, rebuild_index
from recommender.history.instructions import LINE, prefetch
from recommender.history.kernels import class_of, release, ring_slot
from recommender.history.layout import ENTRIES, EVENT_COUNT, INDEX, RATING_COUNT, RINGS, USER_COUNT

#: So many places ahead is asked for what is read, and twice as many for the records that say where.
_AHEAD = 8


@kernel
def raters_of(h, item, users):
    """Write all users whose rating of the item stands, of whom there is room for as many as it counts."""
    i = h.items[item]
    if i.events <= i.capacity:  # the ring has lost no one yet
        return ring_raters(h, item, users)
    found = 0
    for user in range(h.meta[USER_COUNT]):
        if found == users.size:
            break
        if find(h, user, item) >= 0:
            users[found] = user
            found += 1
    return found


@kernel
def ring_raters(h, item, users):
    """Write those users in the item's ring whose rating stands, oldest first; how many there are."""
    i = h.items[item]
    found = 0
    for event in range(max(0, i.events - i.capacity), i.events):
        ring = i.start + event % i.capacity
        if h.ring_users[ring] >= 0:
            users[found] = h.ring_users[ring]
            found += 1
    return found


@kernel
def entries_of_marked(h, marks, user, last, users, items):
    """Write the entries of marked items that users from one on have; the next user, and how many there are.

    Ends before user `last`, or where a user's entries might need more room than there is, if some were found.
    """
    found = 0
    while user < last:
        u = h.users[user]
        if found > 0 and found + u.live > users.size:
            break
        for s in range(u.start, u.start + u.used):
            item = h.entry_items[s]
            if item >= 0 and item < marks.size and marks[item] and found < users.size:
                users[found], items[found] = user, item
                found += 1
        user += 1
    return user, found


@kernel
def withdraw_all(
    h, users, owners, items, previous_ratings, previous_weights, numbers, previous_positions
):  # fmt: skip
    """Withdraw all ratings of users, as `append` would one by one, and write what it would."""
    count = _take_entries(
        h, users, owners, items, previous_ratings, previous_weights, numbers, previous_positions
    )
    for e in range(count):
        if e + 2 * _AHEAD < count:
            prefetch(h.items, np.uint64(items[e + 2 * _AHEAD]))
        if e + _AHEAD < count:
            _fetch_ring(h, items[e + _AHEAD])
        ring = ring_slot(h, items[e], owners[e])
        if ring >= 0:
            h.ring_users[ring] = -1
        h.items[items[e]].count -= 1
    h.meta[EVENT_COUNT] += count
    h.meta[RATING_COUNT] -= count


@kernel
def _take_entries(
    h, users, owners, items, previous_ratings, previous_weights, numbers, previous_positions
):  # fmt: skip
    """Take all entries of users out, and write what they were; how many there were."""
    place = 0
    for k in range(users.size):
        _fetch_users(h, users, k)
        user = np.int64(users[k])
        u = h.users[user]
        for s in range(u.start, u.start + u.used):
            item = h.entry_items[s]
            if item < 0:
                continue
            owners[place], items[place] = user, item
            previous_ratings[place], previous_weights[place] = h.entry_ratings[s], h.entry_weights[s]
            numbers[place], previous_positions[place] = u.events, h.entry_positions[s]
            place += 1
        h.users[user].used, h.users[user].live = 0, 0
        if u.index_capacity > 0:
            rebuild_index(h, user)
    return place


@inlined_kernel
def _fetch_users(h, users, k):
    """Have the users brought near who come some places later: first their records, then their entries."""
    if k + 2 * _AHEAD < users.size:
        prefetch(h.users, np.uint64(users[k + 2 * _AHEAD]))
    if k + _AHEAD < users.size:
        start = np.uint64(h.users[users[k + _AHEAD]].start)
        prefetch(h.entry_items, start)
        prefetch(h.entry_ratings, start)
        prefetch(h.entry_weights, start)
        prefetch(h.entry_positions, start)


@inlined_kernel
def _fetch_ring(h, item):
    i = h.items[item]
    for place in range(0, min(i.events, np.int64(i.capacity)), LINE // 4):
        prefetch(h.ring_users, np.uint64(i.start + place))


@kernel
def oldest_items(h, users, counts, items):
    """Write the items of the oldest entries of users, of each as many as it is to be."""
    place = 0
    for k in range(users.size):
        _fetch_users(h, users, k)
        s, end = h.users[users[k]].start, place + counts[k]
        while place < end:
            if h.entry_items[s] >= 0:
                items[place] = h.entry_items[s]
                place += 1
            s += 1


@kernel
def clear_users(h, users):
    """Give back what users without ratings have, and let their records be as if there had never been any."""
    for k in range(users.size):
        _fetch_users(h, users, k)
        user = np.int64(users[k])
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
def clear_items(h, items):
    """The same of items that no rating stands of."""
    for k in range(items.size):
        item = np.int64(items[k])
        i = h.items[item]
        if i.capacity > 0:
            release(h, RINGS, h.ring_users, i.start, class_of(i.capacity))
        h.items[item].start, h.items[item].events = 0, 0
        h.items[item].capacity, h.items[item].count = 0, 0
        h.items[item].first_event, h.items[item].last_event = 0, 0
        h.items[item].first_time, h.items[item].last_time = 0.0, 0.0
