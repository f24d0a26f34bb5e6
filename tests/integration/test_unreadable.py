"""Records that no client's parser takes: each is buried and passed, and what comes after it is read.

Sarama and librdkafka's C API send header names that are not UTF-8, and the broker takes them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from recommender.cli.experiment import report
from recommender.cli.retrain import retrain
from recommender.client.client import BadReply, Client
from recommender.kafka.topics import Topics
from recommender.messages.partitioning import partition_of
from recommender.messages.recommendations_log import LoggedPlace, LoggedRecommendation
from tests.integration.raw_records import produce_batch
from tests.integration.transactions import lag_of
from tests.support.asking import CORRELATION, asking
from tests.support.kafka import Record, consume_all, produce, wait_until
from tests.support.record_batches import CODECS, TIME, RawRecord, batch
from tests.support.responder import Asked, Responder, answer_for, responding
from tests.support.worker_logs import Running, rating, running_worker
from tests.support.workers import PATIENCE

BAD_NAME = b"\xff\xfe"
HERE = 1
USER = next(user for user in (f"u{number}" for number in range(99)) if partition_of(user, 2) == HERE)


def badly_named(
    value: bytes | None, key: bytes | None = USER.encode(), *more: tuple[bytes, bytes]
) -> RawRecord:
    """A record whose first header has a name that is not UTF-8."""
    return RawRecord(value, key, [(BAD_NAME, b"x"), *more])


def named(name: str) -> RawRecord:
    """A good rating of an item."""
    return RawRecord(rating(USER, name), USER.encode())


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker on two partitions."""
    with running_worker(kafka, tmp_path_factory.mktemp("unreadable"), "unreadable", 2) as running:
        yield running


def known(running: Running) -> set[str]:
    """The items that the worker knows."""
    with asking(running.kafka, running.topics) as asker:
        return set(asker.ask({"user": USER, "n": 1000, "include_rated": True}).items)


def letters_of(running: Running, topic: str, count: int) -> list[tuple[Any, dict[str, str]]]:
    """The dead letters of a topic, so many, and what is said of each."""
    letters = [
        (letter, {name: value.decode() for name, value in letter.headers if name.startswith("__connect.")})
        for letter in consume_all(running.kafka, running.topics.dead_letters)
    ]
    found = [each for each in letters if each[1]["__connect.errors.topic"] == topic]
    assert len(found) == count
    return found


def environment(kafka: str, topics: Topics) -> dict[str, str]:
    return {"RECOMMENDER_BROKER": kafka, "RECOMMENDER_TOPIC_PREFIX": topics.prefix}


def test_ratings(running: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Alone, among good ones in a batch of any codec, and as the last of its log."""
    topic, worker = running.topics.ratings, running.worker
    bad = [produce_batch(running.kafka, topic, batch([badly_named(rating(USER, "bad 0"))]), HERE)]
    good = set()
    for codec in CODECS:
        around = [named(f"{codec} {place}") for place in range(3)]
        value = rating(USER, f"bad {codec}")
        made = batch([around[0], badly_named(value), *around[1:]], codec=codec)
        bad.append(produce_batch(running.kafka, topic, made, HERE) + 1)
        good |= {f"{codec} {place}" for place in range(3)}
    bad.append(produce_batch(running.kafka, topic, batch([badly_named(None, None, (b"a", b"1"))]), HERE))
    worker.learned({HERE: bad[-1] + 1})
    assert known(running) == good
    letters = letters_of(running, topic, len(bad))
    assert [int(said["__connect.errors.offset"]) for _, said in letters] == bad
    for letter, said in letters:
        assert (letter.partition, said["__connect.errors.partition"]) == (HERE, str(HERE))
        assert said["__connect.errors.exception.message"] == "a header's name is not UTF-8: b'\\xff\\xfe'"
        assert letter.headers[0] == ("\\xff\\xfe", b"x")
        assert letter.timestamp in range(TIME, TIME + 4)
    values = [rating(USER, "bad 0"), *(rating(USER, f"bad {codec}") for codec in CODECS), None]
    assert [letter.value for letter, _ in letters] == values
    assert [letter.key for letter, _ in letters] == [USER.encode()] * 6 + [b""]
    assert letters[-1][0].headers[1] == ("a", b"1")

    # A restart buries none of them again, and retraining, which reads the journal, comes to the same.
    worker.stop()
    worker.start().ready()
    produce(running.kafka, topic, [Record(rating(USER, "last"), USER.encode())])
    worker.learned({HERE: bad[-1] + 2})
    letters_of(running, topic, len(bad))
    assert "Traceback" not in worker.log
    given = environment(running.kafka, running.topics)
    given["RECOMMENDER_CHECKPOINTS"] = str(running.installation.checkpoints)
    with caplog.at_level(logging.WARNING, "recommender"):
        done = CliRunner().invoke(retrain, ["--to", str(tmp_path / "new")], env=given)
    assert done.exit_code == 0, done.output
    assert "passed over" not in caplog.text


def test_requests(running: Running) -> None:
    """Who says whom to reply to has a reply; all others are buried, and the offset moves on."""
    topic, value = running.topics.requests, json.dumps({"user": USER}).encode()
    with asking(running.kafka, running.topics) as asker:
        answered = badly_named(value, USER.encode(), (CORRELATION.encode(), b"told"))
        made = batch([badly_named(value), answered, badly_named(b"\xff", None)], codec="lz4")
        first = produce_batch(running.kafka, topic, made, HERE)
        assert asker.ask({"user": USER}).body["ok"]
        error = asker.reply(b"told").error
        assert (error["code"], error["message"]) == (
            "bad_request",
            "a header's name is not UTF-8: b'\\xff\\xfe'",
        )
        replies = asker.replies()
        assert (len(replies[b"told"]), b"" in replies) == (1, False)
    wait_until(lambda: lag_of(running.installation, topic) == 0, PATIENCE, running.worker.log)
    # They are buried as they are answered, side by side.
    letters = {
        int(said["__connect.errors.offset"]): each.value for each, said in letters_of(running, topic, 3)
    }
    assert letters == {first: value, first + 1: value, first + 2: b"\xff"}
    assert running.worker.metric("recommender_replies_total", code="unreadable") == 2
    # The worker's log names each.
    assert running.worker.log.count(f"{topic}[{HERE}] offset") == 3
    running.worker.stop()
    running.worker.start().ready()
    with asking(running.kafka, running.topics) as asker:
        assert asker.ask({"user": USER}).body["ok"]
    letters_of(running, topic, 3)


def test_the_report_passes_over_them(
    kafka: str, make_topics: Callable[..., Topics], caplog: pytest.LogCaptureFixture
) -> None:
    topics = make_topics()
    logged = LoggedRecommendation(
        "u", "r", "default", "a", "m", 1_700_000_000, [LoggedPlace("i", "exploit", 0)]
    ).encode()
    records = [RawRecord(logged, b"u"), badly_named(logged, b"u"), RawRecord(logged, b"u")]
    produce_batch(kafka, topics.recommendations, batch(records, codec="zstd"))
    with caplog.at_level(logging.WARNING, "recommender"):
        done = CliRunner().invoke(report, ["--json", "-"], env=environment(kafka, topics))
    assert done.exit_code == 0, done.output
    read = json.loads(done.stdout)["read"]["recommendations"]
    assert (read["records"], read["bad"]) == (3, 1)
    assert f"{topics.recommendations}[0] offset 1: a header's name is not UTF-8" in caplog.text


def test_replies(kafka: str, make_topics: Callable[..., Topics]) -> None:
    """A client passes over what is not for it, and says of its own reply that it cannot be read."""
    topics = make_topics()

    def answer(responder: Responder, asked: Asked) -> None:
        produce_batch(kafka, topics.responses, batch([badly_named(b"not ours")]))
        if asked.value["user"] == "bad":
            value = answer_for("bad").encode()
            own = badly_named(value, b"bad", (CORRELATION.encode(), asked.correlation))
            produce_batch(kafka, topics.responses, batch([own]))
        else:
            responder.reply(asked)

    with responding(kafka, topics, answer), Client(kafka, topics.prefix) as client:
        assert client.recommend("good", timeout=PATIENCE) == answer_for("good")
        with pytest.raises(BadReply, match=r"cannot be read: .*\[0\] offset 3: a header's name is not UTF-8"):
            client.recommend("bad", timeout=PATIENCE)
        assert client.recommend("good", timeout=PATIENCE) == answer_for("good")
