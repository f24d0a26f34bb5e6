"""Formats that records and files turn out to be in, by their first bytes or by their fields.

Asked only of what was refused, so none of it costs a good record anything. Each answer is a clause that
continues a sentence, such as ``the value looks like gzip``; it is empty where nothing is recognised.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from recommender.messages.content_types import MSGPACK, Headers

#: How files and compressed blocks begin.
MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"\xff\x06\x00\x00sNaPpY", "Snappy"),
    (b"\x82SNAPPY\x00", "Snappy"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"BZh", "bzip2"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Excel workbook (.xls)"),
    (b"PAR1", "Parquet"),
    (b"ORC", "ORC"),
    (b"Obj\x01", "an Avro file"),
    (b"ARROW1", "Arrow"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"%PDF", "PDF"),
    (b"\xac\xed\x00\x05", "an object serialized by Java"),
    (b"\x80\x03", "a pickle of Python"),
    (b"\x80\x04\x95", "a pickle of Python"),
    (b"\x80\x05\x95", "a pickle of Python"),
    (b":)\n", "Smile"),
)
_BY_FIRST_BYTE = {start[0]: [each for each in MAGIC if each[0][0] == start[0]] for start, _ in MAGIC}
#: What is inside an Excel workbook, which is a zip archive.
_WORKBOOK = re.compile(rb"\[Content_Types\]\.xml|xl/|_rels/")
#: Headers with which serializers name a schema, so that the value is bare.
_SCHEMA_HEADERS = ("__value_schema_id", "apicurio.value.globalid", "apicurio.value.contentid")
#: Bytes that are in no text.
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_BASE64 = re.compile(rb"eyJ[A-Za-z0-9+/_-]*={0,2}\s*\Z")
_FORM = re.compile(rb"\w+=[^&=\s]*(&\w+=[^&=\s]*)*\s*\Z")
_PYTHON = re.compile(rb"\{\s*'")
_NOT_A_NUMBER = re.compile(rb"[:,\[]\s*(NaN|-?Infinity)\b")
_DOCUMENTS = re.compile(rb"\}\s*\{")
#: How much of a value is examined.
_LOOK = 4096
_PROTOBUF_FIELDS = 64
_NOTHING = object()


def of_bytes(value: bytes, headers: Headers = ()) -> str:
    """A clause on what bytes are that could not be decoded."""
    if not value:
        return "the value is empty"
    for name, _ in headers or ():
        if name.lower() in _SCHEMA_HEADERS:
            return f"the value is Avro, Protobuf or the like, whose schema the header {name} names"
    what = "text in UTF-16, where UTF-8 was expected" if _is_utf16(value) else _registered(value)
    what = what or _by_magic(value)
    if not what:
        what = _binary(value) if _CONTROL.search(value, 0, _LOOK) or value[0] >= 0x80 else _text(value)
    return f"the value looks like {what}" if what else ""


def of_file(start: bytes) -> str:
    """The format of a file that is no text in UTF-8, from its first bytes; empty where none is recognised."""
    found = _by_magic(start)
    if found == "a zip archive" and _WORKBOOK.search(start):
        return "an Excel workbook (.xlsx)"
    return found or ("text in UTF-16" if _is_utf16(start) else "")


def decodes(value: bytes, *, packed: bool = False) -> bool:
    """The value is JSON, or MessagePack, of whatever shape."""
    return _document(value, packed) is not _NOTHING


def of_document(value: bytes, headers: Headers = (), *, packed: bool = False) -> str:
    """A clause on a value that was decoded but lacks what was expected."""
    document = _document(value, packed)
    if isinstance(document, str) and document.lstrip()[:1] in ("{", "["):
        return "the value is JSON inside a text of JSON, encoded twice"
    if isinstance(document, list) and document and isinstance(document[0], dict):
        return "the value is a list, and each element has to be a record of its own"
    if isinstance(document, dict) and (what := _envelope(document)):
        return f"the value looks like {what}"
    if any(name.lower().startswith("ce_") for name, _ in headers or ()):
        return "the headers say that it is the data of a CloudEvent"
    return ""


def _document(value: bytes, packed: bool) -> Any:
    try:
        return msgspec.msgpack.decode(value) if packed else msgspec.json.decode(value)
    except (msgspec.MsgspecError, RecursionError, ValueError, TypeError):
        return _NOTHING


def _envelope(document: dict[Any, Any]) -> str:
    if "specversion" in document:
        return "a CloudEvent, whose own fields are inside `data`"
    payload = document.get("payload")
    if isinstance(payload, dict) and _is_change(payload):
        return "an envelope of Debezium, whose fields are inside `payload.after`"
    if _is_change(document):
        return "an envelope of Debezium, whose fields are inside `after`"
    if "payload" in document and "schema" in document:
        return (
            "an envelope of Kafka Connect, whose fields are inside `payload` "
            "(value.converter.schemas.enable=false leaves it away)"
        )
    inside = next((key for key, each in document.items() if isinstance(each, dict) and "user" in each), None)
    return "" if inside is None else f"an envelope, whose fields are inside `{str(inside)[:64]}`"


def _is_change(document: dict[Any, Any]) -> bool:
    return "op" in document and ("after" in document or "before" in document)


def _binary(value: bytes) -> str:
    if value.startswith(b"\xef\xbb\xbf"):
        return "text with a byte order mark in front, which JSON does not have"
    if _is_map(value):
        return f"MessagePack, without the header content-type: {MSGPACK}"
    if len(value) == int.from_bytes(value[:4], "little") and value[-1] == 0:
        return "BSON"
    if _is_protobuf(value):
        return "Protobuf"
    return "binary data" if _CONTROL.search(value, 0, _LOOK) and not value.lstrip().startswith(b"{") else ""


def _registered(value: bytes) -> str:
    """Confluent's serializers put a zero byte and a schema id in front, newer ones a 1 and a GUID."""
    if value[0] == 0 and len(value) > 5:
        number, rest = int.from_bytes(value[1:5], "big"), value[5:]
        named = f"id {number}"
    elif value[0] == 1 and len(value) > 17:
        named, rest = f"GUID {value[1:17].hex()}", value[17:]
    else:
        return ""
    kind = "JSON" if rest.lstrip()[:1] in (b"{", b"[") else "Avro or Protobuf"
    return (
        f"{kind} of a schema registry, as Confluent's serializers write it: byte {value[0]}, "
        f"the schema's {named}, the message"
    )


def _by_magic(value: bytes) -> str:
    for start, name in _BY_FIRST_BYTE.get(value[0], ()) if value else ():
        if value.startswith(start):
            return name
    return ""


def _is_utf16(value: bytes) -> bool:
    """A byte order mark, or every other byte of the first eight is zero and the others are not."""
    if value[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return True
    if 0 not in value[:8]:
        return False
    even, odd = value[0:8:2], value[1:8:2]
    return len(odd) > 1 and ((not any(even) and all(odd)) or (not any(odd) and all(even)))


def _is_map(value: bytes) -> bool:
    if not (0x80 <= value[0] <= 0x8F or value[0] in (0xDE, 0xDF)):
        return False
    return isinstance(_document(value, True), dict)


def _is_protobuf(value: bytes) -> bool:
    """The bytes can be read as fields of Protobuf to their end, or for long enough to believe it."""
    at = 0
    for _ in range(_PROTOBUF_FIELDS):
        if at == len(value):
            return at > 0
        key, at = _varint(value, at)
        wire = key & 7
        if key >> 3 == 0 or wire not in (0, 1, 2, 5):
            return False
        size, at = _varint(value, at) if wire in (0, 2) else (8 if wire == 1 else 4, at)
        at += 0 if wire == 0 else size
        if at > len(value):
            return False
    return True


def _varint(value: bytes, at: int) -> tuple[int, int]:
    """The number at a place and where it ends; past the end where there is none."""
    number = 0
    for place in range(10):
        if at + place >= len(value):
            break
        byte = value[at + place]
        number |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return number, at + place + 1
    return 0, len(value) + 1


def _text(value: bytes) -> str:
    start = value[:_LOOK].lstrip()
    if start.startswith(b"<"):
        return "XML or HTML"
    if start.startswith(b"{"):
        return _broken_json(start)
    if start.startswith(b"eyJ") and _BASE64.match(start):
        return "JSON in Base64"
    if b"=" in start and _FORM.match(start):
        return "a form as browsers send it"
    line = start.partition(b"\n")[0]
    separators = max(line.count(b","), line.count(b";"), line.count(b"\t"))
    return "a line of CSV" if separators >= 2 and b"{" not in line else ""


def _broken_json(start: bytes) -> str:
    if b"'" in start and _PYTHON.match(start):
        return "Python's own text of a dict, with single quotes, where JSON was expected"
    if b"}" in start and _DOCUMENTS.search(start):
        return "several JSON documents, and each has to be a record of its own"
    if (b"NaN" in start or b"Infinity" in start) and _NOT_A_NUMBER.search(start):
        return "JSON with NaN or Infinity, which JSON does not have"
    return ""
