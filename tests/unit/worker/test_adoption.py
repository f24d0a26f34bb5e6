"""Adoption: how two replicas change places, at the same offset of the journal."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from recommender.checkpoints.checkpoint import CheckpointMismatch
from recommender.checkpoints.store import CheckpointStore
from recommender.history.rows import Rows
from recommender.journal.identity import rule_of
from recommender.journal.replica import Replica
from recommender.retraining import handover
from recommender.retraining.handover import Offer
from recommender.retraining.log_replay import LogPassError
from recommender.settings import Settings
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.worker.adoption import Adoption
from recommender.worker.replicas import HeldReplica, Replicas
from tests.support.handovers import LOG, TOPIC, config, hand_over, identity, learned, sources_of
from tests.support.journals import FOUND
from tests.unit.journal.blocks import Block
from tests.unit.journal.forgetting_setup import rewritten
from tests.unit.journal.test_poison import Reader


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
