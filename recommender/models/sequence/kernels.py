# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The compiled loops of `recommender.models.sequence.sequence_knn`, which has their formula."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel, njit
from recommender.history.layout import ITEM_COUNT, LONGEST, USER_COUNT, HistoryArrays
from recommender.models.base import FloatArray
from recommender.models.elementary import half_powers, powered

#: Up to this many entries for each that is wanted are looked through for those of positive weight.
LOOK_BACK = 4
#: What stands before a shared item counts so much of what stands after it: the user is about to choose.
BEFORE = 0.8


def closeness(decay: float, window: int) -> FloatArray:
    """The weights of entries by where they stand, from so many events before a shared item to after it.

    One number for each half event, because positions are means of two numbers.
    """
    after = np.concatenate([[1.0, 1.0], half_powers(decay, 2 * window + 1)])[: 2 * window + 1]
    return np.concatenate([BEFORE * after[:0:-1], after])


class Links(NamedTuple):
    """Room for one request's neighbours, in the order in which they were met.

    `place` (users,) is 0 or the neighbour's number plus one, `mass` (longest segment,) is 0: both are left
    so. A neighbour's links, one for each shared item, are linked from `head` to `tail`; `slot` is the
    shared item's, and then the first of its window. No more than `limit` users become neighbours.
    """

    place: NDArray[np.int32]
    mass: FloatArray
    user: NDArray[np.int32]
    strength: FloatArray
    head: NDArray[np.int32]
    tail: NDArray[np.int32]
    slot: NDArray[np.int32]
    last: NDArray[np.int32]
    share: FloatArray
    following: NDArray[np.int32]
    limit: int


class Scratch:
    """Keeps `Links` from request to request, with masses of some type of numbers."""

    def __init__(self, limit: int = 2**31, masses: type[np.floating] = np.float64) -> None:
        self._limit, self._masses = limit, masses
        self._links = self._made(0, 0, 0)

    def _made(self, users: int, longest: int, links: int) -> Links:
        return Links(
            np.zeros(users, np.int32),
            np.zeros(longest, self._masses),
            np.zeros(links, np.int32),
            np.zeros(links),
            np.zeros(links, np.int32),
            np.zeros(links, np.int32),
            np.zeros(links, np.int32),
            np.zeros(links, np.int32),
            np.zeros(links),
            np.zeros(links, np.int32),
            self._limit,
        )

    def room(self, arrays: HistoryArrays, links: int) -> Links:
        longest = int(arrays.meta[LONGEST])
        have = self._links
        if len(arrays.users) > len(have.place) or longest > len(have.mass) or links > len(have.user):
            self._links = self._made(
                max(len(arrays.users), len(have.place)),
                max(longest, len(have.mass)),
                max(links, len(have.user)),
            )
        return self._links


@njit(cache=True)
def newest(h, user, wanted, decays):
    """Newest items of positive weight and their strengths, newest first.

    Lags count the entries in between; entries of one position share their mean. They are counted among
    the newest `LOOK_BACK * wanted` entries, and from the newest entry's own.
    """
    items = np.empty(wanted, np.int32)
    strengths = np.empty(wanted, np.float64)
    found = 0
    if user >= 0 and user < h.meta[USER_COUNT]:
        start, slot = h.users[user].start, np.int64(h.users[user].used) - 1
        left = min(np.int64(h.users[user].live), LOOK_BACK * wanted)
        ranks = 0  # entries before the run
        newest = -1
        while left > 0 and found < wanted:
            while h.entry_items[start + slot] < 0:
                slot -= 1
            position = h.entry_positions[start + slot]
            size, oldest = 0, slot
            while oldest >= 0 and size < left and h.entry_positions[start + oldest] == position:
                size += np.int64(h.entry_items[start + oldest] >= 0)
                oldest -= 1
            lag = 2 * ranks + size - 1
            if newest < 0:
                newest = lag
            for s in range(slot, oldest, -1):
                weight = np.float64(h.entry_weights[start + s])
                if h.entry_items[start + s] >= 0 and weight > 0.0 and found < wanted:
                    items[found] = h.entry_items[start + s]
                    strengths[found] = decays[lag - newest] * weight
                    found += 1
            ranks += size
            left -= size
            slot = oldest
    return items[:found], strengths[:found]


@kernel
def raised(value, exponent):
    return value * math.sqrt(value) if exponent == 1.5 else powered(value, exponent)


@kernel
def link_raters(
    users, items, ring_users, ring_entries, weights, own_user, item, share, raters, t, neighbours, links,
):  # fmt: skip
    """Link the item's newest raters, and return how many neighbours and links there are now."""
    capacity, start, events = np.int64(items[item].capacity), items[item].start, items[item].events
    ring = events % max(capacity, 1)
    for _ in range(min(events, capacity, raters)):
        ring = (ring if ring > 0 else capacity) - 1
        user = np.int64(ring_users[np.uint64(start + ring)])
        if user < 0 or user == own_user:
            continue
        slot = ring_entries[np.uint64(start + ring)]
        n = np.int64(t.place[np.uint64(user)]) - 1
        if n < 0 and neighbours >= t.limit:
            continue
        if weights[np.uint64(users[np.uint64(user)].start + slot)] <= 0:
            continue
        if n < 0:
            n = neighbours
            neighbours += 1
            t.place[np.uint64(user)] = neighbours
            t.user[np.uint64(n)] = user
            t.strength[np.uint64(n)] = 0.0
            t.head[np.uint64(n)] = links
        else:
            t.following[np.uint64(t.tail[np.uint64(n)])] = links
        t.tail[np.uint64(n)] = links
        t.slot[np.uint64(links)] = slot
        t.share[np.uint64(links)] = share
        t.following[np.uint64(links)] = -1
        t.strength[np.uint64(n)] += share
        links += 1
    return neighbours, links


@kernel
def spread(positions, start, used, slot, share, closeness, mass):
    """Add one link to the masses of the entries around it; the first and last slot of them."""
    reach = closeness.size // 2
    centre = np.int64(positions[np.uint64(start + slot)])
    low = slot
    while low >= 0:
        distance = centre - positions[np.uint64(start + low)]
        if distance > reach:
            break
        mass[np.uint64(low)] += share * closeness[np.uint64(reach - distance)]
        low -= 1
    high = slot + 1
    while high < used:
        distance = positions[np.uint64(start + high)] - centre
        if distance > reach:
            break
        mass[np.uint64(high)] += share * closeness[np.uint64(reach + distance)]
        high += 1
    return low + 1, high - 1


@kernel
def _add_near(entry_items, weights, start, begin, end, mass, base, power, both):
    """Add a neighbour's entries that are near enough to a shared item, and clear their masses."""
    alone = raised(base, power)
    for s in range(np.uint64(begin), np.uint64(max(begin, end))):
        near = mass[s]
        mass[s] = 0.0
        item = np.int64(entry_items[np.uint64(start) + s])
        value = np.float64(weights[np.uint64(start) + s]) * (raised(near + base, power) + alone)
        if item >= 0 and value > 0.0:
            both[np.uint64(item), 0] += value
            both[np.uint64(item), 1] += 1.0


@kernel
def _add_far(entry_items, weights, start, begin, end, alone, both):
    """Add a neighbour's entries that are near none."""
    for s in range(np.uint64(begin), np.uint64(max(begin, end))):
        item = np.int64(entry_items[np.uint64(start) + s])
        value = np.float64(weights[np.uint64(start) + s]) * alone
        if item >= 0 and value > 0.0:
            both[np.uint64(item), 0] += value
            both[np.uint64(item), 1] += 1.0


@kernel
def first_of_newest(entry_items, start, used, live, max_entries):
    """The slot from which on the newest `max_entries` entries lie."""
    if max_entries >= live:
        return np.int64(0)
    if used == live:
        return used - max_entries
    slot = used
    while max_entries > 0:
        slot -= 1
        max_entries -= np.int64(entry_items[start + slot] >= 0)
    return slot


@kernel
def evidence(
    h,
    own_user,
    items,
    strengths,
    shrink,
    exponent,
    raters,
    max_entries,
    effort,
    closeness,
    base_share,
    power,
    t,
    both,
):
    """Add the evidence of all neighbours of a profile: sums and counts for each item, into `both`."""
    entry_items, weights, positions, users = h.entry_items, h.entry_weights, h.entry_positions, h.users
    neighbours, links = np.int64(0), np.int64(0)
    for k in range(items.size):
        if items[k] < h.meta[ITEM_COUNT]:
            share = strengths[k] / powered(np.float64(h.items[items[k]].count) + shrink, exponent)
            neighbours, links = link_raters(
                users,
                h.items,
                h.ring_users,
                h.ring_entries,
                weights,
                own_user,
                items[k],
                share,
                raters[k],
                t,
                neighbours,
                links,
            )
    max_entries = min(np.int64(max_entries), np.int64(effort) // max(neighbours, 1))
    for n in range(neighbours):
        user = t.user[n]
        t.place[user] = 0
        start, used, live = users[user].start, np.int64(users[user].used), np.int64(users[user].live)
        base = base_share * t.strength[n]
        alone = 2.0 * raised(base, power)
        first = first_of_newest(entry_items, start, used, live, max_entries)
        low, high = used, np.int64(-1)
        link = np.int64(t.head[n])
        while link >= 0:
            lowest, highest = spread(
                positions, start, used, np.int64(t.slot[link]), t.share[link], closeness, t.mass
            )
            low, high = min(low, lowest), max(high, highest)
            t.slot[link], t.last[link] = lowest, highest
            link = np.int64(t.following[link])
        _add_far(entry_items, weights, start, first, low, alone, both)
        _add_far(entry_items, weights, start, max(first, high + 1), used, alone, both)
        _add_near(entry_items, weights, start, max(first, low), high + 1, t.mass, base, power, both)
        link = np.int64(t.head[n])
        while low < first and link >= 0:
            # Windows beyond the newest entries are added once all their masses are in.
            end = min(first, np.int64(t.last[link]) + 1)
            _add_rest(entry_items, weights, start, np.int64(t.slot[link]), end, t.mass, base, power, both)
            link = np.int64(t.following[link])


@kernel
def _add_rest(entry_items, weights, start, begin, end, mass, base, power, both):
    """Add the entries of a window that no other window has added yet."""
    alone = raised(base, power)
    for s in range(np.uint64(begin), np.uint64(max(begin, end))):
        near = mass[s]
        if near > 0.0:
            mass[s] = 0.0
            item = np.int64(entry_items[np.uint64(start) + s])
            value = np.float64(weights[np.uint64(start) + s]) * (raised(near + base, power) + alone)
            if item >= 0 and value > 0.0:
                both[np.uint64(item), 0] += value
                both[np.uint64(item), 1] += 1.0


@kernel
def normalise(h, sums, candidates, shrink, exponent, scores):
    for c in range(candidates.size):
        item = candidates[c]
        scores[c] = 0.0
        if item >= 0 and item < sums.size and sums[item] > 0.0:
            divisor = np.float64(h.items[item].count) + shrink
            scores[c] = sums[item] / (math.sqrt(divisor) if exponent == 0.5 else powered(divisor, exponent))
