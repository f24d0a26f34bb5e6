# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Finds the way through JSON in an array of bytes, past values of any kind.

As strict as RFC 8259, and where that is rare stricter: what is refused here is for another decoder to read or
to refuse. Functions are given where to begin and where the text ends, and return the place after what they
passed, or -1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import inlined_kernel, kernel
from recommender.ingest.json_strings import QUOTE, string

#: Objects and arrays inside each other, up to which values are passed over: a bit of an int64 for each.
DEEPEST = 60

OPEN, CLOSE, COLON, COMMA = (ord(each) for each in "{}:,")
_OPEN_ARRAY, _CLOSE_ARRAY = ord("["), ord("]")
MINUS, PLUS, POINT, ZERO, NINE, E = (ord(each) for each in "-+.09e")
#: The bit that tells small letters from capitals.
SMALL = 0x20


def word(text: str) -> NDArray[np.uint8]:
    """A text as bytes, for `starts`."""
    return np.frombuffer(text.encode(), np.uint8)


_TRUE, _FALSE, _NULL = map(word, ("true", "false", "null"))


@inlined_kernel
def space(text, at, end):
    """The place behind white space, of which there may be none."""
    while at < end and text[at] <= 32:
        byte = text[at]
        if byte != 32 and byte != 10 and byte != 13 and byte != 9:
            break
        at += 1
    return at


@inlined_kernel
def starts(text, at, end, word):
    """Tell whether a word stands here."""
    if end - at < word.size:
        return False
    for k in range(word.size):  # noqa: SIM110 - a generator cannot be compiled
        if text[at + k] != word[k]:
            return False
    return True


@inlined_kernel
def past_digits(text, at, end):
    """The place behind decimal digits, of which there may be none."""
    while at < end and text[at] >= ZERO and text[at] <= NINE:
        at += 1
    return at


@inlined_kernel
def _number(text, at, end):
    if at < end and text[at] == MINUS:
        at += 1
    past = past_digits(text, at, end)
    if past == at or (text[at] == ZERO and past > at + 1):
        return -1
    at = past
    if at < end and text[at] == POINT:
        past = past_digits(text, at + 1, end)
        if past == at + 1:
            return -1
        at = past
    if at < end and text[at] | SMALL == E:
        at += 1
        if at < end and (text[at] == PLUS or text[at] == MINUS):
            at += 1
        past = past_digits(text, at, end)
        return past if past > at else -1
    return at


@inlined_kernel
def _simple(text, at, end):
    """The place behind a value that holds no other."""
    byte = text[at]
    if byte == QUOTE:
        return string(text, at + 1, end)[0]
    if byte <= NINE:
        return _number(text, at, end)
    if starts(text, at, end, _TRUE) or starts(text, at, end, _NULL):
        return at + 4
    return at + 5 if starts(text, at, end, _FALSE) else -1


@inlined_kernel
def _key(text, at, end):
    """The place behind a name and its colon, where the value begins."""
    if at >= end or text[at] != QUOTE:
        return -1
    at = string(text, at + 1, end)[0]
    if at < 0:
        return -1
    at = space(text, at, end)
    return space(text, at + 1, end) if at < end and text[at] == COLON else -1


@inlined_kernel
def pass_value(text, at, end):
    """The place behind a value, or -1; of a text, which most are, without a call."""
    if at < end and text[at] == QUOTE:
        return string(text, at + 1, end)[0]
    return skip(text, at, end)


@kernel
def skip(text, at, end):
    """The place behind a value of any kind; -1 also where it is nested deeper than `DEEPEST`."""
    depth, objects = 0, np.int64(0)  # one bit for each level, the innermost the lowest: set for an object
    while at >= 0 and at < end:
        byte = text[at]
        is_object = byte == OPEN
        if is_object or byte == _OPEN_ARRAY:
            if depth == DEEPEST:
                return -1
            depth += 1
            objects = (objects << 1) | np.int64(is_object)
            at = space(text, at + 1, end)
            closing = CLOSE if is_object else _CLOSE_ARRAY
            if at >= end or text[at] != closing:
                if is_object:
                    at = _key(text, at, end)
                continue
        else:
            at = _simple(text, at, end)
            if at < 0:
                return -1
            if depth > 0:
                at = space(text, at, end)
        # Here a value has ended, or what is at `at` closes one.
        while depth > 0:
            if at >= end:
                return -1
            if text[at] == COMMA:
                at = space(text, at + 1, end)
                if objects & 1:
                    at = _key(text, at, end)
                break
            if text[at] != (CLOSE if objects & 1 else _CLOSE_ARRAY):
                return -1
            depth -= 1
            objects >>= 1
            at += 1
            if depth > 0:
                at = space(text, at, end)
        if depth == 0:
            return at
    return -1
