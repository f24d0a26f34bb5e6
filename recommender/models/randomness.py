# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Random numbers that are a pure function of a seed and a place: no generator, no order of drawing.

The mixing function is SplitMix64's (Steele, Lea and Flood: Fast Splittable Pseudorandom Number
Generators, OOPSLA 2014); normal deviates are Box and Muller's, gamma deviates Marsaglia and Tsang's (A simple
method for generating gamma variables, 2000).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import inlined_dividing_kernel, kernel, njit
from recommender.models.elementary import cosine_of_turns, log

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


@inlined_dividing_kernel
def normal(key, place):
    """A normal deviate from two of the numbers that `place` and its successors have under `key`."""
    first = 1.0 - uniform(mix(key, np.uint64(2 * place)))
    return math.sqrt(-2.0 * log(first)) * cosine_of_turns(uniform(mix(key, np.uint64(2 * place + 1))))


@njit(cache=True)
def _normal_rows(seed, side, begin, columns, scale, rows):
    for r in range(begin, rows.shape[0]):
        key = mix(mix(np.uint64(seed), np.uint64(side)), np.uint64(r))
        for c in range(columns):
            rows[r, c] = scale * normal(key, c)


@kernel
def _gamma(key, shape):
    """A gamma deviate of a shape of at least 1."""
    d = shape - 1.0 / 3.0
    spread = 1.0 / math.sqrt(9.0 * d)
    place = np.int64(0)
    while True:
        x, drawn = normal(key, 2 * place), 1.0 - uniform(mix(key, np.uint64(4 * place + 2)))
        place += 1
        root = 1.0 + spread * x
        if root > 0.0:
            v = root * root * root
            if log(drawn) < 0.5 * x * x + d - d * v + d * log(v):
                return d * v


@kernel
def betas(seed, first, second, values):
    """Fill `values` with beta deviates of (seed, place); both shapes are 1 more than what is given."""
    for r in range(values.size):
        key = mix(np.uint64(seed), np.uint64(r))
        one = _gamma(mix(key, np.uint64(0)), 1.0 + first[r])
        other = _gamma(mix(key, np.uint64(1)), 1.0 + second[r])
        values[r] = one / (one + other)


@kernel
def maxima(uniforms, values):
    """Add to each value a deviate of the largest of many (Gumbel's), from a uniform deviate each."""
    for r in range(values.size):
        values[r] -= log(-log(1.0 - uniforms[r]))


def fill_normal(
    rows: NDArray[np.float64], seed: int, side: int, begin: int, columns: int, scale: float
) -> None:
    """Fill rows[begin:, :columns] with normal deviates of (seed, side, row, column), times `scale`."""
    _normal_rows(np.uint64(seed & (2**64 - 1)), side, begin, columns, scale, rows)


def warm() -> None:
    """Compile or load the kernels."""
    values = np.zeros(1)
    betas(np.uint64(0), values, values, values)
    maxima(values, values)
