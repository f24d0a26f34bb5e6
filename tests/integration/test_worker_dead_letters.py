"""What is no rating goes to the dead letters as it came; its neighbours are learned and the worker lives."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from recommender.messages.partitioning import partition_of
from tests.support.kafka import Header, Record, consume_all, produce
from tests.support.worker_logs import Running, rating, running_worker
from tests.support.workers import PATIENCE

MSGPACK: Header = ("content-type", b"application/msgpack")
HERE, AWAY = 1, 0
#: A user whose ratings belong on the partition that the bad ones are written to.
GOOD = next(user for user in map(str, range(100)) if partition_of(user, 2) == HERE)


def body(**changes: Any) -> bytes:
    """A rating with some fields changed; Python writes NaN and Infinity as most producers do."""
    return json.dumps({"user": GOOD, "item": "1", "rating": 4, **changes}).encode()


def without(field: str) -> bytes:
    """A rating that lacks a field."""
    fields = {"user": GOOD, "item": "1", "rating": 4}
    del fields[field]
    return json.dumps(fields).encode()


def key_of(number: int, value: bytes | None) -> bytes | None:
    """Half of the bad ratings have no key; kafka-python refuses to send a record that is null in both."""
    return None if number % 2 and value is not None else b"\x00key\xff"


CHANGE = {"before": None, "after": {"user": GOOD, "item": "1", "rating": 4}, "op": "c"}

#: What is wrong, the value, its headers, and what the dead letter must say.
BAD: list[tuple[str, bytes | None, list[Header], str]] = [
    ("empty", b"", [], "truncated"),
    ("not JSON", b"user=1", [], "malformed"),
    ("cut off", rating(GOOD, "1")[:-3], [], "truncated"),
    ("two of them", rating(GOOD, "1") * 2, [], "trailing"),
    ("not UTF-8", b'{"user": "\xff", "item": "1", "rating": 4}', [], "UTF-8"),
    ("half a character", b'{"user": "\\ud800", "item": "1", "rating": 4}', [], "surrogate"),
    ("an array", b"[1, 2, 3]", [], "Expected `object`, got `array`"),
    ("a number", b"5", [], "Expected `object`, got `int`"),
    ("null as JSON", b"null", [], "Expected `object`, got `null`"),
    ("no user", without("user"), [], "missing required field `user`"),
    ("no item", without("item"), [], "missing required field `item`"),
    ("no rating", without("rating"), [], "missing required field `rating`"),
    ("user is null", body(user=None), [], "$.user"),
    ("user is a list", body(user=["1"]), [], "$.user"),
    ("user is a fraction", body(user=1.5), [], "$.user"),
    ("user is true", body(user=True), [], "$.user"),
    ("item is an object", body(item={"id": 1}), [], "$.item"),
    ("rating is text", body(rating="4"), [], "$.rating"),
    ("rating is true", body(rating=True), [], "$.rating"),
    ("rating is a list", body(rating=[4]), [], "$.rating"),
    ("timestamp is text", body(timestamp="now"), [], "$.timestamp"),
    ("user is empty", body(user=""), [], "$.user"),
    ("item is empty", body(item=""), [], "$.item"),
    ("user is long", body(user="u" * 257), [], "$.user"),
    ("item is long in bytes", body(item="é" * 129), [], "at most 256 bytes, got 258"),
    ("user has thousands of digits", b'{"user": %s, "item": 1, "rating": 4}' % (b"9" * 5000), [], "$.user"),
    ("rating is NaN", body(rating=float("nan")), [], "malformed"),
    ("rating is infinite", body(rating=float("inf")), [], "malformed"),
    ("rating is huge", b'{"user": "1", "item": "1", "rating": 1e999}', [], "out of range"),
    (
        "rating is NaN in MessagePack",
        msgspec.msgpack.encode({"user": GOOD, "item": "1", "rating": float("nan")}),
        [MSGPACK],
        "$.rating",
    ),
    ("rating is too high", body(rating=5.5), [], "Expected `float` <= 5.0 - at `$.rating`"),
    ("rating is too low", body(rating=0), [], "Expected `float` >= 0.5 - at `$.rating`"),
    ("timestamp is negative", body(timestamp=-1), [], "$.timestamp"),
    ("timestamp in milliseconds", body(timestamp=881250949000), [], "timestamps are in seconds"),
    ("deeply nested", b"[" * 50_000 + b"]" * 50_000, [], "65536"),
    ("nested", b'{"x": ' * 5000 + b"1" + b"}" * 5000, [], "nested too deeply"),
    ("a megabyte", body(note="x" * 1_000_000), [], "expected at most 65536"),
    ("null", None, [], "the value is null"),
    ("wrong content type", b"1,2,3", [("content-type", b"text/csv")], "content-type is 'text/csv'"),
    ("JSON said to be MessagePack", body(), [MSGPACK], "Expected `object`"),
    ("cut-off MessagePack", msgspec.msgpack.encode({"user": GOOD})[:-1], [MSGPACK], "truncated"),
    ("MessagePack without its header", msgspec.msgpack.encode({"user": GOOD}), [], "looks like MessagePack"),
    ("Avro of a schema registry", b"\0\0\0\0\x11\x0442\x0450", [], "Avro or Protobuf of a schema registry"),
    ("Debezium", json.dumps(CHANGE).encode(), [], "an envelope of Debezium"),
    ("Kafka Connect", json.dumps({"schema": {}, "payload": {}}).encode(), [], "an envelope of Kafka Connect"),
    ("CloudEvents", json.dumps({"specversion": "1.0", "data": {}}).encode(), [], "a CloudEvent"),
    ("gzip", gzip.compress(body()), [], "looks like gzip"),
    ("UTF-16", body().decode().encode("utf-16"), [], "text in UTF-16"),
]
NAMES = [name for name, *_ in BAD]


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker that has met all bad ratings, each with a good one before and after it."""
    with running_worker(kafka, tmp_path_factory.mktemp("letters"), "letters", 2) as running:
        records = [Record(rating(GOOD, "before"), GOOD.encode(), partition=HERE)]
        for number, (name, value, headers, _) in enumerate(BAD):
            marks: list[Header] = [("name", name.encode()), ("bytes", b"\x00\xff"), ("bytes", b""), *headers]
            records.append(Record(value, key_of(number, value), marks, HERE, 1_234_567_890_123 + number))
            records.append(Record(rating(GOOD, f"after {name}"), GOOD.encode(), partition=HERE))
        produce(kafka, running.topics.ratings, records)
        running.oracle.assert_agrees(running.worker)
        yield running


@pytest.fixture(scope="module")
def letters(running: Running) -> dict[str, Any]:
    """The dead letters by what is wrong with them."""
    found = consume_all(running.kafka, running.topics.dead_letters)
    letters = {dict(letter.headers)["name"].decode(): letter for letter in found}
    assert len(found) == len(letters)
    return letters


def test_each_bad_rating_is_a_dead_letter_and_nothing_else_is(letters: dict[str, Any]) -> None:
    assert set(letters) == set(NAMES)


@pytest.mark.parametrize(("number", "name"), list(enumerate(NAMES)), ids=NAMES)
def test_it_is_untouched_and_says_why(
    running: Running, letters: dict[str, Any], number: int, name: str
) -> None:
    letter = letters[name]
    _, value, headers, said = BAD[number]
    assert letter.value == value
    assert letter.key == key_of(number, value)
    assert letter.timestamp == 1_234_567_890_123 + number
    assert letter.partition == HERE
    own = [("name", name.encode()), ("bytes", b"\x00\xff"), ("bytes", b""), *headers]
    assert list(letter.headers[: len(own)]) == own
    added = {key: text.decode() for key, text in letter.headers[len(own) :]}
    assert said in added.pop("__connect.errors.exception.message")
    assert added == {
        "__connect.errors.topic": running.topics.ratings,
        "__connect.errors.partition": str(HERE),
        "__connect.errors.offset": str(2 * number + 1),
        "__connect.errors.exception.class.name": "recommender.BadMessage",
        "__connect.errors.stage": "decode",
    }


def test_the_good_neighbours_are_learned_and_the_worker_lives(running: Running) -> None:
    shard = running.oracle.replica.shard
    items = {shard.items.id_of(index) for index in range(len(shard.items))}
    assert items == {"before", *(f"after {name}" for name in NAMES)}
    assert running.worker.metric("recommender_ratings_total", result="dead_letter") == len(BAD)
    assert running.worker.metric("recommender_ratings_total", result="learned") == len(BAD) + 1
    produce(running.kafka, running.topics.ratings, [Record(rating(GOOD, "one more"), GOOD.encode())])
    assert running.oracle.assert_agrees(running.worker).shard.items.find("one more") is not None
    assert running.worker.page("readyz")[0] == 200
    assert "Traceback" not in running.worker.log


def test_they_are_told_of_by_reason(running: Running) -> None:
    """The log names the first at once; the status page and the metrics count them by kinds of reasons."""
    name, _, _, said = BAD[0]
    where = f"{running.topics.ratings}[{HERE}] offset 1"
    told = [line for line in running.worker.log.splitlines() if "dead letter" in line]
    assert any(where in line and said in line for line in told), name
    assert len(told) < len(BAD) / 2, "one line each"
    status = running.worker.status()["dead_letters"]
    assert status["total"] == sum(status["reasons"].values()) >= len(BAD)
    assert status["reasons"]["missing_field"] == 3
    assert status["reasons"]["bad_timestamp"] == 3
    assert status["reasons"]["envelope"] == 3
    assert status["newest"].startswith(f"{running.topics.ratings}[{HERE}] offset ")
    for reason, count in status["reasons"].items():
        assert running.worker.metric("recommender_dead_letters_total", reason=reason) == count
    assert running.worker.metric("recommender_dead_letters_total", reason="learn_failed") == 0


@pytest.mark.parametrize(
    ("name", "kind"), [("content-type", b"text/plain"), ("Content-Type", b"text/json"), ("content-type", b"")]
)
def test_what_is_json_is_learned_whatever_its_content_type(running: Running, name: str, kind: bytes) -> None:
    item = f"typed {name} {kind!r}"
    produce(running.kafka, running.topics.ratings, [Record(rating(GOOD, item), None, [(name, kind)], HERE)])
    assert running.oracle.assert_agrees(running.worker).shard.items.find(item) is not None


def test_messagepack_whose_header_is_written_as_in_http_is_learned(running: Running) -> None:
    packed = msgspec.msgpack.encode({"user": GOOD, "item": "packed", "rating": 4, "timestamp": None})
    produce(
        running.kafka,
        running.topics.ratings,
        [Record(packed, None, [("Content-Type", b"application/msgpack")], HERE)],
    )
    assert running.oracle.assert_agrees(running.worker).shard.items.find("packed") is not None


def test_a_record_that_is_null_in_key_and_value(running: Running) -> None:
    """No rating and no key: some clients send this, and others refuse to."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": running.kafka})
    producer.produce(running.topics.ratings, None, None, HERE, headers=[("name", b"nothing"), ("null", None)])
    assert producer.flush(PATIENCE) == 0
    running.oracle.assert_agrees(running.worker)
    letter = consume_all(running.kafka, running.topics.dead_letters)[-1]
    assert dict(letter.headers)["name"] == b"nothing"
    assert (letter.key, letter.value, letter.headers[1]) == (b"", None, ("null", None))
