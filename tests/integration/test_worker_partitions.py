"""A real worker on four partitions: users' ratings and requests find their partition, and count once."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from kafka import KafkaProducer

from recommender.kafka.network import Network
from recommender.messages.partitioning import partition_of
from recommender.shard.shard import Shard
from tests.support.asking import Asker, asking
from tests.support.kafka import Record, consume_all, produce, wait_until
from tests.support.worker_logs import Running, generated, rating, running_worker
from tests.support.workers import PATIENCE, Worker

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


def events(worker: Worker) -> int:
    """How many ratings its shards have learned."""
    return sum(shard["events"] for shard in worker.shards.values())


def settled(running: Running, count: int) -> dict[int, Shard]:
    """Wait until so many ratings have reached their users' partitions; each is there, once, and saved."""
    wait_until(lambda: events(running.worker) >= count, PATIENCE, f"{count} events\n{running.worker.log}")
    shards = running.oracle.assert_agrees(running.worker)
    assert sum(shard.events for shard in shards.values()) == count
    for partition, shard in shards.items():
        users = [shard.users.id_of(index) for index in range(len(shard.users))]
        assert {partition_of(user, 4) for user in users} <= {partition}
    return shards


def test_partitions_are_learned_exactly_as_they_fill(running: Running) -> None:
    written = produce(running.kafka, running.topics.ratings, generated(COUNT, seed=2))
    assert len({partition for partition, _ in written}) == 4
    shards = running.oracle.assert_agrees(running.worker)
    assert sum(len(shard.users) for shard in shards.values()) == 500
    assert running.worker.metric("recommender_ratings_total", result="forwarded") == 0


def test_an_article_style_producer_feeds_it(running: Running) -> None:
    before = events(running.worker)
    ratings = [(f"article-{number % 30}", f"i{number}", 1 + number % 5) for number in range(300)]
    producer = KafkaProducer(kafka_client=Network, bootstrap_servers=[running.kafka])
    try:
        for user, item, value in ratings:
            body = json.dumps({"user": user, "item": item, "rating": value}).encode("ascii")
            future = producer.send(running.topics.ratings, value=body)
            future.get(timeout=PATIENCE)
    finally:
        producer.close()
    settled(running, before + len(ratings))
    assert running.worker.metric("recommender_ratings_total", result="forwarded") > 0
    running.worker.stop()
    running.worker.start().ready()
    settled(running, before + len(ratings))
    assert events(running.worker) == before + len(ratings)


def test_ratings_keyed_by_something_else_find_their_user(running: Running) -> None:
    before = events(running.worker)
    records = [
        Record(
            rating(f"keyed-{number}", "i1"),
            key=b"the same",
            headers=[("trace", bytes([0, number]))],
            timestamp_ms=1_234_567_890_123 + number,
        )
        for number in range(40)
    ]
    produce(running.kafka, running.topics.ratings, records)
    settled(running, before + len(records))
    log = consume_all(running.kafka, running.topics.ratings)
    forwarded = [record for record in log if record.key and record.key.startswith(b"keyed-")]
    elsewhere = {
        number for number in range(40) if partition_of(f"keyed-{number}", 4) != partition_of("the same", 4)
    }
    assert len(forwarded) == len(elsewhere) > 0
    for record in forwarded:
        number = int(record.key.removeprefix(b"keyed-"))
        assert number in elsewhere
        assert record.value == records[number].value
        assert record.timestamp == records[number].timestamp_ms
        assert record.partition == partition_of(f"keyed-{number}", 4)
        assert dict(record.headers)["trace"] == bytes([0, number])
        source = f"{partition_of('the same', 4)}:"
        assert dict(record.headers)["recommender-source"].decode().startswith(source)


def test_a_request_on_another_partition_is_answered_from_its_users(running: Running, asker: Asker) -> None:
    before = running.worker.metric("recommender_replies_total", code="forwarded")
    (home, offset) = produce(running.kafka, running.topics.ratings, [Record(rating("asks", "i3"), b"asks")])[
        0
    ]
    correlations = {
        partition: asker.send({"user": "asks", "n": 3, "after": offset}, key=b"other", partition=partition)
        for partition in range(4)
    }
    for partition, correlation in correlations.items():
        reply = asker.reply(correlation)
        assert reply.body["ok"], reply.body
        assert reply.body["cold_start"] is False
        assert reply.body["as_of"]["partition"] == home, partition
        assert reply.body["as_of"]["offset"] >= offset
    assert running.worker.metric("recommender_replies_total", code="forwarded") == before + 3
    unkeyed = asker.send({"user": "asks", "n": 1}, key=b"", partition=(home + 1) % 4)
    assert asker.reply(unkeyed).body["as_of"]["partition"] == home
    assert all(len(replies) == 1 for replies in asker.replies().values())


def test_a_request_is_forwarded_only_once(running: Running, asker: Asker) -> None:
    away = (partition_of("lost", 4) + 1) % 4
    headers = [("recommender-forwarded", b"0:0")]
    error = asker.ask({"user": "lost"}, *headers, partition=away).error
    assert (error["code"], error["retriable"]) == ("wrong_partition", False)
    assert f"belongs to partition {partition_of('lost', 4)} of 4" in error["message"]
    assert f"forwarded to partition {away}" in error["message"]


def test_a_rating_is_forwarded_only_once(running: Running) -> None:
    away = (partition_of("lost", 4) + 1) % 4
    before = len(consume_all(running.kafka, running.topics.dead_letters))
    lost = Record(rating("lost", "i1"), headers=[("recommender-source", b"2:7")], partition=away)
    produce(running.kafka, running.topics.ratings, [lost])
    running.oracle.assert_agrees(running.worker)
    letters = consume_all(running.kafka, running.topics.dead_letters)
    assert len(letters) == before + 1
    headers = dict(letters[-1].headers)
    assert headers["__connect.errors.stage"] == b"route"
    assert b"did the number of partitions change?" in headers["__connect.errors.exception.message"]
