"""Reasons for which a record is refused: a sentence for people, and a kind for programs that count.

The code that refuses a record knows its kind, so nothing has to be read out of a sentence later. What msgspec
refuses is the exception: its errors are text, which is looked at here and nowhere else.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

import msgspec

from recommender.messages import lookalikes
from recommender.messages.content_types import (
    JSON,
    MSGPACK,
    Headers,
    content_type,
    is_json,
    is_msgpack,
    shown,
)

#: The class that a dead letter names: part of the contract, whatever the classes here are called.
BAD_MESSAGE_CLASS = "recommender.BadMessage"

#: What msgspec says of a value that ends too soon.
_TRUNCATED = "Input data was truncated"
#: The first field of the path at the end of one of msgspec's texts.
_PATH = re.compile(r"`\$\.?(?P<field>\w*)[^`]*`$")


class Kind(StrEnum):
    """Kinds of reasons: few, and none holds anything that a record says, so that they can be labels."""

    NULL_VALUE = "null_value"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    NOT_JSON = "not_json"
    NOT_MSGPACK = "not_msgpack"
    NOT_AN_OBJECT = "not_an_object"
    CONTENT_TYPE = "content_type"
    #: Neither JSON nor MessagePack but something known: Avro, gzip, XML, ...
    OTHER_FORMAT = "other_format"
    #: JSON in which the fields are inside something else: Debezium, Kafka Connect, CloudEvents.
    ENVELOPE = "envelope"
    #: Of what a schema registry has: the id is not known, or the schema cannot be used.
    SCHEMA = "schema"
    NOT_AVRO = "not_avro"
    NOT_PROTOBUF = "not_protobuf"
    MISSING_FIELD = "missing_field"
    BAD_USER = "bad_user"
    BAD_ITEM = "bad_item"
    BAD_RATING = "bad_rating"
    BAD_TIMESTAMP = "bad_timestamp"
    #: Any other field.
    BAD_FIELD = "bad_field"
    #: The client could not take the record apart.
    UNREADABLE = "unreadable"
    OTHER = "other"


_KINDS_OF_FIELDS = {
    "user": Kind.BAD_USER,
    "item": Kind.BAD_ITEM,
    "rating": Kind.BAD_RATING,
    "timestamp": Kind.BAD_TIMESTAMP,
}


class BadMessage(ValueError):
    """A record that is not what its topic holds; the text says what is wrong with it, and where.

    Attributes
    ----------
    kind : Kind
    """

    def __init__(self, text: str, kind: Kind = Kind.OTHER) -> None:
        super().__init__(text)
        self.kind = kind


class Refusal(NamedTuple):
    """A record that became a dead letter."""

    kind: Kind
    topic: str
    partition: int
    offset: int
    reason: str


def kind_of_path(path: str) -> Kind:
    """The kind of a reason that is about the field at a path such as ``$.user``."""
    return _KINDS_OF_FIELDS.get(path.removeprefix("$."), Kind.BAD_FIELD)


def refused(error: Exception, value: bytes, headers: Headers = ()) -> BadMessage:
    """The error for a value that msgspec refused, with what the value looks like where it is something known.

    Parameters
    ----------
    error : Exception
        A `msgspec.MsgspecError`, `UnicodeDecodeError` or `RecursionError`.
    value : bytes
    headers : sequence of (str, bytes)
        Of its record.
    """
    if not headers and value.startswith(b"{") and str(error) == _TRUNCATED:
        return BadMessage(_TRUNCATED, Kind.NOT_JSON)  # what is cut off looks like nothing else
    said = content_type(headers)
    packed = is_msgpack(said)
    text, kind = _explain(error), _kind(error, packed)
    foreign = not packed and not is_json(said)
    if kind in (Kind.NOT_AN_OBJECT, Kind.MISSING_FIELD):
        if packed and value.lstrip()[:1] in (b"{", b"["):
            return BadMessage(f"{text}: the value looks like JSON, and not like {MSGPACK}", Kind.CONTENT_TYPE)
        if lookalikes.decodes(value, packed=packed):
            if looks := lookalikes.of_document(value, headers, packed=packed):
                text, kind = f"{text}: {looks}", Kind.ENVELOPE
        else:
            # A number at its beginning hides that it is not JSON at all.
            kind = Kind.NOT_MSGPACK if packed else Kind.NOT_JSON
    if kind in (Kind.NOT_JSON, Kind.NOT_MSGPACK):
        if foreign:
            expected = f"expected {JSON} or {MSGPACK}, and the value is not JSON"
            text, kind = f"content-type is {shown(said)!r}: {expected}", Kind.CONTENT_TYPE
        if looks := lookalikes.of_bytes(value, headers):
            text = f"{text}: {looks}"
            # Nothing, and what begins as JSON does, is JSON that went wrong.
            if value.lstrip()[:1] not in (b"", b"{") or 0 in value[:8]:
                kind = Kind.OTHER_FORMAT
    elif foreign:
        text = f"{text} (content-type is {shown(said)!r}, and the value was read as JSON)"
    return BadMessage(text, kind)


def _explain(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the value is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"the value is not UTF-8: {error.reason} at byte {error.start}"
    text = str(error)
    return f"{text} (timestamps are in seconds)" if text.endswith("`$.timestamp`") else text


def _kind(error: Exception, packed: bool) -> Kind:
    if isinstance(error, RecursionError):
        return Kind.TOO_DEEP
    text = str(error)
    if found := _PATH.search(text):
        return _KINDS_OF_FIELDS.get(found["field"], Kind.BAD_FIELD)
    if isinstance(error, msgspec.ValidationError):
        return Kind.MISSING_FIELD if "required field" in text else Kind.NOT_AN_OBJECT
    return Kind.NOT_MSGPACK if packed else Kind.NOT_JSON
