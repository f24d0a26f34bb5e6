# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The evidence of other users' histories: around a user's newest items, and as a whole."""

from __future__ import annotations

import math

import numpy as np

from recommender.compiled import background_kernel, kernel
from recommender.models.blend.instructions import LINE, prefetch
from recommender.models.blend.marks import mark
from recommender.models.elementary import half_powers, powered
from recommender.models.sequence.kernels import first_of_newest, link_raters, raised

#: How much an entry counts so many half events from a shared item; the last is of all that are farther.
CLOSENESS = np.concatenate([[1.0, 1.0], half_powers(0.95, 39), [0.0]])
_FAR = np.int64(len(CLOSENESS) - 1)
_REACH = _FAR - 1
#: So many neighbours ahead their entries are fetched, but no more than so many of each.
_AHEAD, _FETCHED = 2, 224
_ENTRIES_OF_A_LINE = LINE // 4
#: So many entries ahead the sums that they are added to are fetched.
_SOON = np.uint64(24)


@background_kernel
def evidence(h, own_user, items, strengths, lasting, raters, near, max_entries, effort, t, sums, supported):
    """Add what other users' histories say around `items` to `sums`, shape (items of the shard, 2).

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
        low, high = used, np.int64(-1)
        strength, taste = 0.0, 0.0
        link = np.int64(t.head[n])
        while link >= 0:
            k, share, slot = np.int64(t.last[link]), t.share[link], np.int64(t.slot[link])
            taste += share * lasting[k]
            t.slot[link], t.last[link] = 0, -1
            if k < near:
                strength += share
                lowest, highest = _spread(h.entry_positions, start, used, slot, share, t.mass)
                low, high = min(low, lowest), max(high, highest)
                t.slot[link], t.last[link] = lowest, highest
            link = np.int64(t.following[link])
        base, taste = 0.15 * strength, raised(taste, 1.5)
        # As the history is and not as it lies in memory: what was removed is gone after a restore.
        read += min(max_entries, live)
        _add_far(entry_items, weights, start + first, start + low, base, taste, sums, supported)
        # Without any window, what lies before its begin is all there is.
        end = used if high < 0 else high + 1
        _add_far(entry_items, weights, start + max(first, end), start + used, base, taste, sums, supported)
        _add_near(entry_items, weights, start, max(first, low), end, t.mass, base, taste, sums, supported)
        link = np.int64(t.head[n])
        while low < first and link >= 0:
            # Windows too old to be read are added when all their masses are in; the first that holds an
            # entry adds it.
            last = min(first, np.int64(t.last[link]) + 1)
            _add_rest(
                entry_items,
                weights,
                start,
                np.int64(t.slot[link]),
                last,
                t.mass,
                base,
                taste,
                sums,
                supported,
            )
            link = np.int64(t.following[link])
    return read


@kernel
def _fetch(h, user, slot, max_entries):
    """Have what is going to be read of a neighbour's entries brought near."""
    start, end = h.users[user].start, h.users[user].start + h.users[user].used
    begin = max(start, end - min(max_entries, _FETCHED))
    for s in range(np.uint64(begin), np.uint64(end), np.uint64(_ENTRIES_OF_A_LINE)):
        prefetch(h.entry_items, s)
        prefetch(h.entry_weights, s)
    prefetch(h.entry_positions, np.uint64(start + slot))


@kernel
def _spread(positions, start, used, slot, share, mass):
    """Spread as the kernel of sequence neighbours does, the ends first: the rest is vector instructions.

    The ends may lie too far out, where nothing is added: to find them out costs more.
    """
    centre = np.int64(positions[np.uint64(start + slot)])
    low, high = max(slot - _REACH // 2, 0), min(slot + _REACH // 2, used - 1)
    while low > 0 and centre - positions[np.uint64(start + low - 1)] <= _REACH:
        low -= 1
    while high + 1 < used and positions[np.uint64(start + high + 1)] - centre <= _REACH:
        high += 1
    for s in range(np.uint64(low), np.uint64(high + 1)):
        distance = min(abs(centre - np.int64(positions[np.uint64(start) + s])), _FAR)
        mass[s] += share * CLOSENESS[np.uint64(distance)]
    return low, high


@kernel
def _fetch_sums(sums, entry_items, s):
    """Have the sums brought near that an entry is added to soon: those of a large catalogue lie far."""
    s = min(s + _SOON, np.uint64(entry_items.size - 1))
    prefetch(sums, np.uint64(2) * np.uint64(max(entry_items[s], 0)))


@kernel
def _add_far(entry_items, weights, begin, end, base, taste, sums, supported):
    far = 2.0 * raised(base, 1.5)
    for s in range(np.uint64(begin), np.uint64(max(begin, end))):
        if supported is not None:
            _fetch_sums(sums, entry_items, s)
        item, weight = np.int64(entry_items[s]), np.float64(weights[s])
        if item >= 0 and weight > 0.0:
            sums[np.uint64(item), 0] += weight * far
            sums[np.uint64(item), 1] += weight * taste
            if supported is not None:
                mark(supported, item)


@kernel
def _add_near(entry_items, weights, start, begin, end, mass, base, taste, sums, supported):
    alone = raised(base, 1.5)
    # First a pass that becomes vector instructions: a root takes longer than all the rest.
    for s in range(np.uint64(begin), np.uint64(max(begin, end))):
        near = mass[s] + base
        mass[s] = near * math.sqrt(near) + alone
    for s in range(np.uint64(begin), np.uint64(max(begin, end))):
        if supported is not None:
            _fetch_sums(sums, entry_items, np.uint64(start) + s)
        value = mass[s]
        mass[s] = 0.0
        item = np.int64(entry_items[np.uint64(start) + s])
        weight = np.float64(weights[np.uint64(start) + s])
        if item >= 0 and weight > 0.0:
            sums[np.uint64(item), 0] += weight * value
            sums[np.uint64(item), 1] += weight * taste
            if supported is not None:
                mark(supported, item)


@kernel
def _add_rest(entry_items, weights, start, begin, end, mass, base, taste, sums, supported):
    alone = raised(base, 1.5)
    for s in range(np.uint64(begin), np.uint64(max(begin, end))):
        near = mass[s]
        if near > 0.0:
            mass[s] = 0.0
            item = np.int64(entry_items[np.uint64(start) + s])
            weight = np.float64(weights[np.uint64(start) + s])
            if item >= 0 and weight > 0.0:
                sums[np.uint64(item), 0] += weight * (raised(near + base, 1.5) + alone)
                sums[np.uint64(item), 1] += weight * taste
                if supported is not None:
                    mark(supported, item)
