# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The evidence of other users' histories: around a user's newest items, and as a whole."""

from __future__ import annotations

import math

import numpy as np

from recommender.compiled import inlined_kernel, kernel
from recommender.history.instructions import LINE, prefetch
from recommender.models.blend.instructions import add_to_pair
from recommender.models.blend.marks import mark
from recommender.models.elementary import powered
from recommender.models.sequence.kernels import closeness, first_of_newest, link_raters

#: How much an entry counts so many half events before or after a shared item; the ends are of all that are
#: farther.
CLOSENESS = np.concatenate([[0.0], closeness(0.95, 20), [0.0]]).astype(np.float32)
#: What a neighbour's whole history counts beside that.
_BASE = np.float32(0.15)
_ALONE = _BASE * np.sqrt(_BASE)
#: What entries at these distances add where only one item is shared, over the power 1.5 of its share.
_OF_ONE = (CLOSENESS + _BASE) * np.sqrt(CLOSENESS + _BASE) + _ALONE
#: A float32, for comparisons of such.
_NOTHING = np.float32(0.0)
_FAR = np.int32(len(CLOSENESS) // 2)
_REACH = np.int64(_FAR - 1)
#: So many neighbours ahead their entries are fetched, but no more than so many of each.
_AHEAD, _FETCHED = 2, 224
_ENTRIES_OF_A_LINE = LINE // 4
#: So many entries ahead the sums that they are added to are fetched.
_SOON = np.uint64(24)


@kernel
def evidence(h, own_user, items, strengths, lasting, raters, near, max_entries, effort, t, sums, supported):
    """Add what other users' histories say around `items` to `sums`, shape (items of the shard, 2), float32.

    The bits of items of which they say anything are set in `supported`, see `recommender.models.blend.marks`,
    or nowhere if that is None: the code for None has no such step.

    Column 0 is the sequence neighbours' sum, see `recommender.models.sequence.sequence_knn`, over the newest
    `near` items alone. Column 1 asks all of them, and wherever they stand: each neighbour speaks for its
    whole history with the power 1.5 of its shares times `lasting`, shape (items,).

    Returns how many entries were read, which is about proportional to the time it took.
    """
    entry_items, weights, users = h.entry_items, h.entry_weights, h.users
    neighbours, links = np.int64(0), np.int64(0)
    for k in range(items.size):
        first_link = links
        share = strengths[k] / powered(np.float64(h.items[items[k]].count) + 20.0, 0.6)
        neighbours, links = link_raters(
            users, h.items, h.ring_users, h.ring_entries, weights,
            own_user, items[k], share, raters[k], t, neighbours, links,
        )  # fmt: skip
        for link in range(first_link, links):
            t.last[link] = k
    max_entries = min(np.int64(max_entries), np.int64(effort) // max(neighbours, 1))
    read = links
    for n in range(neighbours):
        if n + _AHEAD < neighbours:
            _fetch(h, np.int64(t.user[n + _AHEAD]), t.slot[t.head[n + _AHEAD]], max_entries)
        user = t.user[n]
        t.place[user] = 0
        start, used, live = users[user].start, np.int64(users[user].used), np.int64(users[user].live)
        first = first_of_newest(entry_items, start, used, live, max_entries)
        # As the history is and not as it lies in memory: what was removed is gone after a restore.
        read += min(max_entries, live)
        head = np.int64(t.head[n])
        close, slot, strength, taste = _told(t, lasting, near, head)
        taste = _raised(taste)
        if close > 1:
            _add_spread(h, start, used, first, head, strength, taste, t, sums, supported)
        elif close == 1:
            _add_around(h, start, used, first, slot, strength, taste, sums, supported)
        else:
            _add_far(entry_items, weights, start + first, start + used, strength, taste, sums, supported)
    return read


@kernel
def _told(t, lasting, near, link):
    """The number of a neighbour's links that are near, the slot of the last of those, and both strengths.

    Of all others `last` becomes negative, and so tells them.
    """
    close, only, strength, taste = 0, np.int64(0), 0.0, 0.0
    while link >= 0:
        k, share = np.int64(t.last[link]), t.share[link]
        taste += share * lasting[k]
        if k < near:
            close += 1
            only = np.int64(t.slot[link])
            strength += share
        else:
            t.slot[link], t.last[link] = 0, -1
        link = np.int64(t.following[link])
    return close, only, np.float32(strength), np.float32(taste)


@inlined_kernel
def _place(position, centre):
    """The place in `CLOSENESS` of an entry by where it and the shared item stand."""
    return np.uint64(min(max(position - centre, -_FAR), _FAR) + _FAR)


@inlined_kernel
def _raised(value):
    """The power 1.5 of a float32."""
    return value * np.float32(math.sqrt(value))


@kernel
def _fetch(h, user, slot, max_entries):
    """Have what is going to be read of a neighbour's entries brought near."""
    start, end = h.users[user].start, h.users[user].start + h.users[user].used
    begin = max(start, end - min(max_entries, _FETCHED))
    for s in range(np.uint64(begin), np.uint64(end), np.uint64(_ENTRIES_OF_A_LINE)):
        prefetch(h.entry_items, s)
        prefetch(h.entry_weights, s)
    prefetch(h.entry_positions, np.uint64(start + slot))


@inlined_kernel
def _add(entry_items, weights, s, value, taste, sums, supported):
    """Add one entry; of one that was removed the item is negative."""
    if supported is not None:
        # Those of a large catalogue lie far.
        soon = min(s + _SOON, np.uint64(entry_items.size - 1))
        prefetch(sums, np.uint64(2) * np.uint64(max(entry_items[soon], 0)))
    item, weight = entry_items[s], weights[s]
    if item >= 0 and weight > _NOTHING:
        add_to_pair(sums, np.int64(item), weight, value, taste)
        if supported is not None:
            mark(supported, item)


@kernel
def _add_far(entry_items, weights, begin, end, value, taste, sums, supported):
    """Add the entries from one place to another that are near none of the user's items."""
    for s in range(np.uint64(begin), np.uint64(max(begin, end))):
        _add(entry_items, weights, s, value, taste, sums, supported)


@kernel
def _window(positions, start, used, slot):
    """The ends of what is near a slot. They may lie too far out: to find them out costs more."""
    centre = positions[np.uint64(start + slot)]
    low, high = max(slot - _REACH // 2, 0), min(slot + _REACH // 2, used - 1)
    while low > 0 and centre - positions[np.uint64(start + low - 1)] <= _REACH:
        low -= 1
    while high + 1 < used and positions[np.uint64(start + high + 1)] - centre <= _REACH:
        high += 1
    return centre, low, high


@kernel
def _add_around(h, start, used, first, slot, share, taste, sums, supported):
    """Add the entries of a neighbour who shares one item, the one in a slot."""
    items, weights, positions = h.entry_items, h.entry_weights, h.entry_positions
    centre, low, high = _window(positions, start, used, slot)
    unit = _raised(share)
    far = unit * _OF_ONE[0]
    _add_far(items, weights, start + first, start + low, far, taste, sums, supported)
    _add_far(items, weights, start + max(first, high + 1), start + used, far, taste, sums, supported)
    for s in range(np.uint64(start + low), np.uint64(start + max(low, min(first, high + 1)))):
        # What is too old to be read counts if it is near.
        if abs(positions[s] - centre) < _FAR:
            value = unit * _OF_ONE[_place(positions[s], centre)]
            _add(items, weights, s, value, taste, sums, supported)
    for s in range(np.uint64(start + max(low, first)), np.uint64(start + max(first, high + 1))):
        value = unit * _OF_ONE[_place(positions[s], centre)]
        _add(items, weights, s, value, taste, sums, supported)


@kernel
def _add_spread(h, start, used, first, head, strength, taste, t, sums, supported):
    """Add the entries of a neighbour who shares several items."""
    items, weights, mass = h.entry_items, h.entry_weights, t.mass
    low, high = used, np.int64(-1)
    link = head
    while link >= 0:
        if t.last[link] >= 0:
            slot, share = np.int64(t.slot[link]), np.float32(t.share[link])
            centre, lowest, highest = _window(h.entry_positions, start, used, slot)
            _spread(h.entry_positions, start, lowest, highest, centre, share, mass)
            low, high = min(low, lowest), max(high, highest)
            t.slot[link], t.last[link] = lowest, highest
        link = np.int64(t.following[link])
    base = _BASE * strength
    alone = _raised(base)
    far = alone + alone
    _add_far(items, weights, start + first, start + low, far, taste, sums, supported)
    _add_far(items, weights, start + max(first, high + 1), start + used, far, taste, sums, supported)
    _add_masses(items, weights, start, max(first, low), high + 1, mass, base, alone, taste, sums, supported)
    link = head
    while low < first and link >= 0:
        # Windows too old to be read are added when all their masses are in; the first that holds an entry
        # adds it.
        last = min(first, np.int64(t.last[link]) + 1)
        lowest = np.int64(t.slot[link])
        _add_rest(items, weights, start, lowest, last, mass, base, alone, taste, sums, supported)
        link = np.int64(t.following[link])


@kernel
def _spread(positions, start, low, high, centre, share, mass):
    """Let the entries of a window gain by how near they are; a loop that becomes vector instructions."""
    for s in range(np.uint64(low), np.uint64(high + 1)):
        mass[s] += share * CLOSENESS[_place(positions[np.uint64(start) + s], centre)]


@kernel
def _add_masses(items, weights, start, begin, end, mass, base, alone, taste, sums, supported):
    # First a pass that becomes vector instructions: a root takes longer than all the rest.
    for s in range(np.uint64(begin), np.uint64(max(begin, end))):
        mass[s] = _raised(mass[s] + base) + alone
    for s in range(np.uint64(begin), np.uint64(max(begin, end))):
        value = mass[s]
        mass[s] = 0.0
        _add(items, weights, np.uint64(start) + s, value, taste, sums, supported)


@kernel
def _add_rest(items, weights, start, begin, end, mass, base, alone, taste, sums, supported):
    for s in range(np.uint64(begin), np.uint64(max(begin, end))):
        near = mass[s]
        if near > _NOTHING:
            mass[s] = 0.0
            value = _raised(near + base) + alone
            _add(items, weights, np.uint64(start) + s, value, taste, sums, supported)
