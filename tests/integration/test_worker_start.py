"""Starting: what is wrong is said in one sentence with exit code 2, and a broker may come late."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from recommender.kafka.admin import open_admin
from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.local.ports import HOST, free_port
from recommender.kafka.topics import ensure
from tests.support.asking import asking
from tests.support.kafka import produce, wait_until
from tests.support.worker_logs import Oracle, generated, rating
from tests.support.workers import Worker, installed

NOWHERE = f"{HOST}:{free_port()}"

#: Settings of a worker that must not start, and what its one sentence says.
WRONG = {
    "too few partitions of the requests": (
        {},
        "{requests}' has 2 partitions and '{journal}' has 3: expected",
    ),
    "no topics": ({"topic_prefix": "no-such-prefix-"}, "no-such-prefix-ratings"),
    "an unknown model": ({"model": "crystal-ball"}, "crystal-ball"),
    "an unknown policy": ({"feedback": "stars:4"}, "'stars:4' does not exist"),
    "a setting that is none": (
        {"sead": "1"},
        "RECOMMENDER_SEAD is not a setting; the nearest is RECOMMENDER_SEED",
    ),
    "a busy port": ({"web_port": "{busy}"}, "RECOMMENDER_WEB_PORT has value {busy}"),
    "no broker": ({"broker": NOWHERE, "broker_wait": "1"}, f"No Kafka broker answers at {NOWHERE}"),
}


@pytest.fixture(scope="module")
def starting(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Worker, str]]]:
    """All of these workers at once: they take their time, and wait for nothing of each other."""
    with (
        installed(kafka, tmp_path_factory.mktemp("start"), "start", partitions=0) as installation,
        socket.create_server((HOST, 0)) as busy,
    ):
        topics = installation.topics
        with open_admin(kafka, 10) as admin:
            counts = dict.fromkeys(topics.all, 3) | {topics.requests: 2}
            admin.create_topics(
                {name: {"num_partitions": count, "replication_factor": 1} for name, count in counts.items()}
            )
            admin.wait_for_topics(list(counts))
        words = {"busy": busy.getsockname()[1], "journal": topics.journal, "requests": topics.requests}
        yield {
            name: (
                installation.worker(**{key: value.format(**words) for key, value in given.items()}).start(
                    fresh=True
                ),
                said.format(**words),
            )
            for name, (given, said) in WRONG.items()
        }


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_sentence(starting: dict[str, tuple[Worker, str]], name: str) -> None:
    worker, said = starting[name]
    assert worker.exit_code() == 2, worker.log
    (sentence,) = worker.log.splitlines()
    assert sentence.startswith("Error: ")
    assert said in sentence


def test_a_broker_that_comes_late(tmp_path: Path) -> None:
    with LocalBroker() as broker, installed(broker.address, tmp_path, partitions=0) as installation:
        ensure(broker.address, installation.topics, 1)
        produce(broker.address, installation.topics.ratings, [rating("early", "bird")])
        broker.kill()
        worker = installation.worker(broker_wait=150).start(fresh=True)
        waiting = f"Waiting for a Kafka broker at {broker.address}"
        wait_until(lambda: waiting in worker.log, 60, worker.log)
        broker.restart()
        worker.ready().learned({0: 1})
        assert "Traceback" not in worker.log, worker.log
        worker.stop()


def test_checkpoints_that_cannot_be_written(kafka: str, tmp_path: Path) -> None:
    """Learning and answering continue."""
    with installed(kafka, tmp_path) as installation:
        installation.checkpoints.write_text("a file where the directory should be")
        worker = installation.worker().start(fresh=True).ready()
        produce(kafka, installation.topics.ratings, [rating("1", "2")])
        wait_until(lambda: worker.status()["checkpoint_error"])
        assert str(installation.checkpoints) in worker.status()["checkpoint_error"]
        assert worker.metric("recommender_checkpoints_failing") == 1
        with asking(kafka, installation.topics) as asker:
            assert asker.ask({"user": "new", "after": 0}).items == ["2"]
        assert worker.journal[0]["saved"] == -1
        installation.checkpoints.unlink()
        installation.partitions = 1
        Oracle(installation).assert_agrees(worker)
        assert worker.status()["checkpoint_error"] is None
        assert "Traceback" not in worker.log, worker.log
        worker.stop()


def test_fausts_own_command_runs_it_as_well(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "faust", 2) as installation:
        topics, oracle = installation.topics, Oracle(installation)
        written = produce(kafka, topics.ratings, generated(2000, seed=9))
        worker = installation.worker(request_wait=60)  # as it starts, which no page tells
        worker.start("-A", "recommender.worker.app", "worker", "--without-web", command=("faust",))
        with asking(kafka, topics) as asker:
            for partition, last in dict(written).items():
                after = {"partition": partition, "offset": last}
                reply = asker.ask({"user": "u1", "n": 3, "after": after})
                assert reply.body["ok"], reply.body
                assert reply.body["cold_start"] is False
                assert len(reply.items) == 3
            asker.assert_one_reply_each()
        oracle.wait()
        worker.stop()
        assert "Traceback" not in worker.log, worker.log
