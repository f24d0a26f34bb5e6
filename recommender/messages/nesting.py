"""The depth of nested JSON and MessagePack, found without recursion.

Decoders call themselves for each level, as often as the interpreter lets them: about 1,000 times under Python
3.11, 4,000 under 3.12 and 10,000 under 3.13, and less where more has been called before. What is accepted
must not depend on that, so that there is a bound of our own, which all of them reach.
"""

from __future__ import annotations

import re
from itertools import accumulate

#: Objects and arrays inside each other, the outermost included.
MAX_NESTING = 256

_JSON_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_OPENING = b"[{"
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_STEPS = [1 if byte in _OPENING else -1 for byte in range(256)]

#: First bytes of MessagePack's arrays and maps.
_CONTAINERS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
#: By the first byte of what is neither: how many bytes its size takes, or how many follow.
_SIZED = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_FIXED = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8}
_FIXED |= {0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17}
_EXTENSIONS = (0xC7, 0xC8, 0xC9)


def json_is_too_deep(value: bytes) -> bool:
    """Tell whether a text, right or wrong, opens more than `MAX_NESTING` brackets before it closes them."""
    if value.count(b"[") + value.count(b"{") <= MAX_NESTING:
        return False
    brackets = _JSON_STRING.sub(b"", value).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > MAX_NESTING


def msgpack_is_too_deep(value: bytes) -> bool:
    """Tell whether arrays and maps are more than `MAX_NESTING` levels deep, as far as the bytes go."""
    if len(value) - len(value.translate(None, _CONTAINERS)) <= MAX_NESTING:
        return False
    left, at = [1], 0
    while left and at < len(value):
        if left[-1] == 0:
            left.pop()
            continue
        left[-1] -= 1
        at, inside = _step(value, at)
        if inside is not None:
            left.append(inside)
            if len(left) - 1 > MAX_NESTING:
                return True
    return False


def _step(value: bytes, at: int) -> tuple[int, int | None]:
    """The place behind a value's head, or all of it; how many values are inside, None where none can be."""
    byte = value[at]
    at += 1
    if 0x80 <= byte <= 0x9F:
        return at, (byte & 0x0F) * (2 if byte < 0x90 else 1)
    if byte >= 0xDC and byte <= 0xDF:
        width = 2 if byte in (0xDC, 0xDE) else 4
        return at + width, int.from_bytes(value[at : at + width], "big") * (2 if byte >= 0xDE else 1)
    if 0xA0 <= byte <= 0xBF:
        return at + (byte & 0x1F), None
    width = _SIZED.get(byte, 0)
    if width:
        size = int.from_bytes(value[at : at + width], "big")
        return at + width + size + (byte in _EXTENSIONS), None
    return at + _FIXED.get(byte, 0), None
