"""Each bad request gets one failure that names what is wrong, and good ones around it are answered."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.support.asking import Asker, asking
from tests.support.kafka import Header
from tests.support.worker_logs import Running, generated, running_worker

MSGPACK: Header = ("content-type", b"application/msgpack")
BETWEEN = "n must be between 1 and 1000, got "
INTEGER = "n must be an integer between 1 and 1000, got "

#: The request, and what the message of its failure must say.
BAD: list[tuple[dict[str, Any] | bytes | None, list[Header], str]] = [
    ({"n": 1}, [], "`user`"),
    ({"user": ""}, [], "$.user"),
    ({"user": "u" * 257}, [], "$.user"),
    ({"user": "é" * 129}, [], "at most 256 bytes, got 258"),
    ({"user": None}, [], "user"),
    ({"user": ["1"]}, [], "$.user"),
    ({"user": True}, [], "$.user"),
    ({"user": "1", "n": 0}, [], BETWEEN + "0"),
    ({"user": "1", "n": 1001}, [], BETWEEN + "1001"),
    ({"user": "1", "n": -1}, [], BETWEEN + "-1"),
    ({"user": "1", "n": "ten"}, [], INTEGER + "'ten'"),
    ({"user": "1", "n": 2.5}, [], INTEGER + "2.5"),
    ({"user": "1", "n": 10.0}, [], INTEGER + "10.0"),
    ({"user": "1", "n": True}, [], INTEGER + "True"),
    ({"user": "1", "explore": "0.5"}, [], "explore must be a number between 0 and 1, got '0.5'"),
    ({"user": "1", "items": "50"}, [], "$.items"),
    ({"user": "1", "items": {"50": 1}}, [], "$.items"),
    ({"user": "1", "items": ["50", None]}, [], "$.items"),
    ({"user": "1", "items": ["50", ""]}, [], "$.items"),
    ({"user": "1", "items": ["é" * 129]}, [], "$.items"),
    ({"user": "1", "items": ["1"] * 10_001}, [], "$.items"),
    ({"user": "1", "exclude": [1.5]}, [], "$.exclude"),
    ({"user": "1", "include_rated": "yes"}, [], "$.include_rated"),
    ({"user": "1", "include_rated": 1}, [], "$.include_rated"),
    ({"user": "1", "after": -1}, [], "$.after"),
    ({"user": "1", "after": "now"}, [], "$.after"),
    ({"user": "1", "arm": 5}, [], "$.arm"),
    ({"user": "1", "arm": ""}, [], "$.arm"),
    ({"user": "1", "arm": "none of ours"}, [], "arm 'none of ours' does not exist"),
    (b"", [], "truncated"),
    (b"recommend!", [], "malformed"),
    (b"[]", [], "Expected `object`, got `array`"),
    (b'"42"', [], "Expected `object`, got `str`"),
    (b"null", [], "Expected `object`, got `null`"),
    (b'{"user": "\xff"}', [], "UTF-8"),
    (b'{"user": "\\ud800", "n": 1}', [], "surrogate"),
    (b'{"user": %s}' % (b"9" * 5000), [], "$.user"),
    (b'{"user": "1", "after": %s}' % (b"9" * 5000), [], "$.after"),
    (b'{"user": "1", "n": 1e999}', [], "out of range"),
    (b'{"x": ' * 5000 + b"1" + b"}" * 5000, [], "nested too deeply"),
    (b'{"user": "1", "note": "' + b"x" * 600_000 + b'"}', [], "expected at most 524288"),
    (None, [], "the value is null"),
    (b"user=1&n=10", [("content-type", b"application/x-www-form-urlencoded")], "looks like a form"),
    (b"\0\0\0\0\x11\x0442", [], "Avro or Protobuf of a schema registry"),
    ({"schema": {}, "payload": {"user": "1"}}, [], "an envelope of Kafka Connect"),
    ({"user": "1"}, [MSGPACK], "Expected `object`"),
    ({"user": "1"}, [("deadline-ms", b"soon")], "header deadline-ms has value 'soon'"),
    ({"user": "1"}, [("deadline-ms", b"")], "header deadline-ms has value ''"),
    ({"user": "1"}, [("deadline-ms", b"9" * 5000)], "header deadline-ms"),
]


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker that knows a few items."""
    ratings = generated(100, users=10, items=20)
    with running_worker(kafka, tmp_path_factory.mktemp("bad"), "bad-requests", ratings=ratings) as running:
        yield running


@pytest.fixture(scope="module")
def asker(running: Running) -> Iterator[Asker]:
    """One client, which has sent all bad requests."""
    with asking(running.kafka, running.topics) as asker:
        for number, (value, headers, _) in enumerate(BAD):
            asker.send(value, *headers, key=b"1", correlation=b"bad-%d" % number)
        yield asker


@pytest.mark.parametrize("number", range(len(BAD)))
def test_the_failure_names_what_is_wrong(asker: Asker, number: int) -> None:
    reply = asker.reply(b"bad-%d" % number)
    assert set(reply.headers) == {"kafka_correlationId", "error-code"}
    assert (reply.error["code"], reply.error["retriable"]) == ("bad_request", False)
    assert BAD[number][2] in reply.error["message"]
    assert len(reply.error["message"]) < 300
    assert reply.key == b"1"


OPTIONAL = ["n", "items", "exclude", "include_rated", "after", "arm", "similar_to", "explain", "explore"]


def test_null_is_the_same_as_leaving_a_field_out(asker: Asker) -> None:
    plain = asker.ask({"user": "new"}).body
    assert plain["ok"]
    assert len(plain["items"]) == 10
    for name in OPTIONAL:
        assert asker.ask({"user": "new", name: None}).body == plain
    assert asker.ask({"user": "new", **dict.fromkeys(OPTIONAL)}).body == plain
    assert asker.ask({"user": None, "similar_to": "i1", "n": None}).body["ok"]


def test_what_is_json_is_answered_whatever_its_content_type(asker: Asker) -> None:
    plain = asker.ask({"user": "new"}).body
    for name, kind in (("content-type", b"text/plain"), ("Content-Type", b"text/csv"), ("content-type", b"")):
        assert asker.ask({"user": "new"}, (name, kind)).body == plain
    packed = msgspec.msgpack.encode({"user": "new", "n": None})
    assert asker.ask(packed, ("Content-Type", b"application/msgpack"), key=b"new").body == plain


def test_there_is_one_failure_for_each_and_the_worker_lives(running: Running, asker: Asker) -> None:
    assert asker.ask({"user": "u1"}).body["ok"]
    asker.assert_one_reply_each()
    assert running.worker.metric("recommender_replies_total", code="bad_request") == len(BAD)
    assert running.worker.metric("recommender_replies_total", code="internal_error") == 0
    assert "Traceback" not in running.worker.log
