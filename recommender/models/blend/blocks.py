# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Logarithms and exponentials of a block of numbers at once, in loops that become vector instructions.

They are most of what a score costs, and less exact than those of single numbers
(`recommender.models.elementary`):
good to 12 digits at least. They are as independent of the machine.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import dividing_kernel
from recommender.models.base import FloatArray
from recommender.models.elementary import LOG_2

#: Candidates whose features are made at a time: few enough to stay in the fastest memory.
BLOCK = 128

_LOG2_E = 1.0 / LOG_2
_3, _4, _5, _6, _7, _8, _9, _10, _11 = (1.0 / n for n in range(3, 12))
# As bits of a float64: the square root of a half, one, and where the exponent begins.
_HALF_ROOT, _ONE, _EXPONENT = np.int64(0x3FE6A09E667F3BCD), np.int64(0x3FF0000000000000), np.int64(52)


def room(rows: int) -> tuple[FloatArray, NDArray[np.int64]]:
    """A block of rows, and the same memory as whole numbers."""
    block = np.zeros((rows, BLOCK))
    return block, block.view(np.int64)


@dividing_kernel
def logarithms(block, bits, row, spare, count):
    """Replace the first `count` numbers of a row, all positive and normal; `spare` is a row to write to.

    The number is taken apart into a power of two and m near 1, with log m = 2 artanh((m - 1) / (m + 1)).
    """
    for k in range(count):
        power = (bits[row, k] - _HALF_ROOT) >> _EXPONENT
        block[spare, k] = np.float64(power)
        bits[row, k] -= power << _EXPONENT
    for k in range(count):
        m = block[row, k]
        s = (m - 1.0) / (m + 1.0)
        q = s * s
        series = q * (1.0 / 11.0 + q * (1.0 / 13.0 + q * (1.0 / 15.0)))
        series = 1.0 + q * (1.0 / 3.0 + q * (1.0 / 5.0 + q * (1.0 / 7.0 + q * (1.0 / 9.0 + series))))
        block[row, k] = block[spare, k] * LOG_2 + 2.0 * s * series


@dividing_kernel
def exponentials(block, bits, row, spare, count):
    """Replace the first `count` numbers of a row, none above 0; those below -700 count as -700."""
    for k in range(count):
        x = max(block[row, k], -700.0)
        power = math.floor(x * _LOG2_E + 0.5)
        r = x - power * LOG_2
        series = 1.0 + r * _7 * (1.0 + r * _8 * (1.0 + r * _9 * (1.0 + r * _10 * (1.0 + r * _11))))
        series = 1.0 + r * _3 * (1.0 + r * _4 * (1.0 + r * _5 * (1.0 + r * _6 * series)))
        block[row, k] = 1.0 + r * (1.0 + r * 0.5 * series)
        block[spare, k] = power
    for k in range(count):
        bits[spare, k] = (np.int64(block[spare, k]) << _EXPONENT) + _ONE
    for k in range(count):
        block[row, k] *= block[spare, k]
