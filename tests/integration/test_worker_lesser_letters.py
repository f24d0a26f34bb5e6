"""Dead letters that their topic does not take as they are: they are written, and the worker goes on."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer

from recommender.kafka.network import Network
from recommender.kafka.topics import ensure
from tests.integration.test_faults import committed, take_at_most
from tests.support.kafka import Record, consume_all, create_topics, produce, wait_until
from tests.support.worker_logs import Oracle, generated
from tests.support.workers import PATIENCE, Installation, installed

PREFIX = "__connect.errors."
DAY_MS = 86_400_000


def produce_compressed(kafka: str, topic: str, *records: Record) -> None:
    """Write records in gzip, which is all that a broker looks at."""
    producer = KafkaProducer(
        kafka_client=Network, bootstrap_servers=kafka, compression_type="gzip", max_request_size=100_000_000
    )
    try:
        for each in records:
            producer.send(
                topic, each.value, each.key, list(each.headers), each.partition, each.timestamp_ms
            ).get(timeout=PATIENCE)
    finally:
        producer.close(timeout=10)


def letters(installation: Installation) -> list[Any]:
    """The dead letters, when there is one for each bad rating, or more of them."""
    return consume_all(installation.kafka, installation.topics.dead_letters)


def told(letter: Any) -> dict[str, str]:
    """What our headers tell of a letter."""
    ours = [each for each in letter.headers if each[0].startswith(PREFIX)]
    return {name.removeprefix(PREFIX): value.decode() for name, value in ours}


def about(part: str, content: bytes) -> dict[str, str]:
    return {f"{part}.length": str(len(content)), f"{part}.sha256": hashlib.sha256(content).hexdigest()}


def learned_around(installation: Installation, good: int) -> None:
    """A worker has learned these good ratings, and stands where the log ends, before and after a restart."""
    worker = installation.worker().start().ready()
    oracle = Oracle(installation)
    oracle.assert_agrees(worker)
    assert worker.metric("recommender_ratings_total", result="learned") == good
    ends = oracle.learned[0]
    wait_until(lambda: committed(installation) == ends, PATIENCE, worker.log)
    assert "Traceback" not in worker.log
    before = len(letters(installation))
    worker.stop()
    worker.start().ready()
    produce(installation.kafka, installation.topics.ratings, generated(10, seed=3))
    oracle.assert_agrees(worker)
    assert worker.metric("recommender_ratings_total", result="learned") == 10
    assert len(letters(installation)) == before


SPACES = b" " * 1_200_000
#: What is too much: the record, the key that its letter has, and what the letter tells of what it lacks.
TOO_MUCH: dict[str, tuple[Record, bytes, dict[str, str]]] = {
    "value": (Record(SPACES, b"key", [("own", b"1")]), b"key", about("value", SPACES)),
    "value without a key": (Record(SPACES), b"", about("value", SPACES)),
    "much": (Record(b" " * 30_000_000, b"key"), b"key", about("value", b" " * 30_000_000)),
    "key": (
        Record(b"bad", SPACES, [("own", b"1")]),
        b"0:%d",
        {**about("value", b"bad"), **about("key", SPACES), "headers.count": "1"},
    ),
    "header": (
        Record(b"bad", b"key", [("own", SPACES), ("other", b"2")]),
        b"0:%d",
        {**about("value", b"bad"), **about("key", b"key"), "headers.count": "2"},
    ),
}


def test_letters_that_do_not_fit(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "compressed") as installation:
        ratings = installation.topics.ratings
        produce(kafka, ratings, [*generated(50), b"first"])
        produce_compressed(kafka, ratings, *(record for record, _, _ in TOO_MUCH.values()))
        produce(kafka, ratings, [b"last", *generated(50, seed=2)])
        learned_around(installation, 100)
        first, *found, last = letters(installation)
        assert (first.value, last.value) == (b"first", b"last")
        assert len(found) == len(TOO_MUCH)
        for offset, letter, what in zip(range(51, 99), found, TOO_MUCH, strict=False):
            record, key, lacks = TOO_MUCH[what]
            tells = told(letter)
            assert (letter.value, letter.partition) == (None, 0), what
            assert letter.key == (key % offset if b"%" in key else key), what
            assert lacks.items() <= tells.items(), what
            assert (tells["topic"], tells["offset"], tells["stage"]) == (ratings, str(offset), "decode")
            assert "headers.count" in tells or [*record.headers] == letter.headers[: len(record.headers)]


def test_letters_for_a_compacted_topic(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "compacted", partitions=0) as installation:
        installation.partitions = 1
        create_topics(kafka, installation.topics.dead_letters, configs={"cleanup.policy": "compact,delete"})
        ensure(kafka, installation.topics, 1)
        bad = [Record(b"bad %d" % each, None if each % 2 else b"key") for each in range(300)]
        produce(kafka, installation.topics.ratings, [*generated(50), *bad, *generated(50, seed=2)])
        learned_around(installation, 100)
        found = letters(installation)
        assert [each.value for each in found] == [each.value for each in bad]
        assert [each.key for each in found] == [
            b"0:%d" % (50 + each) if each % 2 else b"key" for each in range(300)
        ]
        log = installation.worker().start().ready().log
        assert f"{installation.topics.dead_letters}: cleanup.policy is compact,delete, expected delete" in log
        assert f"{installation.topics.dead_letters}: max.message.bytes is 1048588, expected at least" in log


def test_letters_whose_time_the_topic_does_not_take(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "times", partitions=0) as installation:
        installation.partitions = 1
        topics = installation.topics
        anything = {"message.timestamp.after.max.ms": str(2**62), "retention.ms": "-1"}
        create_topics(kafka, topics.ratings, configs=anything)
        limits = {
            "message.timestamp.before.max.ms": str(DAY_MS),
            "message.timestamp.after.max.ms": str(DAY_MS),
        }
        create_topics(kafka, topics.dead_letters, configs={**limits, "retention.ms": "-1"})
        ensure(kafka, topics, 1)
        now = int(time.time() * 1000)
        times = [now, now - 2 * DAY_MS, now + 365 * DAY_MS, 0, 2**50, now]
        bad = [Record(b"bad %d" % each, b"key", timestamp_ms=each) for each in times]
        produce(kafka, topics.ratings, [*generated(50), *bad, *generated(50, seed=2)])
        learned_around(installation, 100)
        found = letters(installation)
        assert [each.value for each in found] == [each.value for each in bad]
        for letter, when in zip(found, times, strict=True):
            if when == now:
                assert letter.timestamp == now
                assert "timestamp" not in told(letter)
            else:
                assert told(letter)["timestamp"] == str(when)
                assert now <= letter.timestamp < now + DAY_MS


def test_a_topic_that_was_narrowed_while_the_worker_runs(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "narrowed") as installation:
        worker = installation.worker().start().ready()
        take_at_most(2000, kafka, installation.topics.dead_letters)
        bad = [b"small %d" % each if each % 3 else b"%d " % each * 1000 for each in range(60)]
        produce(kafka, installation.topics.ratings, bad)
        Oracle(installation).assert_agrees(worker)
        found = letters(installation)
        assert [told(each)["offset"] for each in found] == [str(each) for each in range(60)]
        for letter, value in zip(found, bad, strict=True):
            if len(value) < 2000:
                assert letter.value == value
            else:
                assert letter.value is None
                assert about("value", value).items() <= told(letter).items()
        assert worker.metric("recommender_ratings_total", result="dead_letter") == 60


@pytest.mark.parametrize("limit", [100, 300])
def test_where_not_even_our_headers_fit_nothing_is_committed(kafka: str, tmp_path: Path, limit: int) -> None:
    with installed(kafka, tmp_path, "tiny") as installation:
        worker = installation.worker().start().ready()
        produce(kafka, installation.topics.ratings, generated(50))
        Oracle(installation).assert_agrees(worker)
        take_at_most(limit, kafka, installation.topics.dead_letters)
        produce(kafka, installation.topics.ratings, [b"bad " * 100])
        assert worker.exit_code() == 1
        assert committed(installation) == 50
