"""Ratings for the tests of the worker, and what a worker must have made of a log: the oracle of its state."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from kafka import TopicPartition

from recommender import settings
from recommender.checkpoints.checkpoint import Checkpoint, read
from recommender.ingest.ingest import BatchDecoder
from recommender.journal.block import Source
from recommender.journal.identity import rule_of, topic_id
from recommender.journal.replica import Replica
from recommender.kafka.topics import Topics, identify
from recommender.messages.partitioning import partition_of
from recommender.messages.requests import Request
from recommender.messages.responses import Response
from recommender.shard.options import ShardOptions
from tests.support.journal_log import NaiveRule, SourceLog, Written, following, reading
from tests.support.kafka import Record, produce, wait_until
from tests.support.workers import PATIENCE, Installation, Worker, installed


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
    """Learns an installation's journal without a worker, without a stop, from its first block on.

    And it compares the journal with the ratings topic: each valid rating must be there once, in order.

    Attributes
    ----------
    installation : Installation
    replicas : list of Replica
        The state of each partition of the journal as of the last look.
    source : SourceLog
        The ratings topic as of the last comparison.
    """

    def __init__(self, installation: Installation, **given: str) -> None:
        self.installation, topics = installation, installation.topics
        self._options = ShardOptions.of(settings.load({}, **given))
        self._journal = identify(installation.kafka, topics.journal)
        partitions = range(self._journal.partitions)
        self.replicas = [
            Replica(rule_of(self._journal, each, self._options), self._options) for each in partitions
        ]
        self._naive = [NaiveRule(topics.journal, each) for each in partitions]
        with reading(installation.kafka) as consumer:
            begins = consumer.beginning_offsets([TopicPartition(topics.journal, each) for each in partitions])
        for replica in self.replicas:
            begin = begins[topics.journal, replica.partition]
            if begin:  # it was rewritten, and everything begins there
                replica.skip_to(begin)
        self._begin_source()

    def _begin_source(self) -> None:
        feedback = self._options.feedback
        decoder = BatchDecoder(feedback.low, feedback.high, skips=feedback.skips)
        self._source_id = topic_id(identify(self.installation.kafka, self.installation.topics.ratings))
        self.source = SourceLog(self.installation.kafka, self.installation.topics.ratings, decoder)

    @property
    def replica(self) -> Replica:
        """The state of the first partition of the journal, which mostly is all there is."""
        return self.replicas[0]

    @property
    def learned(self) -> dict[int, int]:
        """By partition of the ratings topic, the next offset to learn as of the last look."""
        sources = {source for rule in self._naive for source in rule.applied}
        return {
            source.partition: min(rule.applied.get(source, 0) for rule in self._naive)
            for source in sorted(sources)
            if source.topic_id == self._source_id
        }

    @property
    def counted(self) -> dict[int, list[list[Written]]]:
        """What counts of each partition of the ratings topic, by partition of the journal."""
        found: dict[int, list[list[Written]]] = {}
        for rule in self._naive:
            for source, ratings in rule.counted.items():
                if source.topic_id == self._source_id:
                    found.setdefault(source.partition, []).append(ratings)
        return found

    def look(self) -> Replica:
        """Learn all that the journal has at this moment."""
        positions = self._positions
        with reading(self.installation.kafka) as consumer:
            for partition, records in following(consumer, self._journal.topic, positions):
                for record in records:
                    self._naive[partition].follow(record)
                self.replicas[partition].apply(records)
        return self.replica

    def recommend(self, request: Request, identity: bytes = b"") -> Response:
        """What a worker answers that has followed the journal as far as the last look."""
        place = partition_of(str(request.user), len(self.source.ends) or self.installation.partitions)
        as_of = self.replica.as_of(Source(self._source_id, place))
        return self.replica.shard.recommend(request, identity, as_of)

    def wait(self, seconds: float = PATIENCE) -> Replica:
        """Wait until the journal has all that the ratings topic has now: each rating once, in order."""
        if topic_id(identify(self.installation.kafka, self.installation.topics.ratings)) != self._source_id:
            self._begin_source()  # it was deleted and created again
        self.source.read()

        def is_there() -> bool:
            self.look()
            learned = self.learned
            return all(learned.get(partition, 0) >= end for partition, end in self.source.ends.items())

        wait_until(
            is_there, seconds, lambda: f"the topic ends at {self.source.ends}, in the journal: {self.learned}"
        )
        self._compare()
        return self.replica

    def _compare(self) -> None:
        for partition, expected in self.source.ratings.items():
            parts = [rule.counted.get(Source(self._source_id, partition), []) for rule in self._naive]
            for part in parts:
                offsets = [each.offset for each in part]
                assert offsets == sorted(set(offsets)), f"partition {partition} is not in order"
            found = [each for part in parts for each in part if each.offset < self.source.ends[partition]]
            gone = self.source.gone[partition]
            known = [each for each in found if not any(each.offset in span for span in gone)]
            found = sorted(known, key=lambda each: each.offset)
            assert [each.offset for each in found] == [each.offset for each in expected], partition
            wrong = [pair for pair in zip(found, expected, strict=True) if not pair[0].is_like(pair[1])]
            assert not wrong, f"partition {partition}: {wrong[:5]}"

    def assert_agrees(self, *workers: Worker, checkpoints: Path | None = None) -> Replica:
        """Wait until the workers have learned and saved all ratings, and compare each one's state.

        Returns
        -------
        Replica
            What was expected.
        """
        self.wait()
        return self.assert_followed(*workers, checkpoints=checkpoints)

    def _has_taken_over(self, worker: Worker) -> bool:
        """Return False while a worker still follows from before where a journal that was rewritten begins."""
        return all(
            replica.rule.origin < 0
            or worker.journal[replica.partition]["hash"] == f"{replica.rule.hash:016x}"
            for replica in self.replicas
        )

    def assert_followed(self, *workers: Worker, checkpoints: Path | None = None) -> Replica:
        """Wait until the workers have followed and saved all of the journal, and compare each one's state.

        A worker that finds a checkpoint of its position compares its own state with that, so equal digests
        and nobody who differs mean that all are equal.

        Returns
        -------
        Replica
            What was expected.
        """

        def are_settled() -> bool:
            # Somebody may still write what is there already.
            self.look()
            settled = all(worker.is_settled(self._positions) for worker in workers)
            return settled and all(map(self._has_taken_over, workers))

        wait_until(are_settled, PATIENCE, lambda: self._unlike(workers))
        for worker in workers:
            for partition, status in worker.journal.items():
                replica = self.replicas[partition]
                assert status["hash"] == f"{replica.rule.hash:016x}", worker.log
                known = len(replica.shard.users), len(replica.shard.items), replica.shard.events
                assert (status["users"], status["items"], status["events"]) == known, worker.log
            assert worker.status()["differs"] == [], worker.log
        for partition, position in self._positions.items():
            if position:
                found = newest_checkpoint(
                    checkpoints or self.installation.checkpoints, self.installation.topics, partition
                )
                said = found.offset, found.header["digest"]
                expected = position, self.replicas[partition].digest()
                assert said == expected, f"{said} is the newest checkpoint, expected {expected}"
        return self.replica

    @property
    def _positions(self) -> dict[int, int]:
        return {each.partition: each.position for each in self.replicas}

    def _unlike(self, workers: Sequence[Worker]) -> str:
        told = [f"{self._positions}, but {worker.journal}\n{worker.log}" for worker in workers]
        return "\n\n".join(told)


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
    kafka: str,
    directory: Path,
    name: str,
    partitions: int = 1,
    ratings: Sequence[Record] = (),
    **settings: object,
) -> Iterator[Running]:
    """A ready worker on topics of its own, which held these ratings before it started; it has learned them.

    Requests wait for no ratings, so one that came before that would be answered from less.
    """
    with installed(kafka, directory, name, partitions) as installation:
        if ratings:
            produce(kafka, installation.topics.ratings, ratings)
        worker = installation.worker(**settings).start().ready()
        running = Running(installation, worker, Oracle(installation))
        if ratings:
            running.oracle.assert_agrees(running.worker)
        yield running


def newest_checkpoint(directory: Path, topics: Topics, partition: int) -> Checkpoint:
    """The newest checkpoint of a partition of the journal, read and verified."""
    return read(max((directory / f"{topics.journal}-{partition}").glob("*.npz")))
