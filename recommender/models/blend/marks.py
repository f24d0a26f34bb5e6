# mypy: allow-untyped-defs, allow-untyped-calls
# numba types the kernels by what they are called with.
"""Notes of one look at a large catalogue on a few of its items, in memory that is there for all of them.

Kept from look to look, because to make and to clear so much takes longer than to use a part of it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel, njit
from recommender.models.base import FloatArray
from recommender.models.blend.instructions import trailing_zeros

Bits = NDArray[np.uint64]
#: What neighbours say of each item, shape (items, 2): float32, except for what is compared with it.
Sums = NDArray[np.floating[Any]]

_WORD, _OF_WORD, _BIT = np.uint64(6), np.uint64(63), np.uint64(1)


class Marks(NamedTuple):
    """Numbers and bits for each item; all are 0 between looks but the last three, which are room.

    `sums` has shape (items, 2); `supported` has a bit for each item, 1 where neighbours say something of it,
    and so has `picked`; `excluded` has shape (items,). `listed`, `cells` and the rows of `columns` are room
    for a number of each item and of one more.
    """

    sums: Sums
    supported: Bits
    picked: Bits
    excluded: NDArray[np.uint8]
    listed: NDArray[np.int32]
    cells: NDArray[np.int32]
    columns: FloatArray


def empty_marks(items: int) -> Marks:
    """Room for a number of items."""
    words = (items + 63) // 64
    return Marks(
        np.zeros((items, 2), np.float32),
        np.zeros(words, np.uint64),
        np.zeros(words, np.uint64),
        np.zeros(items, np.uint8),
        np.empty(items + 1, np.int32),
        np.empty(items + 1, np.int32),
        np.empty((5, items + 1)),
    )


@kernel
def mark(bits, item):
    """Set the bit of an item."""
    i = np.uint64(item)
    bits[i >> _WORD] |= _BIT << (i & _OF_WORD)


@kernel
def is_marked(bits, item):
    """Return True if the bit of an item is set."""
    i = np.uint64(item)
    return (bits[i >> _WORD] >> (i & _OF_WORD)) & _BIT != np.uint64(0)


@kernel
def list_marked(bits, listed):
    """Write the items whose bits are set, ascending, and return how many."""
    count = np.uint64(0)
    for word in range(np.uint64(bits.size)):
        left = bits[word]
        while left != np.uint64(0):
            listed[count] = (word << _WORD) + trailing_zeros(left)
            left &= left - _BIT
            count += _BIT
    return np.int64(count)


@kernel
def mark_told(m, items):
    """Set the bits of `supported` by `sums`, of a catalogue so small that this is quicker than on the way."""
    for first in range(np.uint64(0), np.uint64(items), np.uint64(64)):
        word = np.uint64(0)
        for bit in range(np.uint64(0), min(np.uint64(64), np.uint64(items) - first)):
            told = m.sums[first + bit, 0] + m.sums[first + bit, 1] > 0.0
            word |= np.uint64(told) << bit
        m.supported[first >> _WORD] = word


@njit(cache=True)
def clear_supported(m):
    """Leave what `evidence` has written as it was before."""
    for place in range(list_marked(m.supported, m.listed)):
        i = np.uint64(m.listed[place])
        m.sums[i, 0], m.sums[i, 1] = 0.0, 0.0
    m.supported[:] = 0
