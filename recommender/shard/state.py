"""A shard's state as named arrays, and its fingerprint."""

from __future__ import annotations

import hashlib

import numpy as np

from recommender.history.arrays import Arrays as Arrays


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
