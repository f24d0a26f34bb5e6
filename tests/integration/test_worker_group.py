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


def shared(*workers: Worker) -> list[set[int]]:
    """Wait until the workers are ready and hold every partition once; which of them each has."""

    def held() -> list[set[int]] | None:
        parts = [set(worker.shards) for worker in workers]
        ready = all(worker.page("readyz")[0] == 200 for worker in workers)
        complete = set().union(*parts) == set(range(PARTITIONS)) and sum(map(len, parts)) == PARTITIONS
        return parts if ready and complete and all(parts) else None

    logs = "\n\n".join(worker.log for worker in workers)
    parts: list[set[int]] = wait_until(
        held, PATIENCE, f"{[worker.shards.keys() for worker in workers]}\n{logs}"
    )
    return parts


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


def assert_answers_from(asker: Asker, oracle: Oracle) -> None:
    """A request to each partition is answered by its shard, where a user's ratings are."""
    for partition, shard in oracle.look().items():
        body = asker.ask({"user": USERS[partition], "n": 2, "after": shard.offset - 1}).body
        assert body["as_of"] == {"partition": partition, "offset": shard.offset - 1}
        assert body["cold_start"] is False


def test_workers_come_and_go(installation: Installation) -> None:
    """Ratings and requests of one partition stay together, and the state is that of the log."""
    oracle = Oracle(installation)
    first, second, third = (installation.worker() for _ in range(3))
    with asking(installation.kafka, installation.topics) as asker:
        first.start().ready()
        with meanwhile(installation, asker, 100):
            second.start().ready()
            assert sorted(map(len, shared(first, second))) == [2, 2]
        assert_answers_from(asker, oracle)
        oracle.assert_agrees(first, second)

        with meanwhile(installation, asker, 200):
            third.start().ready()
            assert sorted(map(len, shared(first, second, third))) == [1, 1, 2]
        assert_answers_from(asker, oracle)
        oracle.assert_agrees(first, second, third)

        with meanwhile(installation, asker, 300):
            first.stop()
            assert sorted(map(len, shared(second, third))) == [2, 2]
        assert_answers_from(asker, oracle)
        oracle.assert_agrees(second, third)
        asker.assert_one_reply_each()

        with meanwhile(installation, asker, 400):
            second.kill()
            assert shared(third) == [set(range(PARTITIONS))]
        assert_answers_from(asker, oracle)
        oracle.assert_agrees(third)
        for correlation in asker.sent:
            asker.reply(correlation)
    third.stop()
    oracle.assert_agrees()


def test_a_group_leaves_no_traceback(installation: Installation) -> None:
    logs = [path.read_text() for path in Path(installation.directory).glob("worker-*/broker.log")]
    assert len(logs) == 3
    assert not [log for log in logs if "Traceback" in log]
