"""Offsets that a log does not have: markers of transactions, and records that Kafka deleted too early."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Producer
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from recommender.kafka.admin import open_admin
from recommender.kafka.topics import ensure
from tests.chaos.recovery import Log
from tests.support.asking import asking
from tests.support.kafka import Record, consume_all, create_topics, delete_topics, produce, wait_until
from tests.support.worker_logs import Oracle, Running, generated, rating, running_worker
from tests.support.workers import PATIENCE, installed

TRANSACTIONS = 40
REQUEST = json.dumps({"user": "u1", "n": 3}).encode()


def delete_before(kafka: str, topic: str, offset: int) -> None:
    """Have Kafka delete the first records of partition 0, as it does when they are old."""
    with open_admin(kafka, 10) as admin:
        admin.delete_records({TopicPartition(topic, 0): offset})


def delete_unread(running: Running, topic: str, records: list[Record]) -> int:
    """Write records that a running worker does not get to see, but for the last; its offset."""
    running.worker.send_signal(signal.SIGSTOP)
    # The fetch that waits at the broker may bring the first. The worker sends no other one.
    produce(running.kafka, topic, records[:1])
    ((_, last),) = produce(running.kafka, topic, records[1:])[-1:]
    delete_before(running.kafka, topic, last)
    running.worker.send_signal(signal.SIGCONT)
    return last


def told_gaps(running: Running) -> list[tuple[int, int]]:
    """The gaps of the request topic that the worker has told."""
    found = re.findall(
        rf"{running.topics.requests}\[0\]: offsets (\d+) to (\d+) were deleted from the log before they "
        "were answered",
        running.worker.log,
    )
    return [(int(first), int(last)) for first, last in found]


def test_markers_of_transactions_are_no_gap(kafka: str, tmp_path: Path) -> None:
    with running_worker(kafka, tmp_path, "markers") as running:
        topics = running.topics
        producer = Producer({"bootstrap.servers": kafka, "transactional.id": uuid.uuid4().hex})
        producer.init_transactions(PATIENCE)
        with asking(kafka, topics) as asker:
            for number in range(TRANSACTIONS):
                producer.begin_transaction()
                producer.produce(
                    topics.ratings, rating(f"u{number % 7}", f"i{number}"), b"u%d" % (number % 7)
                )
                correlation = b"%d" % number
                headers = [("kafka_correlationId", correlation)]
                producer.produce(topics.requests, REQUEST, b"u1", headers=headers)
                producer.commit_transaction(PATIENCE)
                asker.sent.append(correlation)
                asker.reply(correlation)  # so the next record comes in a batch of its own
            asker.assert_one_reply_each()
        produce(kafka, topics.ratings, [Record(rating("u1", "last"), b"u1")])
        assert running.oracle.assert_agrees(running.worker).shard.events == TRANSACTIONS + 1
        assert running.oracle.learned == {0: 2 * TRANSACTIONS + 1}
        assert "reading again" not in running.worker.log


def test_requests_that_kafka_deleted_are_told_once(kafka: str, tmp_path: Path) -> None:
    with (
        running_worker(kafka, tmp_path, "deleted", ratings=generated(50)) as running,
        asking(kafka, running.topics) as asker,
    ):
        worker, topics = running.worker, running.topics
        asker.ask({"user": "u1"})
        last = delete_unread(running, topics.requests, [Record(REQUEST, b"u1")] * 8)
        asker.ask({"user": "u1"})
        ((first, end),) = told_gaps(running)
        assert (first in (1, 2), end) == (True, last - 1)
        worker.stop()
        produce(kafka, topics.requests, [Record(REQUEST, b"u1")] * 5)
        delete_before(kafka, topics.requests, last + 5)
        worker.start().ready()
        asker.ask({"user": "u1"})
        worker.stop()
        worker.start().ready()
        asker.ask({"user": "u1"})
        assert told_gaps(running) == [(first, end), (last + 2, last + 4)]


def test_ratings_that_kafka_deleted_before_they_were_read_are_told(kafka: str, tmp_path: Path) -> None:
    with running_worker(kafka, tmp_path, "gap", ratings=generated(50)) as running:
        worker = running.worker
        last = delete_unread(running, running.topics.ratings, generated(8, seed=2))
        worker.learned({0: last + 1})
        told = wait_until(
            lambda: re.findall(
                rf"{running.topics.ratings}\[0\]: offsets (\d+) to (\d+) expired before they were read",
                worker.log,
            ),
            PATIENCE,
            lambda: worker.log,
        )
        ((first, end),) = told
        assert (first in ("50", "51"), int(end)) == (True, last - 1)
        produce(kafka, running.topics.ratings, generated(100, seed=3))
        running.oracle.assert_agrees(worker)
        assert "Traceback" not in worker.log, worker.log
        worker.stop()


def test_ratings_may_expire_once_they_are_in_the_journal(kafka: str, tmp_path: Path) -> None:
    """Without a checkpoint, too, the worker learns all of them again."""
    with running_worker(kafka, tmp_path, "expired", 2, ratings=generated(2000)) as running:
        worker, topics = running.worker, running.topics
        ends, before = running.oracle.learned, worker.journal[0]
        with open_admin(kafka, 10) as admin:
            admin.delete_records({TopicPartition(topics.ratings, each): end for each, end in ends.items()})
        worker.stop()
        shutil.rmtree(running.installation.checkpoints)
        worker.start().ready()
        assert (worker.journal[0]["events"], worker.journal[0]["hash"]) == (before["events"], before["hash"])
        produce(kafka, topics.ratings, generated(100, seed=2))
        running.oracle.assert_agrees(worker)
        # A group that nobody knows finds them in the journal as well.
        other = running.installation.worker(group=topics.prefix + "b").start().ready()
        running.oracle.assert_agrees(worker, other)
        assert "expired before" not in worker.log + other.log


def set_configs(kafka: str, topic: str, configs: dict[str, str]) -> None:
    """Change settings of a topic."""
    with open_admin(kafka) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs)])


def test_a_ratings_topic_may_be_compacted(kafka: str, tmp_path: Path) -> None:
    with installed(kafka, tmp_path, "compacted", partitions=0) as installation:
        topics = installation.topics
        often = {
            "segment.ms": "100",
            "min.cleanable.dirty.ratio": "0.001",
            "max.compaction.lag.ms": "100",
        }
        create_topics(kafka, topics.ratings, configs=often)
        ensure(kafka, topics)
        produce(kafka, topics.ratings, generated(2000, users=20))
        worker = installation.worker().start().ready()
        oracle = Oracle(installation)
        oracle.assert_agrees(worker)
        set_configs(kafka, topics.ratings, {"cleanup.policy": "compact"})

        def compacted() -> bool:
            time.sleep(0.2)  # so that the segment is old enough to end
            produce(kafka, topics.ratings, generated(1, users=20))
            return len(consume_all(kafka, topics.ratings)) < 1000

        wait_until(compacted, 2 * PATIENCE)
        set_configs(kafka, topics.ratings, {"cleanup.policy": "delete"})
        log = Log(installation)
        worker.learned(log.ends(topics.ratings))
        log.close()
        before = worker.journal[0]
        worker.stop()
        shutil.rmtree(installation.checkpoints)
        worker.start().ready()
        assert worker.journal[0]["events"] == before["events"] > 1900
        assert worker.journal[0]["hash"] == before["hash"]
        # A journal that begins now has what is left, across the holes.
        worker.stop()
        delete_topics(kafka, topics.journal)
        ensure(kafka, topics)
        worker.start("--rebuild").ready()
        Oracle(installation).assert_agrees(worker)
        assert worker.journal[0]["events"] < 1000
        assert "Traceback" not in worker.log, worker.log


# More than the worker has read of the old one: to a consumer it is a log that goes on. 0: one that was cut.
@pytest.mark.parametrize("ratings", [900, 0])
def test_a_ratings_topic_created_again_under_a_worker_ends_it(
    kafka: str, tmp_path: Path, ratings: int
) -> None:
    with running_worker(kafka, tmp_path, "again", ratings=generated(500)) as running:
        worker, topics = running.worker, running.topics
        delete_topics(kafka, topics.ratings)
        ensure(kafka, topics)
        produce(kafka, topics.ratings, generated(ratings, seed=2))
        assert worker.exit_code() == 2
        (sentence,) = re.findall("^Error: .*", worker.log, re.MULTILINE)
        assert f"Topic '{topics.ratings}' was deleted and created again under this worker" in sentence
        assert "Traceback" not in worker.log, worker.log
        worker.start().ready()
        produce(kafka, topics.ratings, generated(50, seed=3))
        # What the old topic had is still in the journal.
        assert running.oracle.assert_agrees(worker).rule.counts.rows == 500 + ratings + 50
        assert worker.sources == {0: ratings + 50}
