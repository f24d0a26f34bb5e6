"""What happens to the journal and to checkpoints under real workers: rebuilt if possible, else refused."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import TopicPartition

from recommender.journal.fingerprint import fingerprint
from recommender.kafka.admin import open_admin
from recommender.kafka.topics import ensure
from tests.support.asking import asking
from tests.support.kafka import consume_all, delete_topics, produce, wait_until
from tests.support.worker_logs import Oracle, Running, generated, running_worker
from tests.support.workers import PATIENCE, Worker, installed

COUNT = 3000


@pytest.fixture
def running(kafka: str, tmp_path: Path) -> Iterator[Running]:
    """A worker on two partitions that has learned and saved some ratings."""
    with running_worker(kafka, tmp_path, "journal", 2, generated(COUNT)) as running:
        yield running


def refused(worker: Worker, *arguments: str) -> str:
    """The one sentence of a worker that will not start."""
    before = len(worker.log)
    assert worker.start(*arguments).exit_code() == 2, worker.log
    return sentence_of(worker, before)


def sentence_of(worker: Worker, before: int = 0) -> str:
    said = worker.log[before:]
    assert "Traceback" not in said, said
    (sentence,) = [line for line in said.splitlines() if line.startswith("Error: ")]
    return sentence


def test_without_checkpoints_the_state_comes_from_the_journal(running: Running) -> None:
    worker = running.worker
    worker.stop()
    shutil.rmtree(running.installation.checkpoints)
    worker.start().ready()
    running.oracle.assert_agrees(worker)
    # Nothing of the ratings topic was read again for that.
    assert worker.metric("recommender_ratings_total") == 0


def test_checkpoints_that_are_deleted_or_damaged_under_a_worker(running: Running) -> None:
    worker, directory = running.worker, running.installation.checkpoints
    for seed in range(2):
        for each in directory.glob("*/*.npz"):
            if seed:
                each.write_bytes(b"not a checkpoint")
            else:
                each.unlink()
        produce(running.kafka, running.topics.ratings, generated(500, seed=seed))
        running.oracle.assert_agrees(worker)
    for each in directory.glob("*/*.npz"):
        each.write_bytes(each.read_bytes()[:-1000])
    worker.kill()
    worker.start().ready()
    assert "is not a whole checkpoint" in worker.log
    produce(running.kafka, running.topics.ratings, generated(500, seed=3))
    running.oracle.assert_agrees(worker)


def test_two_workers_have_one_state(running: Running) -> None:
    """Each with checkpoints of its own, which it makes from what it learns itself."""
    here, own = running.installation, running.installation.directory / "own"
    other = here.worker(checkpoints=own).start().ready()
    for seed in range(3):
        produce(running.kafka, running.topics.ratings, generated(500, seed=seed))
        running.oracle.assert_agrees(running.worker)
        running.oracle.assert_agrees(other, checkpoints=own)
        assert other.journal[0]["hash"] == running.worker.journal[0]["hash"]


def test_a_worker_that_joins_follows_to_the_end_first(running: Running) -> None:
    """Until then it has no partitions, and whoever has them answers and learns."""
    here, topics = running.installation, running.topics
    with asking(running.kafka, topics) as asker:
        other = here.worker(checkpoints=here.directory / "none").start()
        held = f"holds {topics.requests} partition"
        for seed in range(100):
            if held in other.log:
                break
            produce(running.kafka, topics.ratings, generated(200, seed=seed))
            asker.send({"user": "u1", "n": 3})
        lines = other.ready().log.splitlines()
        followed = next(number for number, line in enumerate(lines) if "followed to offset" in line)
        holds = [number for number, line in enumerate(lines) if " holds " in line]
        assert followed < min(holds), other.log
        for partition in range(2):
            asker.ask({"user": "u1"}, partition=partition)
        asker.assert_one_reply_each()
        journal = [each[0].body["as_of"]["journal"] for each in asker.replies().values()]
        assert min(journal) >= running.oracle.replica.position - 1
    running.oracle.assert_agrees(running.worker)
    running.oracle.assert_agrees(other, checkpoints=here.directory / "none")


def test_a_rebalance_does_not_stop_learning(running: Running) -> None:
    """A worker that hangs keeps the group from agreeing; what the others write is learned by all."""
    here, worker = running.installation, running.worker
    other = here.worker(session_timeout="20").start().ready()
    third = here.worker(session_timeout="20").start().ready()
    wait_until(lambda: len(consume_all(running.kafka, running.topics.ratings)) == COUNT, PATIENCE)
    other.send_signal(signal.SIGSTOP)
    third.stop()  # so the group has to agree again, and waits for the one that hangs
    before = worker.journal[0]["position"]
    # Somebody else writes into the journal meanwhile.
    copied = [each.value for each in consume_all(running.kafka, running.topics.journal)[:50]]
    produce(running.kafka, running.topics.journal, copied)
    wait_until(lambda: worker.journal[0]["position"] >= before + len(copied), 10.0, lambda: worker.log)
    assert worker.journal[0]["blocks"]["duplicate"] >= len(copied)
    other.send_signal(signal.SIGCONT)
    produce(running.kafka, running.topics.ratings, generated(500, seed=4))
    running.oracle.assert_agrees(worker, other)


def test_a_journal_created_again_is_refused(running: Running) -> None:
    worker, topics = running.worker, running.topics
    delete_topics(running.kafka, topics.journal)
    ensure(running.kafka, topics)
    assert worker.exit_code() == 2, worker.log
    assert f"Topic '{topics.journal}' was deleted and created again" in sentence_of(worker)
    sentence = refused(worker)
    assert topics.journal in sentence
    assert "recommender worker --rebuild" in sentence
    worker.start("--rebuild").ready()
    oracle = Oracle(running.installation)
    assert oracle.assert_agrees(worker).rule.counts.rows == COUNT


def test_a_journal_that_was_deleted_is_refused(running: Running) -> None:
    worker, topics = running.worker, running.topics
    worker.stop()
    delete_topics(running.kafka, topics.journal)
    assert f"topic {topics.journal}; `recommender topics` creates what is missing" in refused(worker)


def test_a_journal_that_lost_its_beginning(running: Running) -> None:
    """With a checkpoint it is not needed; without one it is refused, unless one insists."""
    worker, topics = running.worker, running.topics
    end = running.oracle.replica.position
    with open_admin(running.kafka, 10) as admin:
        admin.delete_records({TopicPartition(topics.journal, 0): end})
    worker.stop()
    worker.start().ready()
    produce(running.kafka, topics.ratings, generated(500, seed=2))
    running.oracle.assert_agrees(worker)
    worker.stop()
    shutil.rmtree(running.installation.checkpoints)
    sentence = refused(worker)
    assert re.search(rf"{topics.journal}\[0\].* begins at offset {end}", sentence), sentence
    assert "--allow-gap" in sentence
    worker.start("--allow-gap").ready()
    produce(running.kafka, topics.ratings, generated(500, seed=3))
    worker.learned(running.oracle.learned)
    wait_until(lambda: worker.journal[0]["events"] > 900, PATIENCE, lambda: f"{worker.journal}\n{worker.log}")
    worker.stop()


def test_a_journal_that_lost_what_comes_next_ends_the_worker(running: Running) -> None:
    worker, topics = running.worker, running.topics
    worker.stop()
    copied = [each.value for each in consume_all(running.kafka, topics.journal)[:3]]
    end = produce(running.kafka, topics.journal, copied)[-1][1]
    with open_admin(running.kafka, 10) as admin:
        admin.delete_records({TopicPartition(topics.journal, 0): end})
    sentence = refused(worker)
    assert f"{topics.journal}[0]" in sentence
    assert "--allow-gap" in sentence


def test_what_is_no_block_ends_the_worker(running: Running) -> None:
    worker, topics = running.worker, running.topics
    ((_, offset),) = produce(running.kafka, topics.journal, [b"somebody else's"])
    assert worker.exit_code() == 2, worker.log
    assert f"{topics.journal}[0] offset {offset}: " in sentence_of(worker)
    assert f"{topics.journal}[0] offset {offset}: " in refused(worker)


def test_ratings_of_another_scale_need_another_journal(running: Running) -> None:
    running.worker.stop()
    other = running.installation.worker(rating_max=10, checkpoints=running.installation.directory / "other")
    sentence = refused(other)
    assert f"{fingerprint(0.5, 5.0, skips=False):#x}" in sentence
    assert "needs a new journal" in sentence


def test_checkpoints_of_the_first_edition_are_refused(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "first") as installation:
        folder = installation.checkpoints / f"{installation.topics.ratings}-0"
        folder.mkdir(parents=True)
        (folder / f"{5:020d}.npz").write_bytes(b"")
        sentence = refused(installation.worker())
        assert str(folder) in sentence
        assert "first edition" in sentence


def test_the_status_page_says_how_far_it_is(running: Running) -> None:
    status = running.worker.status()
    replica = running.oracle.replica
    assert status["ready"] is True
    assert status["sources"] == {str(each): offset for each, offset in running.oracle.learned.items()}
    found = status["journal"]["0"]
    assert (found["position"], found["saved"], found["lag"]) == (replica.position, replica.position, 0)
    assert found["blocks"] == {
        name: getattr(replica.rule.counts, name) for name in ("applied", "cut", "duplicate", "ahead")
    }
    assert running.worker.metric("recommender_journal_position") == replica.position
    assert running.worker.metric("recommender_journal_lag_records") == 0
    assert json.dumps(status)
