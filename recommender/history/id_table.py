# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Finds the indices of many ids at once, straight from the bytes of a batch of messages.

A hash table with open addressing over the ids' UTF-8, which lies in one array. A dictionary would need a
string object for each id of each rating; here a rating costs two look-ups of some 40 nanoseconds each.

An id that is removed leaves its number to the next new id, and its room in the text if that is enough. What
comes after it in the table moves up, so that there are no marks of what was there (Knuth: The Art of Computer
Programming 3, 6.4, algorithm R); its bytes are overwritten. Room that is left over is gained back once half
of the text is such.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel
from recommender.history.arrays import grown

#: The hash depends on it, so that nobody outside can make up ids that collide. Indices do not.
_SEED = np.uint64(secrets.randbits(64))

_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_BYTE, _SHIFT, _HALF = np.uint64(8), np.uint64(31), np.uint64(32)
_MASK = np.uint64(0x7FFFFFFF)

#: Columns of spans: where a rating's user begins and ends in the text, then its item.
USER, ITEM = 0, 2


# Places in `meta`: numbers that were ever given, those that are free, the end of the text, and how many bytes
# of it nobody needs.
_COUNT, _FREE, _END, _WASTE = range(4)
#: An id's place in the text and its size are one number; a size is below this power of two.
_SIZE_BITS = 10
_SIZE = (1 << _SIZE_BITS) - 1
#: Text is not gained back where there is less of it than this.
_FEW_BYTES = 4096


class TableArrays(NamedTuple):
    """The raw arrays.

    `places` has each id's place in the text and its size, and of a number that is free the room that it had;
    `hashes` -1 for such a number, and `free` has those, the next one to be given last.
    """

    text: NDArray[np.uint8]
    places: NDArray[np.int64]
    hashes: NDArray[np.int32]
    slots: NDArray[np.int32]
    free: NDArray[np.int32]
    meta: NDArray[np.int64]


class IdTable:
    """Ids by their bytes, numbered in the order in which they come.

    Attributes
    ----------
    arrays : TableArrays
        Valid until the next `reserve`.
    """

    def __init__(self) -> None:
        none = np.zeros(0, np.int32)
        self.arrays = TableArrays(
            np.zeros(0, np.uint8), np.zeros(0, np.int64), none, none, none, np.zeros(4, np.int64)
        )

    def __len__(self) -> int:
        return int(self.arrays.meta[_COUNT])

    @property
    def free_count(self) -> int:
        """The count of free numbers."""
        return int(self.arrays.meta[_FREE])

    def reserve(self, more: int, size: int) -> None:
        """Make room for `more` ids of `size` bytes together."""
        text, places, hashes, slots, free, meta = self.arrays
        count, used, waste = len(self), int(meta[_END]), int(meta[_WASTE])
        if count + more > len(places):
            places, hashes = grown(places, count + more), grown(hashes, count + more)
        if used + size > len(text) and 2 * waste > max(used, _FEW_BYTES):
            kept = np.zeros(2 * (used - waste) + size, np.uint8)
            _gain_back(text, places, count, kept)
            text, meta[_END], meta[_WASTE] = kept, used - waste, 0
            used -= waste
        text = grown(text, used + size)
        if 2 * (count + more) > len(slots):
            slots = np.zeros(1 << (4 * (count + more)).bit_length(), np.int32)
            _rehash(hashes, count, slots)
        self.arrays = TableArrays(text, places, hashes, slots, free, meta)

    def add(self, ids: list[str]) -> None:
        """Take ids up; those that are there keep their number. An empty text takes a number that is free.

        None is free before.
        """
        parts = [each.encode() for each in ids]
        text, ends = joined(parts)
        spans = np.stack([ends - np.fromiter(map(len, parts), np.int64, len(parts)), ends], axis=1)
        self.reserve(len(parts), len(text))
        _add(self.arrays, _SEED, text, spans)

    def set_free(self, numbers: list[int]) -> None:
        """Say in which order the numbers are given again that empty texts took, the next one last.

        Those that are left out are given to nobody before `release`.
        """
        free = np.array(numbers, np.int32)
        self.arrays = self.arrays._replace(free=free)
        self.arrays.meta[_FREE] = len(free)

    def register(self, identifier: str) -> int:
        """The number of an id, which is given a free or else the next one if it has none yet."""
        text = np.frombuffer(identifier.encode(), np.uint8)
        self.reserve(1, len(text))
        return int(_register(self.arrays, _SEED, text, 0, len(text)))

    @property
    def free(self) -> NDArray[np.int32]:
        """The numbers that are free, the next one to be given last; a view."""
        return self.arrays.free[: self.free_count]

    def remove(self, numbers: NDArray[np.int32]) -> None:
        """Remove the ids of numbers, which are given to nobody before `release`."""
        _remove(self.arrays, numbers)

    def release(self, numbers: NDArray[np.int32]) -> None:
        """Give numbers whose ids were removed to the next new ids, the last one first."""
        count = self.free_count + len(numbers)
        if count > len(self.arrays.free):
            self.arrays = self.arrays._replace(free=grown(self.arrays.free, count))
        self.arrays.free[self.free_count : count] = numbers
        self.arrays.meta[_FREE] = count

    def texts(self, numbers: Iterable[int]) -> list[str]:
        """The ids of some numbers."""
        places = self.arrays.places[list(numbers)]
        if not len(places):
            return []
        begins, sizes = places >> _SIZE_BITS, places & _SIZE
        # Those that came together lie together.
        first, last = int(begins.min()), int((begins + sizes).max())
        if last - first > 2 * int(sizes.sum()):
            parts = [
                self.arrays.text[begin : begin + size].tobytes()
                for begin, size in zip(begins, sizes, strict=True)
            ]
            return [part.decode() for part in parts]
        text = self.arrays.text[first:last].tobytes()
        begins -= first
        return [
            text[begin:end].decode()
            for begin, end in zip(begins.tolist(), (begins + sizes).tolist(), strict=True)
        ]

    def find_all(self, text: NDArray[np.uint8], spans: NDArray[np.int64], column: int) -> NDArray[np.int32]:
        """The number of each id, -1 where it has none.

        Parameters
        ----------
        text : uint8 array
        spans : int64 array, shape (ids, 4)
        column : int
            `USER` or `ITEM`: where the id begins; the next column is where it ends.
        """
        found = np.empty(len(spans), np.int32)
        self.reserve(1, 0)
        _find_all(self.arrays, _SEED, text, spans, column, found)
        return found


def joined(parts: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """All bytes in one array, and where each part ends."""
    text = np.frombuffer(b"".join(parts), np.uint8)
    return text, np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)))


def register_pairs(
    users: IdTable,
    items: IdTable,
    text: NDArray[np.uint8],
    spans: NDArray[np.int64],
    values: NDArray[np.float32],
    used: NDArray[np.bool_],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The numbers of users and items of many ratings: see `recommender.history.catalog.register_bytes`."""
    count = len(spans)
    indices = np.zeros(count, np.int32), np.zeros(count, np.int32)
    user_size, item_size = _sizes(spans)
    users.reserve(count, user_size)
    items.reserve(count, item_size)
    _register_pairs(users.arrays, items.arrays, _SEED, text, spans, values, used, *indices)
    return indices


@kernel
def _sizes(spans):
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
            start, size = t.places[index] >> _SIZE_BITS, t.places[index] & _SIZE
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
def _register(t, seed, text, begin, end):
    hashed = _hash(seed, text, begin, end)
    slot = _slot(t, text, begin, end, hashed)
    index = np.int64(t.slots[slot]) - 1
    if index < 0:
        size, start, room = end - begin, t.meta[_END], 0
        if t.meta[_FREE] > 0:
            t.meta[_FREE] -= 1
            index = np.int64(t.free[t.meta[_FREE]])
            room = t.places[index] & _SIZE
        else:
            index = t.meta[_COUNT]
            t.meta[_COUNT] = index + 1
        if room >= size > 0:
            start = t.places[index] >> _SIZE_BITS
            t.meta[_WASTE] += room - size
        else:
            t.meta[_END] = start + size
            t.meta[_WASTE] += room
        for b in range(size):
            t.text[start + b] = text[begin + b]
        t.places[index] = (start << _SIZE_BITS) | size
        t.hashes[index] = hashed
        t.slots[slot] = index + 1
    return index


@kernel
def _remove(t, numbers):
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
    start, size = t.places[index] >> _SIZE_BITS, t.places[index] & _SIZE
    t.text[start : start + size] = 0
    t.hashes[index] = -1


@kernel
def _gain_back(text, places, count, kept):
    end = np.int64(0)
    for index in range(count):
        start, size = places[index] >> _SIZE_BITS, places[index] & _SIZE
        for b in range(size):
            kept[end + b] = text[start + b]
        places[index] = (end << _SIZE_BITS) | size
        end += size


@kernel
def _find(t, seed, text, begin, end):
    return np.int64(t.slots[_slot(t, text, begin, end, _hash(seed, text, begin, end))]) - 1


@kernel
def _add(t, seed, text, spans):
    for e in range(spans.shape[0]):
        if spans[e, 0] < spans[e, 1]:
            _register(t, seed, text, spans[e, 0], spans[e, 1])
        else:
            t.places[t.meta[_COUNT]], t.hashes[t.meta[_COUNT]] = 0, -1
            t.meta[_COUNT] += 1


@kernel
def _find_all(t, seed, text, spans, column, found):
    for e in range(spans.shape[0]):
        found[e] = _find(t, seed, text, spans[e, column], spans[e, column + 1])


@kernel
def _register_pairs(users, items, seed, text, spans, values, used, user_indices, item_indices):
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
            user = _register(users, seed, text, spans[e, 0], spans[e, 1])
            item = _register(items, seed, text, spans[e, 2], spans[e, 3])
        user_indices[e] = user
        item_indices[e] = item


@kernel
def _rehash(hashes, count, slots):
    mask = slots.size - 1
    for index in range(count):
        if hashes[index] < 0:
            continue
        slot = np.int64(hashes[index]) & mask
        while slots[slot] != 0:
            slot = (slot + 1) & mask
        slots[slot] = index + 1


def warm() -> None:
    """Compile or load every kernel."""
    users, items = IdTable(), IdTable()
    users.add(["a"])
    users.remove(np.array([users.register("b")], np.int32))
    _gain_back(np.zeros(1, np.uint8), np.zeros(1, np.int64), 1, np.zeros(1, np.uint8))
    text, spans = np.frombuffer(b"ab", np.uint8), np.array([[0, 1, 1, 2]])
    users.find_all(text, spans, USER)
    register_pairs(users, items, text, spans, np.zeros(1, np.float32), np.ones(1, np.bool_))
