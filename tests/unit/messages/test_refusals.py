"""What is said of a record that is refused: what it looks like, and a kind that never comes from its text."""

from __future__ import annotations

import base64
import gzip
import json
import pickle
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recommender.messages.content_types import content_type
from recommender.messages.ratings import MAX_RATING_BYTES, BadMessage, Headers, RatingDecoder
from recommender.messages.refusals import Kind
from recommender.messages.requests import decode_request
from tests.support.doubles import few

MSGPACK: Headers = [("content-type", b"application/msgpack")]
GOOD = {"user": "42", "item": "50", "rating": 5}
TEXT = json.dumps(GOOD).encode()
CHANGE = {"before": None, "after": {"user_id": 42, "movie_id": 50, "stars": 5}, "op": "c", "ts_ms": 1}
CLOUD = {"specversion": "1.0", "type": "rated", "source": "/shop", "id": "1", "data": GOOD}


def refused(value: bytes | None, headers: Headers = ()) -> BadMessage:
    with pytest.raises(BadMessage) as caught:
        RatingDecoder(0.5, 5.0).decode(value, headers)
    return caught.value


#: Each kind of value that is not what the topic holds: what the reason must say, and its kind.
LOOKS: list[tuple[str, bytes, Headers, str, Kind]] = [
    ("empty", b"", (), "the value is empty", Kind.NOT_JSON),
    ("Confluent Avro", b"\0\0\0\0\x11\x0442\x0450", (), "schema registry, as Confluent", Kind.OTHER_FORMAT),
    ("its schema's id", b"\0\0\0\0\x11\x0442\x0450", (), "id 17,", Kind.OTHER_FORMAT),
    ("Confluent JSON", b"\0\0\0\0\x01" + TEXT, (), "looks like JSON of a schema registry", Kind.OTHER_FORMAT),
    ("Confluent GUID", b"\x01" + bytes(range(16)) + b"\x0442", (), "GUID 000102", Kind.OTHER_FORMAT),
    (
        "schema in a header",
        b"\x0442\x0450",
        [("__value_schema_id", b"")],
        "the header __value",
        Kind.OTHER_FORMAT,
    ),
    ("Debezium", json.dumps(CHANGE).encode(), (), "Debezium, whose fields are inside `after`", Kind.ENVELOPE),
    (
        "Debezium with its schema",
        json.dumps({"schema": {}, "payload": CHANGE}).encode(),
        (),
        "Debezium, whose fields are inside `payload.after`",
        Kind.ENVELOPE,
    ),
    (
        "Kafka Connect",
        json.dumps({"schema": {"type": "struct"}, "payload": GOOD}).encode(),
        (),
        "Kafka Connect, whose fields are inside `payload` (value.converter.schemas.enable=false",
        Kind.ENVELOPE,
    ),
    ("CloudEvents", json.dumps(CLOUD).encode(), (), "a CloudEvent, whose own fields are", Kind.ENVELOPE),
    (
        "CloudEvents by its type",
        json.dumps(CLOUD).encode(),
        [("content-type", b"application/cloudevents+json; charset=utf-8")],
        "a CloudEvent",
        Kind.ENVELOPE,
    ),
    (
        "CloudEvents in headers",
        b'{"userId": 42}',
        [("ce_specversion", b"1.0"), ("ce_type", b"rated")],
        "the headers say that it is the data of a CloudEvent",
        Kind.ENVELOPE,
    ),
    ("another envelope", json.dumps({"data": GOOD}).encode(), (), "fields are inside `data`", Kind.ENVELOPE),
    ("MessagePack", msgspec.msgpack.encode(GOOD), (), "MessagePack, without the header", Kind.OTHER_FORMAT),
    ("JSON said to be MessagePack", TEXT, MSGPACK, "looks like JSON, and not like", Kind.CONTENT_TYPE),
    ("gzip", gzip.compress(TEXT), (), "looks like gzip", Kind.OTHER_FORMAT),
    ("Zstandard", b"\x28\xb5\x2f\xfd\x20", (), "looks like Zstandard", Kind.OTHER_FORMAT),
    ("UTF-16", TEXT.decode().encode("utf-16"), (), "text in UTF-16", Kind.OTHER_FORMAT),
    ("UTF-16 LE", TEXT.decode().encode("utf-16-le"), (), "text in UTF-16", Kind.OTHER_FORMAT),
    ("UTF-16 BE", TEXT.decode().encode("utf-16-be"), (), "text in UTF-16", Kind.OTHER_FORMAT),
    ("a mark", b"\xef\xbb\xbf" + TEXT, (), "a byte order mark", Kind.OTHER_FORMAT),
    ("Protobuf", b"\x0a\x0242\x12\x0250\x1d\0\0\xa0\x40", (), "looks like Protobuf", Kind.OTHER_FORMAT),
    ("BSON", struct.pack("<i", 14) + b"\x02u\0\2\0\0\x004\0\0", (), "looks like", Kind.OTHER_FORMAT),
    ("Java", b"\xac\xed\x00\x05sr", (), "serialized by Java", Kind.OTHER_FORMAT),
    ("a pickle", pickle.dumps(GOOD), (), "a pickle of Python", Kind.OTHER_FORMAT),
    ("Python's text", str(GOOD).encode(), (), "Python's own text of a dict", Kind.NOT_JSON),
    ("XML", b"<rating user='42'/>", (), "XML or HTML", Kind.OTHER_FORMAT),
    ("CSV", b"42,50,5", (), "a line of CSV", Kind.OTHER_FORMAT),
    ("CSV with names", b"ann;tea;5;881250949", (), "a line of CSV", Kind.OTHER_FORMAT),
    ("a form", b"user=42&item=50&rating=5", (), "a form as browsers send it", Kind.OTHER_FORMAT),
    ("Base64", base64.b64encode(TEXT), (), "JSON in Base64", Kind.OTHER_FORMAT),
    ("NaN", b'{"user": 1, "item": 2, "rating": NaN}', (), "JSON with NaN or Infinity", Kind.NOT_JSON),
    ("two documents", TEXT + b"\n" + TEXT, (), "several JSON documents", Kind.NOT_JSON),
    ("a list", json.dumps([GOOD, GOOD]).encode(), (), "each element has to be a record", Kind.ENVELOPE),
    ("encoded twice", json.dumps(TEXT.decode()).encode(), (), "encoded twice", Kind.ENVELOPE),
    ("another type", b"x", [("content-type", b"text/csv")], "is 'text/csv': expected", Kind.CONTENT_TYPE),
    (
        "another type of JSON",
        b'{"user": 1}',
        [("content-type", b"text/plain")],
        "missing required field `item` (content-type is 'text/plain', and the value was read as JSON)",
        Kind.MISSING_FIELD,
    ),
    ("Avro by its type", b"\x0442\x0450", [("content-type", b"avro/binary")], "avro/b", Kind.OTHER_FORMAT),
]


@pytest.mark.parametrize(
    ("value", "headers", "told", "kind"), [each[1:] for each in LOOKS], ids=[x[0] for x in LOOKS]
)
def test_a_reason_says_what_the_value_looks_like(
    value: bytes, headers: Headers, told: str, kind: Kind
) -> None:
    error = refused(value, headers)
    assert told in str(error)
    assert error.kind is kind
    assert len(str(error)) < 400
    # A user is enough for a request, and `after` is a field of it.
    if kind is not Kind.MISSING_FIELD and not told.endswith("inside `after`"):
        with pytest.raises(BadMessage) as caught:
            decode_request(value, headers)
        assert told in str(caught.value)
        assert caught.value.kind is kind


def changed(**fields: Any) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, Kind.NULL_VALUE),
        (b" " * (MAX_RATING_BYTES + 1), Kind.TOO_LARGE),
        (b'{"x":' * 10_000, Kind.TOO_DEEP),
        (TEXT[:-3], Kind.NOT_JSON),
        (b"[]", Kind.NOT_AN_OBJECT),
        (b"5", Kind.NOT_AN_OBJECT),
        (b"{}", Kind.MISSING_FIELD),
        (changed(user=None), Kind.BAD_USER),
        (changed(user=["`$.item`"]), Kind.BAD_USER),
        (changed(user="u" * 300), Kind.BAD_USER),
        (changed(user=10**300), Kind.BAD_USER),
        (changed(user="é" * 200), Kind.BAD_USER),
        (changed(item=""), Kind.BAD_ITEM),
        (changed(item=10**300), Kind.BAD_ITEM),
        (changed(rating="5"), Kind.BAD_RATING),
        (changed(rating=7), Kind.BAD_RATING),
        (b'{"user": 1, "item": 2, "rating": 1e999}', Kind.BAD_RATING),
        (changed(timestamp=881250949000), Kind.BAD_TIMESTAMP),
        (changed(timestamp="now"), Kind.BAD_TIMESTAMP),
    ],
)
def test_each_reason_has_its_kind(value: bytes | None, kind: Kind) -> None:
    assert refused(value).kind is kind
    if value is not None and len(value) < 1000 and kind.startswith("bad_") and b"1e999" not in value:
        packed = msgspec.msgpack.encode(msgspec.json.decode(value)) if b"0" * 64 not in value else b""
        assert not packed or refused(packed, MSGPACK).kind is kind


def test_messagepack_that_is_none_has_its_kind() -> None:
    assert refused(msgspec.msgpack.encode(GOOD)[:-1], MSGPACK).kind is Kind.NOT_MSGPACK
    assert refused(msgspec.msgpack.encode([1]), MSGPACK).kind is Kind.NOT_AN_OBJECT
    assert refused(msgspec.msgpack.encode({"data": GOOD}), MSGPACK).kind is Kind.ENVELOPE


def test_kinds_are_few_and_can_be_labels() -> None:
    assert len(Kind) < 25
    assert all(each.value.replace("_", "").isalpha() for each in Kind)


def test_the_page_of_the_contracts_lists_them() -> None:
    page = (Path(__file__).parents[3] / "docs" / "contracts.md").read_text("utf-8")
    assert [each for each in Kind if f"`{each.value}`" not in page] == []


@few
@given(st.binary(max_size=300), st.binary(max_size=20))
@example(b"\x00" * 6, b"application/avro")
@example(b"\x0a", b"")
@example(b"\x80", b"")
@example(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", b"")
def test_looking_at_whatever_comes_raises_nothing_else(value: bytes, said: bytes) -> None:
    for headers in ((), MSGPACK, [("Content-Type", said)]):
        with suppress(BadMessage):
            RatingDecoder(0.5, 5.0).decode(value, headers)
        with suppress(BadMessage):
            decode_request(value, headers)


def test_the_content_type_is_found_among_others() -> None:
    null: Any = ("CONTENT-TYPE", None)
    assert content_type([]) is None
    assert content_type([("content-typo", b"1"), ("é" * 12, b"2")]) is None
    assert content_type([("content-type", b"1"), ("Content-Type", b"2"), null, ("x", b"3")]) == b"2"
