"""The wire: titles, categories and the like, one record of the items topic for each item."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, NamedTuple

import msgspec

from recommender.messages.content_types import Headers
from recommender.messages.ratings import (
    MAX_ID_BYTES,
    MAX_TIMESTAMP,
    BadMessage,
    Identifier,
    decoder_for,
    identifier,
    refuse_depth,
)
from recommender.messages.refusals import Kind, refused

#: The largest value of an item's record, in bytes.
MAX_ITEM_BYTES = 64 * 1024
MAX_CATEGORIES = 100
MAX_TITLE = 1000
#: Between a tenth and ten times the score.
MIN_BOOST, MAX_BOOST = 0.1, 10.0

Category = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES)]
Categories = Annotated[list[Category], msgspec.Meta(max_length=MAX_CATEGORIES)]


class ItemInfo(NamedTuple):
    """The content of a record about an item.

    Attributes
    ----------
    title : str or None
    available : bool
        Whether it may be recommended.
    categories : tuple of str
        In order, each once.
    until : float
        When it ceases to be available, in seconds since 1970.
    boost : float
        What its score is multiplied with.
    """

    title: str | None = None
    available: bool = True
    categories: tuple[str, ...] = ()
    until: float = math.inf
    boost: float = 1.0


class _Wire(msgspec.Struct, gc=False):
    item: Identifier | int | None = None
    title: Annotated[str, msgspec.Meta(max_length=MAX_TITLE)] | None = None
    available: bool | None = None
    categories: Categories | None = None
    until: Annotated[float, msgspec.Meta(ge=0, le=MAX_TIMESTAMP)] | str | None = None
    boost: Annotated[float, msgspec.Meta(ge=MIN_BOOST, le=MAX_BOOST)] | None = None


_json = msgspec.json.Decoder(_Wire).decode
_msgpack = msgspec.msgpack.Decoder(_Wire).decode


def decode_item(key: bytes | None, value: bytes | None, headers: Headers = ()) -> tuple[str, ItemInfo | None]:
    """The item that a record is about, and what it says; None if the item is gone.

    The key names the item; where there is none, the field `item` does.

    Raises
    ------
    BadMessage
        It is no item's record; the text names the field and what was expected.
    """
    named = None if key is None else _named(key)
    if value is None:
        if named is None:
            raise BadMessage("the record has neither a key nor a value: expected an item", Kind.NULL_VALUE)
        return named, None
    if len(value) > MAX_ITEM_BYTES:
        raise BadMessage(
            f"the value has {len(value)} bytes: expected at most {MAX_ITEM_BYTES}", Kind.TOO_LARGE
        )
    decode = decoder_for(headers, _json, _msgpack) if headers else _json
    refuse_depth(value, msgpack=decode is _msgpack)
    try:
        wire: _Wire = decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise refused(error, value, headers) from None
    item = named if wire.item is None else identifier(wire.item, "$.item")
    if item is None:
        raise BadMessage("the record has no key: expected one, or a field `item`", Kind.MISSING_FIELD)
    if named is not None and item != named:
        raise BadMessage(
            f"the key is {named!r:.64}, but `item` is {item!r:.64}: expected the same", Kind.BAD_ITEM
        )
    until, boost = wire.until, wire.boost
    return item, ItemInfo(
        wire.title,
        wire.available is not False,
        tuple(sorted(set(wire.categories))) if wire.categories else (),
        math.inf if until is None else _moment(until),
        1.0 if boost is None else boost,
    )


def _named(key: bytes) -> str:
    try:
        text = key.decode()
    except UnicodeDecodeError:
        raise BadMessage("the key is not UTF-8: expected an item's id", Kind.BAD_ITEM) from None
    if not 1 <= len(key) <= MAX_ID_BYTES:
        raise BadMessage(
            f"the key has {len(key)} bytes: expected an item's id of 1 to {MAX_ID_BYTES}", Kind.BAD_ITEM
        )
    return text


def _moment(until: float | str) -> float:
    """Seconds since 1970."""
    if isinstance(until, str):
        try:
            moment = datetime.fromisoformat(until)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is None:
            raise BadMessage(
                f"Expected a time with its zone, such as 2026-01-31T00:00Z, got {until!r:.64} - at `$.until`",
                Kind.BAD_FIELD,
            )
        return moment.timestamp()
    return until
