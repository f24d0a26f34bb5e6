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
#: Apicurio's headers: eight bytes, big-endian; and the name of a Protobuf message.
CONTENT_ID = "apicurio.value.contentId"
GLOBAL_ID = "apicurio.value.globalId"
MESSAGE = "apicurio.protobuf.type"
#: Before version 3 Apicurio's serializers wrote eight bytes in front of values, of a global id. Its first
#: four are 0, which as a number of four bytes is no schema's.
_GLOBAL = bytes(5)
#: A value begins with one of these where it has a prefix: a number of four bytes follows, or a GUID.
NUMBER, GUID = 0, 1
#: How the first field of a Protobuf message begins, where it is text.
_NAME_FIELD = 0x0A


@dataclass(frozen=True, slots=True)
class SchemaId:
    """The id by which a registry knows a schema.

    Attributes
    ----------
    name : int or str
        A number, or a GUID.
    is_global : bool
        A number that Apicurio gives to each version of each artifact, while those of content are all others'.
    """

    name: int | str
    is_global: bool = False

    def __str__(self) -> str:
        return f"of global id {self.name}" if self.is_global else str(self.name)


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
    message : str or None
        The name of a Protobuf message, empty where only its schema is named; None where indexes say it.
    """

    schema: SchemaId | None
    content: bytes
    indexes: bytes | None = None
    message: str | None = None


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
    for name in (CONTENT_ID, GLOBAL_ID):
        number = _last(record.headers, name)
        if number is not None:
            message = (_last(record.headers, MESSAGE) or b"").decode(errors="replace")
            schema = SchemaId(int.from_bytes(number, "big"), is_global=name == GLOBAL_ID)
            return Written(schema, value, message=message)
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


def named_in_front(content: bytes) -> tuple[str, int] | None:
    """The name of a Protobuf message that Apicurio's serializers write in front, and how many bytes it takes.

    It is a message with one field, behind its size. Nothing else is told by this: indexes may look alike.
    """
    if len(content) < 3 or content[1] != _NAME_FIELD or content[0] != content[2] + 2 or content[0] > 0x7F:
        return None
    end = content[0] + 1
    return content[3:end].decode(errors="replace"), end


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
    if text.startswith(_GLOBAL) and len(text) >= 9:
        return SchemaId(int.from_bytes(text[1:9], "big"), is_global=True), text[9:]
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
