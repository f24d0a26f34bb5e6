"""Offsets that a log does not have: markers of transactions, and records that Kafka deleted too early."""

from __future__ import annotations

import json
import re
import signal
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Producer
from kafka import TopicPartition

from recommender.kafka.admin import open_admin
from recommender.kafka.topics import ensure
from tests.support.asking import asking
from tests.support.kafka import Record, delete_topics, produce
from tests.support.worker_logs import Oracle, Running, generated, rating, running_worker
from tests.support.workers import PATIENCE

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
        shard = running.oracle.assert_agrees(running.worker).shard
        assert (shard.offset, shard.events) == (2 * TRANSACTIONS + 1, TRANSACTIONS + 1)
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


def test_ratings_that_kafka_deleted_stop_the_worker(kafka: str, tmp_path: Path) -> None:
    with running_worker(kafka, tmp_path, "gap", ratings=generated(50)) as running:
        worker = running.worker
        worker.settled({0: 50})
        last = delete_unread(running, running.topics.ratings, generated(8, seed=2))
        assert worker.exit_code() == 2
        (sentence,) = re.findall("^Error: .*", worker.log, re.MULTILINE)
        assert re.search(
            rf"offsets 5[01] to {last - 1} are in no checkpoint and no longer in the log", sentence
        )
        assert "recommender worker --allow-gap" in sentence
        assert "Traceback" not in worker.log, worker.log
        worker.start("--allow-gap").ready()
        worker.settled({0: last + 1})
        worker.stop()


# More than the worker has read of the old one: to a consumer it is a log that goes on. 0: one that was cut.
@pytest.mark.parametrize("ratings", [900, 0])
def test_a_ratings_topic_made_again_under_a_worker_ends_it(kafka: str, tmp_path: Path, ratings: int) -> None:
    with running_worker(kafka, tmp_path, "again", ratings=generated(500)) as running:
        worker, topics = running.worker, running.topics
        running.oracle.assert_agrees(worker)
        delete_topics(kafka, topics.ratings)
        ensure(kafka, topics)
        produce(kafka, topics.ratings, generated(ratings, seed=2))
        assert worker.exit_code() == 2
        assert "was deleted and made again" in worker.log
        assert "recommender worker --rebuild" in worker.log
        assert "Traceback" not in worker.log, worker.log
        worker.start("--rebuild").ready()
        shards = Oracle(running.installation).assert_agrees(worker)
        assert shards[0].offset == ratings


def test_partitions_added_under_a_worker_end_it(kafka: str, tmp_path: Path) -> None:
    with running_worker(kafka, tmp_path, "added", ratings=generated(500)) as running:
        worker, topics = running.worker, running.topics
        running.oracle.assert_agrees(worker)
        with open_admin(kafka, 10) as admin:
            admin.create_partitions({topics.ratings: 2})
        assert worker.exit_code() == 2
        assert (
            f"Topic '{topics.ratings}' has 2 partitions now and had 1 when this worker started" in worker.log
        )
        assert "Traceback" not in worker.log, worker.log
