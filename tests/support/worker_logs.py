"""Ratings for the tests of the worker, and what a worker must have made of a log: the oracle of its state."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from kafka import KafkaConsumer, TopicPartition

from recommender import settings
from recommender.checkpoints import store
from recommender.ingest.ingest import Ingest
from recommender.kafka.network import Network
from recommender.kafka.topics import Topics
from recommender.messages.ratings import RatingDecoder
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from tests.support.kafka import Record, produce
from tests.support.workers import Installation, Worker, installed

#: The oracle learns in runs of another length than the worker's: the state must not depend on it.
RUN = 777


def rating(user: object, item: object, value: object = 5) -> bytes:
    """A rating as an upstream service sends it."""
    return json.dumps({"user": user, "item": item, "rating": value}).encode()


def generated(count: int, seed: int = 1, users: int = 500, items: int = 800) -> list[Record]:
    """Ratings keyed by user, where some items are rated often, with re-ratings and withdrawals among them."""
    draw = random.Random(seed)
    records = []
    for number in range(count):
        user = f"u{draw.randrange(users)}"
        item = f"i{min(int(draw.expovariate(6.0 / items)), items - 1)}"
        value = None if draw.random() < 0.01 else draw.randint(1, 5)
        body = {"user": user, "item": item, "rating": value, "timestamp": 1_000_000_000 + number}
        records.append(Record(json.dumps(body).encode(), user.encode()))
    return records


class Oracle:
    """Learns an installation's ratings topic without a worker, without a stop, from its first record on.

    Attributes
    ----------
    shards : dict of int to Shard
        The state of each partition as of the last look.
    """

    def __init__(self, installation: Installation, **given: str) -> None:
        options = ShardOptions.of(settings.load({}, **given))
        decoder = RatingDecoder(options.feedback.low, options.feedback.high, skips=options.feedback.skips)
        self._installation = installation
        self._ingest = Ingest(installation.topics.ratings, installation.partitions, decoder)
        self.shards = {partition: Shard(options) for partition in range(installation.partitions)}

    def look(self) -> dict[int, Shard]:
        """Learn all that the log has at this moment, up to the first transaction that is still open."""
        topic = self._installation.topics.ratings
        with _reading(self._installation.kafka) as consumer:
            partitions = {TopicPartition(topic, number): shard for number, shard in self.shards.items()}
            consumer.assign(list(partitions))
            for partition, shard in partitions.items():
                consumer.seek(partition, shard.offset)
            ends = consumer.end_offsets(list(partitions))
            while any(partitions[partition].offset < end for partition, end in ends.items()):
                for partition, records in consumer.poll(timeout_ms=200, max_records=RUN).items():
                    self._ingest.apply(partitions[partition], records)
                for partition, shard in partitions.items():  # past the marks of transactions
                    shard.offset = max(shard.offset, consumer.position(partition))
        return self.shards

    def assert_agrees(self, *workers: Worker, checkpoints: Path | None = None) -> dict[int, Shard]:
        """Wait until the workers have saved all of the log, and compare each checkpoint's digest.

        Returns
        -------
        dict of int to Shard
            What was expected.
        """
        here = self._installation
        shards = self.look()
        for worker in workers:
            worker.settled({partition: shards[partition].offset for partition in worker.shards})
        for partition, shard in shards.items():
            if shard.offset:
                found = newest_checkpoint(checkpoints or here.checkpoints, here.topics, partition)
                assert (found.offset, found.header["digest"]) == (shard.offset, shard.digest()), partition
        return shards


class Running(NamedTuple):
    """What the tests of one module share."""

    installation: Installation
    worker: Worker
    oracle: Oracle

    @property
    def kafka(self) -> str:
        """Bootstrap servers."""
        return self.installation.kafka

    @property
    def topics(self) -> Topics:
        """The topics that the worker is on."""
        return self.installation.topics


@contextmanager
def running_worker(
    kafka: str, directory: Path, name: str, partitions: int = 1, ratings: Sequence[Record] = ()
) -> Iterator[Running]:
    """A ready worker on topics of its own, which held these ratings before it started; it has learned them.

    Requests wait for no ratings, so one that came before that would be answered from less.
    """
    with installed(kafka, directory, name, partitions) as installation:
        if ratings:
            produce(kafka, installation.topics.ratings, ratings)
        running = Running(installation, installation.worker().start().ready(), Oracle(installation))
        if ratings:
            running.oracle.assert_agrees(running.worker)
        yield running


def newest_checkpoint(directory: Path, topics: Topics, partition: int) -> store.Checkpoint:
    """A partition's newest checkpoint, read and verified."""
    return store.read(max((directory / f"{topics.ratings}-{partition}").glob("*.npz")))


@contextmanager
def _reading(kafka: str) -> Iterator[KafkaConsumer]:
    consumer = KafkaConsumer(
        kafka_client=Network,
        bootstrap_servers=kafka,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    try:
        yield consumer
    finally:
        consumer.close()
