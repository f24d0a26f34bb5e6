"""Handing over without Kafka: what is in force, what may not change, and how two replicas change places."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recommender import settings
from recommender.checkpoints.checkpoint import CheckpointMismatch
from recommender.checkpoints.identity import Identity
from recommender.checkpoints.store import CheckpointStore
from recommender.history.rows import Rows
from recommender.journal.identity import rule_of
from recommender.journal.replica import Replica
from recommender.messages.ratings import Rating
from recommender.retraining import handover
from recommender.retraining.handover import Handover, HandoverError, Offer, Terms, obstacle, replaced_by
from recommender.retraining.log_replay import LogPassError
from recommender.settings import Settings
from recommender.shard.options import ShardOptions, learned_settings
from recommender.shard.shard import Shard
from recommender.worker.adoption import Adoption
from recommender.worker.handover_sources import HandoverSources
from recommender.worker.replicas import CheckpointSource, HeldReplica, Replicas
from tests.support.journals import FOUND, Journal
from tests.unit.journal.blocks import Block
from tests.unit.journal.forgetting_setup import rewritten
from tests.unit.journal.test_poison import Reader

TOPIC = FOUND.topic


def log() -> list[Block]:
    """A journal of single ratings."""
    made = Journal()
    for each in range(60):
        made.add([Rating(f"u{each % 7}", f"i{each * each % 11}", each % 5 + 1, float(each))])
    return made.blocks


LOG = log()


def config(tmp_path: Path, **given: str) -> Settings:
    return settings.load({}, checkpoints=str(tmp_path), **{"test_every": "2", **given})


def learned(config: Settings, stop: int) -> Replica:
    """One pass over the journal."""
    options = ShardOptions.of(config)
    replica = Replica(rule_of(FOUND, 0, options), options)
    if stop:
        replica.apply(LOG[:stop])
    return replica


def identity(config: Settings, name: str = "") -> Identity:
    return Identity(TOPIC, FOUND.topic_id, 1, learned_settings(config), name)


def hand_over(config: Settings, *before: Settings, at: int, name: str = "one") -> Handover:
    """What `recommender retrain` with these settings leaves, in the place of the others."""
    store = CheckpointStore(handover.place(config.checkpoints, "a"), identity(config, name))
    file = f"{TOPIC}-0/{store.save(0, at, learned(config, at).state()).name}" if at else ""
    terms = Terms.of(config)
    replaced = replaced_by(terms, [Terms.of(each) for each in before])
    made = Handover(name, "a", FOUND.topic_id, 1, terms, replaced, {"0": Offer(at, file)})
    handover.publish(config.checkpoints, TOPIC, made)
    return made


class Log(Reader):
    """The journal, for as far as it goes."""

    fails: Exception | None = None

    def read(self, most: int) -> list[Block]:
        if Log.fails is not None:
            raise Log.fails
        return super().read(most)


@pytest.fixture(autouse=True)
def _nothing_fails() -> Iterator[None]:
    yield
    Log.fails = None


def worker(config: Settings, journal: list[Block] = LOG) -> tuple[Replicas, Adoption]:
    options, sources = ShardOptions.of(config), sources_of(config)
    store = CheckpointStore(config.checkpoints, identity(config))
    replicas = Replicas(
        options, store, lambda partition: rule_of(FOUND, partition, options), sources=sources.all
    )

    def reading(_: Settings) -> Any:
        return contextlib.nullcontext(Log(journal, 7))

    return replicas, Adoption(config, replicas, FOUND, sources, reading)


def sources_of(config: Settings) -> HandoverSources:
    own = CheckpointSource(ShardOptions.of(config), CheckpointStore(config.checkpoints, identity(config)))
    return HandoverSources(config, own, FOUND)


def saved_files(place: Path) -> list[Path]:
    return sorted(place.rglob("*.npz"))


def saved(held: HeldReplica) -> None:
    held.store.save(0, held.replica.position, held.replica.state())


async def test_a_rewritten_journal_is_learned_again_and_taken_over(tmp_path: Path) -> None:
    journal = [*LOG, *rewritten(LOG)]
    settings = config(tmp_path, model="popular")
    replicas, adopting = worker(settings, journal)
    held = await replicas.open(0)
    held.caught_up = True
    held.replica.apply(journal[:-1])
    before = held.replica
    await adopting.adopt()
    assert held.replica is before  # it is not complete yet
    held.replica.apply(journal)
    await adopting.adopt()
    options = ShardOptions.of(settings)
    expected = Replica(rule_of(FOUND, 0, options), options)
    expected.skip_to(len(LOG))
    expected.apply(journal[len(LOG) :])
    assert (held.replica.digest(), held.caught_up, held.saved) == (expected.digest(), True, -1)
    assert held.replica.rule.origin == len(LOG)
    taken = held.replica
    await adopting.adopt()
    assert held.replica is taken
    # It is handed over once more, from where the journal begins now.
    hand_over(config(tmp_path, model="cooc"), settings, at=40)
    handover.begin_again(str(tmp_path), TOPIC, FOUND.topic_id, {0: len(LOG)})
    found = handover.read(tmp_path, TOPIC)
    assert found is not None
    assert found.offers == {"0": Offer(len(LOG))}
    assert saved_files(tmp_path) == []
    await adopting.adopt()
    assert held.replica.shard.options.model == "cooc"
    assert held.replica.rule.origin == len(LOG)
    assert held.store.identity.handover == "one"


async def test_a_replica_changes_places_with_its_successor_at_the_same_offset(tmp_path: Path) -> None:
    old, new = config(tmp_path, model="popular"), config(tmp_path, model="cooc")

    async def scenario() -> None:
        replicas, adopting = worker(old)
        held = await replicas.open(0)
        held.replica.apply(LOG[:30])
        await adopting.adopt()
        assert held.store.identity.handover == ""
        hand_over(new, old, at=40)
        await adopting.adopt()  # it has not learned yet what the new checkpoint has
        assert held.replica.shard.options.model == "popular"
        held.replica.apply(LOG[:50])
        held.caught_up = True
        await adopting.adopt()
        assert (held.replica.position, held.saved, held.caught_up) == (50, -1, True)
        assert held.replica.digest() == learned(new, 50).digest()
        taken = held.replica
        await adopting.adopt()
        assert held.replica is taken
        saved(held)
        held.replica.apply(LOG)
        saved(held)

    await scenario()

    async def restarted() -> None:
        """With its old settings, or with the new ones."""
        for each in (old, new):
            replicas, adopting = worker(each)
            held = await replicas.open(0)
            assert held.replica.digest() == learned(new, len(LOG)).digest()
            assert held.store.identity.handover == "one"
            before = held.replica
            await adopting.adopt()
            assert held.replica is before
        with pytest.raises(CheckpointMismatch, match="RECOMMENDER_MODEL was 'cooc', now 'item-knn'"):
            await worker(config(tmp_path, model="item-knn"))[0].open(0)

    await restarted()


async def test_who_died_before_it_was_saved_takes_it_over_again(tmp_path: Path) -> None:
    old, new = config(tmp_path, model="popular"), config(tmp_path, model="cooc")
    replicas, _ = worker(old)
    held = await replicas.open(0)
    held.replica.apply(LOG[:30])
    saved(held)
    hand_over(new, old, at=20)
    replicas, adopting = worker(old)
    held = await replicas.open(0)
    assert (held.replica.shard.options.model, held.saved) == ("popular", 30)
    await adopting.adopt()
    assert held.replica.digest() == learned(new, 30).digest()
    # A rating that cannot be learned brings the last checkpoint back, which is the old one's.
    await replicas.reload(held)
    assert held.replica.shard.options.model == "popular"
    await adopting.adopt()
    assert held.replica.digest() == learned(new, 30).digest()


async def test_a_journal_without_ratings_is_handed_over_too(tmp_path: Path) -> None:
    old, new = config(tmp_path, model="popular"), config(tmp_path, model="cooc")
    replicas, adopting = worker(old)
    held = await replicas.open(0)
    hand_over(new, old, at=0)
    await adopting.adopt()
    assert held.replica.digest() == learned(new, 0).digest()


async def test_a_successor_that_fails_leaves_the_replica_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = config(tmp_path, model="popular"), config(tmp_path, model="cooc")
    with caplog.at_level(logging.WARNING):
        replicas, adopting = worker(old)
        held = await replicas.open(0)
        held.replica.apply(LOG[:30])
        before = held.replica
        made = hand_over(new, old, at=20)
        Log.fails = LogPassError("the log is away")
        for _ in range(2):
            await adopting.adopt()
        assert held.replica is before
        assert caplog.text.count("the log is away") == 1
        # Of a rating that makes it raise it is led around.
        Log.fails, raised = None, list[int]()
        learn_rows = Shard.learn_rows

        def raising(shard: Shard, rows: Rows) -> None:
            learn_rows(shard, rows)
            if not raised:
                raised.append(shard.events)
                raise ZeroDivisionError

        with monkeypatch.context() as patch:
            patch.setattr(Shard, "learn_rows", raising)
            await adopting.adopt()
        assert raised
        assert held.replica.digest() == learned(new, 30).digest()
        # Files that are something else are no successors.
        held.exchange(before, replicas.store)
        handover.publish(tmp_path, TOPIC, msgspec.structs.replace(made, name="two"))
        await adopting.adopt()
        assert held.replica is before
        assert "is not what was handed over" in caplog.text


def test_shares_come_with_the_arms_and_ones_own_win(tmp_path: Path) -> None:
    old = config(tmp_path, arms="popular:1,cooc:1")
    new = config(tmp_path, arms="popular:1,item-knn:3")
    hand_over(new, old, at=20)
    ours, *_, own = sources_of(old).all()
    assert [(arm.name, arm.share) for arm in ours.options.arms.arms] == [("popular", 1.0), ("item-knn", 3.0)]
    assert own.options.arms.names == ("popular", "cooc")
    changed = config(tmp_path, arms="item-knn:1,popular:0")
    assert [arm.share for arm in sources_of(changed).all()[0].options.arms.arms] == [1.0, 0.0]


def test_what_is_not_for_this_worker_is_left_alone(tmp_path: Path) -> None:
    old, new = config(tmp_path, model="popular"), config(tmp_path, model="cooc")
    made = hand_over(new, old, at=20)
    for each in (old, new, config(tmp_path, model=" popular ")):
        assert made.concerns(identity(each), each)
    for each in (config(tmp_path, model="mf"), config(tmp_path, model="popular", seed="5")):
        assert not made.concerns(identity(each), each)
        assert len(sources_of(each).all()) == 1
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
    assert handover.read(tmp_path, TOPIC) is None
    made = hand_over(config(tmp_path, model="cooc"), at=10)
    assert handover.read(tmp_path, TOPIC) == made
    file = tmp_path / handover.FOLDER / f"{TOPIC}.json"
    for content in (b"{", b"[]", b"\xff", b'{"name": 1}'):
        file.write_bytes(content)
        with pytest.raises(HandoverError, match="is no hand-over"):
            handover.read(tmp_path, TOPIC)
    assert Terms.in_header({"model": "a, b"}).arms == "a:1,b:1"
