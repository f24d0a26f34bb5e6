"""Replicas: loaded from the newest whole checkpoint that fits, put back to it, and refused or set aside."""

from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path
from typing import Any

import pytest

from recommender.checkpoints.checkpoint import Checkpoint, CheckpointMismatch
from recommender.checkpoints.identity import Identity
from recommender.checkpoints.store import CheckpointStore
from recommender.journal.errors import JournalReplaced
from recommender.journal.replica import Replica
from recommender.journal.rule import Rule
from recommender.messages.partitioning import partition_of
from recommender.shard.options import ShardOptions
from recommender.worker.replicas import CheckpointSource, Replicas, finish_despite_cancel
from tests.support.journals import FOUND, Journal, journal_of
from tests.support.learning_setup import replicas_in, single_pass, store_in
from tests.unit.journal.blocks import OTHER, TOPIC

JOURNAL = journal_of([3, 0, 5, 1, 4])


def save(directory: Path, *positions: int, journal: Journal = JOURNAL, **store: str) -> None:
    """Checkpoints at these offsets."""
    for position in positions:
        state = single_pass(journal.blocks, stop=position).state()
        store_in(directory, **store).save(0, position, state)


def file_at(directory: Path, position: int) -> Path:
    return directory / f"{FOUND.topic}-0" / f"{position:020d}.npz"


async def test_without_a_checkpoint_it_begins_at_the_start(tmp_path: Path) -> None:
    replicas = replicas_in(tmp_path)
    held = await replicas.open(0)
    assert (held.replica.position, held.saved, held.caught_up) == (0, -1, False)
    assert held.replica.digest() == single_pass([]).digest()


async def test_it_continues_from_the_newest_and_then_from_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 2, 3)
    with caplog.at_level(logging.INFO):
        replicas = replicas_in(tmp_path)
        held = await replicas.open(0)
        assert (held.replica.position, held.saved) == (3, 3)
        assert held.replica.digest() == single_pass(JOURNAL.blocks, stop=3).digest()
        held.replica.apply(JOURNAL.blocks)
        assert held.replica.digest() == single_pass(JOURNAL.blocks).digest()
        assert held.replica.applied == single_pass(JOURNAL.blocks).applied
        assert await replicas.open(0) is held
    assert f"ratings-journal[0]: continues at offset 3 from {3:020d}.npz" in caplog.text


async def test_one_that_is_damaged_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path, 2, 4)
    file_at(tmp_path, 4).write_bytes(b"damaged")
    held = await replicas_in(tmp_path).open(0)
    assert held.replica.digest() == single_pass(JOURNAL.blocks, stop=2).digest()
    assert any("is not a whole checkpoint" in each for each in caplog.messages)


async def test_only_one_that_has_been_at_the_end_answers(tmp_path: Path) -> None:
    replicas = replicas_in(tmp_path)
    assert replicas.get(0) is None
    held = await replicas.open(0)
    assert (replicas.get(0), list(replicas)) == (None, [held])
    held.caught_up = True
    assert replicas.get(0) is held
    replicas.drop(0)
    assert (replicas.get(0), list(replicas)) == (None, [])
    assert replicas.holds(0)  # who follows all of the journal holds it, or is about to


async def test_of_several_partitions_those_are_held_that_were_opened(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    replicas = Replicas(ShardOptions(), store, lambda each: Rule(FOUND.topic, each, 3), 3)
    assert not replicas.holds(2)
    held = await replicas.open(2)
    assert held.replica.partition == 2
    assert [replicas.holds(each) for each in range(3)] == [False, False, True]
    users = [str(each) for each in range(50)]
    assert [replicas.partition_of(user) for user in users] == [partition_of(user, 3) for user in users]
    replicas.drop(2)
    assert not replicas.holds(2)


async def test_a_checkpoint_of_another_journal_is_refused_or_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 2, 4, topic_id="before")
    with pytest.raises(CheckpointMismatch, match="its id was 'before', now 'id'"):
        await replicas_in(tmp_path).open(0)
    assert file_at(tmp_path, 4).exists()
    held = await replicas_in(tmp_path, rebuild=True).open(0)
    assert (held.replica.position, held.saved) == (0, -1)
    assert not file_at(tmp_path, 4).exists()
    # What is learned again is saved, and found by the next start, below what was set aside.
    save(tmp_path, 1)
    assert (await replicas_in(tmp_path).open(0)).replica.position == 1
    assert "was made with different settings and was set aside" in caplog.text


async def test_a_state_of_another_journal_is_refused_though_its_checkpoint_fits(tmp_path: Path) -> None:
    theirs = Replica(Rule(FOUND.topic, journal_id=OTHER), ShardOptions())
    theirs.apply(JOURNAL.blocks)
    store_in(tmp_path).save(0, 5, theirs.state())
    ours = Replicas(ShardOptions(), store_in(tmp_path), lambda _: Rule(FOUND.topic, journal_id=TOPIC))
    with pytest.raises(JournalReplaced):
        await ours.open(0)


async def test_the_first_source_that_fits_says_how_it_is_learned(tmp_path: Path) -> None:
    """As where a hand-over is in force: the worker's own settings come last."""
    cooc = ShardOptions("cooc")

    def store(model: str) -> CheckpointStore:
        return CheckpointStore(tmp_path, Identity(FOUND.topic, "id", 1, {"model": model}))

    state = single_pass(JOURNAL.blocks, cooc, 3).state()
    store("cooc").save(0, 3, state)
    known = ShardOptions("popular"), store("popular"), lambda _: Rule(FOUND.topic)
    own = Replicas(*known)
    with pytest.raises(CheckpointMismatch):
        await own.open(0)
    theirs = CheckpointSource(cooc, store("cooc"))
    both = [theirs, CheckpointSource(own.options, own.store)]
    held = await Replicas(*known, sources=lambda: both).open(0)
    assert (held.replica.shard.options, held.store) == (cooc, theirs.store)
    assert held.replica.digest() == single_pass(JOURNAL.blocks, cooc, 3).digest()
    # One's own, while there is only that.
    own = Replicas(*known, rebuild=True)
    assert (await own.open(0)).replica.position == 0
    store("popular").save(0, 2, single_pass(JOURNAL.blocks, ShardOptions("popular"), 2).state())
    own = Replicas(*known, rebuild=True, sources=lambda: both)
    assert (await own.open(0)).replica.shard.options.model == "popular"


async def test_who_starts_while_another_takes_a_hand_over_over_finds_what_that_one_saves(
    tmp_path: Path,
) -> None:
    def state(model: str, position: int) -> dict[str, Any]:
        return single_pass(JOURNAL.blocks, ShardOptions(model), position).state()

    class Late(CheckpointStore):
        """Finds its first checkpoint only after it has looked once."""

        def load(self, partition: int, *, rebuild: bool = False) -> tuple[Checkpoint | None, list[str]]:
            try:
                return super().load(partition, rebuild=rebuild)
            finally:
                self.save(0, 5, state("cooc", 5))

    identities = [Identity(FOUND.topic, "id", 1, {"model": model}) for model in ("cooc", "popular")]
    theirs = CheckpointSource(ShardOptions("cooc"), Late(tmp_path, identities[0]))
    own = CheckpointSource(ShardOptions("popular"), CheckpointStore(tmp_path, identities[1]))
    own.store.save(0, 3, state("popular", 3))
    held = await Replicas(*own, lambda _: Rule(FOUND.topic), sources=lambda: [theirs, own]).open(0)
    assert (held.replica.position, held.store) == (5, theirs.store)


async def test_it_is_put_back_in_place(tmp_path: Path) -> None:
    save(tmp_path, 2)
    replicas = replicas_in(tmp_path)
    held = await replicas.open(0)
    held.caught_up = True
    held.replica.apply(JOURNAL.blocks)
    held.replica.suspects = range(3, 9)
    await replicas.reload(held)
    assert next(iter(replicas)) is held
    assert (held.replica.position, held.saved, held.caught_up) == (2, 2, False)
    assert held.replica.suspects == range(3, 9)
    assert held.replica.digest() == single_pass(JOURNAL.blocks, stop=2).digest()
    held.exchange(single_pass(JOURNAL.blocks), store_in(tmp_path))
    assert (held.replica.position, held.saved) == (5, -1)


async def test_a_load_that_is_interrupted_ends_before_anything_else_begins() -> None:
    begun, goes_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert goes_on.wait(60)
        ended.set()

    working = asyncio.create_task(finish_despite_cancel(asyncio.to_thread(work)))
    await asyncio.to_thread(begun.wait, 60)
    working.cancel()
    for _ in range(100):
        await asyncio.sleep(0)
    assert not working.done()
    goes_on.set()
    await asyncio.wait([working])
    assert working.cancelled()
    assert ended.is_set()


async def test_a_place_that_cannot_be_reached_is_no_reason_to_learn_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any, **options: Any) -> None:
        raise OSError("the disk is away")

    replicas = replicas_in(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(replicas.store, "load", fails)
        with pytest.raises(OSError, match="the disk is away"):
            await replicas.open(0)
    assert list(replicas) == []
    assert (await replicas.open(0)).replica.position == 0
