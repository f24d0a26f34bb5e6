"""Arrays by name, which a state is made of, and arrays that grow as users and items come."""

from __future__ import annotations

import hashlib
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

#: A part of a state: arrays by name.
Arrays = dict[str, NDArray[np.generic]]
Number = TypeVar("Number", bound=np.generic)
#: Arrays of fewer rows are doubled when they grow; larger ones grow by so many bytes at most, as these are
#: written to.
_SMALL, _AT_ONCE = 1 << 20, 1 << 20


def grown(array: NDArray[Number], least: int) -> NDArray[Number]:
    """The array itself if it has `least` rows, else a copy with at least twice its rows, zero at the end."""
    if least <= len(array):
        return array
    larger = np.zeros((max(least, 2 * len(array), 64), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


def enlarge(array: NDArray[np.generic], least: int) -> None:
    """Give an array that owns its memory at least so many rows, in place, zero at the end.

    It is doubled while small, then grows by little, which is remapped rather than copied. Nothing else may
    have a view of it.
    """
    size = len(array)
    if least > size:
        step = max(size, 64) if size < _SMALL else min(size // 32, _AT_ONCE // array.itemsize)
        array.resize(max(least, size + step), refcheck=False)


def flat(parts: dict[str, Arrays]) -> Arrays:
    """The arrays of all parts, each named ``part/name``."""
    return {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}


def parted(state: Arrays) -> dict[str, Arrays]:
    """The parts that `flat` was given; one without arrays is missing."""
    parts: dict[str, Arrays] = {}
    for path, array in state.items():
        part, _, name = path.partition("/")
        parts.setdefault(part, {})[name] = array
    return parts


def digest(state: Arrays) -> str:
    """BLAKE2b of all arrays with their names, types and shapes, in hexadecimal."""
    sum_ = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        sum_.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sum_.update(array.data if array.size else b"")
    return sum_.hexdigest()
