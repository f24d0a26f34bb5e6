# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Reads the plain ones of many ratings in JSON in one pass over their bytes, without an object for each.

Plain is what producers of ratings write: the known fields once each, ids of ASCII without escapes or as
integers, numbers without exponents. Of these it gives exactly what msgspec does. Everything else - what is
wrong, what has further fields - is left to `RatingDecoder.decode`, which alone says what is wrong with it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel

#: Powers of ten that a float64 holds exactly.
_TENS = 10.0 ** np.arange(23)
#: More digits than these may not fit an int64.
_MOST_DIGITS = 18
#: Numbers of so many digits, point or no point, are exact as float64 without the point.
_SURE_DIGITS = 15
_EXACT = 2**53
#: More than the error of a fraction below one.
_DOUBT = 2.0**-50

_QUOTE, _BACKSLASH, _OPEN, _CLOSE, _COLON, _COMMA = (ord(each) for each in '"\\{}:,')
_MINUS, _POINT, _ZERO, _NINE, _SPACE, _DELETE = (ord(each) for each in "-.09 \x7f")
_USER, _ITEM, _RATING, _TIMESTAMP, _OTHER = 1, 2, 4, 8, 0
_NEEDED = _USER | _ITEM | _RATING


def _word(text: str) -> NDArray[np.uint8]:
    return np.frombuffer(text.encode(), np.uint8)


_NAME_USER, _NAME_ITEM, _NAME_RATING, _NAME_TIMESTAMP = map(_word, ("user", "item", "rating", "timestamp"))
_NULL, _SKIP = _word("null"), _word('"skip"')


@kernel
def _space(text, at, end):
    while at < end and (text[at] == 32 or text[at] == 10 or text[at] == 13 or text[at] == 9):
        at += 1
    return at


@kernel
def _is(text, at, end, word):
    if end - at < word.size:
        return False
    for k in range(word.size):  # noqa: SIM110 - a generator cannot be compiled
        if text[at + k] != word[k]:
            return False
    return True


@kernel
def _string(text, at, end):
    """Past the closing quote of a plain string whose first character is at `at`; -1 if it is not plain."""
    while at < end:
        byte = text[at]
        if byte == _QUOTE:
            return at + 1
        if byte < _SPACE or byte > _DELETE or byte == _BACKSLASH:
            return -1
        at += 1
    return -1


@kernel
def _digits(text, at, end):
    while at < end and text[at] >= _ZERO and text[at] <= _NINE:
        at += 1
    return at


@kernel
def _integer(text, at, end):
    """Past an integer whose text is its own decimal form; -1 if there is none."""
    first = at
    if at < end and text[at] == _MINUS:
        first += 1
    last = _digits(text, first, end)
    if last == first or last - first > _MOST_DIGITS:
        return -1
    if text[first] == _ZERO and (last - first > 1 or first > at):
        return -1
    return last


@kernel
def _number(text, at, end):
    """A number's value, correctly rounded, and where it ends; -1 if it takes more than this."""
    negative = at < end and text[at] == _MINUS
    if negative:
        at += 1
    point = _digits(text, at, end)
    if point == at or (text[at] == _ZERO and point - at > 1):
        return 0.0, -1
    last = point
    if point < end and text[point] == _POINT:
        last = _digits(text, point + 1, end)
        if last == point + 1:
            return 0.0, -1
    decimals = max(last - point - 1, 0)
    if point - at + decimals > _MOST_DIGITS or decimals > 15:
        return 0.0, -1
    whole, part = np.int64(0), np.int64(0)
    for k in range(at, point):
        whole = whole * 10 + (text[k] - _ZERO)
    for k in range(point + 1, last):
        part = part * 10 + (text[k] - _ZERO)
    if whole >= _EXACT or (negative and whole == 0 and part == 0):
        return 0.0, -1
    if point - at + decimals <= _SURE_DIGITS:
        # Both are exact, so their quotient is rounded once (Clinger, 1990).
        value = (np.float64(whole) * _TENS[decimals] + np.float64(part)) / _TENS[decimals]
    else:
        fraction = np.float64(part) / _TENS[decimals]
        value = np.float64(whole) + fraction
        # Rounded twice. That is right unless what was cut off is as good as half a step between two floats.
        cut = abs(fraction - (value - np.float64(whole)))
        half = (np.nextafter(value, np.inf) - value) / 2.0
        if whole == 0 or abs(cut - half) <= _DOUBT or abs(cut - half / 2.0) <= _DOUBT:
            return 0.0, -1
    return (-value if negative else value), last


@kernel
def _name(text, at, end):
    """Which field a name is, and where it ends."""
    size = end - 1 - at
    if size == 4:
        if _is(text, at, end, _NAME_USER):
            return _USER
        if _is(text, at, end, _NAME_ITEM):
            return _ITEM
    elif size == 6 and _is(text, at, end, _NAME_RATING):
        return _RATING
    elif size == 9 and _is(text, at, end, _NAME_TIMESTAMP):
        return _TIMESTAMP
    return _OTHER


@kernel
def _id(text, at, end, longest, spans, e, column):
    """Note where an id is; past it, or -1."""
    if at < end and text[at] == _QUOTE:
        past = _string(text, at + 1, end)
        spans[e, column], spans[e, column + 1] = at + 1, past - 1
    else:
        past = _integer(text, at, end)
        spans[e, column], spans[e, column + 1] = at, past
    size = spans[e, column + 1] - spans[e, column]
    return past if past >= 0 and size >= 1 and size <= longest else -1


@kernel
def _rating(text, at, end, low, high, skips):
    if _is(text, at, end, _NULL):
        return np.nan, at + 4
    if skips and _is(text, at, end, _SKIP):
        return 0.0, at + 6
    value, past = _number(text, at, end)
    return value, (past if past >= 0 and value >= low and value <= high else -1)


@kernel
def _timestamp(text, at, end, latest):
    if _is(text, at, end, _NULL):
        return np.nan, at + 4
    value, past = _number(text, at, end)
    return value, (past if past >= 0 and value >= 0.0 and value <= latest else -1)


@kernel
def _read(text, at, end, low, high, skips, latest, longest, spans, ratings, times, e):
    """Read one rating; whether it is plain."""
    seen = 0
    at = _space(text, at, end)
    if at >= end or text[at] != _OPEN:
        return False
    while True:
        at = _space(text, at + 1, end)
        if at >= end or text[at] != _QUOTE:
            return False
        past = _string(text, at + 1, end)
        if past < 0:
            return False
        field = _name(text, at + 1, past)
        if field == _OTHER or seen & field:
            return False
        seen |= field
        at = _space(text, past, end)
        if at >= end or text[at] != _COLON:
            return False
        at = _space(text, at + 1, end)
        if field == _USER:
            at = _id(text, at, end, longest, spans, e, 0)
        elif field == _ITEM:
            at = _id(text, at, end, longest, spans, e, 2)
        elif field == _RATING:
            ratings[e], at = _rating(text, at, end, low, high, skips)
        else:
            times[e], at = _timestamp(text, at, end, latest)
        if at < 0:
            return False
        at = _space(text, at, end)
        if at < end and text[at] == _COMMA:
            continue
        if at >= end or text[at] != _CLOSE:
            return False
        return _space(text, at + 1, end) == end and seen & _NEEDED == _NEEDED


@kernel
def read_all(text, ends, low, high, skips, latest, longest, spans, ratings, times, plain):
    """Read ratings that stand one after the other.

    Parameters
    ----------
    text : uint8 array
    ends : int64 array, shape (ratings,)
        Where each ends in the text.
    low, high : float
        The scale of ratings.
    skips : bool
        A rating may be ``"skip"``, which is read as 0.
    latest : float
        The largest timestamp.
    longest : int
        The largest length of an id.
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
    text = _word('{"user": "a", "item": 1, "rating": 1.5, "timestamp": 0}')
    arrays = np.zeros((1, 4), np.int64), np.zeros(1), np.zeros(1), np.ones(1, np.bool_)
    read_all(text, np.array([len(text)]), 1.0, 5.0, False, 1e9, 64, *arrays)
