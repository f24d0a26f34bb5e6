# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Strings of JSON in an array of bytes: passed and checked, and unescaped where they stand.

As strict as RFC 8259 and Unicode: UTF-8 must be well-formed, and half of a surrogate pair is refused, escaped
or not.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from recommender.compiled import inlined_kernel, kernel

QUOTE, _BACKSLASH, _SPACE, _U, _ZERO, _NINE = (ord(each) for each in '"\\ u09')
#: The first byte that is not of ASCII, and the bit that tells small letters from capitals.
_BEYOND, _SMALL = 0x80, 0x20
_HIGH, _LOW, _SURROGATES_END = 0xD800, 0xDC00, 0xE000

#: This many characters are examined together.
WIDTH = 16
_BLOCK, _MASK = ir.VectorType(ir.IntType(8), WIDTH), ir.IntType(WIDTH)
_NUMBER, _FLAG = ir.IntType(64), ir.IntType(1)
_QUOTES, _BACKSLASHES, _SPACES = (ir.Constant(_BLOCK, [each] * WIDTH) for each in (QUOTE, _BACKSLASH, _SPACE))


def _escapes() -> NDArray[np.uint8]:
    """The byte that a backslash and each byte after it stand for; 0 where they are no escape, or a ``u``."""
    table = np.zeros(256, np.uint8)
    for letter, meant in zip('"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True):
        table[ord(letter)] = ord(meant)
    return table


_ESCAPES = _escapes()


@intrinsic
def _plain_characters(typing_context, text, place):
    """Count the bytes from a place on that mean themselves inside a string, up to `WIDTH` of them.

    The first that is a quote, a backslash, a control character or not of ASCII ends them. All `WIDTH` must be
    in the array.
    """

    def generate(context, builder, signature, arguments):
        made = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = builder.bitcast(builder.gep(made.data, [arguments[1]]), _BLOCK.as_pointer())
        block = builder.load(address)
        block.align = 1
        # As a signed number a byte beyond ASCII is below 0.
        found = builder.icmp_signed("<", block, _SPACES)
        for each in (_QUOTES, _BACKSLASHES):
            found = builder.or_(found, builder.icmp_unsigned("==", block, each))
        bits = builder.zext(builder.bitcast(found, _MASK), _NUMBER)
        kind = ir.FunctionType(_NUMBER, [_NUMBER, _FLAG])
        zeros = builder.module.declare_intrinsic("llvm.cttz", [_NUMBER], kind)
        return builder.call(zeros, [builder.or_(bits, _NUMBER(1 << WIDTH)), _FLAG(1)])

    return types.int64(text, place), generate


@inlined_kernel
def ascii_run(text, at, end):
    """The place behind characters of ASCII that mean themselves inside a string."""
    while at + WIDTH <= text.size:
        count = _plain_characters(text, at)
        at += count
        if count < WIDTH or at >= end:
            return min(at, end)
    while at < end:
        byte = text[at]
        plain = byte >= _SPACE and byte < _BEYOND and byte != QUOTE and byte != _BACKSLASH
        if not plain:
            break
        at += 1
    return at


@inlined_kernel
def string(text, at, end):
    """The place behind the closing quote of a string that begins at `at`, and True if it has escapes."""
    # Most have only plain characters.
    past = ascii_run(text, at, end)
    if past < end and text[past] == QUOTE:
        return past + 1, False
    return _string(text, past, end)


@kernel
def _string(text, at, end):
    escapes = False
    while at >= 0 and at < end:
        byte = text[at]
        if byte >= _BEYOND:
            at = _character(text, at, end)
        elif byte == QUOTE:
            return at + 1, escapes
        elif byte == _BACKSLASH:
            escapes = True
            at = _escape(text, at, end)
        elif byte < _SPACE:
            return -1, False
        else:
            at = ascii_run(text, at, end)
    return -1, False


@inlined_kernel
def _character(text, at, end):
    """The place behind a character beyond ASCII; neither overlong nor a surrogate (Unicode, table 3-7)."""
    first = text[at]
    second = text[at + 1] if at + 1 < end else 0
    low, high = 0x80, 0xBF
    if first >= 0xC2 and first <= 0xDF:
        size = 2
    elif first >= 0xE0 and first <= 0xEF:
        size = 3
        if first == 0xE0:
            low = 0xA0
        elif first == 0xED:
            high = 0x9F
    elif first >= 0xF0 and first <= 0xF4:
        size = 4
        if first == 0xF0:
            low = 0x90
        elif first == 0xF4:
            high = 0x8F
    else:
        return -1
    if at + size > end or second < low or second > high:
        return -1
    for k in range(2, size):
        if text[at + k] & 0xC0 != 0x80:
            return -1
    return at + size


@kernel
def _unit(text, at, end):
    """Read four hexadecimal digits; -1 if they are none."""
    if at + 4 > end:
        return -1
    value = 0
    for k in range(4):
        byte = np.int64(text[at + k])
        if byte >= _ZERO and byte <= _NINE:
            digit = byte - _ZERO
        else:
            digit = (byte | _SMALL) - 87
            if digit < 10 or digit > 15:
                return -1
        value = value * 16 + digit
    return value


@kernel
def _escape(text, at, end):
    """The place behind the escape that begins at `at`; one of a surrogate must be followed by the other."""
    if at + 1 >= end:
        return -1
    if text[at + 1] != _U:
        return at + 2 if _ESCAPES[text[at + 1]] else -1
    unit = _unit(text, at + 2, end)
    if unit < 0 or (unit >= _LOW and unit < _SURROGATES_END):
        return -1
    at += 6
    if unit < _HIGH or unit >= _SURROGATES_END:
        return at
    if at + 1 >= end or text[at] != _BACKSLASH or text[at + 1] != _U:
        return -1
    unit = _unit(text, at + 2, end)
    return at + 6 if unit >= _LOW and unit < _SURROGATES_END else -1


@kernel
def unescape(text, begin, end):
    """Replace the escapes between two places, which `string` has passed, by what they mean; the new end.

    UTF-8 of a character is never longer than its escape.
    """
    at, to = begin, begin
    while at < end:
        byte = text[at]
        if byte != _BACKSLASH:
            text[to] = byte
            at, to = at + 1, to + 1
        elif text[at + 1] != _U:
            text[to] = _ESCAPES[text[at + 1]]
            at, to = at + 2, to + 1
        else:
            point = _unit(text, at + 2, end)
            at += 6
            if point >= _HIGH and point < _LOW:
                point = 0x10000 + ((point - _HIGH) << 10) + (_unit(text, at + 2, end) - _LOW)
                at += 6
            to = _put(text, to, point)
    return to


@kernel
def _put(text, to, point):
    """Write a character as UTF-8; past it."""
    if point < 0x80:
        text[to] = point
        return to + 1
    size = 2 if point < 0x800 else (3 if point < 0x10000 else 4)
    for k in range(size - 1, 0, -1):
        text[to + k] = 0x80 | (point & 0x3F)
        point >>= 6
    text[to] = ((0xF00 >> size) & 0xFF) | point
    return to + size
