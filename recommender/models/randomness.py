# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Random numbers that are a pure function of a seed and a place: no generator, no order of drawing.

The mixing function is SplitMix64's (Steele, Lea and Flood: Fast Splittable Pseudorandom Number
Generators, OOPSLA 2014); normal deviates are Box and Muller's.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import njit

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


@njit(cache=True)
def mix(key, place):
    """64 random bits for `place` under `key`, both uint64."""
    z = key + (place + np.uint64(1)) * _GAMMA
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))


@njit(cache=True)
def uniform(bits):
    """A float64 in [0, 1) from 64 bits."""
    return np.float64(bits >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True)
def uniforms(seed, row, columns, values):
    """Fill `values` with the uniform deviates of (seed, row, column) for each column."""
    key = mix(mix(np.uint64(seed), np.uint64(0)), np.uint64(row))
    for c in range(columns.size):
        values[c] = uniform(mix(key, np.uint64(columns[c])))


@njit(cache=True)
def _normal_rows(seed, side, begin, columns, scale, rows):
    for r in range(begin, rows.shape[0]):
        key = mix(mix(np.uint64(seed), np.uint64(side)), np.uint64(r))
        for c in range(columns):
            first = 1.0 - uniform(mix(key, np.uint64(2 * c)))
            second = uniform(mix(key, np.uint64(2 * c + 1)))
            rows[r, c] = scale * math.sqrt(-2.0 * math.log(first)) * math.cos(2.0 * math.pi * second)


def fill_normal(
    rows: NDArray[np.float64], seed: int, side: int, begin: int, columns: int, scale: float
) -> None:
    """Fill rows[begin:, :columns] with normal deviates of (seed, side, row, column), times `scale`."""
    _normal_rows(np.uint64(seed & (2**64 - 1)), side, begin, columns, scale, rows)
