# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Exponentials, logarithms, powers and cosines of our own, the same to the bit on every machine.

The system's library and numpy choose other code for other processors, whose last bits differ. What is learned
must not: workers compare what they know. These use nothing but sums, products, quotients and square roots,
whose results IEEE 754 prescribes, in an order that no compiler may change.

Errors are at most one unit in the last place, of `powered` a dozen or so. Methods and coefficients are those
of FDLIBM (Copyright 1993 by Sun Microsystems, Inc.; permission to use, copy, modify and distribute it is
freely granted, provided that this notice is preserved).
"""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray

from recommender.compiled import dividing_kernel, inlined_dividing_kernel

LOG_2 = 0.6931471805599453
_LOG2_E = 1.4426950408889634
#: Logarithm of 2 in two parts; the first has few enough digits that its products with exponents are exact.
_HIGH, _LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
#: Smallest normal number, and beyond which exponentials overflow or vanish.
_NORMAL, _OVERFLOW, _UNDERFLOW = 2.0**-1022, 709.782712893384, -745.1332191019412
# As bits of a float64: the square root of a half, one, and where the exponent begins.
_HALF_ROOT, _ONE, _EXPONENT = np.int64(0x3FE6A09E667F3BCD), np.int64(0x3FF0000000000000), np.int64(52)


@intrinsic
def _bits(typing_context, number):
    """The bits of a float64 as an int64."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def _of_bits(typing_context, bits):
    """The float64 that an int64 has the bits of."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.DoubleType())

    return types.float64(types.int64), generate


@inlined_dividing_kernel
def exp(x):
    """The exponential; 0 and infinity where it is out of range."""
    if not (x <= _OVERFLOW and x >= _UNDERFLOW):
        return x + np.inf if x != x or x > 0.0 else 0.0
    exponent = math.floor(x * _LOG2_E + 0.5)
    high, low = x - exponent * _HIGH, exponent * _LOW
    r = high - low
    square = r * r
    series = 6.61375632143793436117e-05 + square * (
        -1.65339022054652515390e-06 + square * 4.13813679705723846039e-08
    )
    series = 1.66666666666666019037e-01 + square * (-2.77777777770155933842e-03 + square * series)
    c = r - square * series
    value = 1.0 + (r * c / (2.0 - c) - low + high)
    # In two steps, since the power alone may be out of range where the value is not.
    whole = np.int64(exponent)
    half = whole >> 1
    return value * _of_bits((half << _EXPONENT) + _ONE) * _of_bits(((whole - half) << _EXPONENT) + _ONE)


@inlined_dividing_kernel
def log(x):
    """The natural logarithm; minus infinity of 0, NaN of negative numbers."""
    if x >= _NORMAL and x < np.inf:
        return log_of_normal(x)
    if x > 0.0 and x < np.inf:
        return log_of_normal(x * 2.0**54) - 54.0 * _HIGH - 54.0 * _LOW
    if x == 0.0:
        return -np.inf
    return x if x > 0.0 else np.nan


@inlined_dividing_kernel
def log_of_normal(x):
    """The same of positive, normal numbers, without a branch: a loop of it becomes vector instructions."""
    bits = _bits(x)
    power = (bits - _HALF_ROOT) >> _EXPONENT
    f = _of_bits(bits - (power << _EXPONENT)) - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01))
    even = 2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)
    even = z * (6.666666666666735130e-01 + w * even)
    half_square, exponent = 0.5 * f * f, np.float64(power)
    return s * (half_square + (odd + even)) + exponent * _LOW - half_square + f + exponent * _HIGH


@dividing_kernel
def powered(base, exponent):
    """A positive number raised: exactly, but for rounding, where the exponent is a multiple of a half."""
    twice = 2.0 * exponent
    if twice == math.floor(twice) and abs(twice) <= 64.0:
        steps = np.int64(abs(twice))
        value = math.sqrt(base) if steps & 1 else 1.0
        steps >>= 1
        square = base
        while steps > 0:
            if steps & 1:
                value *= square
            square *= square
            steps >>= 1
        return 1.0 / value if exponent < 0.0 else value
    return exp(exponent * log(base))


@dividing_kernel
def cosine_of_turns(turns):
    """The cosine of an angle in whole turns, from 0 to 1."""
    quarter = math.floor(4.0 * turns + 0.5)
    y = (turns - 0.25 * quarter) * 6.283185307179586
    z = y * y
    w = z * z
    side = np.int64(quarter) & 3
    if side & 1:
        series = 8.33333333332248946124e-03 + z * (
            -1.98412698298579493134e-04 + z * 2.75573137070700676789e-06
        )
        series += z * w * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)
        sine = y + z * y * (-1.66666666666666324348e-01 + z * series)
        return -sine if side == 1 else sine
    series = 4.16666666666666019037e-02 + z * (-1.38888888888741095749e-03 + z * 2.48015872894767294178e-05)
    rest = -2.75573143513906633035e-07 + z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11)
    series = z * series + w * w * rest
    half = 0.5 * z
    first = 1.0 - half
    cosine = first + (((1.0 - first) - half) + z * series)
    return -cosine if side == 2 else cosine


@dividing_kernel
def logarithm(number):
    """`log`, for callers that are not compiled."""
    return log(number)


@dividing_kernel
def _exponentials(numbers, found):
    for k in range(numbers.size):
        found[k] = exp(numbers[k])


@dividing_kernel
def _powers(bases, exponent, found):
    for k in range(bases.size):
        found[k] = powered(bases[k], exponent)


def exponentials(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The exponential of each number, shape as `numbers`."""
    found = np.empty_like(numbers)
    _exponentials(numbers, found)
    return found


def powers(bases: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Each positive number raised, shape as `bases`."""
    found = np.empty_like(bases)
    _powers(bases, exponent, found)
    return found


def half_powers(base: float, count: int) -> NDArray[np.float64]:
    """A number to the powers 0, 1/2, 1, 3/2, ..., `count` of them, at least one."""
    powers = np.empty(count)
    powers[0::2] = np.cumprod(np.concatenate([[1.0], np.full((count - 1) // 2, base)]))
    powers[1::2] = powers[: count // 2 * 2 : 2] * math.sqrt(base)
    return powers


def warm() -> None:
    """Compile or load the kernels."""
    logarithm(1.0)
    exponentials(np.zeros(1))
    powers(np.ones(1), 0.5)
