"""A worker that was stopped, killed or changed goes on from its checkpoint, or says why it cannot."""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator

import pytest

from recommender.kafka.topics import ensure
from tests.chaos.recovery import Log
from tests.support.asking import asking
from tests.support.kafka import Record, delete_topics, produce, wait_until
from tests.support.worker_logs import Oracle, Running, generated, newest_checkpoint, rating, running_worker
from tests.support.workers import STOP_SECONDS, Worker

COUNT = 10_000


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker that each test leaves running, on one partition."""
    with running_worker(kafka, tmp_path_factory.mktemp("restart"), "restart") as running:
        produce(kafka, running.topics.ratings, generated(1000))
        running.oracle.assert_agrees(running.worker)
        yield running


def lag(running: Running) -> dict[str, int]:
    """By topic, how many records the group has not committed."""
    log = Log(running.installation)
    try:
        return {topic: log.lag(topic) for topic in (running.topics.ratings, running.topics.requests)}
    finally:
        log.close()


def assert_no_lag(running: Running) -> None:
    """All ratings and requests are committed, a moment after they were learned and answered."""
    wanted = {running.topics.ratings: 0, running.topics.requests: 0}
    wait_until(lambda: lag(running) == wanted, message=lambda: f"{lag(running)}\n{running.worker.log}")


def refused(worker: Worker) -> str:
    """The one sentence of a worker that will not start."""
    before = len(worker.log)
    assert worker.start().exit_code() == 2, worker.log
    said = worker.log[before:]
    assert "Traceback" not in said
    (sentence,) = [line for line in said.splitlines() if line.startswith("Error: ")]
    return sentence


def test_a_stop_in_the_middle_and_what_came_meanwhile(running: Running) -> None:
    worker, (kafka, topics) = running.worker, (running.kafka, running.topics)
    with asking(kafka, topics) as asker:
        first = asker.ask({"user": "u1", "n": 5})
        producing = threading.Thread(target=produce, args=(kafka, topics.ratings, generated(COUNT, seed=4)))
        producing.start()
        begun, position = running.oracle.learned[0], running.oracle.replica.position
        wait_until(lambda: worker.sources[0] > begun)
        worker.stop(STOP_SECONDS)
        producing.join()
        asker.send({"user": "u1", "n": 5})
        produce(kafka, topics.ratings, generated(500, seed=5))
        worker.start().ready()
        (continued,) = re.findall(r"continues at offset (\d+)", worker.log)
        assert int(continued) >= position
        running.oracle.assert_agrees(worker)
        last = asker.ask({"user": "u1", "n": 5}).body
        assert last["as_of"]["offset"] > first.body["as_of"]["offset"]
        # Nothing that had its reply before the stop got another one.
        asker.assert_one_reply_each()
    assert_no_lag(running)


def test_a_kill_in_the_middle(running: Running) -> None:
    worker, (kafka, topics) = running.worker, (running.kafka, running.topics)
    producing = threading.Thread(target=produce, args=(kafka, topics.ratings, generated(COUNT, seed=6)))
    producing.start()
    wait_until(lambda: worker.journal[0]["position"] > worker.journal[0]["saved"])
    worker.kill()
    producing.join()
    before = len(worker.log)
    newest = newest_checkpoint(running.installation.checkpoints, topics, 0)
    worker.start().ready()
    assert f"continues at offset {newest.offset}" in worker.log[before:]
    running.oracle.assert_agrees(worker)
    assert_no_lag(running)


def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(running: Running) -> None:
    worker = running.worker
    worker.stop()
    older, newest = sorted((running.installation.checkpoints / f"{running.topics.journal}-0").glob("*.npz"))
    newest.write_bytes(newest.read_bytes()[:-1000])
    before = len(worker.log)
    worker.start().ready()
    assert f"{newest} is not a whole checkpoint" in worker.log[before:]
    assert f"continues at offset {int(older.stem)}" in worker.log[before:]
    running.oracle.assert_agrees(worker)


def test_another_model_is_refused_and_learned_anew_if_asked_for(running: Running) -> None:
    """A worker of another group with a copy of the checkpoints; the first one goes on."""
    copy = running.installation.directory / "copy"
    shutil.copytree(running.installation.checkpoints, copy)
    changed = running.installation.worker(
        model="popular", group=running.topics.prefix + "b", checkpoints=copy
    )
    sentence = refused(changed)
    assert "RECOMMENDER_MODEL was 'blend', now 'popular'" in sentence
    assert "recommender worker --rebuild" in sentence
    changed.start("--rebuild").ready()
    Oracle(running.installation, model="popular").assert_agrees(changed, checkpoints=copy)
    assert changed.status()["model"] == "popular"
    changed.stop()
    assert len(list(copy.rglob("*.superseded"))) == 2


def test_topics_made_anew_are_recognised(running: Running) -> None:
    worker, topics = running.worker, running.topics
    worker.stop()
    delete_topics(running.kafka, *topics.all)
    ensure(running.kafka, topics)
    produce(running.kafka, topics.ratings, [Record(rating("new", "world"), b"new")])
    sentence = refused(worker)
    assert f"topic '{topics.journal}' was deleted and made again (its id was" in sentence
    assert "recommender worker --rebuild" in sentence
    worker.start("--rebuild").ready()
    shard = Oracle(running.installation).assert_agrees(worker).shard
    assert len(shard.users) == 1
    assert worker.journal[0]["users"] == 1
