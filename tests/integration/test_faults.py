"""When something around a worker fails: it says so, loses nothing, and catches up when it is mended."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from recommender.kafka.admin import open_admin
from recommender.kafka.topics import ensure
from tests.chaos.recovery import Log
from tests.support.asking import answers, asking
from tests.support.kafka import Record, consume_all, delete_topics, produce, wait_until
from tests.support.worker_logs import Oracle, Running, generated, running_worker
from tests.support.workers import PATIENCE, Installation, installed

CANNOT_SAVE = "cannot write checkpoints to"


@pytest.fixture(scope="module")
def started(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker on one partition, which one test after the other spoils and mends."""
    directory = tmp_path_factory.mktemp("faults")
    with running_worker(kafka, directory, "faults", ratings=generated(2000)) as running:
        yield running


@pytest.fixture
def running(started: Running) -> Running:
    """The same worker when all is well and saved."""
    started.oracle.assert_agrees(started.worker)
    return started


def committed(installation: Installation) -> int:
    """How far the first partition of the ratings is committed."""
    log = Log(installation)
    try:
        return log.committed(installation.topics.ratings)[0]
    finally:
        log.close()


def replace_by_a_file(running: Running) -> Callable[[], None]:
    directory = running.installation.checkpoints
    aside = directory.rename(directory.with_name("aside"))
    directory.write_text("not a directory")

    def mend() -> None:
        directory.unlink()
        aside.rename(directory)

    return mend


def fill_the_disk(running: Running) -> Callable[[], None]:
    """No file of the worker may grow beyond 16 kB: writing more fails, as on a full disk."""
    pid = running.worker.pid
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (16_384, before[1]))

    def mend() -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    return mend


@pytest.mark.parametrize("spoil", [replace_by_a_file, fill_the_disk])
def test_checkpoints_cannot_be_written(
    running: Running, spoil: Callable[[Running], Callable[[], None]]
) -> None:
    worker, installation = running.worker, running.installation
    end, saved = running.oracle.learned[0], worker.journal[0]["saved"]
    wait_until(lambda: committed(installation) == end, PATIENCE, "not committed")
    mended = worker.log.count("checkpoints can be written again")
    mend = spoil(running)
    produce(running.kafka, running.topics.ratings, generated(500, seed=2))
    wait_until(lambda: worker.status()["checkpoint_error"], PATIENCE, worker.log)
    # Commits do not wait for checkpoints: what is in the journal is safe.
    wait_until(lambda: committed(installation) == end + 500, PATIENCE, "not committed")
    worker.learned({0: end + 500})
    assert answers(running.kafka, running.topics)
    assert worker.page("readyz")[0] == 200
    assert worker.journal[0]["saved"] == saved
    assert worker.metric("recommender_checkpoints_failing") == 1
    assert CANNOT_SAVE in worker.log
    mend()
    running.oracle.assert_agrees(worker)
    assert worker.status()["checkpoint_error"] is None
    assert worker.log.count("checkpoints can be written again") == mended + 1
    assert not list(installation.checkpoints.glob("*/*.tmp"))


def test_a_directory_that_vanishes_is_made_again(running: Running) -> None:
    shutil.rmtree(running.installation.checkpoints)
    produce(running.kafka, running.topics.ratings, generated(500, seed=2))
    running.oracle.assert_agrees(running.worker)


def test_stopped_while_checkpoints_cannot_be_written_it_learns_again(running: Running) -> None:
    worker = running.worker
    mend = replace_by_a_file(running)
    produce(running.kafka, running.topics.ratings, generated(500, seed=2))
    wait_until(lambda: worker.status()["checkpoint_error"], PATIENCE, worker.log)
    worker.stop()
    mend()
    worker.start().ready()
    running.oracle.assert_agrees(worker)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def flip_a_bit(path: Path) -> None:
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def test_a_damaged_checkpoint_falls_back_to_the_one_before(running: Running) -> None:
    worker, directory = running.worker, running.installation.checkpoints
    for seed, damage in enumerate((truncate, flip_a_bit, empty)):
        produce(running.kafka, running.topics.ratings, generated(100, seed=seed))
        running.oracle.assert_agrees(worker)
        worker.stop()
        older, newest = sorted(directory.glob("*/*.npz"))
        damage(newest)
        worker.start().ready()
        running.oracle.assert_agrees(worker)
        last = worker.log.splitlines()
        assert any("WARNING" in line and newest.name in line for line in last), worker.log
        assert any("continues at offset" in line and older.name in line for line in last), worker.log


def delete_the_topic(running: Running) -> Callable[[], None]:
    delete_topics(running.kafka, running.topics.dead_letters)

    def mend() -> None:
        ensure(running.kafka, running.topics, 1)

    return mend


def take_at_most(size: int, kafka: str, topic: str) -> None:
    """Set the largest batch of records that a topic takes, in bytes."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, {"max.message.bytes": str(size)})
    with open_admin(kafka) as admin:
        admin.alter_configs([resource])


def take_only_small_records(running: Running) -> Callable[[], None]:
    dead_letters = running.topics.dead_letters
    take_at_most(100, running.kafka, dead_letters)
    return lambda: take_at_most(10_000_000, running.kafka, dead_letters)


@pytest.mark.parametrize("spoil", [delete_the_topic, take_only_small_records])
def test_dead_letters_cannot_be_written(
    running: Running, spoil: Callable[[Running], Callable[[], None]]
) -> None:
    worker, installation = running.worker, running.installation
    end = running.oracle.learned[0]
    wait_until(lambda: committed(installation) == end, PATIENCE, "not committed")
    mend = spoil(running)
    produce(running.kafka, running.topics.ratings, [b"no rating " * 30, *generated(100, seed=2)])
    assert worker.exit_code() == 1
    assert committed(installation) == end
    # The letter comes before the block that accounts for its record.
    running.oracle.look()
    assert running.oracle.learned == {0: end}
    mend()
    worker.start().ready()
    running.oracle.assert_agrees(worker)
    assert running.oracle.learned == {0: end + 101}
    letters = consume_all(running.kafka, running.topics.dead_letters)
    assert {letter.value for letter in letters} == {b"no rating " * 30}


def test_many_dead_letters_to_a_topic_that_takes_small_batches(kafka: str, tmp_path: Path) -> None:
    """Together they are larger than the topic takes."""
    with installed(kafka, tmp_path, "small", 2) as installation:
        take_at_most(5000, kafka, installation.topics.dead_letters)
        bad = [Record(b"no rating %d" % each, partition=each % 2) for each in range(2000)]
        produce(kafka, installation.topics.ratings, bad)
        worker = installation.worker().start().ready()
        Oracle(installation).assert_agrees(worker)
        letters = consume_all(kafka, installation.topics.dead_letters)
        for partition in range(2):
            values = [each.value for each in letters if each.partition == partition]
            assert values == [each.value for each in bad if each.partition == partition]
        worker.stop()


def test_a_reply_that_kafka_does_not_take_is_told_and_those_after_it_arrive(
    kafka: str, tmp_path: Path
) -> None:
    with installed(kafka, tmp_path, "large", 1) as installation:
        take_at_most(1000, kafka, installation.topics.responses)
        produce(kafka, installation.topics.ratings, generated(300))
        # A hundred items are to be known: being ready is not having learned them.
        Oracle(installation).assert_agrees(installation.worker().start().ready())
        with asking(kafka, installation.topics) as asker:
            for _ in range(3):
                refused = asker.ask({"user": "u1", "n": 100}).body
                assert refused["error"]["code"] == "reply_not_accepted", refused
                assert asker.ask({"user": "u1", "n": 3}).body["ok"]
