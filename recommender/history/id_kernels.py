# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The compiled loops of a table of ids, and its arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import inlined_kernel, kernel
from recommender.history.instructions import eight_bytes, prefetch
from recommender.history.slots import GONE, MASK, enter_new, fetch_followers, home, leave

_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_ONE, _SHIFT, _HALF = np.uint64(1), np.uint64(31), np.uint64(32)
#: So many ratings ahead what the slots of their ids tell is asked for, and these slots twice as many.
_AHEAD = 8

# Places in `meta`: numbers that were ever given, those that are free, the end of the text, and how many bytes
# of it nobody needs.
COUNT, FREE, END, WASTE = range(4)
#: An id's place in the text and its size are one number; a size is below this power of two.
SIZE_BITS = 16
SIZE = (1 << SIZE_BITS) - 1


class TableArrays(NamedTuple):
    """The raw arrays.

    `places` has each id's place in the text and its size, and of a number that is free the room that it had;
    `hashes` -1 for such a number, and `free` has those, the next one to be given last. `slots`, `old` and
    `moved` find an id: `recommender.history.slots`.
    """

    text: NDArray[np.uint8]
    places: NDArray[np.int64]
    hashes: NDArray[np.int32]
    slots: NDArray[np.int32]
    old: NDArray[np.int32]
    moved: NDArray[np.int64]
    free: NDArray[np.int32]
    meta: NDArray[np.int64]


@kernel
def sizes(spans):
    """The number of bytes of all users, and of all items."""
    users, items = np.int64(0), np.int64(0)
    for e in range(spans.shape[0]):
        users += spans[e, 1] - spans[e, 0]
        items += spans[e, 3] - spans[e, 2]
    return users, items


@inlined_kernel
def _eight(text, place, end):
    """The bytes from a place to before the end of an id, or eight of them, as a number."""
    left = end - place
    if place + 8 <= text.size:
        found = eight_bytes(text, np.uint64(place))
        return found if left >= 8 else found & ((_ONE << np.uint64(8 * left)) - _ONE)
    found = np.uint64(0)
    for b in range(min(left, 8)):
        found |= np.uint64(text[place + b]) << np.uint64(8 * b)
    return found


@inlined_kernel
def _hash(seed, text, begin, end):
    """A hash of some bytes, never negative: eight at a time, mixed as SplitMix64 does."""
    state = seed ^ np.uint64(end - begin)
    for place in range(begin, end, 8):
        state = (state ^ _eight(text, place, end)) * _FIRST
        state = (state ^ (state >> _SHIFT)) * _SECOND
        state ^= state >> _HALF
    return np.int32(state & MASK)


@inlined_kernel
def _is_same(own, start, text, begin, size):
    for passed in range(0, size, 8):
        if _eight(own, start + passed, start + size) != _eight(text, begin + passed, begin + size):
            return False
    return True


@inlined_kernel
def _slot(t, slots, text, begin, end, hashed):
    """The slot of an id among these, or the free one where it belongs."""
    mask = np.uint64(slots.size - 1)
    slot = home(slots, hashed)
    while slots[slot] != 0:
        i = np.uint64(slots[slot] - 1)
        if slots[slot] != GONE and t.hashes[i] == hashed:
            start, size = t.places[i] >> SIZE_BITS, t.places[i] & SIZE
            if size == end - begin and _is_same(t.text, start, text, begin, size):
                return slot
        slot = (slot + _ONE) & mask
    return slot


@inlined_kernel
def _find(t, text, begin, end, hashed):
    """The number of an id, or -1."""
    number = 0
    if t.old.size > 0:
        number = t.old[_slot(t, t.old, text, begin, end, hashed)]
    if number <= 0:
        number = t.slots[_slot(t, t.slots, text, begin, end, hashed)]
    return np.int64(number) - 1


@inlined_kernel
def _fetch_slot(t, hashed):
    """Have the slot brought near in which an id with a hash may be found."""
    prefetch(t.slots, home(t.slots, hashed))


@inlined_kernel
def _fetch_id(t, hashed):
    """Have what is told of the id brought near that is in this slot."""
    index = t.slots[home(t.slots, hashed)]
    if index > 0:
        prefetch(t.hashes, np.uint64(index - 1))
        prefetch(t.places, np.uint64(index - 1))


@inlined_kernel
def _fetch_free(t):
    """Have what is told of the free numbers brought near that are given some ids later, and their room."""
    if t.meta[FREE] > 2 * _AHEAD:
        later = np.uint64(t.free[t.meta[FREE] - 2 * _AHEAD])
        prefetch(t.hashes, later)
        prefetch(t.places, later)
        sooner = np.uint64(t.free[t.meta[FREE] - _AHEAD])
        prefetch(t.text, np.uint64(t.places[sooner] >> SIZE_BITS))


@kernel
def _register(t, text, begin, end, hashed):
    index = _find(t, text, begin, end, hashed)
    if index < 0:
        size, start, room = end - begin, t.meta[END], 0
        if t.meta[FREE] > 0:
            t.meta[FREE] -= 1
            index = np.int64(t.free[t.meta[FREE]])
            _fetch_free(t)
            room = t.places[index] & SIZE
        else:
            index = t.meta[COUNT]
            t.meta[COUNT] = index + 1
        if room >= size > 0:
            start = t.places[index] >> SIZE_BITS
            t.meta[WASTE] += room - size
        else:
            t.meta[END] = start + size
            t.meta[WASTE] += room
        for b in range(size):
            t.text[start + b] = text[begin + b]
        t.places[index] = (start << SIZE_BITS) | size
        t.hashes[index] = hashed
        enter_new(t, index)
    return index


@kernel
def remove(t, numbers):
    for k in range(numbers.size):
        if k + 2 * _AHEAD < numbers.size:
            prefetch(t.hashes, np.uint64(numbers[k + 2 * _AHEAD]))
            prefetch(t.places, np.uint64(numbers[k + 2 * _AHEAD]))
        if k + _AHEAD < numbers.size:
            number = np.uint64(numbers[k + _AHEAD])
            prefetch(t.slots, home(t.slots, t.hashes[number]))
            prefetch(t.text, np.uint64(t.places[number] >> SIZE_BITS))
        if k + _AHEAD // 2 < numbers.size:
            fetch_followers(t, numbers[k + _AHEAD // 2])
        _remove_one(t, np.int64(numbers[k]))


@kernel
def _remove_one(t, index):
    leave(t, index)
    start, size = t.places[index] >> SIZE_BITS, t.places[index] & SIZE
    t.text[start : start + size] = 0
    t.hashes[index] = -1


@kernel
def gain_back(text, places, count, kept):
    end = np.int64(0)
    for index in range(count):
        start, size = places[index] >> SIZE_BITS, places[index] & SIZE
        for b in range(size):
            kept[end + b] = text[start + b]
        places[index] = (end << SIZE_BITS) | size
        end += size


@kernel
def register_all(t, seed, text, ends, numbers):
    """Write the number of each id, which is given one if it has none; an empty one takes one that is free."""
    begin = np.int64(0)
    for e in range(ends.size):
        end = ends[e]
        if begin < end:
            numbers[e] = _register(t, text, begin, end, _hash(seed, text, begin, end))
        else:
            numbers[e] = t.meta[COUNT]
            t.places[t.meta[COUNT]], t.hashes[t.meta[COUNT]] = 0, -1
            t.meta[COUNT] += 1
        begin = end


@kernel
def gather(t, numbers, text, lengths):
    """Write the ids of some numbers one after the other, and their lengths: 0 of one that is free."""
    end = np.int64(0)
    for e in range(numbers.size):
        number = np.int64(numbers[e])
        start, size = t.places[number] >> SIZE_BITS, t.places[number] & SIZE
        lengths[e] = size if t.hashes[number] >= 0 else 0
        for b in range(np.int64(lengths[e])):
            text[end + b] = t.text[start + b]
        end += np.int64(lengths[e])
    return end


@kernel
def find_one(t, seed, text):
    return _find(t, text, 0, text.size, _hash(seed, text, 0, text.size))


@kernel
def find_all(t, seed, text, spans, column, found):
    for e in range(spans.shape[0]):
        begin, end = spans[e, column], spans[e, column + 1]
        found[e] = _find(t, text, begin, end, _hash(seed, text, begin, end))


@kernel
def register_pairs(users, items, seed, text, spans, values, used, user_indices, item_indices):
    """Write the indices of each pair; before that, its hashes stand in their place."""
    count = spans.shape[0]
    for e in range(count + 2 * _AHEAD):
        # What the look-ups read lies far: it is asked for some ratings ahead, the slots first.
        if e < count and used[e]:
            user_indices[e] = _hash(seed, text, spans[e, 0], spans[e, 1])
            item_indices[e] = _hash(seed, text, spans[e, 2], spans[e, 3])
            _fetch_slot(users, user_indices[e])
            _fetch_slot(items, item_indices[e])
        if _AHEAD <= e < count + _AHEAD:
            _fetch_id(users, user_indices[e - _AHEAD])
            _fetch_id(items, item_indices[e - _AHEAD])
        if e >= 2 * _AHEAD:
            _register_pair(
                users, items, text, spans, values, used, user_indices, item_indices, e - 2 * _AHEAD
            )


@inlined_kernel
def _register_pair(users, items, text, spans, values, used, user_indices, item_indices, e):
    if not used[e]:
        return
    user, item = user_indices[e], item_indices[e]
    if np.isnan(values[e]):
        user_indices[e] = _find(users, text, spans[e, 0], spans[e, 1], user)
        item_indices[e] = _find(items, text, spans[e, 2], spans[e, 3], item)
        used[e] = user_indices[e] >= 0 and item_indices[e] >= 0
    else:
        user_indices[e] = _register(users, text, spans[e, 0], spans[e, 1], user)
        item_indices[e] = _register(items, text, spans[e, 2], spans[e, 3], item)
