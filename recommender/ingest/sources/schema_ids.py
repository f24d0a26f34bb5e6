"""Schemas' ids: in front of a record's value, or in a header."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from recommender.messages.content_types import Headers
from recommender.messages.records import Record
from recommender.messages.refusals import BadMessage, Kind

#: Confluent's header, which has the same bytes as the prefix of a value.
HEADER = "__value_schema_id"
#: Apicurio's headers: eight bytes, big-endian.
CONTENT_ID = "apicurio.value.contentId"
GLOBAL_ID = "apicurio.value.globalId"
#: A value begins with one of these where it has a prefix: a number of four bytes follows, or a GUID.
NUMBER, GUID = 0, 1


@dataclass(frozen=True, slots=True)
class SchemaId:
    """By what a registry knows a schema: a number, or a GUID."""

    name: int | str

    def __str__(self) -> str:
        return str(self.name)


class Written(NamedTuple):
    """The way in which a value was written.

    Attributes
    ----------
    schema : SchemaId or None
        None where it does not say.
    content : bytes
        The value behind its prefix; of Protobuf with the indexes in front where they are there.
    indexes : bytes or None
        Those of Protobuf where they are in a header.
    """

    schema: SchemaId | None
    content: bytes
    indexes: bytes | None = None


def written(record: Record) -> Written:
    """Tell how a record's value was written.

    Raises
    ------
    BadMessage
        It says so in a way that is not known.
    """
    value = record.value or b""
    if not record.headers:
        return _in_front(value)
    named = _last(record.headers, HEADER)
    if named is not None:
        schema, rest = _parsed(named, f"the header {HEADER}")
        return Written(schema, value, rest)
    content_id = _last(record.headers, CONTENT_ID)
    if content_id is not None:
        return Written(SchemaId(int.from_bytes(content_id, "big")), value)
    if _last(record.headers, GLOBAL_ID) is not None:
        raise BadMessage(
            f"the header {GLOBAL_ID} names a global id: expected {CONTENT_ID}, which Apicurio's serializers "
            "write with apicurio.registry.use-id=contentId",
            Kind.SCHEMA,
        )
    return _in_front(value)


def _in_front(value: bytes) -> Written:
    """Tell how a value was written, by what stands in front of it."""
    if value[:1] in (b"\x00", b"\x01"):
        schema, rest = _parsed(value, "the value")
        return Written(schema, rest)
    return Written(None, value)


def indexes_of(content: bytes) -> tuple[tuple[int, ...], int]:
    """The indexes of a Protobuf message in its file, and how many bytes they take.

    They are zigzag numbers, their count first; a single 0 stands for the first message.
    """
    count, at = _zigzag(content, 0)
    if count == 0:
        return (0,), at
    indexes = []
    if not 0 < count <= len(content):
        raise BadMessage(f"{count} indexes of a Protobuf message: expected a few", Kind.SCHEMA)
    for _ in range(count):
        index, at = _zigzag(content, at)
        indexes.append(index)
    return tuple(indexes), at


def _zigzag(content: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        if at >= len(content) or shift > 28:
            raise BadMessage("the indexes of the Protobuf message are cut off", Kind.SCHEMA)
        byte = content[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (number >> 1) ^ -(number & 1), at


def _parsed(text: bytes, what: str) -> tuple[SchemaId, bytes]:
    if text[:1] == b"\x00" and len(text) >= 5:
        return _numbered(text[1:5]), text[5:]
    if text[:1] == b"\x01" and len(text) >= 17:
        hexadecimal = text[1:17].hex()
        parts = (hexadecimal[i:j] for i, j in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
        return SchemaId("-".join(parts)), text[17:]
    raise BadMessage(f"{what} begins with {text[:1].hex()!r}: no whole schema id", Kind.SCHEMA)


@lru_cache(maxsize=1024)
def _numbered(number: bytes) -> SchemaId:
    """The id of a number; most records have the same."""
    return SchemaId(int.from_bytes(number, "big"))


def _last(headers: Headers, name: str) -> bytes | None:
    return next(
        (value for each, value in reversed(headers or ()) if each == name and value is not None), None
    )
