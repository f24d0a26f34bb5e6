# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Counts of how often users took the items that they took more than once, and what speaks for another time.

Of what a user took once the history says it all. So only pairs that were repeated are kept, 24 bytes each, in
the order of their first repeat; where one is withdrawn, the last one takes its place.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import inlined_kernel, kernel, njit
from recommender.history.arrays import enlarge
from recommender.history.instructions import prefetch
from recommender.history.slots import MASK, enter, enter_new, home, leave, renumber, with_slots
from recommender.models.base import FloatArray
from recommender.models.blend.blocks import BLOCK, exponentials, logarithms
from recommender.models.randomness import mix

#: The columns of what is known of an item that a user has.
FEATURES = (
    "log times",  # that the user took it
    "log times, 30",  # with a half-life of 30 of the user's own events
    "log times, 300",
    "log age",  # in the user's own events
    "in the newest timestamp",
    "newest",
)
#: Rows of a block: four logarithms, and one to write to.
ROWS = 5
#: So many events ahead the slot is asked for of a pair that may be there.
_AHEAD = 8
#: What a fading count is raised by, so that its logarithm is finite.
_LEAST = 0.01

# What is left of a count after half an event; numbers and no formula, because they enter the state.
_HALF_SHORT, _HALF_LONG = 0.9885140203528961, 0.9988454217380302


def _faded(half: float, count: int) -> FloatArray:
    """The rest after a number of halves of an event; multiplied one by one, which is the same everywhere."""
    return np.multiply.accumulate(np.concatenate([[1.0], np.full(count, half)]))


#: By doubled lag; what lies beyond has faded away.
_SHORT, _LONG = _faded(_HALF_SHORT, 30 * 2 * 30), _faded(_HALF_LONG, 30 * 2 * 300)

#: Lengths of a history are told apart by their powers of two, up to this many.
LENGTHS = 16
#: Events of a kind until an old one counts 1/e.
_MEMORY = 10_000.0
#: A kind of event is thought to be like all until it was seen this number of times.
_DOUBT = 20.0


class Pairs(NamedTuple):
    """Repeated pairs, in columns with room for more; `filled`, of one value, tells how many.

    `times` is how often the user took the item, `short` and `long` the same as fading counts at the last
    time. `slots`, `old` and `moved` find a pair by its hash: `recommender.history.slots`.
    """

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    times: NDArray[np.float32]
    short: NDArray[np.float32]
    long: NDArray[np.float32]
    hashes: NDArray[np.int32]
    slots: NDArray[np.int32]
    old: NDArray[np.int32]
    moved: NDArray[np.int64]
    filled: NDArray[np.int64]


def empty_pairs() -> Pairs:
    """No pairs."""
    users, items, hashes, slots, old = (np.zeros(0, np.int32) for _ in range(5))
    times, short, long = (np.zeros(0, np.float32) for _ in range(3))
    moved, filled = np.zeros(1, np.int64), np.zeros(1, np.int64)
    return with_room(Pairs(users, items, times, short, long, hashes, slots, old, moved, filled), 64)


def with_room(p: Pairs, more: int) -> Pairs:
    """The same pairs with room for so many more: a little of the work that this is each time."""
    count = int(p.filled[0]) + more
    for column in p[:6]:
        enlarge(column, count)
    return with_slots(p, count, more)


@inlined_kernel
def _hash(user, item):
    return np.int32(mix(np.uint64(user), np.uint64(item)) & MASK)


@kernel
def _among(p, slots, user, item, hashed):
    """The place of a pair that is in one of these slots, or -1."""
    mask = np.uint64(slots.size - 1)
    slot = home(slots, hashed)
    while slots[slot] != 0:
        place = np.int64(slots[slot]) - 1
        if place >= 0 and p.users[place] == user and p.items[place] == item:
            return place
        slot = (slot + np.uint64(1)) & mask
    return np.int64(-1)


@kernel
def _find(p, user, item, hashed):
    """The place of a pair, or -1."""
    place = np.int64(-1)
    if p.old.size > 0:
        place = _among(p, p.old, user, item, hashed)
    return place if place >= 0 else _among(p, p.slots, user, item, hashed)


@kernel
def _remove(p, place):
    """Take a pair out, and let the last one have its place."""
    leave(p, place)
    last = p.filled[0] - 1
    if place < last:
        renumber(p, last, place)
        p.users[place], p.items[place], p.hashes[place] = p.users[last], p.items[last], p.hashes[last]
        p.times[place], p.short[place], p.long[place] = p.times[last], p.short[last], p.long[last]
    p.filled[0] = last


@njit(cache=True)
def enter_all(p, count):
    """Find the first pairs from now on, none of which was."""
    for place in range(count):
        p.hashes[place] = _hash(p.users[place], p.items[place])
        enter(p, place)
    p.filled[0] = count


@kernel
def _left(table, lag):
    return table[np.uint64(lag)] if lag < table.size else 0.0


@njit(cache=True)
def count_times(p, positive, e, last, shares):
    """Count what is taken again.

    Parameters
    ----------
    p : Pairs
        With room for as many more as there are events.
    positive : float
        Events of at least this weight are choices.
    e : tuple
        The users, items, ratings, weights, previous weights, numbers and previous positions of the events.
    last : uint8 array, shape (users,)
        Whether each user's last choice was a repeat.
    shares : float array, shape (LENGTHS, 2, 2)
        By length of the history and by that, how many choices were repeats, and how many there were.
    """
    users, items, ratings, weights, previous_weights, numbers, previous_positions = e
    keep = 1.0 - 1.0 / _MEMORY
    for k in range(users.size):
        if k + _AHEAD < users.size and previous_weights[k + _AHEAD] > 0.0:
            prefetch(p.slots, home(p.slots, _hash(users[k + _AHEAD], items[k + _AHEAD])))
        user, item = users[k], items[k]
        had = previous_weights[k] > 0.0
        takes = not np.isnan(ratings[k]) and weights[k] > 0.0
        again = had and takes
        if takes and weights[k] >= positive:
            if numbers[k] > 0:
                share = shares[length_of(numbers[k]), last[user]]
                share[0] = share[0] * keep + np.float64(again)
                share[1] = share[1] * keep + 1.0
            last[user] = np.uint8(again)
        if not had:
            continue
        hashed = _hash(user, item)
        place = _find(p, user, item, hashed)
        if not again:
            if place >= 0:
                _remove(p, place)
            continue
        if place < 0:
            place = p.filled[0]
            p.filled[0] = place + 1
            p.users[place], p.items[place], p.hashes[place] = user, item, hashed
            p.times[place], p.short[place], p.long[place] = 1.0, 1.0, 1.0
            enter_new(p, place)
        lag = max(2 * np.int64(numbers[k]) - previous_positions[k], 0)
        p.times[place] += np.float32(1.0)
        p.short[place] = np.float32(p.short[place] * _left(_SHORT, lag) + 1.0)
        p.long[place] = np.float32(p.long[place] * _left(_LONG, lag) + 1.0)


@kernel
def length_of(number):
    """The kind of a history, by its number of events."""
    kind = 0
    while number > 1 and kind < LENGTHS - 1:
        number >>= 1
        kind += 1
    return kind


@njit(cache=True)
def repeated_share(shares, number, last):
    """The probability that the next choice of a user is one of their own items."""
    repeats, choices = 1.0, 2.0
    for length in range(LENGTHS):
        for after in range(2):
            repeats += shares[length, after, 0]
            choices += shares[length, after, 1]
    share = shares[length_of(number), last]
    return (share[0] + _DOUBT * repeats / choices) / (share[1] + _DOUBT)


@njit(cache=True)
def own_items(h, p, user, block, bits):
    """The items that a user took, oldest first, and a row of `FEATURES` for each."""
    start, used = h.users[user].start, np.int64(h.users[user].used)
    items, features = np.empty(used, np.int32), np.empty((used, len(FEATURES)))
    positions = np.empty(used, np.int64)
    now, count = 2 * np.int64(h.users[user].events), 0
    for s in range(used):
        item = h.entry_items[start + s]
        if item >= 0 and h.entry_weights[start + s] > 0.0:
            items[count], positions[count] = item, h.entry_positions[start + s]
            count += 1
    for begin in range(0, count, BLOCK):
        size = min(BLOCK, count - begin)
        _fill(p, user, items, positions, now, block, begin, size)
        for row in range(4):
            logarithms(block, bits, row, 4, size)
        for k in range(size):
            for f in range(4):
                features[begin + k, f] = block[f, k]
            newest = positions[begin + k] == positions[count - 1]
            features[begin + k, 4] = np.float64(newest)
            features[begin + k, 5] = np.float64(begin + k == count - 1)
    return items[:count], features[:count]


@kernel
def _fill(p, user, items, positions, now, block, begin, size):
    for k in range(size):
        lag = now - positions[begin + k]
        place = _find(p, user, items[begin + k], _hash(user, items[begin + k]))
        times, short, long = 1.0, 1.0, 1.0
        if place >= 0:
            times, short, long = (
                np.float64(p.times[place]), np.float64(p.short[place]), np.float64(p.long[place]),
            )  # fmt: skip
        block[0, k] = 1.0 + times
        block[1, k] = short * _left(_SHORT, lag) + _LEAST
        block[2, k] = long * _left(_LONG, lag) + _LEAST
        block[3, k] = 1.0 + 0.5 * np.float64(lag)


@njit(cache=True)
def log_shares(scores, mass, block, bits):
    """Turn scores into logarithms of a softmax times `mass`, in place."""
    highest, total = -np.inf, 0.0
    for score in scores:
        highest = max(highest, score)
    for begin in range(0, scores.size, BLOCK):
        size = min(BLOCK, scores.size - begin)
        for k in range(size):
            block[0, k] = scores[begin + k] - highest
        exponentials(block, bits, 0, 1, size)
        for k in range(size):
            total += block[0, k]
    block[0, 0] = mass / total
    logarithms(block, bits, 0, 1, 1)
    constant = block[0, 0] - highest
    for k in range(scores.size):
        scores[k] += constant
