"""Workers of one group share the partitions; what moves between them is neither lost nor counted twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recommender.messages.partitioning import partition_of
from tests.support.asking import Asker, asking
from tests.support.kafka import produce, wait_until
from tests.support.worker_logs import Oracle, generated
from tests.support.workers import PATIENCE, Installation, Worker, installed

PARTITIONS = 4
#: One known user for each partition.
USERS = {partition_of(f"u{number}", PARTITIONS): f"u{number}" for number in range(100)}


@pytest.fixture(scope="module")
def installation(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(kafka, tmp_path_factory.mktemp("group"), "group", PARTITIONS) as installation:
        produce(kafka, installation.topics.ratings, generated(5000, seed=10))
        yield installation


def shared(installation: Installation, *workers: Worker) -> None:
    """Wait until the workers are ready, and share all partitions of ratings and of requests."""
    topics, expected = (
        installation.topics,
        range(PARTITIONS // len(workers), -(-PARTITIONS // len(workers)) + 1),
    )

    def are_shared() -> bool:
        ready = all(worker.page("readyz")[0] == 200 for worker in workers)
        held = [installation.members(topic) for topic in (topics.ratings, topics.requests)]
        return ready and all(
            len(each) == len(workers) and all(count in expected for count in each.values()) for each in held
        )

    wait_until(are_shared, PATIENCE, lambda: "\n\n".join(worker.log for worker in workers))


@contextmanager
def meanwhile(installation: Installation, asker: Asker, seed: int) -> Iterator[None]:
    """Ratings and requests keep coming during what happens inside."""
    over = threading.Event()

    def rate() -> None:
        number = seed
        while not over.wait(0.1):
            produce(installation.kafka, installation.topics.ratings, generated(300, seed=number))
            number += 1

    def ask() -> None:
        while not over.wait(0.05):
            for user in USERS.values():
                asker.send({"user": user, "n": 2})

    threads = [threading.Thread(target=rate), threading.Thread(target=ask)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def assert_answers(asker: Asker, oracle: Oracle) -> None:
    """Whoever has a partition of the requests knows each user and all of the journal."""
    oracle.wait()
    for partition in range(PARTITIONS):
        for user in USERS.values():
            after = {"journal": oracle.replica.position - 1}
            body = asker.ask({"user": user, "n": 2, "after": after}, partition=partition).body
            assert body["as_of"]["journal"] >= oracle.replica.position - 1
            assert body["cold_start"] is False


def test_workers_come_and_go(installation: Installation) -> None:
    """All have one state, which is that of one pass over the journal, and requests go to whoever is there."""
    oracle = Oracle(installation)
    first, second, third = (installation.worker() for _ in range(3))
    with asking(installation.kafka, installation.topics) as asker:
        first.start().ready()
        with meanwhile(installation, asker, 100):
            second.start().ready()
            shared(installation, first, second)
        assert_answers(asker, oracle)
        oracle.assert_agrees(first, second)

        with meanwhile(installation, asker, 200):
            third.start().ready()
            shared(installation, first, second, third)
        assert_answers(asker, oracle)
        oracle.assert_agrees(first, second, third)

        with meanwhile(installation, asker, 300):
            first.stop()
            shared(installation, second, third)
        assert_answers(asker, oracle)
        oracle.assert_agrees(second, third)
        asker.assert_one_reply_each()

        with meanwhile(installation, asker, 400):
            second.kill()
            shared(installation, third)
        assert_answers(asker, oracle)
        oracle.assert_agrees(third)
        for correlation in asker.sent:
            asker.reply(correlation)
    third.stop()
    oracle.assert_agrees()


def test_a_group_leaves_no_traceback(installation: Installation) -> None:
    logs = [path.read_text() for path in Path(installation.directory).glob("worker-*/broker.log")]
    assert len(logs) == 3
    assert not [log for log in logs if "Traceback" in log]
