"""Ratings as they go out: checked, and encoded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Literal, NamedTuple

import msgspec
import orjson

from recommender.client import arguments
from recommender.errors import SourceError
from recommender.messages import contract
from recommender.messages.contract import KNOWN_SCALE
from recommender.messages.ratings import MAX_TIMESTAMP, SURE_CHARACTERS, Event, Forget, Merge, Rating

Format = Literal["json", "msgpack"]

#: The headers that say in which format a rating is.
HEADERS: dict[Format, list[tuple[str, bytes]]] = {
    "json": [],
    "msgpack": [("content-type", b"application/msgpack")],
}
_NUMBERS = (float, int)


class Written(NamedTuple):
    """The place of a rating in the ratings topic: what ``after=`` takes."""

    partition: int
    offset: int


def encode_rating(
    user: str | int,
    item: str | int,
    rating: float | None,
    timestamp: float | datetime | None = None,
    scale: tuple[float, float] | None = KNOWN_SCALE,
) -> bytes:
    """A rating as it goes out; the parameters are those of `Client.rate`, and the scale of ratings.

    Raises
    ------
    TypeError, ValueError
        As for `encode_request`.
    """
    if _is_plain(user, item, rating, timestamp, scale):
        try:
            return orjson.dumps(_fields(user, item, rating, timestamp))
        except orjson.JSONEncodeError:
            pass  # half a character in one of the ids
    user, item = arguments.identifier("user", user), arguments.identifier("item", item)
    return orjson.dumps(_fields(user, item, arguments.rating(rating, scale), arguments.timestamp(timestamp)))


def encode_forget(user: str | int | None = None, item: str | int | None = None) -> bytes:
    """A request to forget a user or an item, as it goes out.

    Raises
    ------
    TypeError, ValueError
        As for `encode_request`.
    """
    if (user is None) == (item is None):
        raise ValueError(f"expected either user or item, got {'neither' if user is None else 'both'}")
    name, given = ("item", item) if user is None else ("user", user)
    return orjson.dumps({name: arguments.identifier(name, given), "forget": True})


def encode_merge(user: str | int, guest: str | int) -> bytes:
    """A guest who turns out to be a user, as it goes out.

    Raises
    ------
    TypeError, ValueError
        As for `encode_request`.
    """
    named, other = arguments.identifier("user", user), arguments.identifier("guest", guest)
    if named == other:
        raise ValueError(f"user and guest must differ, both are {named!r}")
    return orjson.dumps({"user": named, "merge": other})


def _is_plain(user: Any, item: Any, rating: Any, timestamp: Any, scale: tuple[float, float] | None) -> bool:
    """A rating as most are: to look closer would take longer than to encode it."""
    if user.__class__ is not str or item.__class__ is not str or scale is None:
        return False
    if not (0 < len(user) <= SURE_CHARACTERS and 0 < len(item) <= SURE_CHARACTERS):
        return False
    if rating.__class__ not in _NUMBERS or not scale[0] <= rating <= scale[1]:
        return False
    return timestamp is None or (timestamp.__class__ in _NUMBERS and 0 <= timestamp <= MAX_TIMESTAMP)


def checked(ratings: Iterable[Event], scale: tuple[float, float]) -> Iterator[Event]:
    """The ratings and whom to forget or to merge, up to one that a worker would refuse.

    Raises
    ------
    SourceError
        The text says which it is, and what is wrong with it.
    """
    for number, rating in enumerate(ratings, 1):
        if not isinstance(rating, Rating):
            fault = _fault(rating)
        elif contract.is_plain(rating, scale):
            fault = ""
        else:
            fault = contract.fault(rating, scale)
        if fault:
            raise SourceError(f"Rating {number} would be refused: {fault}")
        yield rating


def _fault(event: Forget | Merge) -> str:
    """The fault of what is no rating; empty where there is none."""
    if isinstance(event, Merge) and event.user == event.guest:
        return f"user {event.user!r} cannot be merged with himself"
    for name, identifier in event._asdict().items():
        if name != "timestamp" and identifier is not None and (wrong := contract.id_fault(identifier)):
            return f"{name} {wrong}"
    wrong = "" if event.timestamp is None else contract.timestamp_fault(event.timestamp)
    return f"timestamp {wrong}" if wrong else ""


def encode_checked(event: Event, message_format: Format = "json") -> bytes:
    """A rating that has been checked, or what else there is, as it goes out; whole numbers as integers."""
    if isinstance(event, Rating):
        fields = _fields(event.user, event.item, _number(event.rating), _number(event.timestamp))
    else:
        fields = _other_fields(event)
    return orjson.dumps(fields) if message_format == "json" else msgspec.msgpack.encode(fields)


def _fields(user: Any, item: Any, rating: Any, timestamp: Any) -> dict[str, Any]:
    """The fields of a rating on the wire: no timestamp where there is none."""
    fields = {"user": user, "item": item, "rating": rating}
    if timestamp is not None:
        fields["timestamp"] = timestamp
    return fields


def _other_fields(event: Forget | Merge) -> dict[str, Any]:
    """The fields of what is no rating on the wire."""
    fields: dict[str, Any]
    if isinstance(event, Merge):
        fields = {"user": event.user, "merge": event.guest}
    elif event.user is not None:
        fields = {"user": event.user, "forget": True}
    else:
        fields = {"item": event.item, "forget": True}
    if event.timestamp is not None:
        fields["timestamp"] = _number(event.timestamp)
    return fields


def _number(value: float | None) -> float | int | None:
    if value is None:
        return None
    whole = int(value)
    return whole if whole == value else value
