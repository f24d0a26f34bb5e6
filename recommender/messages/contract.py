"""Rules for those who write ratings: what a worker would refuse is refused before it is written.

They are the bounds of the worker's own decoder. Only the scale of ratings is a setting of the worker, which a
program elsewhere may not know. `KNOWN_SCALE` holds the scales of all feedback policies as they are without
settings: what is outside is right for none of them.

Each function returns the fault as the end of a sentence, as "is empty"; an empty text where there is none.
"""

from __future__ import annotations

import math

from recommender.messages.ratings import MAX_ID_BYTES, MAX_TIMESTAMP, SURE_CHARACTERS, Rating

#: From -1 of signed ratings to 5 of the others.
KNOWN_SCALE = (-1.0, 5.0)
#: How many of each a second has.
UNITS = {"milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}


def is_plain(rating: Rating, scale: tuple[float, float]) -> bool:
    """Return True for most ratings without a fault, quickly; for all others ask `fault`."""
    user, item, value, timestamp = rating
    return (
        0 < len(user) <= SURE_CHARACTERS
        and 0 < len(item) <= SURE_CHARACTERS
        and user.isascii()
        and item.isascii()
        and (value is None or scale[0] <= value <= scale[1])
        and (timestamp is None or 0 <= timestamp <= MAX_TIMESTAMP)
    )


def fault(rating: Rating, scale: tuple[float, float]) -> str:
    """The fault of a rating, named by its field; empty where a worker with this scale takes it."""
    user, item, value, timestamp = rating
    for name, wrong in (
        ("user", id_fault(user)),
        ("item", id_fault(item)),
        ("rating", "" if value is None else rating_fault(value, *scale)),
        ("timestamp", "" if timestamp is None else timestamp_fault(timestamp)),
    ):
        if wrong:
            return f"{name} {wrong}"
    return ""


def id_fault(text: str) -> str:
    """The fault of an id: empty, too long or not to be written as UTF-8."""
    if not text:
        return "is empty"
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        return f"holds half a character at {error.start}, which UTF-8 does not have"
    if len(text) > SURE_CHARACTERS and size > MAX_ID_BYTES:
        return f"has {size} bytes: expected at most {MAX_ID_BYTES}"
    return ""


def rating_fault(value: float, low: float, high: float) -> str:
    """The fault of a rating's value: not finite, or off the scale."""
    if not math.isfinite(value):
        return f"must be a finite number, got {value!r}"
    return "" if low <= value <= high else f"must be between {low:g} and {high:g}, got {value:.12g}"


def timestamp_fault(seconds: float) -> str:
    """The fault of a time in seconds since 1970: before that, or in another unit."""
    if not math.isfinite(seconds):
        return f"must be a finite number of seconds since 1970, got {seconds!r}"
    if seconds < 0:
        return f"must be in seconds since 1970, got {seconds:.15g}"
    if seconds <= MAX_TIMESTAMP:
        return ""
    unit = unit_of(seconds)
    meant = f", which looks like {unit}" if unit else ""
    return f"must be in seconds since 1970, at most {MAX_TIMESTAMP}, got {seconds:.20g}{meant}"


def unit_of(number: float) -> str:
    """The unit in which a number too large for seconds is a time since 1970; empty where there is none."""
    return next((name for name, each in UNITS.items() if number / each <= MAX_TIMESTAMP), "")
