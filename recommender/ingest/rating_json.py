# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Reads the plain ones of many ratings in JSON in one pass over their bytes, without an object for each.

Plain is what producers of ratings write: the known fields once each, by names without escapes; others are
passed over. Of these it gives exactly what msgspec does. Everything else - what is wrong, what is rare - is
left to `RatingDecoder.decode`, which alone says what is wrong with it.
"""

from __future__ import annotations

import numpy as np

from recommender.compiled import inlined_kernel, kernel
from recommender.ingest.json_scan import (
    CLOSE,
    COLON,
    COMMA,
    MINUS,
    OPEN,
    PLUS,
    POINT,
    SMALL,
    ZERO,
    E,
    past_digits,
    skip,
    space,
    starts,
    word,
)
from recommender.ingest.json_strings import QUOTE, string, unescape

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

_USER, _ITEM, _RATING, _TIMESTAMP, _OTHER = 1, 2, 4, 8, 0
#: A field that makes a record something else than a rating.
_EVENT = 16
_NEEDED = _USER | _ITEM | _RATING

_NAME_USER, _NAME_ITEM, _NAME_RATING, _NAME_TIMESTAMP = map(word, ("user", "item", "rating", "timestamp"))
_NAME_FORGET, _NAME_MERGE = word("forget"), word("merge")
_NULL, _SKIP = word("null"), word('"skip"')


@inlined_kernel
def _integer(text, at, end):
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
def _number(text, at, end):
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


@inlined_kernel
def _name(text, at, end):
    """The field that a name stands for, and the place where it ends."""
    size = end - 1 - at
    if size == 4:
        if starts(text, at, end, _NAME_USER):
            return _USER
        if starts(text, at, end, _NAME_ITEM):
            return _ITEM
    elif size == 6:
        if starts(text, at, end, _NAME_RATING):
            return _RATING
        if starts(text, at, end, _NAME_FORGET):
            return _EVENT
    elif size == 9 and starts(text, at, end, _NAME_TIMESTAMP):
        return _TIMESTAMP
    elif size == 5 and starts(text, at, end, _NAME_MERGE):
        return _EVENT
    return _OTHER


@inlined_kernel
def _id(text, at, end, longest, spans, e, column):
    """Note where an id is, without its escapes; past it, or -1."""
    if at < end and text[at] == QUOTE:
        past, escapes = string(text, at + 1, end)
        last = unescape(text, at + 1, past - 1) if escapes else past - 1
        spans[e, column], spans[e, column + 1] = at + 1, last
    else:
        past = _integer(text, at, end)
        spans[e, column], spans[e, column + 1] = at, past
    size = spans[e, column + 1] - spans[e, column]
    return past if past >= 0 and size >= 1 and size <= longest else -1


@inlined_kernel
def _rating(text, at, end, low, high, skips):
    if starts(text, at, end, _NULL):
        return np.nan, at + 4
    if skips and starts(text, at, end, _SKIP):
        return 0.0, at + 6
    value, past = _number(text, at, end)
    return value, (past if past >= 0 and value >= low and value <= high else -1)


@inlined_kernel
def _timestamp(text, at, end, latest):
    if starts(text, at, end, _NULL):
        return np.nan, at + 4
    value, past = _number(text, at, end)
    return value, (past if past >= 0 and value >= 0.0 and value <= latest else -1)


@inlined_kernel
def _read(text, at, end, low, high, skips, latest, longest, spans, ratings, times, e):
    """Read one rating; whether it is plain."""
    seen = 0
    at = space(text, at, end)
    if at >= end or text[at] != OPEN:
        return False
    while True:
        at = space(text, at + 1, end)
        if at >= end or text[at] != QUOTE:
            return False
        past, escapes = string(text, at + 1, end)
        if past < 0 or escapes:
            return False
        field = _name(text, at + 1, past)
        if seen & field or field == _EVENT:
            return False
        seen |= field
        at = space(text, past, end)
        if at >= end or text[at] != COLON:
            return False
        at = space(text, at + 1, end)
        if field == _USER:
            at = _id(text, at, end, longest, spans, e, 0)
        elif field == _ITEM:
            at = _id(text, at, end, longest, spans, e, 2)
        elif field == _RATING:
            ratings[e], at = _rating(text, at, end, low, high, skips)
        elif field == _TIMESTAMP:
            times[e], at = _timestamp(text, at, end, latest)
        elif at < end and text[at] == QUOTE:
            at = string(text, at + 1, end)[0]
        else:
            at = skip(text, at, end)
        if at < 0:
            return False
        at = space(text, at, end)
        if at < end and text[at] == COMMA:
            continue
        if at >= end or text[at] != CLOSE:
            return False
        return space(text, at + 1, end) == end and seen & _NEEDED == _NEEDED


@kernel
def read_all(text, ends, low, high, skips, latest, longest, spans, ratings, times, plain):
    """Read ratings that stand one after the other.

    Parameters
    ----------
    text : uint8 array
        Written: ids in it without their escapes.
    ends : int64 array, shape (ratings,)
        Where each ends in the text.
    low, high : float
        The scale of ratings.
    skips : bool
        A rating may be ``"skip"``, which is read as 0.
    latest : float
        The largest timestamp.
    longest : int
        The largest length of an id, in bytes.
    spans : int64 array, shape (ratings, 4)
        Written: where in the text the user and the item begin and end.
    ratings, times : float64 arrays
        Written; NaN withdraws, or says that the time is not known.
    plain : bool array
        Those that are False are passed over; written: False where it takes another to read it.
    """
    begin = np.int64(0)
    for e in range(ends.size):
        times[e] = np.nan
        if plain[e]:
            end = ends[e]
            plain[e] = _read(text, begin, end, low, high, skips, latest, longest, spans, ratings, times, e)
        if not plain[e]:
            for column in range(4):
                spans[e, column] = 0
        begin = ends[e]


def warm() -> None:
    """Compile or load the kernels."""
    text = word('{"user": "a", "item": 1, "rating": 1.5, "timestamp": 0}').copy()
    arrays = np.zeros((1, 4), np.int64), np.zeros(1), np.zeros(1), np.ones(1, np.bool_)
    read_all(text, np.array([len(text)]), 1.0, 5.0, False, 1e9, 64, *arrays)
