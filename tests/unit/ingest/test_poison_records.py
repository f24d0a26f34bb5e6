"""Records that make a model raise: dead letters, and a state as if they had never been there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.checkpoints.store import CheckpointStore, Identity
from recommender.history.events import Events
from recommender.ingest import poison_records
from recommender.ingest.ingest import Ingest
from recommender.ingest.poison_records import Caution, Poisoned, learn_around
from recommender.kafka.log_reader import Span
from recommender.kafka.topics import Finding
from recommender.messages.ratings import RatingDecoder
from recommender.messages.records import Outgoing
from recommender.messages.refusals import Kind
from recommender.models import popular, registry
from recommender.retraining.log_replay import LogPass
from recommender.settings import Settings
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.worker import learning
from recommender.worker.demand import Demand
from recommender.worker.held import Held
from recommender.worker.learning import Learner
from recommender.worker.pacing import Pace
from recommender.worker.shards import Shards
from recommender.worker.transport.batch import Batch
from tests.support.doubles import FakeRecord, Sent, few, rating_value

OPTIONS = ShardOptions("fragile", test_every=2)
INGEST = Ingest("ratings", 1, RatingDecoder(0.5, 5.0))


class Fragile(popular.Popular):
    """Learns half of a run before it raises for every rating of one point five."""

    def learn(self, events: Events) -> None:
        bad = [place for place, rating in enumerate(events.ratings) if rating == 1.5]
        super().learn(events)
        if bad:
            raise ZeroDivisionError(f"event {bad[0]}:\ncannot be learned")


@pytest.fixture(autouse=True, scope="module")
def _fragile() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(popular, "Fragile", Fragile, raising=False)
        patch.setitem(registry._MODELS, "fragile", ("popular", "Fragile", "raises"))
        patch.setattr(learning, "CHUNK", 4)
        patch.setattr(poison_records, "WARY", 8)
        yield


def record(offset: int, kind: str) -> FakeRecord:
    """A record of one kind; the user, the item and with them new catalog entries depend on the offset."""
    user, item = f"u{offset % 3}", f"i{offset % 7}"
    value = {
        "good": rating_value(user, item, 1 + offset % 5),
        "poison": rating_value(f"new-{offset}", item, 1.5),
        "withdrawal": rating_value(user, item, None),
        "bad": b"bad",
    }[kind]
    return FakeRecord(offset, value)


def naive(records: list[FakeRecord]) -> Shard:
    """One record after another, never those that are poison, with the offset moved past the last."""
    shard = Shard(OPTIONS)
    for each in records:
        if b"1.5" not in (each.value or b""):
            INGEST.apply(shard, [each])
        shard.offset = each.offset + 1
    return shard


class Worker:
    """A learner whose `seek` reads the log again, as Kafka does, after what was fetched before."""

    def __init__(self, directory: Path, log: list[FakeRecord]) -> None:
        self.log = log
        self.sent = Sent()
        self.shards = Shards(OPTIONS, CheckpointStore(directory, Identity("ratings", "id", 1)))
        self.held = Held(Shard(OPTIONS))
        self.shards.held[0] = self.held
        self.position = 0
        self.seeks = 0
        self.learner = Learner(
            self.shards,
            INGEST,
            self.sent.together,
            self._seek,
            dead_letter_topic="dlt",
            pace=Pace(60.0, Demand()),
        )

    async def _seek(self, partition: int, offset: int) -> None:
        self.seeks += 1
        self.position = offset

    async def run(self, size: int, saves: set[int]) -> None:
        while self.position < len(self.log):
            fetched: list[Any] = self.log[self.position : self.position + size]
            self.position += len(fetched)
            if self.position in saves:
                await self.shards.save_all(_no_commit)
            await self.learner.take(Batch("ratings", 0, fetched))


async def _no_commit(offsets: object) -> None:
    return None


def offsets(letters: list[Outgoing]) -> list[int]:
    return [int(dict(each.headers)["__connect.errors.offset"]) for each in letters]


kinds = st.lists(st.sampled_from(["good", "good", "good", "poison", "withdrawal", "bad"]), max_size=40)


@few
@given(kinds)
def test_around_poison_the_state_is_as_if_it_had_not_been_there(log: list[str]) -> None:
    records = [record(offset, kind) for offset, kind in enumerate(log)]
    shard, outcome = learn_around(INGEST, Shard(OPTIONS), records)
    assert shard.digest() == naive(records).digest()
    letters = [place for place, kind in enumerate(log) if kind in ("poison", "bad")]
    assert offsets(outcome.dead_letters) == letters
    assert outcome.learned == len(log) - len(letters)


def test_a_letter_says_what_was_raised() -> None:
    bad = FakeRecord(7, rating_value("u", "i", 1.5), b"key", 99, (("trace", b"\xff"),))
    _, outcome = learn_around(INGEST, Shard(OPTIONS), [bad])
    (letter,) = outcome.dead_letters
    assert (letter.key, letter.value, letter.timestamp) == (b"key", bad.value, 99)
    said = dict(letter.headers)
    assert said["trace"] == b"\xff"
    assert said["__connect.errors.stage"] == b"learn"
    assert said["__connect.errors.offset"] == b"7"
    assert said["__connect.errors.exception.class.name"] == b"recommender.LearnFailed"
    assert said["__connect.errors.exception.message"] == b"ZeroDivisionError: cannot be learned"
    (refusal,) = outcome.refusals
    assert (refusal.kind, refusal.offset) == (Kind.LEARN_FAILED, 7)


@few
@given(kinds, st.integers(1, 12), st.sets(st.integers(0, 40), max_size=3))
def test_a_worker_goes_back_and_learns_around_it(
    tmp_path_factory: pytest.TempPathFactory, log: list[str], size: int, saves: set[int]
) -> None:
    records = [record(offset, kind) for offset, kind in enumerate(log)]
    worker = Worker(tmp_path_factory.mktemp("poison"), records)
    asyncio.run(worker.run(size, saves))
    assert worker.held.shard.offset == len(log)
    assert worker.held.shard.digest() == naive(records).digest()
    assert not worker.held.tainted
    letters = offsets(worker.sent.to("dlt"))
    assert set(letters) == {place for place, kind in enumerate(log) if kind in ("poison", "bad")}
    assert worker.seeks <= log.count("poison")


def test_a_storm_does_not_go_back_for_each(tmp_path: Path) -> None:
    records = [record(offset, "poison") for offset in range(60)]
    worker = Worker(tmp_path, records)
    asyncio.run(worker.run(6, set()))
    assert worker.seeks <= 60 / (learning.CHUNK + poison_records.WARY)
    assert set(offsets(worker.sent.to("dlt"))) == set(range(60))
    assert worker.held.shard.digest() == naive(records).digest()


def test_memory_that_ran_out_is_no_record_s_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Fragile, "learn", fail)
    worker = Worker(tmp_path, [record(0, "good")])
    with pytest.raises(MemoryError):
        asyncio.run(worker.run(1, set()))
    assert worker.held.tainted
    assert worker.sent.all == []


class Reader:
    """A reader of the log that hands out so many records at once, without Kafka."""

    def __init__(self, log: list[FakeRecord], size: int) -> None:
        self._log, self._size, self.position = log, size, 0

    def spans(self, topic: str, partitions: list[int]) -> list[Span]:
        return [Span(0, len(self._log), len(self._log)) for _ in partitions]

    def start(self, topic: str, partition: int, offset: int) -> None:
        self.position = offset

    def read(self, most: int) -> list[FakeRecord]:
        found = self._log[self.position : self.position + min(self._size, most)]
        self.position += len(found)
        return found


@few
@given(kinds, st.integers(1, 12), st.integers(-1, 45), st.integers(0, 40))
def test_a_pass_over_the_log_drops_the_same(log: list[str], size: int, stop_at: int, before: int) -> None:
    records = [record(offset, kind) for offset, kind in enumerate(log)]
    told: list[tuple[int, int, int]] = []
    reader: Any = Reader(records, size)
    settings = Settings(model="fragile", test_every=2, feedback=str(OPTIONS.feedback))
    whole = LogPass(settings, reader, Finding("ratings", 1, "id"), OPTIONS, lambda *each: told.append(each))
    seen: dict[int, str] = {}
    shard = whole.learn(0, stop_at, lambda shard: seen.update({shard.offset: shard.digest()}))
    assert (shard.offset, shard.digest()) == (len(log), naive(records).digest())
    assert seen == ({stop_at: naive(records[:stop_at]).digest()} if log and 0 <= stop_at <= len(log) else {})
    assert not log or told[-1] == (0, len(log), len(log))
    # What follows a part of it gets there too.
    before = min(before, len(log))
    caution = Caution()
    while True:
        try:
            follower = whole.follow(naive(records[:before]), len(log), caution)
            break
        except Poisoned:
            assert "poison" in log[before:]
    assert follower.digest() == shard.digest()
