# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The compiled loops that tell whether bytes are UTF-8, as Python decodes it."""

from __future__ import annotations

import numpy as np

from recommender.compiled import inlined_kernel, kernel
from recommender.journal.unaligned import load_int64, load_uint8

#: As an int64.
_HIGH_BITS = -0x7F7F7F7F7F7F7F80


@inlined_kernel
def is_ascii(text, begin, end):
    """Return True if no byte has its highest bit set; there are eight bytes before the first."""
    high = np.int64(0)
    while end - begin >= 8:
        end -= 8
        high |= load_int64(text, end)
    if end > begin:
        # The highest bytes of the word are the last ones.
        high |= load_int64(text, end - 8) >> (8 * (8 - (end - begin))) << (8 * (8 - (end - begin)))
    return (high & _HIGH_BITS) == 0


@kernel
def _follows(text, place, end, low, high):
    """Return True if the next byte of a character is there, within bounds."""
    return place < end and load_uint8(text, place) >= low and load_uint8(text, place) <= high


@kernel
def _is_utf8(text, begin, end):
    """Return True if bytes are UTF-8, as Python decodes it."""
    at = begin
    while at < end:
        byte = load_uint8(text, at)
        if byte < 0x80:
            at += 1
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= byte <= 0xDF:
            more = 1
        elif 0xE0 <= byte <= 0xEF:
            more = 2
            low = 0xA0 if byte == 0xE0 else low
            high = 0x9F if byte == 0xED else high
        elif 0xF0 <= byte <= 0xF4:
            more = 3
            low = 0x90 if byte == 0xF0 else low
            high = 0x8F if byte == 0xF4 else high
        else:
            return False
        if not _follows(text, at + 1, end, low, high):
            return False
        for k in range(2, more + 1):
            if not _follows(text, at + k, end, 0x80, 0xBF):
                return False
        at += more + 1
    return True


@kernel
def are_utf8(text, lengths, rows, place):
    """Return True if each of the ids that stand one after the other is UTF-8."""
    for e in range(lengths, lengths + rows):
        past = place + np.int64(load_uint8(text, e)) + 1
        if not _is_utf8(text, place, past):
            return False
        place = past
    return True
