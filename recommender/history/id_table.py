"""Finds the indices of many ids at once, straight from the bytes of a batch of messages.

A hash table with open addressing over the ids' UTF-8, which lies in one array. A dictionary would need a
string object for each id of each rating; here a rating costs two look-ups of some 40 nanoseconds each.

An id that is removed leaves its number to the next new id, and its room in the text if that is enough; its
bytes are overwritten. Room that is left over is gained back once half of the text is such.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.history import id_kernels as kernels
from recommender.history.arrays import enlarge, grown
from recommender.history.id_kernels import COUNT, END, FREE, SIZE, SIZE_BITS, WASTE, TableArrays
from recommender.history.slots import move, with_slots
from recommender.history.texts import packed_texts

#: The hash depends on it, so that nobody outside can make up ids that collide. Indices do not.
_SEED = np.uint64(secrets.randbits(64))
#: Columns of spans: where a rating's user begins and ends in the text, then its item.
USER, ITEM = 0, 2
#: Text is not gained back where there is less of it than this.
_FEW_BYTES = 4096


class IdTable:
    """Ids by their bytes, numbered in the order in which they come.

    Attributes
    ----------
    arrays : TableArrays
        Valid until the next `reserve`.
    """

    def __init__(self) -> None:
        hashes, slots, old, free = (np.zeros(0, np.int32) for _ in range(4))
        text, places = np.zeros(0, np.uint8), np.zeros(0, np.int64)
        moved, meta = np.zeros(1, np.int64), np.zeros(4, np.int64)
        self.arrays = TableArrays(text, places, hashes, slots, old, moved, free, meta)
        self.reserve(1, 0)

    def __len__(self) -> int:
        return int(self.arrays.meta[COUNT])

    @property
    def free_count(self) -> int:
        """The count of free numbers."""
        return int(self.arrays.meta[FREE])

    def reserve(self, more: int, size: int) -> None:
        """Make room for `more` ids of `size` bytes together."""
        text, places, hashes, *_, meta = self.arrays
        count, used, waste = len(self), int(meta[END]), int(meta[WASTE])
        if used + size > len(text) and 2 * waste > max(used, _FEW_BYTES):
            kept = np.zeros(2 * (used - waste) + size, np.uint8)
            kernels.gain_back(text, places, count, kept)
            meta[END], meta[WASTE] = used - waste, 0
            self.arrays = self.arrays._replace(text=kept)
            used -= waste
        enlarge(places, count + more)
        enlarge(hashes, count + more)
        enlarge(self.arrays.text, used + size)
        self.arrays = with_slots(self.arrays, count + more, more)

    def register_all(self, text: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.int32]:
        """The numbers of ids that stand one after the other; those that have none are given one.

        An empty one takes a number that is free; then none is free before.
        """
        numbers = np.empty(len(ends), np.int32)
        self.reserve(len(ends), len(text))
        kernels.register_all(self.arrays, _SEED, text, ends, numbers)
        return numbers

    @property
    def free(self) -> NDArray[np.int32]:
        """The numbers that are free, the next one to be given last; a view."""
        return self.arrays.free[: self.free_count]

    def remove(self, numbers: NDArray[np.int32]) -> None:
        """Remove the ids of numbers, which are given to nobody before `release`."""
        kernels.remove(self.arrays, numbers)

    def release(self, numbers: NDArray[np.int32]) -> None:
        """Give numbers whose ids were removed to the next new ids, the last one first."""
        count = self.free_count + len(numbers)
        if count > len(self.arrays.free):
            self.arrays = self.arrays._replace(free=grown(self.arrays.free, count))
        self.arrays.free[self.free_count : count] = numbers
        self.arrays.meta[FREE] = count

    def has(self, number: int) -> bool:
        """Return True if an id has the number."""
        return bool(self.arrays.hashes[number] >= 0)

    def text(self, number: int) -> str:
        """The id that has a number."""
        place = int(self.arrays.places[number])
        begin, size = place >> SIZE_BITS, place & SIZE
        return self.arrays.text[begin : begin + size].tobytes().decode()

    def gathered(self, numbers: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """The ids of some numbers one after the other, and the length of each: 0 of one that is free."""
        sizes = self.arrays.places[numbers] & SIZE
        text, lengths = np.empty(int(sizes.sum()), np.uint8), np.empty(len(numbers), np.uint16)
        size = kernels.gather(self.arrays, numbers, text, lengths)
        return text[:size], lengths

    def find(self, text: NDArray[np.uint8]) -> int:
        """The number of an id, -1 if it has none."""
        return int(kernels.find_one(self.arrays, _SEED, text))

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
        kernels.find_all(self.arrays, _SEED, text, spans, column, found)
        return found


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
    user_size, item_size = kernels.sizes(spans)
    users.reserve(count, user_size)
    items.reserve(count, item_size)
    kernels.register_pairs(users.arrays, items.arrays, _SEED, text, spans, values, used, *indices)
    return indices


def warm() -> None:
    """Compile or load every kernel."""
    users, items = IdTable(), IdTable()
    text, ends = packed_texts(["a", "b"])
    numbers = users.register_all(text, ends)
    users.find(text)
    users.gathered(numbers)
    users.remove(numbers[:1])
    move(users.arrays, 0)
    kernels.gain_back(np.zeros(1, np.uint8), np.zeros(1, np.int64), 1, np.zeros(1, np.uint8))
    spans = np.array([[0, 1, 1, 2]])
    users.find_all(text, spans, USER)
    register_pairs(users, items, text, spans, np.zeros(1, np.float32), np.ones(1, np.bool_))
