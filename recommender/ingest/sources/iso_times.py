"""Reads many times that are written as ISO 8601 at once, as most programs write them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

_WRITTEN = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?")
#: Years whose microseconds since 1970 are exact as floats.
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
_YEARS = np.arange(_FIRST_YEAR, _LAST_YEAR + 1)
_LEAP = (_YEARS % 4 == 0) & ((_YEARS % 100 != 0) | (_YEARS % 400 == 0))
#: Days before each year, in each month, and before each month of a year that is no leap year.
_BEFORE_YEAR = np.cumsum(365 + _LEAP) - (365 + _LEAP)
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
_BEFORE_MONTH = np.cumsum(_DAYS) - _DAYS
_MICROSECONDS = 1_000_000


def seconds_of_texts(texts: Sequence[str]) -> Floats:
    """Seconds since 1970, without a zone in UTC; NaN of a text that needs a closer look.

    Parameters
    ----------
    texts : sequence of str

    Examples
    --------
    >>> seconds_of_texts(["1970-01-02T00:00:00Z", "1970-01-01T01:00:00.250000+01:00", "soon"]).tolist()
    [86400.0, 0.25, nan]
    """
    found = np.full(len(texts), np.nan)
    lengths = list(map(len, texts))
    kinds = set(lengths)
    if len(kinds) == 1:
        return _of_one_length(texts, lengths[0])
    for length in kinds:
        places = [place for place, each in enumerate(lengths) if each == length]
        found[places] = _of_one_length([texts[place] for place in places], length)
    return found


def _of_one_length(texts: Sequence[str], length: int) -> Floats:
    return seconds_of_marks(
        np.frombuffer("".join(texts).encode("ascii", "replace"), np.uint8).reshape(len(texts), length)
    )


def seconds_of_marks(marks: NDArray[np.uint8]) -> Floats:
    """The same of texts of one length, a row each: those that are written as the first that is a time."""
    written = next(filter(None, (_WRITTEN.fullmatch(each.tobytes()) for each in marks)), None)
    if written is None:
        return np.full(len(marks), np.nan)
    count, length = marks.shape
    # A digit as its number, which of what is none has to be above 9.
    marks = np.ascontiguousarray(marks.T) - np.uint8(ord("0"))
    first = np.frombuffer(written.string, np.uint8) - np.uint8(ord("0"))
    digit = first <= 9
    wrong = (marks[~digit] != first[~digit, None]).any(axis=0)
    wrong |= (marks[digit] > 9).any(axis=0)
    digits = marks.astype(np.int64)
    seconds, impossible = _since_1970(digits)
    microseconds = np.zeros(count, np.int64)
    fraction = written.end(1) - written.start(1) - 1
    if written.group(1):
        kept = min(fraction, 6)
        begin = written.start(1) + 1
        microseconds = _number(digits[begin : begin + kept]) * 10 ** (6 - kept)
    zone = written.group(2) or b"Z"
    if zone != b"Z":
        hours, minutes = _number(digits[length - 5 : length - 3]), _number(digits[length - 2 :])
        impossible |= (hours > 23) | (minutes > 59)
        ahead = hours * 3600 + minutes * 60
        seconds = seconds + ahead if zone[:1] == b"-" else seconds - ahead
    times = (seconds * _MICROSECONDS + microseconds) / _MICROSECONDS
    return np.where(wrong | impossible, np.nan, times)


def _since_1970(digits: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """Seconds of what is written up to the seconds, and which of them cannot be."""
    year, month, day, hour, minute, second = (
        _number(digits[begin:end]) for begin, end in ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19))
    )
    impossible = (year < _FIRST_YEAR) | (year > _LAST_YEAR) | (month < 1) | (month > 12)
    if impossible.any():
        year, month = np.where(impossible, _FIRST_YEAR, year), np.where(impossible, 1, month)
    place = year - _FIRST_YEAR
    leap = _LEAP[place]
    last = _DAYS[month] + (leap & (month == 2))
    impossible |= (day < 1) | (day > last) | (hour > 23) | (minute > 59) | (second > 59)
    days = _BEFORE_YEAR[place] + _BEFORE_MONTH[month] + (leap & (month > 2)) + day - 1
    return (days * 24 + hour) * 3600 + minute * 60 + second, impossible


def _number(digits: Numbers) -> Numbers:
    """The numbers that digits stand for, the first of each in the first row."""
    found = digits[0]
    for row in digits[1:]:
        found = found * 10 + row
    return found
