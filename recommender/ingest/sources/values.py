"""Turns what is at a path into an id, a rating or a time, or says what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from recommender.messages.ratings import MAX_ID_BYTES, MAX_TIMESTAMP, SURE_CHARACTERS
from recommender.messages.refusals import BadMessage, Kind

#: Numbers below these are seconds, milliseconds, microseconds; what is larger is in nanoseconds.
LIMITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6))
NANOSECONDS = 1e9
UNITS = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": NANOSECONDS}

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?", re.ASCII)
#: An absent field; null is None.
ABSENT = object()
_NAMES = {str: "str", int: "int", float: "float", bool: "bool", dict: "object", list: "array", bytes: "bytes"}
_SHOWN = 60


def described(value: object) -> str:
    """A value's type, as msgspec's errors have it."""
    if value is ABSENT:
        return "nothing"
    return "null" if value is None else _NAMES.get(type(value), type(value).__name__)


def require(value: object, path: str) -> object:
    """The value, if there is one."""
    if value is ABSENT:
        raise BadMessage(f"Object missing required field - at `{path}`", Kind.MISSING_FIELD)
    return value


def identifier(value: object, path: str, kind: Kind) -> str:
    """An id as text: of text, an integer, or a number that is integral."""
    if value.__class__ is str and 0 < len(value) <= SURE_CHARACTERS:
        return value
    require(value, path)
    if value.__class__ is float and value.is_integer():
        value = int(value)
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            raise BadMessage(f"the id is not UTF-8: {error.reason} - at `{path}`", kind) from None
    if value.__class__ is int:
        try:
            value = str(value)
        except ValueError:  # Python refuses to print integers of thousands of digits
            raise BadMessage(f"an integer of more than {MAX_ID_BYTES} digits - at `{path}`", kind) from None
    if not isinstance(value, str):
        raise BadMessage(f"Expected `str | int`, got `{described(value)}` - at `{path}`", kind)
    if not value:
        raise BadMessage(f"Expected `str` of length >= 1 - at `{path}`", kind)
    if len(value) > SURE_CHARACTERS:
        size = len(value.encode(errors="replace"))
        if size > MAX_ID_BYTES:
            raise BadMessage(
                f"expected an id of at most {MAX_ID_BYTES} bytes, got {size} - at `{path}`", kind
            )
    return value


def number(value: object, path: str, kind: Kind) -> float:
    """A number, or one that is written as text."""
    require(value, path)
    if value.__class__ is float or value.__class__ is int:
        try:
            found = float(value)
        except OverflowError:
            raise BadMessage(f"Number out of range - at `{path}`", kind) from None
        if found - found == 0.0:
            return found
        raise BadMessage(f"Expected a finite number, got {found} - at `{path}`", kind)
    if isinstance(value, Decimal):
        return number(float(value), path, kind)
    if isinstance(value, str):
        if _NUMBER.fullmatch(value) and (found := float(value)) - found == 0.0:
            return found
        raise BadMessage(f"Expected a number, got {value[:_SHOWN]!r} - at `{path}`", kind)
    raise BadMessage(f"Expected `float`, got `{described(value)}` - at `{path}`", kind)


def seconds_by(unit: str) -> Callable[[object, str], float]:
    """A function that turns the time at a path into seconds since 1970."""

    def seconds(value: object, path: str) -> float:
        if value.__class__ is int or value.__class__ is float:
            return _in_bounds(_numeric(value, path), value, path)
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        found = _moment(value, path) if isinstance(value, datetime) else None
        if found is None and isinstance(value, str) and unit in ("auto", "iso"):
            found = _moment(_parsed(value, path), path)
        return _in_bounds(_numeric(value, path) if found is None else found, value, path)

    def _numeric(value: object, path: str) -> float:
        if unit == "iso":
            raise BadMessage(
                f"Expected a time as ISO 8601, got `{described(value)}` - at `{path}`", Kind.BAD_TIMESTAMP
            )
        found = number(value, path, Kind.BAD_TIMESTAMP)
        return found / (per_second or divisor(found))

    per_second = UNITS.get(unit)
    return seconds


def _in_bounds(found: float, value: object, path: str) -> float:
    if not 0 <= found <= MAX_TIMESTAMP:
        raise BadMessage(
            f"Expected a time from 1970 to 3000, got {_shown(value)} - at `{path}`", Kind.BAD_TIMESTAMP
        )
    return found


def divisor(value: float) -> float:
    """The number of a time's units in a second, judged by its size."""
    size = abs(value)
    for limit, each in LIMITS:
        if size < limit:
            return each
    return NANOSECONDS


def seconds_of(moment: datetime) -> float:
    """Seconds since 1970; without a zone in UTC."""
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _moment(moment: datetime, path: str) -> float:
    try:
        return seconds_of(moment)
    except (OverflowError, ValueError):
        raise BadMessage(
            f"Expected a time from 1970 to 3000, got {moment} - at `{path}`", Kind.BAD_TIMESTAMP
        ) from None


def _parsed(text: str, path: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise BadMessage(
            f"Expected a time as ISO 8601, got {text[:_SHOWN]!r} - at `{path}`", Kind.BAD_TIMESTAMP
        ) from None


def scaled(value: float, scale: tuple[float, float] | None, low: float, high: float, path: str) -> float:
    """A rating on the worker's scale, from the source's."""
    least, most = scale or (low, high)
    if value < least:
        raise BadMessage(f"Expected `float` >= {least} - at `{path}`", Kind.BAD_RATING)
    if value > most:
        raise BadMessage(f"Expected `float` <= {most} - at `{path}`", Kind.BAD_RATING)
    if scale is None:
        return value
    # Rounding must not leave the scale.
    return min(max(low + (value - least) * ((high - low) / (most - least)), low), high)


def is_true(value: Any) -> bool:
    """True where a flag says that a row is gone: ``true``, also as text, or a number but 0."""
    if isinstance(value, str):
        return value.lower() in ("true", "1", "yes", "t", "y")
    return isinstance(value, bool | int | float) and bool(value)


def _shown(value: object) -> str:
    return repr(value)[:_SHOWN]
