"""Reads JSON lines: what the ratings topic takes, or other names for the same, one object to a line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from recommender.errors import SourceError
from recommender.evaluation.datasets import names
from recommender.evaluation.datasets.values import IMPLICIT_RATING, Bounds, seconds_of
from recommender.messages.nesting import json_is_too_deep
from recommender.messages.ratings import SKIP, TOO_DEEP, Event, Forget, Merge, Rating, RatingDecoder
from recommender.messages.refusals import BadMessage, refused

_ID: Any = str | int
_TYPES: tuple[Any, ...] = (_ID, _ID, float | Literal["skip"] | None, float | str | None)
_FIELDS = ("user", "item", "rating", "timestamp")
#: A line with the names of the ratings topic.
_CANONICAL = '{"user": "", "item": "", "rating": 1, "timestamp": 0}'
#: Of any scale: it is looked at elsewhere.
_EVENTS = RatingDecoder(-sys.float_info.max, sys.float_info.max)


def recognised(first_line: str) -> bool:
    """The first line of a file holds JSON."""
    return first_line.lstrip()[:1] in ("{", "[")


def events(
    numbered: Iterator[tuple[int, str]],
    first_line: str,
    expected: str,
    bounds: Bounds,
    say: Callable[[str], None],
    *,
    others: bool,
) -> Iterator[Event]:
    """The ratings of a file; null withdraws one, and ``"skip"`` is 0.

    Parameters
    ----------
    numbered : iterator of (int, str)
        All lines.
    first_line : str
        Its names are those of all lines.
    expected : str
        What errors end with.
    bounds : Bounds
    say : callable
        Told where there are no ratings.
    others : bool
        Lines may also say whom to forget or to merge, as the ratings topic takes them.

    Raises
    ------
    SourceError
        A line is not a rating.
    """
    path = bounds.path
    told = _other(first_line.encode(), path, 1) if others else None
    decode = _decoder(bounds, first_line if told is None else _CANONICAL, expected, say)
    for number, text in numbered:
        if not text.strip():
            continue
        value = text.encode()
        _refuse_depth(path, number, value)
        try:
            line = decode(value)
        except (msgspec.MsgspecError, RecursionError) as error:
            other = _other(value, path, number) if others else None
            if other is None:
                raise SourceError(f"{path} line {number}: {_reason(error, value)}") from None
            yield other
            continue
        try:
            user, item = str(line.user), str(line.item)
        except ValueError:  # Python refuses to print integers of thousands of digits
            raise SourceError(f"{path} line {number}: an id has thousands of digits") from None
        rating = 0.0 if line.rating == SKIP else line.rating
        found = Rating(user, item, rating, _seconds(bounds, number, line.timestamp))
        if not found.user or not found.item:
            raise SourceError(f"{path} line {number}: the {'item' if found.user else 'user'} is empty")
        bounds.check(number, found)
        yield found


def _other(value: bytes, path: object, number: int) -> Forget | Merge | None:
    """The event of a line that is no rating; None of a rating, and of what is nothing known."""
    try:
        found = _EVENTS.decode_event(value)
    except BadMessage as error:
        if b'"forget"' in value or b'"merge"' in value:
            raise SourceError(f"{path} line {number}: {error}") from None
        return None
    return None if isinstance(found, Rating) else found


def _refuse_depth(path: object, number: int, value: bytes) -> None:
    """Refuse a line that is nested too deeply, whatever the interpreter could read."""
    if json_is_too_deep(value):
        raise SourceError(f"{path} line {number}: {TOO_DEEP}")


def _decoder(bounds: Bounds, first_line: str, expected: str, say: Callable[[str], None]) -> Any:
    """A decoder of lines that have the names of the first one."""
    path = bounds.path
    value = first_line.encode()
    _refuse_depth(path, 1, value)
    try:
        first = msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SourceError(f"{path} line 1: {_reason(error, value)}") from None
    if not isinstance(first, dict):
        raise SourceError(f"{path} line 1: expected an object on each line, got a list; {expected}")
    keys = list(first)
    places = names.columns(path, keys, expected)
    if places.rating < 0:
        say(f"{path} has no ratings: each line counts as {IMPLICIT_RATING:g}")
    fields: list[Any] = []
    for name, kind, place in zip(_FIELDS, _TYPES, places, strict=True):
        default = {"rating": IMPLICIT_RATING, "timestamp": None}
        optional = name in default and (name == "timestamp" or place < 0)
        fields.append((name, kind, default[name]) if optional else (name, kind))
    renamed = {name: keys[place] for name, place in zip(_FIELDS, places, strict=True) if place >= 0}
    return msgspec.json.Decoder(msgspec.defstruct("Line", fields, rename=renamed, gc=False)).decode


def _reason(error: Exception, value: bytes) -> str:
    return str(refused(error, value)).replace("Invalid enum value", "Expected a number, null or 'skip', got")


def _seconds(bounds: Bounds, number: int, value: float | str | None) -> float | None:
    if not isinstance(value, str):
        return None if value is None else value / bounds.per_second
    when = seconds_of(value)
    if when is None:
        raise SourceError(
            f"{bounds.path} line {number}: timestamp {value[:80]!r} is no date as in 2024-05-01T12:00:00Z"
        )
    return when
