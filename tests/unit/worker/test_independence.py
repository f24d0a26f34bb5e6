"""Whatever is cut, lost, late, repeated, saved or killed between any two steps: the state is the log's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.checkpoints.store import CheckpointStore, Identity
from recommender.ingest.forwarded import SOURCE
from recommender.ingest.ingest import Ingest
from recommender.messages.partitioning import partition_of
from recommender.messages.ratings import RatingDecoder, header
from recommender.messages.records import Outgoing
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.worker import learning
from recommender.worker.demand import Demand
from recommender.worker.learning import Learner
from recommender.worker.pacing import Pace
from recommender.worker.shards import Shards
from recommender.worker.transport.batch import Batch
from tests.support.doubles import FakeRecord, few, rating_value

PARTITIONS = 2
#: Records in the logs before anything is forwarded.
COUNT = 160
STEPS = ["fetch", "fetch", "fetch", "lose", "lose", "delay", "repeat"]
ENDS = ["save", "save without commit", "kill", "kill half way"]

steps = st.lists(
    st.tuples(st.sampled_from([*STEPS, *ENDS]), st.integers(0, PARTITIONS - 1), st.integers(1, 40)),
    max_size=40,
)


class Kafka:
    """Two partitions of ratings, some of them bad, some on the wrong one; and what the worker writes.

    Some offsets have no record, as if there were markers of transactions.
    """

    def __init__(self, seed: int) -> None:
        self.logs: list[list[FakeRecord]] = [[] for _ in range(PARTITIONS)]
        self._holes = random.Random(seed)
        self.committed: dict[int, int] = {}
        self.letters: set[tuple[int, int]] = set()
        self.good = 0
        draw = random.Random(seed)
        standing: set[tuple[str, str]] = set()
        for number in range(COUNT):
            user, item = f"u{draw.randrange(12)}", f"i{int(draw.paretovariate(1.0)) % 30}"
            place = partition_of(user, PARTITIONS)
            kind = draw.random()
            if kind < 0.05:
                self._append(place, b"bad")
            elif kind < 0.2:
                # Of an item of its own: on the way its order may change.
                self._append(1 - place, rating_value(user, f"only{number}", draw.randint(1, 5)))
                self.good += 1
            else:
                withdrawn = kind < 0.3 and (user, item) in standing
                (standing.discard if withdrawn else standing.add)((user, item))
                value = None if withdrawn else draw.randint(1, 5)
                self._append(place, rating_value(user, item, value, timestamp=number // 3))
                self.good += 1
        self.bad = {
            (record.partition, record.offset) for log in self.logs for record in log if record.value == b"bad"
        }

    def _append(self, partition: int, value: bytes | None, headers: Any = ()) -> None:
        offset = self.end(partition) + (self._holes.randint(1, 3) if self._holes.random() < 0.1 else 0)
        self.logs[partition].append(
            FakeRecord(offset, value, None, 1000, tuple(headers), "ratings", partition)
        )

    def end(self, partition: int) -> int:
        """The offset after the last record."""
        log = self.logs[partition]
        return log[-1].offset + 1 if log else 0

    async def send_all(self, topic: str, records: Sequence[Outgoing]) -> None:
        """Some may have been written already when whoever sends them ends."""
        for each in records:
            self._write(topic, each)
            await asyncio.sleep(0)

    def _write(self, topic: str, outgoing: Outgoing) -> None:
        assert outgoing.partition is not None
        if topic == "ratings":
            assert header(tuple(outgoing.headers), SOURCE) is not None
            self._append(outgoing.partition, outgoing.value, outgoing.headers)
        else:
            told = dict(outgoing.headers)
            places = (told[f"__connect.errors.{what}"] for what in ("partition", "offset"))
            self.letters.add((int(next(places)), int(next(places))))

    async def commit(self, offsets: Any) -> None:
        self.committed.update(offsets)


class Worker:
    """What a worker process holds; when it is killed, all of it is gone."""

    def __init__(self, kafka: Kafka, directory: Path, options: ShardOptions) -> None:
        self.kafka = kafka
        self.position: dict[int, int] = {}
        self.under_way: list[list[Batch]] = [[] for _ in range(PARTITIONS)]
        self.shards = Shards(options, CheckpointStore(directory, Identity("ratings", "id", PARTITIONS)))
        self.learner = Learner(
            self.shards,
            Ingest("ratings", PARTITIONS, RatingDecoder(0.5, 5.0)),
            kafka.send_all,
            self._seek,
            dead_letter_topic="ratings-dlt",
            pace=Pace(0.0, Demand()),
        )

    async def start(self) -> Worker:
        for partition in range(PARTITIONS):
            committed = self.kafka.committed.get(partition)
            held = await self.shards.open(partition, 0, self.kafka.end(partition), committed)
            assert (committed or 0) <= held.shard.offset
            self.position[partition] = held.shard.offset
        return self

    async def _seek(self, partition: int, offset: int) -> None:
        self.position[partition] = offset

    def fetch(self, partition: int, count: int) -> Batch | None:
        start = self.position[partition]
        records: list[Any] = [each for each in self.kafka.logs[partition] if each.offset >= start][:count]
        if not records:
            return None
        self.position[partition] = records[-1].offset + 1
        return Batch("ratings", partition, records, start)

    async def step(self, kind: str, partition: int, count: int) -> bool:
        """Do something; False if that was the worker's end."""
        if kind == "repeat":
            self.position[partition] = max(0, self.position[partition] - count)
        elif kind == "save":
            await self.shards.save_all(self.kafka.commit)
        elif kind == "save without commit":
            await self.shards.save_all(_nothing)
        elif kind == "lose":
            self._lose(partition, count)
        elif kind != "kill":
            batch = self.fetch(partition, count)
            if batch is not None:
                self.under_way[partition].append(batch)
            if kind == "fetch":
                while self.under_way[partition]:
                    await self.learner.take(self.under_way[partition].pop(0))
            elif kind == "kill half way":
                await self._stop_half_way(partition, count)
        return not kind.startswith("kill")

    def _lose(self, partition: int, count: int) -> None:
        """Any number of times at the same place, but not at the end, where no record would tell of it."""
        batch = self.fetch(partition, count)
        if batch is not None and self.position[partition] == self.kafka.end(partition):
            self.position[partition] = batch.first_offset

    async def _stop_half_way(self, partition: int, count: int) -> None:
        if not self.under_way[partition]:
            return
        taking = asyncio.create_task(self.learner.take(self.under_way[partition][0]))
        for _ in range(count):
            await asyncio.sleep(0)
        taking.cancel()
        await asyncio.wait([taking])
        # It may still come to saving what it holds, as it does when it is stopped.
        await self.shards.save_all(self.kafka.commit, 1.0)

    async def finish(self) -> None:
        """Learn all that there is, and save it."""
        while any(held.shard.offset < self.kafka.end(number) for number, held in self.shards.held.items()):
            for number in range(PARTITIONS):
                await self.step("fetch", number, 1000)
        assert await self.shards.save_all(self.kafka.commit)


async def _nothing(offsets: Any) -> None:
    """A broker that takes no commit."""


def single_pass(kafka: Kafka, options: ShardOptions) -> list[Shard]:
    """The shards of somebody who read each log once, without interruption."""
    ingest = Ingest("ratings", PARTITIONS, RatingDecoder(0.5, 5.0))
    shards = [Shard(options) for number in range(PARTITIONS)]
    for shard, log in zip(shards, kafka.logs, strict=True):
        ingest.apply(shard, log)
    return shards


@pytest.mark.parametrize("model", ["sequence-knn", "blend"])
@settings(few, max_examples=25)
@given(seed=st.integers(0, 10**6), done=steps)
def test_the_state_is_that_of_the_log(
    tmp_path_factory: pytest.TempPathFactory, model: str, seed: int, done: list[tuple[str, int, int]]
) -> None:
    options = ShardOptions(model, Feedback.parse("graded:4"), test_every=3, test_window=20)
    directory, kafka = tmp_path_factory.mktemp("checkpoints"), Kafka(seed)

    async def scenario() -> None:
        worker = await Worker(kafka, directory, options).start()
        for step in done:
            if not await worker.step(*step):
                worker = await Worker(kafka, directory, options).start()
        await worker.finish()
        again = await Worker(kafka, directory, options).start()
        expected = single_pass(kafka, options)
        for number, shard in enumerate(expected):
            for found in (worker, again):
                assert found.shards.held[number].shard.digest() == shard.digest()
            assert kafka.committed[number] == shard.offset == kafka.end(number)
        assert sum(shard.live.tests for shard in expected) > 0
        assert sum(shard.events for shard in expected) == kafka.good
        assert kafka.letters == kafka.bad

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(learning, "CHUNK", 5)
        asyncio.run(scenario())
