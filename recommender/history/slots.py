# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Slots by which numbers are found that have a hash: tables that never stop for long to grow.

Open addressing, at most half of the slots in use. Where there are to be more slots, there are two sets of
them meanwhile, and what the old one has is moved a few at a time. A number that leaves is followed by what
comes after it, so that there are no marks of what was there (Knuth: The Art of Computer Programming 3, 6.4,
algorithm R).

A table is a named tuple. It has `hashes` by number, `slots` with numbers plus one, `old`, the slots before
there were more, and `moved`, of one value: how many old slots were moved.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from recommender.compiled import inlined_kernel, kernel
from recommender.history.instructions import prefetch

Table = TypeVar("Table")

#: A hash has so many bits.
_BITS = np.uint64(31)
MASK = np.uint64(0x7FFFFFFF)
_ONE = np.uint64(1)
#: So many old slots ahead the hashes are asked for of what is moved.
_AHEAD = 8
#: So many numbers behind one that leaves are expected to be looked at.
_FOLLOWERS = 3
#: So many old slots are moved for each number that there is to be room for: all, before more are needed.
AT_ONCE = 8
#: An old slot whose number has moved, or was removed.
GONE = -1


def with_slots(table: Table, count: int, more: int) -> Table:
    """The table with slots for so many numbers, of which so many are yet to come.

    To move all at once takes a second where there are ten million.
    """
    t: Any = table
    if 2 * count > len(t.slots):
        if len(t.old):
            move(t, len(t.old))
        t = t._replace(slots=np.zeros(1 << (4 * count).bit_length(), np.int32), old=t.slots)
        t.moved[0] = 0
    if len(t.old):
        move(t, AT_ONCE * more)
        if t.moved[0] == len(t.old):
            t = t._replace(old=np.zeros(0, np.int32))
    found: Table = t
    return found


@inlined_kernel
def home(slots, hashed):
    """The slot where the search for a hash begins: by its first bits, so that more slots keep the order."""
    return (np.uint64(hashed) * np.uint64(slots.size)) >> _BITS


@inlined_kernel
def enter(t, number):
    """Write a number to a slot."""
    mask = np.uint64(t.slots.size - 1)
    slot = home(t.slots, t.hashes[number])
    while t.slots[slot] != 0:
        slot = (slot + _ONE) & mask
    t.slots[slot] = number + 1


@inlined_kernel
def enter_new(t, number):
    """Write a new number: to an old slot where that is yet to be moved.

    Else a first few would touch memory all over the new slots, which has to be cleared before.
    """
    slot = home(t.old, t.hashes[number])
    if np.int64(slot) >= t.moved[0]:
        while slot < np.uint64(t.old.size) and t.old[slot] != 0:
            slot += _ONE
        if slot < np.uint64(t.old.size):
            t.old[slot] = number + 1
            return
    enter(t, number)


@kernel
def move(t, count):
    """Move what so many of the old slots have that come next."""
    begin = t.moved[0]
    end = min(begin + count, t.old.size)
    for slot in range(begin, end):
        if slot + _AHEAD < end:
            prefetch(t.hashes, np.uint64(max(t.old[slot + _AHEAD] - 1, 0)))
        if t.old[slot] > 0:
            enter(t, np.int64(t.old[slot]) - 1)
            t.old[slot] = GONE
    t.moved[0] = end


@inlined_kernel
def slot_of(slots, hashed, number):
    """The slot that has a number, or -1."""
    mask = slots.size - 1
    slot = np.int64(home(slots, hashed))
    while slots[slot] != number + 1:
        if slots[slot] == 0:
            return -1
        slot = (slot + 1) & mask
    return slot


@inlined_kernel
def fetch_followers(t, number):
    """Have the hashes brought near that are looked at if a number leaves: those in the next slots."""
    mask = np.uint64(t.slots.size - 1)
    slot = home(t.slots, t.hashes[number])
    for _ in range(_FOLLOWERS):
        slot = (slot + _ONE) & mask
        if t.slots[slot] == 0:
            break
        prefetch(t.hashes, np.uint64(max(t.slots[slot] - 1, 0)))


@kernel
def leave(t, number):
    """Take a number out."""
    hole = slot_of(t.slots, t.hashes[number], number)
    if hole < 0:
        t.old[slot_of(t.old, t.hashes[number], number)] = GONE
        return
    mask = t.slots.size - 1
    at = (hole + 1) & mask
    while t.slots[at] != 0:
        begin = np.int64(home(t.slots, t.hashes[t.slots[at] - 1]))
        # It may move up where it does not come before its own place.
        if (at - begin) & mask >= (at - hole) & mask:
            t.slots[hole] = t.slots[at]
            hole = at
        at = (at + 1) & mask
    t.slots[hole] = 0


@kernel
def renumber(t, number, new):
    """Let a number be another one; `hashes` stay as they are."""
    slot = slot_of(t.slots, t.hashes[number], number)
    if slot >= 0:
        t.slots[slot] = new + 1
    else:
        t.old[slot_of(t.old, t.hashes[number], number)] = new + 1
