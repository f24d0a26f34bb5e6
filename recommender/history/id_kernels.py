# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The compiled loops of a table of ids, see `recommender.history.id_table`."""

from __future__ import annotations

import numpy as np

from recommender.compiled import kernel

_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BYTE, _SHIFT, _HALF = np.uint64(8), np.uint64(31), np.uint64(32)
_MASK = np.uint64(0x7FFFFFFF)

# Places in `meta`: numbers that were ever given, those that are free, the end of the text, and how many bytes
# of it nobody needs.
COUNT, FREE, END, WASTE = range(4)
#: An id's place in the text and its size are one number; a size is below this power of two.
SIZE_BITS = 10
SIZE = (1 << SIZE_BITS) - 1


@kernel
def sizes(spans):
    """The number of bytes of all users, and of all items."""
    users, items = np.int64(0), np.int64(0)
    for e in range(spans.shape[0]):
        users += spans[e, 1] - spans[e, 0]
        items += spans[e, 3] - spans[e, 2]
    return users, items


@kernel
def _hash(seed, text, begin, end):
    """A hash of some bytes, never negative: eight at a time, mixed as SplitMix64 does."""
    state = seed ^ np.uint64(end - begin)
    place = begin
    while place < end:
        chunk = np.uint64(0)
        for b in range(place, min(place + 8, end)):
            chunk = (chunk << _BYTE) | np.uint64(text[b])
        place += 8
        state = (state ^ chunk) * _FIRST
        state = (state ^ (state >> _SHIFT)) * _SECOND
        state ^= state >> _HALF
    return np.int32(state & _MASK)


@kernel
def _slot(t, text, begin, end, hashed):
    """The slot of an id in the table, or the free one where it belongs."""
    mask = t.slots.size - 1
    slot = np.int64(hashed) & mask
    while True:
        index = np.int64(t.slots[slot]) - 1
        if index < 0:
            return slot
        if t.hashes[index] == hashed:
            start, size = t.places[index] >> SIZE_BITS, t.places[index] & SIZE
            if size == end - begin:
                same = True
                for b in range(end - begin):
                    if t.text[start + b] != text[begin + b]:
                        same = False
                        break
                if same:
                    return slot
        slot = (slot + 1) & mask


@kernel
def register(t, seed, text, begin, end):
    hashed = _hash(seed, text, begin, end)
    slot = _slot(t, text, begin, end, hashed)
    index = np.int64(t.slots[slot]) - 1
    if index < 0:
        size, start, room = end - begin, t.meta[END], 0
        if t.meta[FREE] > 0:
            t.meta[FREE] -= 1
            index = np.int64(t.free[t.meta[FREE]])
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
        t.slots[slot] = index + 1
    return index


@kernel
def remove(t, numbers):
    for number in numbers:
        _remove_one(t, np.int64(number))


@kernel
def _remove_one(t, index):
    mask = t.slots.size - 1
    hole = np.int64(t.hashes[index]) & mask
    while t.slots[hole] != index + 1:
        hole = (hole + 1) & mask
    at = (hole + 1) & mask
    while t.slots[at] != 0:
        home = np.int64(t.hashes[t.slots[at] - 1]) & mask
        # It may move up where it does not come before its own place.
        if (at - home) & mask >= (at - hole) & mask:
            t.slots[hole] = t.slots[at]
            hole = at
        at = (at + 1) & mask
    t.slots[hole] = 0
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
def _find(t, seed, text, begin, end):
    return np.int64(t.slots[_slot(t, text, begin, end, _hash(seed, text, begin, end))]) - 1


@kernel
def add(t, seed, text, spans):
    for e in range(spans.shape[0]):
        if spans[e, 0] < spans[e, 1]:
            register(t, seed, text, spans[e, 0], spans[e, 1])
        else:
            t.places[t.meta[COUNT]], t.hashes[t.meta[COUNT]] = 0, -1
            t.meta[COUNT] += 1


@kernel
def find_all(t, seed, text, spans, column, found):
    for e in range(spans.shape[0]):
        found[e] = _find(t, seed, text, spans[e, column], spans[e, column + 1])


@kernel
def register_pairs(users, items, seed, text, spans, values, used, user_indices, item_indices):
    for e in range(spans.shape[0]):
        if not used[e]:
            continue
        if np.isnan(values[e]):
            user = _find(users, seed, text, spans[e, 0], spans[e, 1])
            item = _find(items, seed, text, spans[e, 2], spans[e, 3])
            if user < 0 or item < 0:
                used[e] = False
                continue
        else:
            user = register(users, seed, text, spans[e, 0], spans[e, 1])
            item = register(items, seed, text, spans[e, 2], spans[e, 3])
        user_indices[e] = user
        item_indices[e] = item


@kernel
def rehash(hashes, count, slots):
    mask = slots.size - 1
    for index in range(count):
        if hashes[index] < 0:
            continue
        slot = np.int64(hashes[index]) & mask
        while slots[slot] != 0:
            slot = (slot + 1) & mask
        slots[slot] = index + 1
