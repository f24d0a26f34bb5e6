"""The learner: batches in order, what they send elsewhere, gaps, slices, and what taints a shard."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from recommender.checkpoints.store import CheckpointStore, Identity
from recommender.ingest.forwarded import SOURCE
from recommender.ingest.ingest import Ingest, Outcome
from recommender.messages.ratings import Rating, RatingDecoder
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.worker import learning
from recommender.worker.demand import Demand
from recommender.worker.held import Held
from recommender.worker.learning import Learner
from recommender.worker.pacing import Pace
from recommender.worker.shards import LogGap, Shards
from recommender.worker.transport.batch import Batch
from tests.support.doubles import FakeRecord, Sent, rating_records, rating_value, until, users_of


class Worker:
    """A learner with one held shard, and what it did."""

    def __init__(self, directory: Path, partitions: int = 1, learn_slice: float = 60.0) -> None:
        store = CheckpointStore(directory, Identity("ratings", "id", partitions))
        self.shards = Shards(ShardOptions(), store)
        self.held = Held(Shard(self.shards.options))
        self.shards.held[0] = self.held
        self.sent = Sent()
        self.sought: list[tuple[int, int]] = []
        self.outcomes: list[tuple[int, Outcome]] = []
        self.learner = Learner(
            self.shards,
            Ingest("ratings", partitions, RatingDecoder(0.5, 5.0)),
            self.sent.together,
            self._seek,
            dead_letter_topic="ratings-dlt",
            pace=Pace(learn_slice, Demand()),
            learned=lambda partition, outcome: self.outcomes.append((partition, outcome)),
        )

    async def _seek(self, partition: int, offset: int) -> None:
        self.sought.append((partition, offset))

    @property
    def shard(self) -> Shard:
        return self.held.shard

    async def take(
        self, records: list[FakeRecord], partition: int = 0, position: int | None = None, begins: int = 0
    ) -> None:
        fetched: list[Any] = list(records)
        await self.learner.take(Batch("ratings", partition, fetched, position, begins))


def ratings(first: int, count: int) -> list[FakeRecord]:
    return rating_records([Rating("u", f"i{first + each}", 5, 1.0) for each in range(count)], first)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "CHUNK", 4)


def test_batches_are_learned_in_order(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = Worker(tmp_path)
        await worker.take(ratings(0, 300))
        await worker.take(ratings(300, 5))
        assert worker.shard.offset == 305
        assert worker.shard.events == 305
        assert sum(outcome.learned for _, outcome in worker.outcomes) == 305
        assert not worker.held.tainted

    asyncio.run(scenario())


def test_what_comes_again_is_learned_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = Worker(tmp_path)
        await worker.take(ratings(0, 10))
        await worker.take(ratings(5, 10))
        assert (worker.shard.offset, worker.shard.events, worker.sought) == (15, 15, [])

    asyncio.run(scenario())


def test_a_partition_that_moved_away_is_ignored(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = Worker(tmp_path)
        await worker.take([FakeRecord(0, b"bad")], partition=1)
        assert (worker.sent.all, worker.outcomes) == ([], [])

    asyncio.run(scenario())


def test_dead_letters_and_forwards_go_where_they_belong(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = Worker(tmp_path, partitions=2)
        mine, theirs = users_of(0, 2)[0], users_of(1, 2)[0]
        values = [rating_value(mine, "x"), b"bad", rating_value(theirs, "y")]
        await worker.take([FakeRecord(*each) for each in enumerate(values)])
        (letter,) = worker.sent.to("ratings-dlt")
        assert (letter.partition, letter.value) == (0, b"bad")
        (forward,) = worker.sent.to("ratings")
        assert (forward.partition, forward.key) == (1, theirs.encode())
        assert forward.headers == [(SOURCE, b"0:2")]
        assert (worker.shard.events, worker.shard.offset) == (1, 3)
        assert not worker.held.tainted

    asyncio.run(scenario())


def test_it_returns_when_all_has_arrived_and_the_shard_is_not_saved_before(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = Worker(tmp_path)
        answers = worker.sent.hold()
        taking = asyncio.create_task(worker.take([FakeRecord(0, b"bad"), FakeRecord(1, b"bad")]))
        await until(lambda: len(answers) == 2)
        answers[0].set_result(None)
        assert not await worker.shards.save_all(_no_commit, within=0.01)
        assert (worker.held.tainted, taking.done()) == (True, False)
        answers[1].set_result(None)
        await taking
        assert not worker.held.tainted
        commits: list[dict[int, int]] = []

        async def commit(offsets: Any) -> None:
            commits.append(dict(offsets))

        assert await worker.shards.save_all(commit)
        assert commits == [{0: 2}]

    asyncio.run(scenario())


@pytest.mark.parametrize("topic", ["ratings-dlt", "ratings"])
def test_what_cannot_be_delivered_raises_and_taints(tmp_path: Path, topic: str) -> None:
    async def scenario() -> None:
        worker = Worker(tmp_path, partitions=2)
        worker.sent.fails = lambda name: ConnectionError("gone") if name == topic else None
        values = [rating_value(users_of(0, 2)[0], "x"), b"bad", rating_value(users_of(1, 2)[0], "y")]
        with pytest.raises(ConnectionError, match="gone"):
            await worker.take([FakeRecord(*each) for each in enumerate(values)])
        assert worker.held.tainted
        assert not await worker.shards.save_all(_no_commit)
        assert worker.shards.store.load(0) == (None, [])

    asyncio.run(scenario())


def test_a_send_that_raises_taints(tmp_path: Path) -> None:
    async def refuse(topic: str, records: object) -> None:
        raise ValueError("too large")

    async def scenario() -> None:
        worker = Worker(tmp_path)
        worker.learner._send_all = refuse
        with pytest.raises(ValueError, match="too large"):
            await worker.take([FakeRecord(0, b"bad")])
        assert worker.held.tainted

    asyncio.run(scenario())


def test_a_taint_stays_whatever_comes_after(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = Worker(tmp_path)
        answers = worker.sent.hold()
        taking = asyncio.create_task(worker.take([FakeRecord(0, b"bad")]))
        await until(lambda: answers)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        assert worker.held.tainted
        await worker.take(ratings(1, 3))
        assert worker.held.tainted
        assert not await worker.shards.save_all(_no_commit)

    asyncio.run(scenario())


@pytest.mark.usefixtures("small_chunks")
def test_learning_lets_others_run_between_slices(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = Worker(tmp_path, learn_slice=0.0)
        seen: set[int] = set()

        async def look() -> None:
            while worker.shard.offset < 40:
                seen.add(worker.shard.offset)
                await asyncio.sleep(0)

        looking = asyncio.create_task(look())
        await worker.take(ratings(0, 40))
        await looking
        assert {4, 8, 12, 16, 20, 24, 28, 32, 36} <= seen

    asyncio.run(scenario())


@pytest.mark.usefixtures("small_chunks")
def test_a_long_slice_is_not_interrupted(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker, ticks = Worker(tmp_path, learn_slice=600.0), []

        async def tick() -> None:
            ticks.append(worker.shard.offset)

        ticking = asyncio.create_task(tick())
        await worker.take(ratings(0, 40))
        assert ticks == []
        await ticking

    asyncio.run(scenario())


@pytest.mark.usefixtures("small_chunks")
def test_cancelled_between_slices_it_is_whole_as_far_as_it_came(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = Worker(tmp_path, learn_slice=0.0)
        taking = asyncio.create_task(worker.take(ratings(0, 40)))
        await until(lambda: worker.shard.offset)
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking
        assert not worker.held.tainted
        other = Worker(tmp_path)
        await other.take(ratings(0, worker.shard.offset))
        assert 0 < worker.shard.offset < 40
        assert other.shard.digest() == worker.shard.digest()
        await worker.take(ratings(0, 40))
        await other.take(ratings(other.shard.offset, 40 - other.shard.offset))
        assert other.shard.digest() == worker.shard.digest()

    asyncio.run(scenario())


def test_what_was_lost_on_the_way_is_read_again_however_often(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = Worker(tmp_path)
        await worker.take(ratings(0, 5))
        for _ in range(9):
            await worker.take(ratings(8, 5))
        assert (worker.shard.offset, worker.sought) == (5, [(0, 5)] * 9)

    asyncio.run(scenario())


def test_what_kafka_does_not_have_is_passed_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = Worker(tmp_path)
        await worker.take(ratings(0, 5))
        await worker.take(ratings(8, 5), position=5)
        assert (worker.shard.offset, worker.shard.events, worker.sought) == (13, 10, [])

    asyncio.run(scenario())


def test_what_kafka_has_deleted_is_a_gap(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = Worker(tmp_path)
        await worker.take(ratings(0, 5))
        with pytest.raises(LogGap, match="offsets 5 to 7 are in no checkpoint and no longer in the log"):
            await worker.take(ratings(8, 5), position=5, begins=8)
        assert worker.shard.offset == 5
        worker.shards.allow_gap = True
        await worker.take(ratings(8, 5), position=5, begins=8)
        assert (worker.shard.offset, worker.shard.events, worker.sought) == (13, 10, [])

    asyncio.run(scenario())


def test_a_gap_that_reading_again_closes_is_closed(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = Worker(tmp_path)
        await worker.take(ratings(8, 5))
        await worker.take(ratings(0, 20))
        assert (worker.shard.offset, worker.shard.events, worker.sought) == (20, 20, [(0, 0)])

    asyncio.run(scenario())


def test_batches_already_under_way_make_no_gap(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = Worker(tmp_path)
        for first in (10, 20, 30, 20):
            await worker.take(ratings(first, 10))
        assert worker.shard.offset == 0
        await worker.take(ratings(0, 40))
        assert (worker.shard.offset, worker.shard.events) == (40, 40)

    asyncio.run(scenario())


async def _no_commit(offsets: object) -> None:
    raise AssertionError(f"nothing may be committed, got {offsets}")
