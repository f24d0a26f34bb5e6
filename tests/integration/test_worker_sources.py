"""Topics as teams have them: a worker learns several at once, each in its own shape, each record once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from recommender.journal.block import Source
from recommender.journal.identity import topic_id
from recommender.kafka.topics import identify
from tests.integration.source_records import EXPECTED, FILE, TOPICS, click, encoded, records, standing
from tests.support.kafka import (
    Record,
    consume_all,
    create_topics,
    delete_topics,
    produce,
    wait_until,
)
from tests.support.worker_logs import Oracle, rating
from tests.support.workers import PATIENCE, Installation, Worker, installed


@dataclass
class Running:
    """A worker that has learned what is in its sources."""

    installation: Installation
    worker: Worker
    oracle: Oracle
    directory: Path

    def topic(self, name: str) -> str:
        return self.installation.topics.prefix + name

    def learned(self, name: str, end: int) -> None:
        """Wait until a topic is in the journal up to an offset."""
        source = Source(topic_id(identify(self.installation.kafka, self.topic(name))), 0)

        def is_there() -> bool:
            return self.oracle.look().rule.applied(source) >= end

        wait_until(is_there, PATIENCE, lambda: f"{name} up to {end}\n{self.worker.log}")


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("sources")
    with installed(kafka, directory, "sources") as installation:
        prefix = installation.topics.prefix
        file = directory / "sources.toml"
        file.write_text(FILE.format(prefix=prefix), "utf-8")
        # Records that say that they are from years ago would expire meanwhile.
        create_topics(kafka, *(prefix + name for name in TOPICS), configs={"retention.ms": "-1"})
        for name, sent in records().items():
            produce(kafka, prefix + name, sent)
        produce(kafka, installation.topics.ratings, [rating("ratings", "m1", 2)])
        worker = installation.worker(sources=str(file), model="popular").start().ready()
        oracle = Oracle(installation, model="popular", repeats="highest")  # as there are events
        found = Running(installation, worker, oracle, directory)
        for name, sent in records().items():
            found.learned(name, len(sent))
        yield found


def test_each_source_is_learned_as_its_table_says(running: Running) -> None:
    running.oracle.wait()
    assert standing(running.oracle.replica) == {**EXPECTED, "ratings": {"m1": 2.0}}


def test_what_is_rejected_is_a_dead_letter_as_it_came(running: Running) -> None:
    letters = consume_all(running.installation.kafka, running.installation.topics.dead_letters)
    told = {}
    for letter in letters:
        headers = dict(letter.headers)
        topic = headers["__connect.errors.topic"].decode().removeprefix(running.installation.topics.prefix)
        offset = int(headers["__connect.errors.offset"])
        sent = records()[topic][offset]
        assert letter.value == (sent if isinstance(sent, bytes) else sent.value)
        told[topic, offset] = headers["__connect.errors.exception.message"].decode()
    assert set(told) == {("film-ratings", 2), ("film-ratings", 3), ("shop", 4), ("orders", 2)}
    assert told["film-ratings", 2] == "Expected `float` <= 10.0 - at `$.stars` of source `films`"
    assert "REPLICA IDENTITY FULL" in told["shop", 4]
    assert told["orders", 2] == "Object missing required field - at `$.lines[1].sku` of source `orders`"


def test_every_record_is_counted_with_its_reason(running: Running) -> None:
    metric, worker = "recommender_source_records_total", running.worker
    wait_until(lambda: worker.metric(metric, source="clicks") == 7, PATIENCE)
    assert worker.metric(metric, source="clicks", result="learned") == 5
    assert worker.metric(metric, source="clicks", result="skipped", reason="event_not_listed") == 1
    assert worker.metric(metric, source="clicks", result="skipped", reason="below_steps") == 1
    assert worker.metric(metric, source="shop", result="skipped", reason="null_value") == 1
    assert worker.metric(metric, source="films", result="rejected") == 2
    told = worker.status()["source_topics"]
    assert told["clicks"]["events_not_listed"] == {"scroll": 1}
    assert told["films"]["rejected"] == {"bad_rating": 1, "other_format": 1}


def test_it_says_how_far_each_source_is_and_for_what_one_waits(running: Running) -> None:
    worker = running.worker

    def at_the_end() -> bool:
        page = worker.page("metrics")[1]
        known = b'recommender_source_lag_records{partition="0",source="clicks"}' in page
        lags = "recommender_source_lag_records", "recommender_source_lag_seconds"
        return known and not any(worker.metric(name) for name in lags)

    wait_until(at_the_end, PATIENCE, lambda: worker.page("metrics")[1].decode())
    clicks = worker.status()["source_topics"]["clicks"]
    assert clicks["topic"] == running.topic("clicks")
    assert clicks["partitions"] == {"0": {"learned": 7, "lag": 0, "lag_seconds": 0.0}}
    waits = f"topic {running.topic('missing')!r} does not exist yet"
    assert worker.status()["source_topics"]["missing"]["waits_for"] == waits
    assert worker.metric("recommender_source_waits", source="missing") == 1
    assert worker.metric("recommender_source_waits") == 1
    said = worker.page("readyz")[1].decode().splitlines()
    assert said[0] == "ready"
    assert f"ok      source clicks: reads partition 0 of {running.topic('clicks')}" in said
    assert f"warning source missing: source missing waits: {waits}" in said


def test_what_was_there_before_is_passed_over_where_a_source_starts_late(running: Running) -> None:
    produce(running.installation.kafka, running.topic("late"), [rating("new", "m1")])
    running.learned("late", 2)
    found = standing(running.oracle.replica)
    assert "old" not in found
    assert found["new"] == {"m1": 5.0}


def test_a_topic_that_comes_later_is_read_then(running: Running) -> None:
    name = running.topic("missing")
    assert running.worker.log.count(f"topic '{name}' does not exist yet") == 1
    create_topics(running.installation.kafka, name)
    produce(running.installation.kafka, name, [rating("later", "m1")])
    running.learned("missing", 1)
    assert standing(running.oracle.replica)["later"] == {"m1": 5.0}
    assert f"topic '{name}' is there now" in running.worker.log
    assert running.worker.metric("recommender_source_waits") == 0


def test_a_mapping_that_changed_is_said_and_what_was_learned_stays(running: Running) -> None:
    running.worker.stop()
    file = running.directory / "sources.toml"
    changed = file.read_text("utf-8").replace("purchase = 5", "purchase = 4")
    file.write_text(changed, "utf-8")
    name = running.topic("clicks")
    produce(running.installation.kafka, name, [click("purchase", "m9")])
    running.worker.start().ready()
    running.learned("clicks", 8)
    found = standing(running.oracle.replica)
    assert found["kai"] == {"m2": 5.0, "m4": 3.0, "m9": 4.0}
    assert f"{name}[0] was mapped in another way up to offset 6" in running.worker.log
    assert "was mapped in another way" not in running.worker.log.replace(f"{name}[0] was mapped", "")


def test_a_topic_that_is_deleted_and_made_again_ends_the_worker_with_a_sentence(running: Running) -> None:
    name = running.topic("views")
    delete_topics(running.installation.kafka, name)
    create_topics(running.installation.kafka, name)
    produce(running.installation.kafka, name, [Record(msgspec.msgpack.encode({"sku": "m7"}), b"again")])
    assert running.worker.exit_code() == 2
    assert f"Topic '{name}' was deleted and created again under this worker" in running.worker.log
    running.worker.start().ready()
    running.learned("views", 1)
    assert standing(running.oracle.replica)["again"] == {"m7": 1.0}


@pytest.fixture
def start(kafka: str, tmp_path: Path) -> Iterator[Callable[[str], tuple[Installation, Worker]]]:
    """Starts a worker with sources."""
    with installed(kafka, tmp_path, "source") as installation:

        def started(text: str) -> tuple[Installation, Worker]:
            prefix = installation.topics.prefix
            return installation, installation.worker(
                sources=text.format(prefix=prefix), model="popular"
            ).start()

        yield started


def test_a_mapping_that_does_not_fit_ends_the_worker_without_letters(
    kafka: str, start: Callable[[str], tuple[Installation, Worker]]
) -> None:
    installation, worker = start("[a]\nusr = 'x'")
    assert worker.exit_code() == 2
    assert "RECOMMENDER_SOURCES: [a]: 'usr' is no key; the nearest is 'user'" in worker.log
    topic = installation.topics.prefix + "films"
    create_topics(kafka, topic)
    produce(kafka, topic, [encoded({"userId": 1, "item": number, "rating": 3}) for number in range(1000)])
    _, worker = start("[films]\ntopic = '{prefix}films'")
    assert worker.exit_code() == 2
    assert "this mapping does not fit topic" in worker.log
    assert "1000 times Object missing required field - at `$.user` of source `films`" in worker.log
    assert consume_all(kafka, installation.topics.dead_letters) == []


def test_the_workers_own_topics_are_no_sources(start: Callable[[str], tuple[Installation, Worker]]) -> None:
    _, worker = start("[a]\ntopic = '{prefix}ratings-journal'")
    assert worker.exit_code() == 2
    assert "expected one that is not the worker's own" in worker.log
