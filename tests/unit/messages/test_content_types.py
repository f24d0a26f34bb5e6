"""Content types: JSON and MessagePack, and what is named otherwise."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from tests.unit.messages.test_ratings import GOOD, MSGPACK, complaint, decode


@pytest.mark.parametrize(
    "kind",
    [
        b"application/msgpack",
        b"Application/X-MsgPack",
        b"application/vnd.msgpack; v=1",
        b" application/msgpack ",
    ],
)
def test_messagepack_goes_by_several_names(kind: bytes) -> None:
    assert decode(msgspec.msgpack.encode(GOOD), [("content-type", kind)]).user == "42"


@pytest.mark.parametrize(
    "kind", [b"application/json", b"application/json; charset=utf-8", b"APPLICATION/JSON"]
)
def test_json_is_named_or_the_default(kind: bytes) -> None:
    value = json.dumps(GOOD).encode()
    assert decode(value, [("content-type", kind)]) == decode(value) == decode(value, [("other", b"\xff")])


@pytest.mark.parametrize("kind", [b"text/plain", b"", b"application/avro", b"\xff\xfe", b"x" * 5000])
def test_what_is_json_is_read_whatever_its_content_type_says(kind: bytes) -> None:
    assert decode(json.dumps(GOOD).encode(), [("content-type", kind)]) == decode(json.dumps(GOOD).encode())
    told = complaint(b"42,50,5", [("content-type", kind)])
    assert "expected application/json or application/msgpack, and the value is not JSON" in told
    assert f"content-type is {kind[:64].decode('utf-8', 'replace')!r}" in told
    assert len(told) < 250


@pytest.mark.parametrize("name", ["Content-Type", "CONTENT-TYPE", "content-type"])
def test_the_header_may_be_written_as_in_http(name: str) -> None:
    packed = msgspec.msgpack.encode(GOOD)
    assert decode(packed, [(name, b"application/msgpack")]).user == "42"
    # Of several the last counts, as in Kafka's own clients; one that is null says nothing.
    assert (
        decode(packed, [("content-type", b"application/json"), (name, b"application/msgpack")]).user == "42"
    )
    null: Any = ("content-type", None)
    assert decode(packed, [(name, b"application/msgpack"), null]).user == "42"
    assert decode(json.dumps(GOOD).encode(), [null]).user == "42"


def test_a_wrong_content_type_is_noticed() -> None:
    assert complaint(json.dumps(GOOD).encode(), MSGPACK)
    assert complaint(msgspec.msgpack.encode(GOOD))
