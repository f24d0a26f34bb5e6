"""Learning: blocks in pieces and slices give the state that one pass over the journal gives."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.journal.errors import BlockError
from recommender.shard.options import ShardOptions
from recommender.worker.learning import LearningTarget
from tests.support.doubles import fewer
from tests.support.journals import journal_of, ratings
from tests.support.learning_setup import LearningWorker, single_pass
from tests.unit.journal.blocks import Block


@pytest.mark.parametrize("model", ["sequence-knn", "blend"])
@fewer
@given(
    blocks=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 300_000)), min_size=1, max_size=25),
    pieces=st.lists(st.integers(1, 7), max_size=25),
    chunk=st.integers(1, 7),
    passes=st.integers(1, 4),
)
async def test_the_state_is_the_journals_however_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory,
    model: str,
    blocks: list[tuple[int, int]],
    pieces: list[int],
    chunk: int,
    passes: int,
) -> None:
    journal = journal_of(*zip(*blocks, strict=True))
    options = ShardOptions(model, test_every=3, test_window=20)

    directory = tmp_path_factory.mktemp("learning")
    worker = LearningWorker(directory, options, learn_slice=0.0, chunk=chunk, blocks=passes)
    await worker.open()
    await worker.follow(journal, pieces)
    assert worker.replica.digest() == single_pass(journal.blocks, options).digest()
    assert worker.passes[-1] == (len(blocks), worker.replica.shard.events)


async def test_what_comes_again_is_learned_once(tmp_path: Path) -> None:
    journal = journal_of([3] * 10)
    journal.add(ratings(6, 6), at=6)  # a source's offsets that are in the journal twice

    worker = await LearningWorker(tmp_path).open()
    for first, last in ((0, 6), (2, 8), (8, 11), (0, 11)):
        assert await worker.take(journal.blocks[first:last])
    assert worker.replica.digest() == single_pass(journal.blocks).digest()
    assert worker.replica.shard.events == single_pass(journal.blocks[:10]).shard.events
    assert worker.replica.rule.counts.duplicate == 1


async def test_learning_lets_others_run_between_slices(tmp_path: Path) -> None:
    worker = await LearningWorker(tmp_path, learn_slice=0.0, chunk=4).open()
    seen: set[int] = set()

    async def look() -> None:
        while not worker.passes:
            seen.add(worker.replica.shard.events)
            # Until all of the block is learned, nobody is told that it is.
            assert worker.replica.position == 0
            await asyncio.sleep(0)

    looking = asyncio.create_task(look())
    await worker.take(journal_of([40]).blocks)
    await looking
    assert len(seen) >= 9


async def test_a_long_slice_is_not_interrupted(tmp_path: Path) -> None:
    worker = await LearningWorker(tmp_path, learn_slice=600.0, chunk=4).open()
    ticks = []

    async def tick() -> None:
        ticks.append(worker.replica.position)

    ticking = asyncio.create_task(tick())
    await worker.take(journal_of([40]).blocks)
    assert ticks == []
    await ticking


async def test_what_comes_before_a_block_that_cannot_be_read_is_learned(tmp_path: Path) -> None:
    journal = journal_of([3, 4])
    damaged = [*journal.blocks, Block(2, b"RJB2" + bytes(60))]

    worker = await LearningWorker(tmp_path).open()
    target = LearningTarget(worker.held, worker.learner)
    for _ in range(2):
        with pytest.raises(BlockError, match=r"ratings-journal\[0\] offset 2: .* expected a block"):
            await target.take(damaged)
        assert target.rule.position == worker.replica.position == 2
        assert worker.replica.digest() == single_pass(journal.blocks).digest()


async def test_after_a_gap_it_goes_on_where_the_journal_begins(tmp_path: Path) -> None:
    journal = journal_of([3, 4, 5])

    worker = await LearningWorker(tmp_path).open()
    target = LearningTarget(worker.held, worker.learner)
    target.skip_to(1)
    assert (target.rule.position, worker.replica.position) == (1, 1)
    await target.take(journal.blocks[1:])
    alone = single_pass(journal.blocks[2:2])
    alone.skip_to(1)
    alone.apply(journal.blocks[1:])
    assert worker.replica.digest() == alone.digest()
    assert worker.replica.shard.events == 9
