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
from recommender.ingest.json_numbers import integer, number
from recommender.ingest.json_scan import CLOSE, COLON, COMMA, OPEN, pass_value, space, starts, word
from recommender.ingest.json_strings import QUOTE, string, unescape

_USER, _ITEM, _RATING, _TIMESTAMP, _OTHER = 1, 2, 4, 8, 0
#: A field that makes a record something else than a rating.
_EVENT = 16
_NEEDED = _USER | _ITEM | _RATING

_NAME_USER, _NAME_ITEM, _NAME_RATING, _NAME_TIMESTAMP = map(word, ("user", "item", "rating", "timestamp"))
_NAME_FORGET, _NAME_MERGE = word("forget"), word("merge")
_NULL, _SKIP = word("null"), word('"skip"')


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
        past = integer(text, at, end)
        spans[e, column], spans[e, column + 1] = at, past
    size = spans[e, column + 1] - spans[e, column]
    return past if past >= 0 and size >= 1 and size <= longest else -1


@inlined_kernel
def _rating(text, at, end, low, high, skips):
    if starts(text, at, end, _NULL):
        return np.nan, at + 4
    if skips and starts(text, at, end, _SKIP):
        return 0.0, at + 6
    value, past = number(text, at, end)
    return value, (past if past >= 0 and value >= low and value <= high else -1)


@inlined_kernel
def _timestamp(text, at, end, latest):
    if starts(text, at, end, _NULL):
        return np.nan, at + 4
    value, past = number(text, at, end)
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
        else:
            at = pass_value(text, at, end)
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
