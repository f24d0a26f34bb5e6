"""Shards: opened from checkpoints, never over a gap unasked, saved before they are committed."""

from __future__ import annotations

import asyncio
import errno
import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from recommender.checkpoints.store import CheckpointMismatch, CheckpointStore, Identity
from recommender.errors import RecommenderError
from recommender.messages.ratings import Rating
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.worker.held import Held
from recommender.worker.shards import LogGap, Shards


class Commits:
    """Keeps what is committed, and checks that a checkpoint holds it already."""

    def __init__(self, store: CheckpointStore) -> None:
        self.store = store
        self.all: list[dict[int, int]] = []

    async def __call__(self, offsets: Mapping[int, int]) -> None:
        for partition, offset in offsets.items():
            loaded, _ = self.store.load(partition)
            assert loaded is not None
            assert loaded.offset >= offset
        self.all.append(dict(offsets))


def store_in(directory: Path, topic_id: str = "id") -> CheckpointStore:
    return CheckpointStore(directory, Identity("ratings", topic_id, 2, {}))


def shards_in(directory: Path, **options: Any) -> Shards:
    return Shards(ShardOptions(), store_in(directory), **options)


def learn(shard: Shard, count: int) -> None:
    """Learn so many ratings more."""
    ratings = [Rating("u", f"i{each}", 5, None) for each in range(shard.offset, shard.offset + count)]
    shard.learn(ratings, map(float, range(count)))
    shard.offset += count


async def opened(shards: Shards, partition: int = 0, earliest: int = 0, end: int = 10**6) -> Held:
    return await shards.open(partition, earliest, end, None)


def save_at(directory: Path, offset: int, partition: int = 0) -> Shard:
    shard = Shard(ShardOptions())
    learn(shard, offset)
    store_in(directory).save(partition, offset, shard.state())
    return shard


def test_without_a_checkpoint_a_shard_begins_at_the_beginning(tmp_path: Path) -> None:
    async def scenario() -> None:
        shards = shards_in(tmp_path)
        held = await opened(shards)
        assert (held.shard.offset, held.saved, held.tainted) == (0, -1, False)
        assert shards.get(0) is held
        assert shards.get(1) is None

    asyncio.run(scenario())


def test_a_shard_goes_on_from_its_checkpoint_and_then_from_memory(tmp_path: Path) -> None:
    before = save_at(tmp_path, 7)

    async def scenario() -> None:
        shards = shards_in(tmp_path)
        held = await opened(shards)
        assert (held.shard.offset, held.saved) == (7, 7)
        assert held.shard.digest() == before.digest()
        assert (await opened(shards, partition=1)).shard.offset == 0
        learn(held.shard, 3)
        assert await opened(shards) is held
        assert held.shard.offset == 10

    asyncio.run(scenario())


def test_other_partitions_are_let_go(tmp_path: Path) -> None:
    async def scenario() -> None:
        shards = shards_in(tmp_path)
        for partition in range(3):
            await opened(shards, partition)
        shards.keep_only({1, 5})
        assert set(shards.held) == {1}

    asyncio.run(scenario())


def test_a_log_that_lost_what_comes_next_is_refused(tmp_path: Path) -> None:
    save_at(tmp_path, 7)

    async def scenario() -> None:
        with pytest.raises(LogGap) as caught:
            await shards_in(tmp_path).open(0, 9, 20, 7)
        told = str(caught.value)
        assert told.startswith("ratings[0]: offsets 7 to 8 are in no checkpoint and no longer in the log")
        assert "--allow-gap" in told
        assert isinstance(caught.value, RecommenderError)
        with pytest.raises(LogGap, match="offsets 0 to 8 are in no checkpoint"):
            await shards_in(tmp_path / "lost").open(0, 9, 20, 15)

    asyncio.run(scenario())


def test_a_gap_is_passed_where_that_is_allowed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_at(tmp_path, 7)

    async def scenario() -> None:
        held = await shards_in(tmp_path, allow_gap=True).open(0, 9, 20, 7)
        assert (held.shard.offset, held.saved) == (9, 7)

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert "offsets 7 to 8" in caplog.text


def test_a_first_start_on_a_log_that_has_expired_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        held = await shards_in(tmp_path).open(0, 9, 20, None)
        assert held.shard.offset == 9

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert "learning starts at offset 9" in caplog.text


@pytest.mark.parametrize("allow_gap", [False, True])
def test_a_truncated_log_is_refused(tmp_path: Path, allow_gap: bool) -> None:
    save_at(tmp_path, 7)

    async def scenario() -> None:
        with pytest.raises(LogGap, match="up to offset 7, but the log ends at 5: it was truncated"):
            await shards_in(tmp_path, allow_gap=allow_gap).open(0, 0, 5, 7)
        assert (await shards_in(tmp_path).open(0, 0, 7, 7)).shard.offset == 7

    asyncio.run(scenario())


def test_a_checkpoint_that_does_not_fit_is_refused_or_rebuilt(tmp_path: Path) -> None:
    save_at(tmp_path, 7)

    async def scenario() -> None:
        with pytest.raises(CheckpointMismatch, match="its id was 'id', now 'recreated'"):
            await opened(Shards(ShardOptions(), store_in(tmp_path, "recreated")))
        rebuilt = await opened(Shards(ShardOptions(), store_in(tmp_path, "recreated"), rebuild=True))
        assert (rebuilt.shard.offset, rebuilt.saved) == (0, -1)

    asyncio.run(scenario())


def test_what_was_learned_is_saved_and_then_committed(tmp_path: Path) -> None:
    async def scenario() -> None:
        shards = shards_in(tmp_path)
        first, second = await opened(shards), await opened(shards, 1)
        commits = Commits(shards.store)
        assert await shards.save_all(commits)
        assert commits.all == []
        learn(first.shard, 3)
        learn(second.shard, 4)
        assert await shards.save_all(commits)
        assert commits.all == [{0: 3, 1: 4}]
        assert (first.saved, second.saved) == (3, 4)
        again = await opened(shards_in(tmp_path))
        assert again.shard.digest() == first.shard.digest()

    asyncio.run(scenario())


def test_a_shard_that_learned_nothing_is_not_written_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        shards = shards_in(tmp_path)
        learn((await opened(shards)).shard, 3)
        assert await shards.save_all(Commits(shards.store))
        (file,) = (tmp_path / "ratings-0").iterdir()
        written = file.stat().st_mtime_ns, file.stat().st_ino
        assert await shards.save_all(Commits(shards.store))
        assert (file.stat().st_mtime_ns, file.stat().st_ino) == written

    asyncio.run(scenario())


def test_a_commit_that_did_not_succeed_is_offered_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        shards = shards_in(tmp_path)
        learn((await opened(shards)).shard, 3)
        commits = Commits(shards.store)
        await shards.save_all(commits)
        await shards.save_all(commits)
        assert commits.all == [{0: 3}, {0: 3}]

    asyncio.run(scenario())


def test_a_tainted_shard_is_never_saved(tmp_path: Path) -> None:
    async def scenario() -> None:
        shards = shards_in(tmp_path)
        tainted, other = await opened(shards), await opened(shards, 1)
        learn(tainted.shard, 3)
        learn(other.shard, 1)
        tainted.tainted = True
        commits = Commits(shards.store)
        assert not await shards.save_all(commits)
        assert commits.all == [{1: 1}]
        assert tainted.saved == -1
        assert shards.store.load(0) == (None, [])

    asyncio.run(scenario())


def test_what_cannot_be_saved_is_said_until_all_of_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        shards = shards_in(tmp_path)
        first, second = await opened(shards), await opened(shards, 1)
        commits, save, broken = Commits(shards.store), shards.store.save, {0, 1}

        def flaky(partition: int, offset: int, state: Any) -> Any:
            if partition in broken:
                raise OSError(f"no room for partition {partition}")
            return save(partition, offset, state)

        monkeypatch.setattr(shards.store, "save", flaky)
        for number, still in enumerate(({0, 1}, {1}, {1}, set())):
            broken.clear()
            broken.update(still)
            learn(first.shard, 2)
            learn(second.shard, 3)
            assert await shards.save_all(commits) is not bool(still)
            error = shards.save_error or ""
            assert {each for each in (0, 1) if f"ratings[{each}]" in error} == still, number
            assert ("can be written again" in caplog.text) is not bool(still)
        assert caplog.text.count("cannot write checkpoints to") == 3

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())


def test_a_shard_that_leaves_takes_its_error_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        shards = shards_in(tmp_path)
        learn((await opened(shards)).shard, 3)
        monkeypatch.setattr(shards.store, "save", lambda *_: (_ for _ in ()).throw(OSError("full")))
        await shards.save_all(Commits(shards.store))
        assert shards.save_error is not None
        shards.keep_only({1})
        assert shards.save_error is None

    asyncio.run(scenario())


async def interrupted_while_loading(
    shards: Shards, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[int], threading.Event]:
    """Open partition 0 and cancel it while its checkpoint loads; what was loaded, and what lets it go on."""
    loading, go_on, load = threading.Event(), threading.Event(), shards.store.load
    loads: list[int] = []

    def slow(partition: int, **options: Any) -> Any:
        loads.append(partition)
        loading.set()
        assert go_on.wait(60)
        return load(partition, **options)

    monkeypatch.setattr(shards.store, "load", slow)
    first = asyncio.create_task(opened(shards))
    await asyncio.to_thread(loading.wait, 60)
    assert shards.opening
    first.cancel()
    await asyncio.wait([first])
    return loads, go_on


def test_a_load_outlives_the_rebalance_that_interrupts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_at(tmp_path, 7)

    async def scenario() -> None:
        shards = shards_in(tmp_path)
        loads, go_on = await interrupted_while_loading(shards, monkeypatch)
        shards.keep_only({0})
        again, at_once = asyncio.create_task(opened(shards)), asyncio.create_task(opened(shards))
        go_on.set()
        assert await again is await at_once
        assert (loads, (await again).shard.offset, shards.opening) == ([0], 7, False)

    asyncio.run(scenario())


def test_a_load_that_nobody_wants_any_more_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_at(tmp_path, 7)

    async def scenario() -> None:
        shards = shards_in(tmp_path)
        _, go_on = await interrupted_while_loading(shards, monkeypatch)
        shards.keep_only({1})
        go_on.set()
        assert (shards.held, shards.opening) == ({}, False)

    asyncio.run(scenario())


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.ETIMEDOUT])
def test_learning_goes_on_while_nothing_can_be_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(code, "the disk says no")

    async def scenario() -> None:
        shards = shards_in(tmp_path)
        held, commits = await opened(shards), Commits(shards.store)
        learn(held.shard, 3)
        with monkeypatch.context() as patch:
            patch.setattr(shards.store, "save", fail)
            assert not await shards.save_all(commits)
            learn(held.shard, 2)
            assert not await shards.save_all(commits)
        assert commits.all == []
        assert held.saved == -1
        assert shards.save_error is not None
        assert "the disk says no" in shards.save_error
        assert str(tmp_path) in shards.save_error

        assert await shards.save_all(commits)
        assert commits.all == [{0: 5}]
        assert shards.save_error is None

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert "checkpoints can be written again" in caplog.text


def test_a_shard_that_is_being_changed_is_waited_for_only_so_long(tmp_path: Path) -> None:
    async def scenario() -> None:
        shards = shards_in(tmp_path)
        busy, idle = await opened(shards), await opened(shards, 1)
        learn(busy.shard, 3)
        learn(idle.shard, 4)
        commits = Commits(shards.store)
        async with busy.lock:
            assert not await shards.save_all(commits, within=0.01)
        assert commits.all == [{1: 4}]
        assert shards.save_error is None
        assert await shards.save_all(commits, within=60.0)
        assert commits.all[-1] == {0: 3, 1: 4}

    asyncio.run(scenario())


def test_what_is_learned_while_it_is_written_is_not_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        shards = shards_in(tmp_path)
        held, commits = await opened(shards), Commits(shards.store)
        learn(held.shard, 3)
        digest = held.shard.digest()
        writing, go_on, save = threading.Event(), threading.Event(), shards.store.save

        def slow(*arguments: Any) -> Path:
            writing.set()
            assert go_on.wait(60)
            return save(*arguments)

        monkeypatch.setattr(shards.store, "save", slow)
        saving = asyncio.create_task(shards.save_all(commits))
        await asyncio.to_thread(writing.wait, 60)
        async with asyncio.timeout(60), held.lock:  # learning is not held up by the disk
            learn(held.shard, 5)
        go_on.set()
        assert not await saving
        assert commits.all == [{0: 3}]
        loaded, _ = shards.store.load(0)
        assert loaded is not None
        assert loaded.header["digest"] == digest

    asyncio.run(scenario())
