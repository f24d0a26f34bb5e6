"""Checkpoints: at marks that the journal gives, the same bytes by whoever saves, and none by who differs."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.history import snapshot as history_snapshot
from recommender.journal.replica import Replica
from recommender.shard.options import ShardOptions
from recommender.worker import checkpointing
from recommender.worker.checkpointing import Checkpointing
from tests.support.doubles import fewer
from tests.support.journals import FOUND, Journal, journal_of
from tests.support.learning_setup import INTERVAL, MINUTE, LearningWorker, rule, single_pass


class Clock:
    """The monotonic clock, as the test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that stands still between what a test says."""
    made = Clock()
    stub = SimpleNamespace(monotonic=made.monotonic, perf_counter=time.perf_counter)
    monkeypatch.setattr(checkpointing, "time", stub)
    return made


def saved(directory: Path) -> list[int]:
    """The offsets of all checkpoints."""
    return sorted(int(each.stem) for each in (directory / f"{FOUND.topic}-0").glob("*.npz"))


def file_id(directory: Path) -> tuple[int, int]:
    """What tells the only checkpoint from one that is written again."""
    (path,) = (directory / f"{FOUND.topic}-0").glob("*.npz")
    return path.stat().st_ino, path.stat().st_mtime_ns


def digest_at(worker: LearningWorker, offset: int) -> str:
    header = worker.held.store.header_at(0, offset)
    assert header is not None
    return str(header["digest"])


def minutes(count: int) -> Journal:
    """A journal with three blocks in each minute."""
    return journal_of([2] * (3 * count), [each * MINUTE // 3 for each in range(3 * count)])


def marks(blocks: Sequence[Any]) -> set[int]:
    """Before which blocks a replica may be saved: the first of a minute that is later than all before."""
    found, latest = set(), -1
    for block in blocks:
        minute = block.timestamp // MINUTE
        if minute > latest and block.offset:
            found.add(block.offset)
        latest = max(latest, minute)
    return found


def test_it_is_saved_at_the_first_block_of_a_minute(tmp_path: Path, clock: Clock) -> None:
    journal = minutes(4)

    async def scenario() -> None:
        worker = await LearningWorker(tmp_path).open()
        await worker.follow(journal, [2, 2])
        await worker.settle()
        assert saved(tmp_path) == [3]
        assert worker.held.saved == 3
        assert digest_at(worker, 3) == single_pass(journal.blocks, stop=3).digest()
        assert worker.replica.digest() == single_pass(journal.blocks).digest()
        again = await LearningWorker(tmp_path).open()
        assert again.replica.digest() == single_pass(journal.blocks, stop=3).digest()
        await again.follow(journal)
        assert again.replica.digest() == worker.replica.digest()

    asyncio.run(scenario())


@fewer
@given(
    stamps=st.lists(st.integers(0, 5 * MINUTE), min_size=2, max_size=30),
    cuts=st.lists(st.lists(st.integers(1, 6), max_size=30), min_size=2, max_size=3),
)
def test_marks_are_the_journals_and_all_who_save_at_one_save_the_same(
    tmp_path_factory: pytest.TempPathFactory, stamps: list[int], cuts: list[list[int]]
) -> None:
    """Whatever the writers' clocks said, and whatever was fetched at once."""
    journal = journal_of([2] * len(stamps), stamps)
    digests: dict[int, set[str]] = {}

    async def scenario(pieces: list[int]) -> None:
        directory = tmp_path_factory.mktemp("marks")
        worker = await LearningWorker(directory, interval=INTERVAL).open()
        coming = iter(pieces)
        while worker.replica.position < len(stamps):
            first = worker.replica.position
            worker.checkpointing._of(worker.held).last = -1e9  # it may save again
            await worker.take(journal.blocks[first : first + next(coming, 6)])
            await worker.settle()
            for offset in saved(directory):
                digests.setdefault(offset, set()).add(digest_at(worker, offset))

    for pieces in cuts:
        asyncio.run(scenario(pieces))
    assert set(digests) <= marks(journal.blocks)
    for offset, found in digests.items():
        assert found == {single_pass(journal.blocks, stop=offset).digest()}


def test_no_two_workers_write_different_bytes(tmp_path: Path, clock: Clock) -> None:
    """Three follow one journal at their own pace into one store; whoever comes by a mark first writes it."""
    journal, written = minutes(12), dict[int, bytes]()
    draw = random.Random(1)

    async def scenario() -> None:
        workers = [await LearningWorker(tmp_path).open() for _ in range(3)]
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

    asyncio.run(scenario())


def test_who_is_behind_does_not_save(tmp_path: Path) -> None:
    journal = minutes(4)

    async def scenario() -> None:
        ahead = await LearningWorker(tmp_path).open()
        ahead.held.store.save(0, 6, single_pass(journal.blocks, stop=6).state())
        behind = await LearningWorker(tmp_path / "none").open()
        behind.held.store = ahead.held.store
        await behind.follow(journal, [2, 2])
        await behind.settle()
        assert saved(tmp_path) == [6]
        assert not behind.checkpointing.differs

    asyncio.run(scenario())


def test_who_has_not_been_at_the_end_does_not_save(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = await LearningWorker(tmp_path).open()
        worker.held.caught_up = False
        await worker.follow(minutes(4), [2] * 12)
        await worker.settle()
        assert saved(tmp_path) == []

    asyncio.run(scenario())


def test_between_two_saves_is_some_time(tmp_path: Path, clock: Clock) -> None:
    journal = minutes(9)

    async def scenario() -> None:
        worker = await LearningWorker(tmp_path).open()
        for expected, seconds in (([3], 0), ([3], INTERVAL / 2 - 1), ([3, 9], 1)):
            clock.now += seconds
            stop = worker.replica.position + 4
            await worker.follow(journal, [1] * 4, stop)
            await worker.settle()
            assert saved(tmp_path) == expected
        # A store that takes long is written seldom.
        worker.checkpointing._writing_took = 600.0
        clock.now += INTERVAL
        await worker.follow(journal, [1] * 30)
        await worker.settle()
        assert saved(tmp_path) == [3, 9]

    asyncio.run(scenario())


def damaged(replica: Replica) -> Replica:
    """A replica whose state is not what the journal gives."""
    replica.shard.history.append([0], [0], [1.0], [1.0], [0.0])
    return replica


def test_who_differs_says_so_and_saves_nothing_more(
    tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    journal = minutes(9)

    async def scenario() -> None:
        worker = await LearningWorker(tmp_path).open()
        worker.held.store.save(0, 3, single_pass(journal.blocks, stop=3).state())
        await worker.take(journal.blocks[:2])
        damaged(worker.replica)
        await worker.follow(journal, [2], 5)
        await worker.settle()
        (told,) = worker.checkpointing.differs.values()
        assert f"{3:020d}.npz was saved by another worker and its digest is " in told
        assert single_pass(journal.blocks, stop=3).digest() in told
        clock.now += 10 * INTERVAL
        await worker.follow(journal, [1] * 30)
        await worker.settle()
        assert saved(tmp_path) == [3]
        assert worker.held.saved == -1
        worker.checkpointing.drop(0)
        assert worker.checkpointing.differs == {}

    asyncio.run(scenario())
    (error,) = [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]
    assert error.endswith("; this worker is not ready any more and saves nothing: restart it")


@pytest.mark.parametrize("change", [{"version": "0.0.1"}, {"handover": "another"}, {"settings": {"seed": 9}}])
def test_what_need_not_be_equal_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    journal = minutes(2)

    async def scenario() -> None:
        worker = await LearningWorker(tmp_path).open()
        header_at = worker.held.store.header_at

        def changed(partition: int, offset: int) -> dict[str, Any] | None:
            header = header_at(partition, offset)
            return None if header is None else header | change

        await worker.take(journal.blocks[:2])
        worker.held.store.save(0, 3, damaged(single_pass(journal.blocks, stop=3)).state())
        monkeypatch.setattr(worker.held.store, "header_at", changed)
        await worker.follow(journal)
        await worker.settle()
        assert worker.checkpointing.differs == {}
        assert worker.held.saved == 3

    asyncio.run(scenario())


def test_a_checkpoint_that_is_there_is_not_written_again(tmp_path: Path) -> None:
    journal = minutes(2)

    async def scenario() -> None:
        worker = await LearningWorker(tmp_path).open()
        await worker.take(journal.blocks[:2])
        worker.held.store.save(0, 3, single_pass(journal.blocks, stop=3).state())
        before = file_id(tmp_path)
        await worker.follow(journal)
        await worker.settle()
        assert file_id(tmp_path) == before
        assert (worker.held.saved, worker.checkpointing.differs) == (3, {})

    asyncio.run(scenario())


def test_one_that_is_damaged_is_written_again(tmp_path: Path) -> None:
    journal = minutes(2)

    async def scenario() -> None:
        worker = await LearningWorker(tmp_path).open()
        await worker.take(journal.blocks[:2])
        worker.held.store.save(0, 3, single_pass(journal.blocks, stop=3).state())
        worker.held.store.storage.write(f"{FOUND.topic}-0/{3:020d}.npz", lambda file: file.write(b"damaged"))
        await worker.follow(journal)
        await worker.settle()
        assert digest_at(worker, 3) == single_pass(journal.blocks, stop=3).digest()

    asyncio.run(scenario())


def test_while_nothing_can_be_saved_learning_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    journal = minutes(6)

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    async def scenario() -> None:
        worker = await LearningWorker(tmp_path).open()
        with monkeypatch.context() as patch:
            patch.setattr(worker.held.store, "save", full)
            for stop in (4, 7):
                clock.now += INTERVAL
                await worker.follow(journal, [2] * 9, stop)
                await worker.settle()
                assert "No space left" in str(worker.checkpointing.errors[0])
        assert (worker.held.saved, saved(tmp_path)) == (-1, [])
        clock.now += INTERVAL
        await worker.follow(journal, [1] * 99)
        await worker.settle()
        assert worker.checkpointing.errors == {}
        assert worker.held.saved == saved(tmp_path)[0] == 9
        assert worker.replica.digest() == single_pass(journal.blocks).digest()

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    first, second, again = caplog.messages
    assert first == second
    assert first == (
        f"ratings-journal[0]: cannot write checkpoints to {tmp_path}: [Errno 28] No space left on device; "
        "learning and answering continue"
    )
    assert again == "ratings-journal[0]: checkpoints can be written again"


def test_a_mistake_in_saving_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        worker = await LearningWorker(tmp_path).open()
        monkeypatch.setattr(worker.held.store, "save", lambda *_: 1 / 0)
        await worker.follow(minutes(2), [2])
        task = worker.checkpointing._of(worker.held).task
        assert task is not None
        with pytest.raises(ZeroDivisionError):
            await task

    asyncio.run(scenario())


def test_where_nothing_comes_any_more_it_is_saved_where_it_is(tmp_path: Path, clock: Clock) -> None:
    journal = minutes(1)

    async def scenario() -> None:
        worker = await LearningWorker(tmp_path).open()
        await worker.follow(journal)
        for seconds, expected in ((0, []), (INTERVAL - 1, []), (1, [3]), (10 * INTERVAL, [3])):
            clock.now += seconds
            await worker.learner.rest(worker.held)
            await worker.settle()
            assert saved(tmp_path) == expected
        assert digest_at(worker, 3) == single_pass(journal.blocks).digest()
        # A worker that was away at that moment compares when it comes by.
        late = LearningWorker(tmp_path / "own")
        await late.open()
        late.held.store = worker.held.store
        await late.follow(journal)
        damaged(late.replica)
        await late.learner.rest(late.held)
        clock.now += INTERVAL
        await late.learner.rest(late.held)
        await late.settle()
        assert late.checkpointing.differs

    asyncio.run(scenario())


def test_what_is_learned_while_it_is_written_is_not_in_it(tmp_path: Path) -> None:
    journal = minutes(2)

    async def scenario() -> None:
        worker = LearningWorker(tmp_path)
        worker.checkpointing = worker.learner._checkpointing = Checkpointing(0.02, jitter=1.0)
        worker.checkpointing._milliseconds = MINUTE
        await worker.open()
        await worker.take(journal.blocks[:2])
        await worker.take(journal.blocks[2:4])  # cut before block 3, and the jitter has begun
        assert saved(tmp_path) == []
        await worker.follow(journal)
        assert worker.replica.position == 6
        await worker.settle()
        assert saved(tmp_path) == [3]
        assert digest_at(worker, 3) == single_pass(journal.blocks, stop=3).digest()

    asyncio.run(scenario())


def test_a_large_state_is_copied_in_slices_between_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a mark that comes before it is ready is let pass."""
    monkeypatch.setattr(history_snapshot, "SLICE", 25)
    journal = journal_of([99] + [2] * 299, [each * MINUTE // 3 for each in range(300)])

    async def scenario() -> None:
        worker = await LearningWorker(tmp_path, ShardOptions("blend", test_every=3)).open()
        await worker.follow(journal, [1] * 300)
        await worker.settle()
        (first, *_) = saved(tmp_path)
        assert 3 < first < 300
        expected = single_pass(journal.blocks, ShardOptions("blend", test_every=3), first)
        assert digest_at(worker, first) == expected.digest()

    asyncio.run(scenario())


@pytest.mark.parametrize("when", ["before it is ready", "before the mark"])
def test_a_replica_that_takes_its_place_is_not_saved_as_the_old_one(tmp_path: Path, when: str) -> None:
    journal = minutes(3)

    async def scenario() -> None:
        worker = await LearningWorker(tmp_path).open()
        if when == "before the mark":
            await worker.take(journal.blocks[:2])
            assert worker.checkpointing._of(worker.held).snapshot is None
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

    asyncio.run(scenario())


def test_settling_waits_only_so_long(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = LearningWorker(tmp_path)
        worker.checkpointing = worker.learner._checkpointing = Checkpointing(600.0, jitter=1.0)
        await worker.open()
        journal = journal_of([1, 1, 1], [0, 0, 600_000])
        await worker.follow(journal, [2])
        await asyncio.wait_for(worker.checkpointing.settle(0.01), 5)
        assert saved(tmp_path) == []

    asyncio.run(scenario())


def test_the_first_block_is_no_mark() -> None:
    held: Any = SimpleNamespace(replica=Replica(rule(), ShardOptions()), saved=-1, caught_up=True)
    made = Checkpointing(INTERVAL)
    made._of(held).ready = True
    assert made.cut(held, journal_of([1, 1, 1], [MINUTE, MINUTE, 2 * MINUTE]).blocks) == 1
