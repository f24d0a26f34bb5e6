"""A real worker on four partitions: any key and any partitioner will do, and partitions may be added."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import confluent_kafka
import pytest
from kafka import KafkaProducer

from recommender.kafka.admin import open_admin
from recommender.kafka.network import Network
from recommender.messages.partitioning import partition_of
from tests.support.asking import Asker, asking
from tests.support.kafka import Record, produce, wait_until
from tests.support.worker_logs import Running, generated, rating, running_worker
from tests.support.workers import PATIENCE

COUNT = 20_000


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker on four partitions; each test adds ratings of its own."""
    with running_worker(kafka, tmp_path_factory.mktemp("partitions"), "partitions", 4) as running:
        yield running


@pytest.fixture
def asker(running: Running) -> Iterator[Asker]:
    with asking(running.kafka, running.topics) as asker:
        yield asker


def learned(running: Running, count: int) -> None:
    """So many ratings more are learned and saved, each once, since this was asked last."""
    before = running.oracle.replica.shard.events
    assert running.oracle.assert_agrees(running.worker).shard.events == before + count


def test_partitions_are_learned_exactly_as_they_fill(running: Running) -> None:
    written = produce(running.kafka, running.topics.ratings, generated(COUNT, seed=2))
    assert len({partition for partition, _ in written}) == 4
    assert len(running.oracle.assert_agrees(running.worker).shard.users) == 500


def test_an_article_style_producer_feeds_it(running: Running) -> None:
    """It has no key, so a user's ratings are on all partitions."""
    ratings = [(f"article-{number % 30}", f"i{number}", 1 + number % 5) for number in range(300)]
    producer = KafkaProducer(kafka_client=Network, bootstrap_servers=[running.kafka])
    try:
        for user, item, value in ratings:
            body = json.dumps({"user": user, "item": item, "rating": value}).encode("ascii")
            future = producer.send(running.topics.ratings, value=body)
            future.get(timeout=PATIENCE)
    finally:
        producer.close()
    learned(running, len(ratings))
    running.worker.stop()
    running.worker.start().ready()
    learned(running, 0)


@pytest.mark.parametrize("partitioner", ["random", "consistent_random", "murmur2_random", "fnv1a"])
def test_any_partitioner_will_do(running: Running, asker: Asker, partitioner: str) -> None:
    settings = {"bootstrap.servers": running.kafka, "partitioner": partitioner}
    producer = confluent_kafka.Producer(settings)
    items = [f"{partitioner} {number}" for number in range(40)]
    for item in items:
        producer.produce(running.topics.ratings, rating(partitioner, item), f"key of {item}".encode())
    assert producer.flush(PATIENCE) == 0
    learned(running, len(items))
    found = asker.ask({"user": partitioner, "n": 1000, "include_rated": True}).items
    assert set(items) <= set(found)
    assert not set(items) & set(asker.ask({"user": partitioner, "n": 1000}).items)


def test_ratings_keyed_by_something_else_reach_their_user(running: Running, asker: Asker) -> None:
    records = [Record(rating("somebody", f"keyed {number}"), key=b"the same") for number in range(40)]
    produce(running.kafka, running.topics.ratings, records)
    learned(running, len(records))
    assert asker.ask({"user": "somebody"}).body["cold_start"] is False


def test_any_partition_of_the_requests_will_do(running: Running, asker: Asker) -> None:
    (home, offset) = produce(running.kafka, running.topics.ratings, [rating("asks", "i3")])[0]
    after = {"partition": home, "offset": offset}
    for partition, key in itertools.product(range(4), (b"asks", b"other", b"")):
        reply = asker.ask({"user": "asks", "n": 3, "after": after}, key=key, partition=partition)
        assert reply.body["ok"], reply.body
        assert reply.body["cold_start"] is False
    assert all(len(asker.replies()[each]) == 1 for each in asker.sent)
    assert running.worker.metric("recommender_replies_total", code="forwarded") == 0


def test_after_in_its_three_forms(running: Running, asker: Asker) -> None:
    """The partition of the user's key, a partition and its offset, an offset of the journal."""
    home = partition_of("reads own writes", 4)
    running.oracle.assert_agrees(running.worker)
    end, journal = running.oracle.learned[home], running.oracle.replica.position
    forms = [end, {"partition": home, "offset": end}, {"journal": journal}]
    sent = [asker.send({"user": "reads own writes", "after": form}) for form in forms]
    assert asker.ask({"user": "reads own writes"}).body["cold_start"] is True
    assert not any(asker.has_reply(each) for each in sent)
    record = Record(rating("reads own writes", "i1"), b"reads own writes")
    assert produce(running.kafka, running.topics.ratings, [record]) == [(home, end)]
    for each in sent:
        body = asker.reply(each).body
        assert body["ok"], body
        assert body["cold_start"] is False
        as_of = body["as_of"]
        assert (as_of["partition"], as_of["offset"]) == (home, end)
        assert as_of["journal"] >= journal


def test_partitions_added_while_the_worker_runs_are_learned(running: Running, asker: Asker) -> None:
    worker, pid = running.worker, running.worker.pid
    with open_admin(running.kafka, 10) as admin:
        admin.create_partitions({running.topics.ratings: 7})
    records = [Record(rating("grown", f"grown {each}"), partition=each) for each in range(7)]

    def written() -> object:
        try:
            return produce(running.kafka, running.topics.ratings, records)
        except Exception:  # the broker does not have them yet
            return None

    wait_until(written, PATIENCE)
    worker.learned(dict.fromkeys(range(7), 1))
    produce(running.kafka, running.topics.ratings, generated(COUNT, seed=9))
    running.oracle.assert_agrees(worker)
    assert set(worker.sources) == set(range(7))
    assert asker.ask({"user": "grown"}).body["cold_start"] is False
    assert worker.pid == pid
    assert "Traceback" not in worker.log
