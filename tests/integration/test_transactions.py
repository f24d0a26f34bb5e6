"""Only committed transactions count; an open one holds up its partition and nothing else."""

from __future__ import annotations

import functools
import json
import random
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from recommender.cli.experiment import report
from recommender.cli.retrain import retrain
from recommender.client.client import Client, RecommendTimeout
from recommender.kafka.topics import Topics
from recommender.messages.partitioning import partition_of
from recommender.messages.recommendations_log import LoggedPlace, LoggedRecommendation
from tests.integration.transactions import Transactions, lag_of
from tests.support.asking import CORRELATION, asking
from tests.support.kafka import Record, produce, wait_until
from tests.support.responder import Asked, Responder, answer_for, ignore, responding
from tests.support.worker_logs import Oracle, Running, rating, running_worker
from tests.support.workers import PATIENCE, installed

MakeTopics = Callable[..., Topics]
#: Users of the two partitions.
FIRST, SECOND = (
    next(user for user in (f"u{number}" for number in range(99)) if partition_of(user, 2) == partition)
    for partition in (0, 1)
)


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker on two partitions."""
    with running_worker(kafka, tmp_path_factory.mktemp("transactions"), "transactions", 2) as running:
        yield running


@pytest.fixture
def transactions(kafka: str) -> Transactions:
    return Transactions(kafka)


def lag(running: Running, topic: str) -> int:
    """The lag of a worker on two partitions."""
    return lag_of(running.installation, topic)


def no_lag(running: Running, topic: str) -> bool:
    return lag(running, topic) == 0


def request(user: str, **more: Any) -> bytes:
    return json.dumps({"user": user, "n": 100, **more}).encode()


def test_what_was_taken_back_does_not_count(running: Running, transactions: Transactions) -> None:
    ratings = running.topics.ratings
    produce(running.kafka, ratings, [Record(rating(FIRST, "real"), FIRST.encode())])
    transactions.begin()
    transactions.send(ratings, rating(FIRST, "aborted"), FIRST)
    transactions.send(ratings, rating(FIRST, "real", None), FIRST)
    transactions.abort()
    ((_, last),) = produce(running.kafka, ratings, [Record(rating(FIRST, "after"), FIRST.encode())])
    shard = running.oracle.assert_agrees(running.worker).shard
    assert (running.oracle.learned[0], shard.events, len(shard.items)) == (last + 1, 2, 2)
    with asking(running.kafka, running.topics) as asker:
        assert set(asker.ask({"user": FIRST, "n": 100, "include_rated": True}).items) == {"real", "after"}


def test_a_request_that_was_taken_back_is_not_answered(running: Running, transactions: Transactions) -> None:
    with asking(running.kafka, running.topics) as asker:
        transactions.begin()
        transactions.send(running.topics.requests, request(FIRST), FIRST, headers=[(CORRELATION, b"aborted")])
        transactions.abort()
        with transactions.open():
            kept = [(CORRELATION, b"committed")]
            transactions.send(running.topics.requests, request(FIRST), FIRST, headers=kept)
        asker.reply(b"committed")
        asker.ask({"user": FIRST})
        assert b"aborted" not in asker.replies()


def test_marks_at_the_end_are_no_lag(running: Running, transactions: Transactions) -> None:
    """Neither for tools that look at the group, nor for a request that asks for all there is."""
    for user in (FIRST, SECOND):
        with transactions.open():
            last = transactions.send(running.topics.ratings, rating(user, "marked"), user)
            transactions.send(running.topics.requests, request(user), user)
        transactions.begin()
        transactions.send(running.topics.ratings, rating(user, "unmarked"), user)
        transactions.send(running.topics.requests, request(user), user)
        transactions.abort()
    for topic in (running.topics.ratings, running.topics.requests):
        wait_until(functools.partial(no_lag, running, topic), PATIENCE, functools.partial(repr, topic))
    with asking(running.kafka, running.topics) as asker:
        assert asker.ask({"user": SECOND, "after": last}).body["ok"]
    running.oracle.assert_agrees(running.worker)


def test_an_open_one_holds_up_its_partition_and_nothing_else(
    kafka: str, tmp_path: Path, transactions: Transactions
) -> None:
    with installed(kafka, tmp_path, "open", 2) as installation:
        topics, options = installation.topics, {"request_wait": 1}
        worker = installation.worker(**options).start().ready()
        oracle = Oracle(installation)
        first = [Record(rating(user, "first"), user.encode()) for user in (FIRST, SECOND)]
        produce(kafka, topics.ratings, first)
        oracle.assert_agrees(worker)  # it has its partitions
        with asking(kafka, topics) as asker, transactions.open():
            begun = transactions.send(topics.ratings, rating(FIRST, "open"), FIRST)
            ((_, behind), (_, beside)) = produce(
                kafka,
                topics.ratings,
                [Record(rating(user, "plain"), user.encode()) for user in (FIRST, SECOND)],
            )
            assert asker.ask({"user": SECOND, "after": beside}).body["ok"]
            assert asker.ask({"user": FIRST}).body["as_of"]["offset"] == begun - 1
            for offset in (begun, behind):
                assert asker.ask({"user": FIRST, "after": offset}).error["code"] == "not_caught_up"
            # A worker that starts meanwhile is ready, and knows the rest.
            worker.stop()
            worker.start().ready()
            assert asker.ask({"user": SECOND}).body["as_of"]["offset"] == beside
            oracle.assert_agrees(worker)
            # Requests likewise, each topic for itself.
            held = [(CORRELATION, b"open")]
            transactions.send(topics.requests, request(FIRST), FIRST, headers=held)
            asker.send({"user": FIRST}, correlation=b"behind")
            assert asker.ask({"user": SECOND}).body["ok"]
            assert not asker.has_reply(b"open")
            assert not asker.has_reply(b"behind")
            assert worker.page("readyz")[0] == 200
        with asking(kafka, topics) as asker:
            # A request waits for a second; what was taken back may take longer to be passed.
            wait_until(lambda: asker.ask({"user": FIRST, "after": behind}).body["ok"])
            replies = asker.replies()
            assert [len(replies[each]) for each in (b"open", b"behind")] == [1, 1]
        oracle.assert_agrees(worker)
        assert oracle.learned[0] == behind + 1
        assert "Traceback" not in worker.log


def test_many_of_many_producers_in_each_other(kafka: str, tmp_path: Path) -> None:
    """Committed and aborted, short and longer than a fetch; retrain comes to the same."""
    draw = random.Random(5)
    with running_worker(kafka, tmp_path, "many", 1) as running:
        producers = [Transactions(kafka) for _ in range(3)]
        committed = 0
        for number in range(12):
            sizes = [draw.choice([1, 3, 40]) for _ in producers]
            for each in producers:
                each.begin()
            for place in range(max(sizes)):
                for producer, size in zip(producers, sizes, strict=True):
                    if place < size:
                        note = "x" * draw.choice([0, 40_000])
                        value = json.dumps(
                            {"user": "u1", "item": f"{number}-{place}-{size}", "rating": 5, "note": note}
                        )
                        producer.send(running.topics.ratings, value.encode(), "u1")
            for producer, size in zip(producers, sizes, strict=True):
                if draw.random() < 0.5:
                    producer.commit()
                    committed += size
                else:
                    producer.abort()
        shard = running.oracle.assert_agrees(running.worker).shard
        assert shard.events == committed
        assert "reading again" not in running.worker.log
        assert running.worker.metric("recommender_ratings_total", result="learned") == committed
        again(running, tmp_path)


def again(running: Running, directory: Path) -> None:
    """Retrain, which proves that the running checkpoints are what the log gives."""
    environment = {
        "RECOMMENDER_BROKER": running.kafka,
        "RECOMMENDER_TOPIC_PREFIX": running.topics.prefix,
        "RECOMMENDER_CHECKPOINTS": str(running.installation.checkpoints),
    }
    target = directory / uuid.uuid4().hex
    done = CliRunner().invoke(retrain, ["--to", str(target)], env=environment)
    assert done.exit_code == 0, done.output


def test_retrain_ends_where_an_open_one_begins(
    running: Running, tmp_path: Path, transactions: Transactions
) -> None:
    with transactions.open():
        transactions.send(running.topics.ratings, rating(FIRST, "retrained"), FIRST)
        produce(running.kafka, running.topics.ratings, [Record(rating(FIRST, "behind"), FIRST.encode())])
        running.oracle.assert_agrees(running.worker)
        again(running, tmp_path)
    running.oracle.assert_agrees(running.worker)
    again(running, tmp_path)


def test_the_report_ends_where_an_open_one_begins(
    kafka: str, make_topics: MakeTopics, transactions: Transactions, tmp_path: Path
) -> None:
    topics = make_topics()
    places = [LoggedPlace("i", "exploit", 0)]
    environment = {"RECOMMENDER_BROKER": kafka, "RECOMMENDER_TOPIC_PREFIX": topics.prefix}

    def shown(name: str) -> bytes:
        return LoggedRecommendation("u", name, "default", "a", "m", 1_700_000_000, places).encode()

    def read() -> int:
        arguments = ["--json", "-", "--state", str(tmp_path / "state.npz")]
        done = CliRunner().invoke(report, arguments, env=environment)
        assert done.exit_code == 0, done.output
        found = json.loads(done.stdout)["read"]
        assert found["recommendations"]["bad"] == 0
        return int(found["recommendations"]["records"])

    with transactions.open():
        transactions.send(topics.recommendations, shown("first"), "u")
    transactions.begin()
    transactions.send(topics.recommendations, shown("aborted"), "u")
    transactions.abort()
    assert read() == 1
    with transactions.open():
        transactions.send(topics.recommendations, shown("second"), "u")
        produce(kafka, topics.recommendations, [Record(shown("behind"), b"u")])
        assert read() == 1
    assert read() == 3


def test_a_reply_that_was_taken_back_is_none(
    kafka: str, make_topics: MakeTopics, transactions: Transactions
) -> None:
    topics = make_topics()

    def answer(responder: Responder, asked: Asked) -> None:
        transactions.begin()
        headers = [(CORRELATION, asked.correlation)]
        transactions.send(topics.responses, answer_for("wrong").encode(), "u", headers=headers)
        transactions.abort()
        if asked.value["user"] == "answered":
            responder.reply(asked)

    with responding(kafka, topics, answer), Client(kafka, topics.prefix) as client:
        assert client.recommend("answered", timeout=PATIENCE) == answer_for("answered")
        with pytest.raises(RecommendTimeout):
            client.recommend("not", timeout=2)


def test_a_client_opens_behind_an_open_one(
    kafka: str, make_topics: MakeTopics, transactions: Transactions
) -> None:
    """It reads on where the transaction ends, and misses nothing that is behind it."""
    topics = make_topics(partitions=2)
    held: list[Asked] = []

    def keep(responder: Responder, asked: Asked) -> None:
        held.append(asked)
        responder.reply(asked)
        transactions.commit()

    transactions.begin()
    transactions.send(topics.responses, b"not ours", "u")
    with responding(kafka, topics, keep), Client(kafka, topics.prefix) as client:
        assert client.recommend("u", timeout=PATIENCE) == answer_for("u")
    with responding(kafka, topics, ignore):
        pass
    assert len(held) == 1
