"""Arguments of the client, checked where they come in: nothing is made into text that is no id.

Every function takes the argument's name for its error: a `TypeError` where it is of a kind that cannot be
meant, a `ValueError` where only the value cannot be. Numbers of NumPy are taken as Python's own.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from itertools import islice
from numbers import Integral, Real
from typing import Any

from recommender.messages import contract
from recommender.messages.ratings import MAX_ID_BYTES
from recommender.messages.requests import MAX_HOURS, MAX_N, MAX_REQUEST_ITEMS

#: The largest integer that can be an id.
_LARGEST = 10**MAX_ID_BYTES


def identifier(name: str, value: Any) -> str:
    """An id: text, or an integer, which means its decimal text."""
    if isinstance(value, str):
        text = str.__str__(value)  # whatever a subclass, such as an enumeration, makes of it
    elif _is_integer(value):
        number = int(value)
        if abs(number) >= _LARGEST:  # longer ones need not even have a text
            raise ValueError(f"{name} has more than {MAX_ID_BYTES} digits")
        text = str(number)
    else:
        raise TypeError(f"{name} must be a str or an int, got {_shown(value)}")
    if fault := contract.id_fault(text):
        raise ValueError(f"{name} {fault}, got {_shown(value)}")
    return text


def identifiers(name: str, values: Any) -> list[str]:
    """Ids from anything that gives them one by one."""
    if isinstance(values, (str, bytes, bytearray, Mapping)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of ids, got {_shown(values)}")
    found = [
        identifier(f"{name}[{at}]", each) for at, each in enumerate(islice(values, MAX_REQUEST_ITEMS + 1))
    ]
    if len(found) > MAX_REQUEST_ITEMS:
        raise ValueError(f"{name} has more than {MAX_REQUEST_ITEMS} ids")
    return found


def texts(name: str, values: Any, most: int) -> list[str]:
    """Texts from anything that gives them one by one, at most `most`."""
    if isinstance(values, (str, bytes, bytearray, Mapping)) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of str, got {_shown(values)}")
    found = [text(f"{name}[{at}]", each) for at, each in enumerate(islice(values, most + 1))]
    if len(found) > most:
        raise ValueError(f"{name} has more than {most}")
    return found


def after(value: Any) -> int | dict[str, int]:
    """A rating that an answer must know of, as a request has it."""
    if isinstance(value, Mapping):
        given = dict(value)
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        given = value._asdict()
    else:
        return integer("after", value, 0)
    if set(given) not in ({"partition", "offset"}, {"journal"}):
        names = ", ".join(map(str, given)) or "nothing"
        raise ValueError(f"after must have partition and offset, or journal alone, got {names}")
    return {name: integer(f"after[{name!r}]", each, 0) for name, each in given.items()}


def rating(value: Any, scale: tuple[float, float] | None) -> float | None:
    """A rating on a scale, where one is known; None withdraws."""
    if value is None:
        return None
    number = _number("rating", value, "a finite number, or None to withdraw one")
    if fault := contract.rating_fault(number, *(scale or (-math.inf, math.inf))):
        hint = "" if "finite" in fault else "; the client's rating_scale is what the worker takes"
        raise ValueError(f"rating {fault}{hint}")
    return number


def timestamp(value: Any) -> float | None:
    """A time in seconds since 1970, from a number or a `datetime` that knows its time zone."""
    if value is None:
        return None
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"timestamp must have a time zone, got {_shown(value)}")
        value = value.timestamp()
    number = _number("timestamp", value, "a number of seconds since 1970, or a datetime with a time zone")
    if fault := contract.timestamp_fault(number):
        raise ValueError(f"timestamp {fault}")
    return number


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """A whole number from `low` to `high`."""
    bounds = f"of at least {low}" if high is None else f"between {low} and {high}"
    if not _is_integer(value):
        raise TypeError(f"{name} must be an integer {bounds}, got {_shown(value)}")
    number = int(value)
    if number < low or (high is not None and number > high) or number >= 2**63:
        raise ValueError(f"{name} must be an integer {bounds}, got {_shown(value)}")
    return number


def count(value: Any) -> int:
    """The number of items that a request is for."""
    return integer("n", value, 1, MAX_N)


def flag(name: str, value: Any) -> bool:
    """True or False, and nothing that only counts as such."""
    kind = type(value)
    if kind is not bool and (kind.__module__, kind.__name__) not in (("numpy", "bool"), ("numpy", "bool_")):
        raise TypeError(f"{name} must be True or False, got {_shown(value)}")
    return bool(value)


def text(name: str, value: Any) -> str:
    """A text that is not empty and not longer than an id."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {_shown(value)}")
    if fault := contract.id_fault(value):
        raise ValueError(f"{name} {fault}, got {_shown(value)}")
    return str.__str__(value)


def share(name: str, value: Any) -> float:
    """A number from 0 to 1."""
    number = _number(name, value, "a number between 0 and 1")
    if not 0 <= number <= 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value!r}")
    return number


def hours(name: str, value: Any) -> float:
    """A time in hours, more than none."""
    number = _number(name, value, f"a number of hours up to {MAX_HOURS}")
    if not 0 < number <= MAX_HOURS:
        raise ValueError(f"{name} must be a number of hours up to {MAX_HOURS}, got {value!r}")
    return number


def seconds(name: str, value: Any, *, or_none: bool = False) -> float:
    """A time to wait; 0 only where `or_none` says that it may be no time at all."""
    wanted = "a number of seconds that is not negative" if or_none else "a positive number of seconds"
    number = _number(name, value, wanted)
    # No lock can be waited for any longer.
    if not (0 < number < threading.TIMEOUT_MAX or (or_none and number == 0)):
        raise ValueError(f"{name} must be {wanted}, got {value!r}")
    return number


def addresses(value: Any) -> str:
    """Addresses of brokers, in one text separated by commas."""
    if isinstance(value, str):
        return value
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable):
        raise TypeError(f"bootstrap_servers must be a str or a list of str, got {_shown(value)}")
    return ",".join(text(f"bootstrap_servers[{at}]", each) for at, each in enumerate(value))


def scale(value: Any) -> tuple[float, float] | None:
    """The lowest and the highest rating, or None."""
    if value is None:
        return None
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Iterable):
        raise TypeError(f"rating_scale must be a pair of numbers, got {_shown(value)}")
    ends = [_number("rating_scale", each, "a pair of numbers") for each in value]
    if len(ends) != 2 or not -math.inf < ends[0] < ends[1] < math.inf:
        raise ValueError(f"rating_scale must be the lowest and the highest rating, got {_shown(value)}")
    return ends[0], ends[1]


def _is_integer(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def _number(name: str, value: Any, wanted: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        raise TypeError(f"{name} must be {wanted}, got {_shown(value)}")
    try:
        return float(value)
    except (OverflowError, ValueError):  # an integer beyond all floats, a Decimal that signals
        raise ValueError(f"{name} must be {wanted}, got {_shown(value)}") from None


def _shown(value: Any) -> str:
    """A value and its type for a person, on one line."""
    try:
        said = " ".join(repr(value).split())
    except ValueError:  # Python refuses to print integers of thousands of digits
        said = "one of thousands of digits"
    kind = "" if value is None else f" ({type(value).__name__})"
    return f"{said[:80]}{kind}"
