"""Checkpoints: at marks that the journal gives, the same bytes by whoever saves."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.journal.replica import Replica
from recommender.shard.options import ShardOptions
from recommender.worker.checkpointing import Checkpointing
from tests.support.checkpoint_setup import Clock, damaged, digest_at, marks, minutes, saved
from tests.support.doubles import fewer
from tests.support.journals import FOUND, journal_of
from tests.support.learning_setup import INTERVAL, MINUTE, LearningWorker, rule, single_pass


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_it_is_saved_at_the_first_block_of_a_minute(tmp_path: Path, clock: Clock) -> None:
    journal = minutes(4)
    worker = await LearningWorker(tmp_path, clock=clock).open()
    await worker.follow(journal, [2, 2])
    await worker.settle()
    assert saved(tmp_path) == [3]
    assert worker.held.saved == 3
    assert digest_at(worker, 3) == single_pass(journal.blocks, stop=3).digest()
    assert worker.replica.digest() == single_pass(journal.blocks).digest()
    again = await LearningWorker(tmp_path, clock=clock).open()
    assert again.replica.digest() == single_pass(journal.blocks, stop=3).digest()
    await again.follow(journal)
    assert again.replica.digest() == worker.replica.digest()


@fewer
@given(
    stamps=st.lists(st.integers(0, 5 * MINUTE), min_size=2, max_size=30),
    cuts=st.lists(st.lists(st.integers(1, 6), max_size=30), min_size=2, max_size=3),
)
async def test_marks_are_the_journals_and_all_who_save_at_one_save_the_same(
    tmp_path_factory: pytest.TempPathFactory, stamps: list[int], cuts: list[list[int]]
) -> None:
    """Whatever the writers' clocks said, and whatever was fetched at once."""
    journal = journal_of([2] * len(stamps), stamps)
    digests: dict[int, set[str]] = {}

    async def follow(pieces: list[int]) -> None:
        directory, clock = tmp_path_factory.mktemp("marks"), Clock()
        worker = await LearningWorker(directory, clock=clock).open()
        coming = iter(pieces)
        while worker.replica.position < len(stamps):
            first = worker.replica.position
            clock.now += INTERVAL  # it may save again
            await worker.take(journal.blocks[first : first + next(coming, 6)])
            await worker.settle()
            for offset in saved(directory):
                digests.setdefault(offset, set()).add(digest_at(worker, offset))

    for pieces in cuts:
        await follow(pieces)
    assert set(digests) <= marks(journal.blocks)
    for offset, found in digests.items():
        assert found == {single_pass(journal.blocks, stop=offset).digest()}


async def test_no_two_workers_write_different_bytes(tmp_path: Path, clock: Clock) -> None:
    """Three follow one journal at their own pace into one store; whoever comes by a mark first writes it."""
    journal, written = minutes(12), dict[int, bytes]()
    draw = random.Random(1)
    workers = [await LearningWorker(tmp_path, clock=clock).open() for _ in range(3)]
    while any(each.replica.position < len(journal.blocks) for each in workers):
        clock.now += 20
        worker = draw.choice(workers)
        position = worker.replica.position
        if position < len(journal.blocks):
            await worker.take(journal.blocks[position : position + draw.randint(1, 5)])
            await worker.settle()
        for offset in saved(tmp_path):
            content = (tmp_path / f"{FOUND.topic}-0" / f"{offset:020d}.npz").read_bytes()
            assert written.setdefault(offset, content) == content
    assert len(written) > 5
    assert set(written) <= marks(journal.blocks)
    assert [each.checkpointing.differs for each in workers] == [{}] * 3
    for each in workers:
        assert each.replica.digest() == single_pass(journal.blocks).digest()


async def test_who_is_behind_does_not_save(tmp_path: Path) -> None:
    journal = minutes(4)
    ahead = await LearningWorker(tmp_path).open()
    ahead.held.store.save(0, 6, single_pass(journal.blocks, stop=6).state())
    behind = await LearningWorker(tmp_path / "none").open()
    behind.held.store = ahead.held.store
    await behind.follow(journal, [2, 2])
    await behind.settle()
    assert saved(tmp_path) == [6]
    assert not behind.checkpointing.differs


async def test_who_has_not_been_at_the_end_does_not_save(tmp_path: Path) -> None:
    worker = await LearningWorker(tmp_path).open()
    worker.held.caught_up = False
    await worker.follow(minutes(4), [2] * 12)
    await worker.settle()
    assert saved(tmp_path) == []


async def test_between_two_saves_is_some_time(tmp_path: Path, clock: Clock) -> None:
    journal = minutes(9)
    worker = await LearningWorker(tmp_path, clock=clock).open()
    for expected, seconds in (([3], 0), ([3], INTERVAL / 2 - 1), ([3, 9], 1)):
        clock.now += seconds
        stop = worker.replica.position + 4
        await worker.follow(journal, [1] * 4, stop)
        await worker.settle()
        assert saved(tmp_path) == expected
    # A store that takes long is written seldom.
    worker.checkpointing.writing_took = 600.0
    clock.now += INTERVAL
    await worker.follow(journal, [1] * 30)
    await worker.settle()
    assert saved(tmp_path) == [3, 9]


async def test_where_nothing_comes_any_more_it_is_saved_where_it_is(tmp_path: Path, clock: Clock) -> None:
    journal = minutes(1)
    worker = await LearningWorker(tmp_path, clock=clock).open()
    await worker.follow(journal)
    for seconds, expected in ((0, []), (INTERVAL - 1, []), (1, [3]), (10 * INTERVAL, [3])):
        clock.now += seconds
        await worker.learner.rest(worker.held)
        await worker.settle()
        assert saved(tmp_path) == expected
    assert digest_at(worker, 3) == single_pass(journal.blocks).digest()
    # A worker that was away at that moment compares when it comes by.
    late = LearningWorker(tmp_path / "own", clock=clock)
    await late.open()
    late.held.store = worker.held.store
    await late.follow(journal)
    damaged(late.replica)
    await late.learner.rest(late.held)
    clock.now += INTERVAL
    await late.learner.rest(late.held)
    await late.settle()
    assert late.checkpointing.differs


async def test_what_is_learned_while_it_is_written_is_not_in_it(tmp_path: Path) -> None:
    journal = minutes(2)
    worker = await LearningWorker(tmp_path, jitter=0.001).open()
    await worker.take(journal.blocks[:2])
    await worker.take(journal.blocks[2:4])  # cut before block 3, and the jitter has begun
    assert saved(tmp_path) == []
    await worker.follow(journal)
    assert worker.replica.position == 6
    await worker.settle()
    assert saved(tmp_path) == [3]
    assert digest_at(worker, 3) == single_pass(journal.blocks, stop=3).digest()


async def test_a_large_state_is_copied_in_slices_between_passes(tmp_path: Path) -> None:
    """And a mark that comes before it is ready is let pass."""
    journal = journal_of([99] + [2] * 299, [each * MINUTE // 3 for each in range(300)])
    worker = await LearningWorker(tmp_path, ShardOptions("blend", test_every=3), slice_entries=25).open()
    await worker.follow(journal, [1] * 300)
    await worker.settle()
    (first, *_) = saved(tmp_path)
    assert 3 < first < 300
    expected = single_pass(journal.blocks, ShardOptions("blend", test_every=3), first)
    assert digest_at(worker, first) == expected.digest()


@pytest.mark.parametrize("when", ["before it is ready", "before the mark"])
async def test_a_replica_that_takes_its_place_is_not_saved_as_the_old_one(tmp_path: Path, when: str) -> None:
    journal = minutes(3)
    worker = await LearningWorker(tmp_path).open()
    if when == "before the mark":
        await worker.take(journal.blocks[:2])
        assert worker.checkpointing.saving_of(worker.held).snapshot is None
    await worker.take(journal.blocks[worker.replica.position : 3])
    old = worker.replica.shard
    new = single_pass(journal.blocks, ShardOptions("cooc"), worker.replica.position)
    worker.held.exchange(new, worker.held.store)
    await worker.follow(journal)
    await worker.settle()
    assert worker.replica.shard is not old
    for offset in saved(tmp_path):
        expected = single_pass(journal.blocks, ShardOptions("cooc"), offset)
        assert digest_at(worker, offset) == expected.digest()


async def test_settling_waits_only_so_long(tmp_path: Path) -> None:
    worker = await LearningWorker(tmp_path, interval=600.0, jitter=1.0).open()
    journal = journal_of([1, 1, 1], [0, 0, 600_000])
    await worker.follow(journal, [2])
    await asyncio.wait_for(worker.checkpointing.settle(0.01), 5)
    assert saved(tmp_path) == []


def test_the_first_block_is_no_mark() -> None:
    held: Any = SimpleNamespace(replica=Replica(rule(), ShardOptions()), saved=-1, caught_up=True)
    made = Checkpointing(INTERVAL)
    made.saving_of(held).ready = True
    assert made.cut(held, journal_of([1, 1, 1], [MINUTE, MINUTE, 2 * MINUTE]).blocks) == 1
