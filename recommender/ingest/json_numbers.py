# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Reads numbers of JSON in an array of bytes: exactly as msgspec does, or not at all."""

from __future__ import annotations

import numpy as np

from recommender.compiled import inlined_kernel, kernel
from recommender.ingest.json_scan import MINUS, PLUS, POINT, SMALL, ZERO, E, past_digits

#: Powers of ten that a float64 holds exactly.
_TENS = np.array([float(f"1e{power}") for power in range(23)])
_WHOLE_TENS = 10 ** np.arange(19)
_LARGEST_POWER = len(_TENS) - 1
#: More digits than these may not fit an int64.
_MOST_DIGITS = 18
#: An exponent has no more of them.
_EXPONENT_DIGITS = 3
_EXACT = 2**53
#: More than the error of a fraction below one.
_DOUBT = 2.0**-50


@inlined_kernel
def integer(text, at, end):
    """The place behind an integer whose text is its own decimal form; -1 if there is none."""
    first = at
    if at < end and text[at] == MINUS:
        first += 1
    last = past_digits(text, first, end)
    if last == first:
        return -1
    if text[first] == ZERO and (last - first > 1 or first > at):
        return -1
    return last


@inlined_kernel
def number(text, at, end):
    """A number's value, correctly rounded, and where it ends; -1 if it takes more than this."""
    negative = at < end and text[at] == MINUS
    if negative:
        at += 1
    digits, point = _digits(text, at, end, np.int64(0))
    if point == at or (text[at] == ZERO and point - at > 1):
        return 0.0, -1
    whole, past, decimals = digits, point, 0
    if point < end and text[point] == POINT:
        digits, past = _digits(text, point + 1, end, digits)
        decimals = past - point - 1
        if decimals == 0:
            return 0.0, -1
    if point - at + decimals > _MOST_DIGITS or (negative and digits == 0):
        return 0.0, -1
    if past < end and text[past] | SMALL == E:
        power, past = _exponent(text, past + 1, end)
        power -= decimals
        if past < 0 or digits >= _EXACT or abs(power) > _LARGEST_POWER:
            return 0.0, -1
        # The digits as one number are exact, and so is the power: one rounding (Clinger, 1990).
        value = np.float64(digits)
        value = value / _TENS[-power] if power < 0 else value * _TENS[power]
    elif digits < _EXACT:
        value = np.float64(digits) / _TENS[decimals] if decimals > 0 else np.float64(digits)
    else:
        value = _sum(whole, digits - whole * _WHOLE_TENS[decimals], decimals)
    return (-value if negative else value), (past if value >= 0.0 else -1)


@inlined_kernel
def _digits(text, at, end, number):
    """A number with the digits from `at` on appended, and past them; nonsense if they do not fit an int64."""
    while at < end:
        digit = np.int64(text[at]) - ZERO
        if digit < 0 or digit > 9:
            break
        number = number * 10 + digit
        at += 1
    return number, at


@kernel
def _exponent(text, at, end):
    """The number after an ``e``, and past it; -1 if it takes more than this."""
    negative = at < end and text[at] == MINUS
    if negative or (at < end and text[at] == PLUS):
        at += 1
    number, past = _digits(text, at, end, np.int64(0))
    if past == at or past - at > _EXPONENT_DIGITS:
        return number, -1
    return (-number if negative else number), past


@kernel
def _sum(whole, part, decimals):
    """The float64 next to whole + part / 10^decimals; -1 where that is not sure."""
    if whole == 0 or whole >= _EXACT or part >= _EXACT:
        return -1.0
    fraction = np.float64(part) / _TENS[decimals]
    value = np.float64(whole) + fraction
    # Rounded twice. That is right unless what was cut off is as good as half a step between two floats.
    cut = abs(fraction - (value - np.float64(whole)))
    half = (np.nextafter(value, np.inf) - value) / 2.0
    if abs(cut - half) <= _DOUBT or abs(cut - half / 2.0) <= _DOUBT:
        return -1.0
    return value
