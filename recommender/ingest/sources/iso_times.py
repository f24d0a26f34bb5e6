"""Reads many times that are written as ISO 8601 at once, as most programs write them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

_WRITTEN = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])
#: Years whose microseconds since 1970 are exact as floats.
_FIRST_YEAR, _LAST_YEAR = 1970, 2199
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
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    for length in set(lengths.tolist()):
        places = np.flatnonzero(lengths == length)
        group = texts if len(places) == len(texts) else [texts[place] for place in places.tolist()]
        found[places] = _of_one_length(group, length)
    return found


def _of_one_length(texts: Sequence[str], length: int) -> Floats:
    """Those of texts that are written as the first is that is a time."""
    written = next(filter(None, map(_WRITTEN.fullmatch, texts)), None)
    if written is None:
        return np.full(len(texts), np.nan)
    joined = "".join([written.string, *texts]).encode("ascii", "replace")
    marks = np.frombuffer(joined, np.uint8).reshape(-1, length).T
    first, marks = marks[:, 0], marks[:, 1:]
    digit = (first >= ord("0")) & (first <= ord("9"))
    wrong = (marks[~digit] != first[~digit, None]).any(axis=0)
    digits = marks.astype(np.int64) - ord("0")
    wrong |= ((digits[digit] < 0) | (digits[digit] > 9)).any(axis=0)
    seconds, impossible = _since_1970(digits)
    microseconds = np.zeros(len(texts), np.int64)
    fraction = written.end(1) - written.start(1) - 1
    if written.group(1):
        kept = min(fraction, 6)
        begin = written.start(1) + 1
        microseconds = _number(digits[begin : begin + kept]) * 10 ** (6 - kept)
    zone = written.group(2) or "Z"
    if zone != "Z":
        hours, minutes = _number(digits[length - 5 : length - 3]), _number(digits[length - 2 :])
        impossible |= (hours > 23) | (minutes > 59)
        ahead = hours * 3600 + minutes * 60
        seconds = seconds + ahead if zone[0] == "-" else seconds - ahead
    times = (seconds * _MICROSECONDS + microseconds) / _MICROSECONDS
    return np.where(wrong | impossible, np.nan, times)


def _since_1970(digits: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """Seconds of what is written up to the seconds, and which of them cannot be."""
    year, month, day, hour, minute, second = (
        _number(digits[begin:end]) for begin, end in ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19))
    )
    impossible = (year < _FIRST_YEAR) | (year > _LAST_YEAR) | (month < 1) | (month > 12)
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    last = _DAYS[np.where(impossible, 1, month)] + (leap & (month == 2))
    impossible |= (day < 1) | (day > last) | (hour > 23) | (minute > 59) | (second > 59)
    # A year that begins in March ends with the day that not all of them have.
    years, months = year - (month < 3), (month + 9) % 12
    days = years * 365 + years // 4 - years // 100 + years // 400 + (months * 306 + 5) // 10 + day - 1
    return ((days - 719_468) * 24 + hour) * 3600 + minute * 60 + second, impossible


def _number(digits: Numbers) -> Numbers:
    """The numbers that digits stand for, the first of each in the first row."""
    found = digits[0]
    for row in digits[1:]:
        found = found * 10 + row
    return found
