"""`recommender forget --rewrite`: no byte is left of who was forgotten, and nobody else notices."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from recommender.client import Client
from recommender.journal.block import COMPLETE, HOLD, head_of, mark
from recommender.journal.block_kernels import COPY, MARK
from recommender.journal.holding import HOLD_SECONDS
from recommender.journal.outbox import JournalProducer
from recommender.journal.rewriting import rewrite
from recommender.kafka.admin import open_admin
from recommender.kafka.log_cutting import delete_before
from recommender.kafka.plain_clients import client_options
from recommender.kafka.topics import identify
from recommender.retraining import handover
from recommender.settings import load
from tests.integration.rewriting_setup import BEGUN, PARTITIONS, SETTINGS, TAKEN, Running, rated_and_asked
from tests.support.asking import asking
from tests.support.journal_log import reading
from tests.support.kafka import produce, wait_until
from tests.support.worker_logs import Oracle, newest_checkpoint, rating
from tests.support.workers import PATIENCE, Installation, installed


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with installed(kafka, tmp_path_factory.mktemp("rewriting"), "rewriting", PARTITIONS) as installation:
        workers = installation.worker(**SETTINGS), installation.worker(**SETTINGS)
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.ready()
        yield Running(installation, workers)


def test_nothing_is_left_and_nobody_waits(running: Running) -> None:
    here, secret = running.installation, "somebody-secret"
    running.rate(secret, seed=3)
    Oracle(here, **SETTINGS).assert_agrees(*running.workers)
    assert len(running.places(secret)) >= 2
    before = running.end()
    with asking(here.kafka, here.topics) as asker:
        with rated_and_asked(running, asker) as taken:
            wait_until(lambda: taken[0] > 30)
            told = running.run("forget", "--user", secret, "--rewrite")
            assert told.exit_code == 0, told.output
            running.taken_over(1)
            came = taken[0]
            wait_until(lambda: taken[0] > came + 30)
        asker.assert_one_reply_each()
        replies = asker.replies()
        assert all(each[0].body["ok"] for each in replies.values())
    assert "without 6 of them, of 1 user or item that is forgotten" in told.output
    begins = Oracle(here, **SETTINGS).replica.position
    assert begins >= before
    running.assert_learned()
    wait_until(lambda: not running.places(secret), PATIENCE, lambda: str(running.places(secret)))
    with Client(here.kafka, here.topics.prefix) as client:
        assert client.recommend(secret).cold_start
    assert_all_is_there(running, secret)
    told = running.run("journal", "verify")
    assert told.exit_code == 0, told.output
    told = running.run("forget", "--rewrite")
    assert "nobody was forgotten, so it stays as it is" in told.output


def assert_all_is_there(running: Running, *secrets: str) -> None:
    """Compare what counts in the journal with the ratings topic, but for who is forgotten."""
    oracle = Oracle(running.installation, **SETTINGS)
    oracle.look()
    oracle.source.read()
    for partition, given in oracle.source.ratings.items():
        expected = [each for each in given if each.user not in secrets]
        (found,) = oracle.counted[partition]
        assert [each.offset for each in found] == [each.offset for each in expected]
        assert all(one.is_like(other) for one, other in zip(found, expected, strict=True))


@contextmanager
def saturated(running: Running) -> Iterator[None]:
    """Ratings come all the time, many at once, so that the journal never rests."""
    over, here = threading.Event(), running.installation
    values = [rating(f"saturating-{number % 300}", f"i{number % 40}", 4) for number in range(2000)]

    def come() -> None:
        while not over.is_set():
            produce(here.kafka, here.topics.ratings, values)

    threads = [threading.Thread(target=come) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_writers_hold_where_ratings_come_faster_than_they_are_copied(running: Running) -> None:
    here, secret = running.installation, "saturated-secret"
    running.rate(secret, seed=10)
    with Client(here.kafka, here.topics.prefix) as client:
        client.forget(secret)
    running.assert_learned()
    begun = [each.log.count(TAKEN) for each in running.workers]
    config = load(running.environment())
    journal = identify(config.broker, here.topics.journal, 10.0)
    with saturated(running):
        end = running.end()
        wait_until(lambda: running.end() > end + 20)
        # At once, however little came meanwhile.
        result = asyncio.run(rewrite(config, journal, 0, calm=0.0))
        complete = running.end()
        wait_until(lambda: running.end() > complete + 20)  # they write again
    assert result.begin > end
    held = [each for each in map(head_of, running.journal()) if each.flags == MARK]
    assert [each.source.partition for each in held][-2:] == [HOLD, COMPLETE]
    running.taken_over(max(begun) + 1)
    handover.begin_again(here.checkpoints, here.topics.journal, journal.topic_id, {0: result.begin})
    delete_before(config, here.topics.journal, {0: result.begin})
    running.assert_learned()
    assert_all_is_there(running, secret, "somebody-secret")


def test_a_rewriting_that_died_while_writers_hold_costs_seconds(running: Running) -> None:
    here = running.installation
    config = load(running.environment())

    async def hold() -> None:
        producer = JournalProducer(here.topics.journal, client_options(config))
        await producer.start()
        try:
            await (await producer(0, mark(HOLD, 7), int(time.time() * 1000)))
        finally:
            await producer.close()

    asyncio.run(hold())
    started = time.monotonic()
    running.rate("somebody else", seed=11)
    assert time.monotonic() - started > 0.5 * HOLD_SECONDS
    running.assert_learned()


def killed_after(running: Running, records: int) -> None:
    """Start the command, and kill it when it has written so many records."""
    here = running.installation
    topic = TopicPartition(here.topics.journal, 0)
    command = here.worker(**SETTINGS)
    with reading(here.kafka) as consumer:
        consumer.assign([topic])
        consumer.seek(topic, running.end())
        command.start("--rewrite", command=("recommender", "forget"))
        seen = 0
        while seen < records and command.ended() is None:
            seen += sum(map(len, consumer.poll(timeout_ms=50).values()))
        if command.ended() is None:
            command.kill()
    command.close()


def own_age(here: Installation) -> str | None:
    """The age of segments that the journal has of its own."""
    topic = here.topics.journal
    with open_admin(here.kafka, 10) as admin:
        wanted = [ConfigResource(ConfigResourceType.TOPIC, topic, {"segment.ms": None})]
        found = admin.describe_configs(wanted, config_filter="modified")["topic"][topic]
    return str(found["segment.ms"]["value"]) if "segment.ms" in found else None


def test_a_kill_on_the_way_changes_nothing(running: Running) -> None:
    here, secret = running.installation, "killed-secret"
    running.rate(secret, seed=4)
    running.assert_learned()
    with Client(here.kafka, here.topics.prefix) as client:
        client.forget(secret)
    running.assert_learned()
    first, second = running.workers
    begun, taken = first.log.count(BEGUN), second.log.count(TAKEN)
    for records in (1, 40):
        killed_after(running, records)
    # Of a copy that is not complete nobody takes notice; now workers die while they take over a whole one.
    told = running.run("forget", "--rewrite")
    assert told.exit_code == 0, told.output
    wait_until(lambda: first.log.count(BEGUN) > begun, PATIENCE, lambda: first.log)
    first.kill()
    running.rate("somebody else", seed=5)
    first.start().ready()
    wait_until(lambda: second.log.count(TAKEN) > taken, PATIENCE, lambda: second.log)
    running.assert_learned()
    assert own_age(here) is None  # also where it died while each record began a file
    wait_until(lambda: not running.places(secret), PATIENCE, lambda: str(running.places(secret)))


def test_who_comes_with_an_old_checkpoint_follows_from_the_new_beginning(
    running: Running, tmp_path: Path
) -> None:
    here, secret = running.installation, "absent-secret"
    running.rate(secret, seed=6)
    other = here.worker(**SETTINGS, checkpoints=tmp_path / "own")
    other.start().ready()
    Oracle(here, **SETTINGS).assert_followed(other, checkpoints=tmp_path / "own")
    other.stop()
    result = running.run("retrain", "--tolerance", "1")
    assert result.exit_code == 0, result.output
    assert handover.read(here.checkpoints, here.topics.journal) is not None
    told = running.run("forget", "--user", secret, "--rewrite")
    assert told.exit_code == 0, told.output
    other.start().ready()
    assert "was rewritten: it is followed again from offset" in other.log
    running.rate("somebody else", seed=7)
    Oracle(here, **SETTINGS).assert_followed(other, *running.workers, checkpoints=tmp_path / "own")
    running.assert_learned()
    other.stop()
    assert "is not taken over" not in "".join(each.log for each in running.workers)
    wait_until(lambda: not running.places(secret), PATIENCE, lambda: str(running.places(secret)))
    # A worker without a checkpoint learns it as well, by the settings that are in force.
    new = here.worker(**SETTINGS, checkpoints=tmp_path / "empty").start().ready()
    Oracle(here, **SETTINGS).assert_followed(new, checkpoints=tmp_path / "empty")
    new.stop()


def test_each_partition_of_a_journal_is_rewritten_by_itself(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "rewriting-two", PARTITIONS, journal_partitions=2) as here:
        worker = here.worker(**SETTINGS).start().ready()
        running, secret = Running(here, (worker, worker)), "one-of-two"
        running.rate(secret, seed=8)
        told = running.run("forget", "--user", secret, "--item", "i149", "--rewrite")
        assert told.exit_code == 0, told.output
        assert told.output.count("begins at offset") == 2
        wait_until(lambda: worker.log.count(TAKEN) == 2, PATIENCE, lambda: worker.log)
        running.rate("somebody else", seed=9)
        running.assert_learned(worker)
        wait_until(lambda: not running.places(secret), PATIENCE, lambda: str(running.places(secret)))


def test_a_journal_that_has_lost_its_beginning_is_not_rewritten(running: Running) -> None:
    here = running.installation
    with reading(here.kafka) as consumer:
        topic = TopicPartition(here.topics.journal, 0)
        begin = consumer.beginning_offsets([topic])[topic]
    config = load(running.environment())
    delete_before(config, here.topics.journal, {0: begin + 1})
    refused = running.run("forget", "--rewrite")
    assert refused.exit_code != 0
    assert f"begins at offset {begin + 1}: what came before is deleted" in str(refused.exception)
    copies = [each for each in running.journal() if head_of(each).flags & COPY]
    assert copies
    assert newest_checkpoint(here.checkpoints, here.topics, 0).offset > begin
