"""Handing over without Kafka: what is in force, what may not change, and how two shards change places."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from recommender import settings
from recommender.checkpoints.identity import Identity
from recommender.checkpoints.store import CheckpointMismatch, CheckpointStore
from recommender.ingest.batch_decoder import BatchDecoder
from recommender.ingest.ingest import Ingest, Outcome
from recommender.ingest.poison_records import Caution
from recommender.kafka.topics import Finding
from recommender.messages.records import Record
from recommender.retraining import handover
from recommender.retraining.handover import Handover, HandoverError, Offer, Terms, obstacle, replaced_by
from recommender.retraining.log_replay import LogPassError
from recommender.settings import Settings
from recommender.shard.options import ShardOptions, learned_settings
from recommender.shard.shard import Shard
from recommender.worker import adoption
from recommender.worker.adoption import Adoption
from recommender.worker.held import Held
from recommender.worker.shards import Shards
from tests.support.doubles import FakeRecord

TOPIC = Finding("ratings", 1, "id")
LOG = [
    FakeRecord(n, json.dumps({"user": f"u{n % 7}", "item": f"i{n * n % 11}", "rating": n % 5 + 1}).encode())
    for n in range(60)
]
INGEST = Ingest("ratings", 1, BatchDecoder(0.5, 5.0))


def config(tmp_path: Path, **given: str) -> Settings:
    return settings.load({}, checkpoints=str(tmp_path), **{"test_every": "2", **given})


def learned_settings(config: Settings, stop: int) -> Shard:
    """One pass over the log."""
    shard = Shard(ShardOptions.of(config))
    INGEST.apply(shard, LOG[:stop])
    return shard


def identity(config: Settings, name: str = "") -> Identity:
    return Identity("ratings", "id", 1, learned_settings(config), name)


def hand_over(config: Settings, *before: Settings, at: int, name: str = "one") -> Handover:
    """What `recommender retrain` with these settings leaves, in the place of the others."""
    shard = learned_settings(config, at)
    store = CheckpointStore(handover.place(config.checkpoints, "a"), identity(config, name))
    file = f"ratings-0/{store.save(0, at, shard.state()).name}" if at else ""
    terms = Terms.of(config)
    replaced = replaced_by(terms, [Terms.of(each) for each in before])
    made = Handover(name, "a", "id", 1, terms, replaced, {"0": Offer(at, file)})
    handover.publish(config.checkpoints, "ratings", made)
    return made


class Raising(Ingest):
    """Its model raises once, in the middle of a run."""

    raised = False

    def apply(self, shard: Shard, records: Sequence[Record]) -> Outcome:
        if self.raised:
            return super().apply(shard, records)
        self.raised = True
        super().apply(shard, records[: len(records) // 2])
        raise ZeroDivisionError


class FakeLog:
    """The log, without Kafka, for as far as it goes."""

    fails: Exception | None = None
    ingest = INGEST

    def __init__(self, *_: Any) -> None:
        pass

    def follow(self, shard: Shard, stop: int, caution: Caution) -> Shard:
        if FakeLog.fails is not None:
            raise FakeLog.fails
        records: Any = LOG[shard.offset : stop]
        return caution.learn(FakeLog.ingest, shard, records)[0] if records else shard


@pytest.fixture(autouse=True)
def _log(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(adoption, "reading", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(adoption, "LogPass", FakeLog)
    yield
    FakeLog.fails, FakeLog.ingest = None, INGEST


def worker(config: Settings, **options: Any) -> tuple[Shards, Adoption]:
    shards = Shards(ShardOptions.of(config), CheckpointStore(config.checkpoints, identity(config)), **options)
    adopting = Adoption(config, shards, TOPIC)
    shards.ways = adopting.ways
    return shards, adopting


async def opened(shards: Shards) -> Held:
    return await shards.open(0, 0, len(LOG), None)


async def saved(shards: Shards) -> None:
    async def commit(_: object) -> None:
        pass

    assert await shards.save_all(commit)


def test_a_shard_changes_places_with_its_successor_at_the_same_offset(tmp_path: Path) -> None:
    old, new = config(tmp_path, model="popular"), config(tmp_path, model="cooc")

    async def scenario() -> None:
        shards, adopting = worker(old)
        held = await opened(shards)
        INGEST.apply(held.shard, LOG[:30])
        await adopting.look()
        assert shards.handover_of(held) == ""
        hand_over(new, old, at=40)
        await adopting.look()  # it has not learned yet what the new checkpoint has
        assert held.shard.options.model == "popular"
        INGEST.apply(held.shard, LOG[:50])
        held.tainted = True
        await adopting.look()  # something is owed
        assert held.shard.options.model == "popular"
        held.tainted = False
        await adopting.look()
        assert (held.shard.offset, held.saved) == (50, -1)
        assert held.shard.digest() == learned(new, 50).digest()
        taken = held.shard
        await adopting.look()
        assert held.shard is taken
        await saved(shards)
        INGEST.apply(held.shard, LOG)
        await saved(shards)

    asyncio.run(scenario())

    async def restarted() -> None:
        """With its old settings, or with the new ones."""
        for each in (old, new):
            shards, adopting = worker(each)
            held = await opened(shards)
            assert held.shard.digest() == learned(new, len(LOG)).digest()
            assert shards.handover_of(held) == "one"
            before = held.shard
            await adopting.look()
            assert held.shard is before
        with pytest.raises(CheckpointMismatch, match="RECOMMENDER_MODEL was 'cooc', now 'item-knn'"):
            await opened(worker(config(tmp_path, model="item-knn"))[0])

    asyncio.run(restarted())


def test_who_died_before_it_was_saved_takes_it_over_anew(tmp_path: Path) -> None:
    old, new = config(tmp_path, model="popular"), config(tmp_path, model="cooc")

    async def scenario() -> None:
        shards, _ = worker(old)
        held = await opened(shards)
        INGEST.apply(held.shard, LOG[:30])
        await saved(shards)
        hand_over(new, old, at=20)
        shards, adopting = worker(old)
        held = await opened(shards)
        assert (held.shard.options.model, held.saved) == ("popular", 30)
        await adopting.look()
        assert held.shard.digest() == learned(new, 30).digest()
        # A record that cannot be learned brings the last checkpoint back, which is the old one's.
        shards.reload(held)
        assert held.shard.options.model == "popular"
        await adopting.look()
        assert held.shard.digest() == learned(new, 30).digest()

    asyncio.run(scenario())


def test_a_partition_without_ratings_is_handed_over_too(tmp_path: Path) -> None:
    old, new = config(tmp_path, model="popular"), config(tmp_path, model="cooc")

    async def scenario() -> None:
        shards, adopting = worker(old)
        held = await opened(shards)
        hand_over(new, old, at=0)
        await adopting.look()
        assert held.shard.digest() == learned(new, 0).digest()

    asyncio.run(scenario())


def test_a_successor_that_fails_leaves_the_shard_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = config(tmp_path, model="popular"), config(tmp_path, model="cooc")

    async def scenario() -> None:
        shards, adopting = worker(old)
        held = await opened(shards)
        INGEST.apply(held.shard, LOG[:30])
        before = held.shard
        made = hand_over(new, old, at=20)
        FakeLog.fails = LogPassError("the log is away")
        for _ in range(2):
            await adopting.look()
        assert held.shard is before
        assert caplog.text.count("the log is away") == 1
        # A model that raises is led around what made it raise.
        FakeLog.fails, FakeLog.ingest = None, Raising("ratings", 1, BatchDecoder(0.5, 5.0))
        await adopting.look()
        assert FakeLog.ingest.raised
        assert held.shard.digest() == learned(new, 30).digest()
        # Files that are something else are no successors.
        held.shard, held.store = before, None
        handover.publish(tmp_path, "ratings", replace_name(made, "two"))
        await adopting.look()
        assert held.shard is before
        assert "is not what was handed over" in caplog.text

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())


def replace_name(made: Handover, name: str) -> Handover:
    return Handover(name, made.slot, made.topic_id, made.partitions, made.terms, made.replaced, made.offers)


def test_shares_come_with_the_arms_and_ones_own_win(tmp_path: Path) -> None:
    old = config(tmp_path, arms="popular:1,cooc:1")
    new = config(tmp_path, arms="popular:1,item-knn:3")
    hand_over(new, old, at=20)
    ours, *_, own = worker(old)[1].ways()
    assert [(arm.name, arm.share) for arm in ours.options.arms.arms] == [("popular", 1.0), ("item-knn", 3.0)]
    assert own.options.arms.names == ("popular", "cooc")
    changed = config(tmp_path, arms="item-knn:1,popular:0")
    assert [arm.share for arm in worker(changed)[1].ways()[0].options.arms.arms] == [1.0, 0.0]


def test_what_is_not_for_this_worker_is_left_alone(tmp_path: Path) -> None:
    old, new = config(tmp_path, model="popular"), config(tmp_path, model="cooc")
    made = hand_over(new, old, at=20)
    for each in (old, new, config(tmp_path, model=" popular ")):
        assert made.concerns(identity(each), each)
    for each in (config(tmp_path, model="mf"), config(tmp_path, model="popular", seed="5")):
        assert not made.concerns(identity(each), each)
        assert len(worker(each)[1].ways()) == 1
    assert not made.concerns(replace(identity(old), topic_id="another"), old)


def test_what_a_worker_cannot_change_while_it_runs(tmp_path: Path) -> None:
    plain = config(tmp_path, model="popular")
    terms = Terms.of(plain)

    def why(**given: str) -> str | None:
        return obstacle(Terms.of(config(tmp_path, **given)), terms, plain)

    assert why(model="mf", seed="3", test_every="9") is None
    assert why(model="popular", feedback="graded:4.0") is None
    assert "RECOMMENDER_FEEDBACK" in str(why(model="popular", feedback="graded:3"))
    assert "RECOMMENDER_RATING_MAX" in str(why(model="popular", rating_max="10"))
    assert "recommendations log would be turned on" in str(why(arms="popular:1,mf:1"))


def test_a_damaged_hand_over_is_named(tmp_path: Path) -> None:
    assert handover.read(tmp_path, "ratings") is None
    made = hand_over(config(tmp_path, model="cooc"), at=10)
    assert handover.read(tmp_path, "ratings") == made
    file = tmp_path / handover.FOLDER / "ratings.json"
    for content in (b"{", b"[]", b"\xff", b'{"name": 1}'):
        file.write_bytes(content)
        with pytest.raises(HandoverError, match="is no hand-over"):
            handover.read(tmp_path, "ratings")
    assert Terms.in_header({"model": "a, b"}).arms == "a:1,b:1"
