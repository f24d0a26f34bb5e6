"""A broker's disk that has changed what was written: each damaged batch is buried, and reading goes on.

The broker checks what producers send, so the damage is done to its files, behind its back. It sends them as
they are.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from recommender.cli.experiment import report
from recommender.cli.retrain import retrain
from recommender.kafka.local.broker import LocalBroker
from tests.integration.raw_records import batches_of, produce_batch
from tests.integration.transactions import lag_of
from tests.support.asking import CORRELATION, asking
from tests.support.brokers import SHARED_PROPERTIES
from tests.support.kafka import consume_all, wait_until
from tests.support.record_batches import HEADER, MAGIC_AT, RawRecord, batch, sealed
from tests.support.worker_logs import rating
from tests.support.workers import PATIENCE, Installation, Worker, installed


def flipped(made: bytes) -> bytes:
    """One bit of a value is another one: it would be a good rating of something else."""
    return made.replace(b'"rating": 5', b'"rating": 4', 1)


def of_another_format(made: bytes) -> bytes:
    """As a later version of Kafka may write it."""
    return made[:MAGIC_AT] + b"\3" + made[MAGIC_AT + 1 :]


def not_compressed(made: bytes) -> bytes:
    """The checksum is right, and what it covers is no compressed data."""
    return sealed(made[: HEADER.size] + b"\xee" * (len(made) - HEADER.size))


def without_a_count(made: bytes) -> bytes:
    """The first record's count of headers says more than there are; all else is right."""
    end = HEADER.size + 1 + made[HEADER.size] // 2  # of the first record, whose length is one byte
    return sealed(made[: end - 1] + b"\x06" + made[end:])


#: What is done to a batch, its codec, and what its dead letter says.
DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str, str]] = {
    "bit": (flipped, "none", "checksum is wrong"),
    "format": (of_another_format, "none", "format 3"),
    "compression": (not_compressed, "lz4", "cannot be decompressed, codec lz4"),
    "record": (without_a_count, "none", "the record cannot be read"),
}


@dataclass
class Damaged:
    """A worker on a broker with damaged logs."""

    installation: Installation
    worker: Worker
    #: By damage: the batch as it is now, and the offset of its first record.
    batches: dict[str, tuple[bytes, int]]
    end: int


def damage(broker: LocalBroker, topic: str, change: Callable[[bytes], bytes]) -> bytes:
    """Change the last batch of a topic in the broker's file; the batch as it is then."""
    assert broker.directory is not None
    (file,) = (broker.directory / "log" / f"{topic}-0").glob("*.log")
    before = batches_of(broker.address, topic)[-1]
    after = change(before)
    assert len(after) == len(before)
    assert after != before
    content = file.read_bytes()
    with file.open("r+b") as opened:
        opened.seek(content.index(before))
        opened.write(after)
    return after


def rated(name: str) -> RawRecord:
    return RawRecord(rating("u", name, 5), b"u")


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Damaged]:
    """Ratings with each kind of damage between good ones, and a damaged batch of requests."""
    directory = tmp_path_factory.mktemp("damaged")
    with (
        LocalBroker(properties=SHARED_PROPERTIES) as broker,
        installed(broker.address, directory, "damaged") as installation,
    ):
        topics, kafka = installation.topics, broker.address
        batches = {}
        produce_batch(kafka, topics.ratings, batch([rated("good before")]))
        for name, (change, codec, _) in DAMAGE.items():
            made = batch([rated("a"), rated("b")], codec=codec)
            first = produce_batch(kafka, topics.ratings, made)
            batches[name] = damage(broker, topics.ratings, change), first
            last = produce_batch(kafka, topics.ratings, batch([rated(f"good after {name}")]))
        request = RawRecord(b'{"user": "u"}', b"u", [(CORRELATION.encode(), b"lost")])
        produce_batch(kafka, topics.requests, batch([request, request]))
        batches["request"] = damage(broker, topics.requests, lambda made: made[:-1] + b"!"), 0
        # The requests were written long ago, by their own time.
        settings = {"recommendations_log": "on", "request_max_age": 1e12}
        worker = installation.worker(**settings).start().ready()
        yield Damaged(installation, worker, batches, last + 1)


def letters_of(damaged: Damaged, topic: str) -> list[tuple[Any, dict[str, str]]]:
    """The dead letters of a topic, and what is said of each."""
    letters = [
        (each, {name: value.decode() for name, value in each.headers if name.startswith("__connect.")})
        for each in consume_all(damaged.installation.kafka, damaged.installation.topics.dead_letters)
    ]
    return [each for each in letters if each[1]["__connect.errors.topic"] == topic]


def test_the_neighbours_are_learned_and_the_damage_is_buried(damaged: Damaged) -> None:
    topics, worker = damaged.installation.topics, damaged.worker
    worker.learned({0: damaged.end})
    with asking(damaged.installation.kafka, topics) as asker:
        items = set(asker.ask({"user": "u", "n": 100, "include_rated": True}).items)
    # Of the batch with a broken record the other one is good.
    assert items == {"good before", *(f"good after {name}" for name in DAMAGE), "b"}
    letters = letters_of(damaged, topics.ratings)
    assert len(letters) == len(DAMAGE)
    for (letter, said), (name, (_, _, cause)) in zip(letters, DAMAGE.items(), strict=True):
        content, first = damaged.batches[name]
        assert int(said["__connect.errors.offset"]) == first
        message = said["__connect.errors.exception.message"]
        assert cause in message
        if name == "record":
            assert content[HEADER.size :].startswith(letter.value)
        else:
            assert letter.value == content
            assert message.startswith(f"{topics.ratings}[0] offsets {first} to {first + 1}: ")
    assert worker.metric("recommender_ratings_total", result="dead_letter") == len(DAMAGE)


def test_requests_behind_the_damage_are_answered(damaged: Damaged) -> None:
    topics, worker = damaged.installation.topics, damaged.worker
    with asking(damaged.installation.kafka, topics) as asker:
        assert asker.ask({"user": "u"}).body["ok"]
        assert b"lost" not in asker.replies()
    # Damage is buried beside the answers to what comes after it.
    wait_until(
        lambda: lag_of(damaged.installation, topics.requests) == 0,
        PATIENCE,
        worker.log,
    )
    ((letter, said),) = letters_of(damaged, topics.requests)
    assert letter.value == damaged.batches["request"][0]
    assert said["__connect.errors.offset"] == "0"


def test_a_restart_buries_nothing_again(damaged: Damaged) -> None:
    topics, worker = damaged.installation.topics, damaged.worker
    worker.learned({0: damaged.end})
    before = len(consume_all(damaged.installation.kafka, topics.dead_letters))
    worker.stop()
    worker.start().ready()
    with asking(damaged.installation.kafka, topics) as asker:
        assert asker.ask({"user": "u"}).body["ok"]
    assert len(consume_all(damaged.installation.kafka, topics.dead_letters)) == before
    assert "Traceback" not in worker.log


def test_retrain_and_the_report_read_the_journal(
    damaged: Damaged, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    topics = damaged.installation.topics
    damaged.worker.learned({0: damaged.end})
    environment = {
        "RECOMMENDER_BROKER": damaged.installation.kafka,
        "RECOMMENDER_TOPIC_PREFIX": topics.prefix,
        "RECOMMENDER_CHECKPOINTS": str(damaged.installation.checkpoints),
    }
    with caplog.at_level(logging.WARNING, "recommender"):
        for command, arguments in ((retrain, ["--to", str(tmp_path / "new")]), (report, ["--json", "-"])):
            done = CliRunner().invoke(command, arguments, env=environment)
            # The checkpoint of retrain has the same digest as the worker's, or it would say so.
            assert done.exit_code == 0, done.output
    assert "passed over" not in caplog.text
    assert json.loads(done.stdout)["read"]["ratings"]["records"] == len(DAMAGE) + 2
