"""Snapshots: a copy that is taken while the shard learns equals the shard at the moment of its last step."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.checkpoints.store import CheckpointStore, Identity
from recommender.history import snapshot
from recommender.history.history import History
from recommender.history.snapshot import HistorySnapshot
from recommender.messages.ratings import Rating
from recommender.models import registry
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.shard.snapshot import Snapshot
from recommender.shard.state import Arrays, digest
from recommender.worker.shards import Shards
from tests.support.doubles import few, until


@pytest.fixture(autouse=True, scope="module")
def small_slices() -> object:
    """Slices so small that small histories have many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(snapshot, "SLICE", 7)
        yield


def ratings(first: int, count: int) -> list[Rating]:
    """Ratings of few users and items, so that many are changed or withdrawn."""
    return [
        Rating(
            f"u{each * 7 % (11 + each // 40)}",
            f"é{each * 5 % 13}",
            None if each % 6 == 5 else each % 5 + 1,
            None,
        )
        for each in range(first, first + count)
    ]


def learn(shard: Shard, count: int) -> None:
    shard.learn(
        ratings(shard.offset, count), (each // 3 for each in range(shard.offset, shard.offset + count))
    )
    shard.offset += count


def steps_while(snapshot: Snapshot, between: Callable[[int], None]) -> int:
    """Take a snapshot; the number of its steps."""
    count = 1
    while (offset := snapshot.step()) is None:
        between(count)
        count += 1
    assert offset == snapshot.shard.offset
    return count


@few
@given(st.integers(0, 300), st.lists(st.integers(0, 30), max_size=60), st.integers(1, 9))
def test_a_history_that_learns_meanwhile(before: int, between: list[int], raters: int) -> None:
    generator = np.random.default_rng(before)

    def more(count: int) -> None:
        users = generator.integers(0, 20 + history.event_count // 30, count)
        values = np.where(generator.random(count) < 0.3, np.nan, generator.integers(1, 6, count))
        times = generator.integers(0, 100, count) / 3
        history.append(users, generator.integers(0, 25, count), values, generator.random(count), times)

    history = History(raters)
    more(before)
    snapshot = HistorySnapshot(history)
    for count in between:
        if not snapshot.advance():
            break
        more(count)
    snapshot.finish()
    expected = history.state()
    more(50)
    found = snapshot.state()
    assert found.keys() == expected.keys()
    assert digest(found) == digest(expected)


def test_a_copy_is_whole_though_nothing_was_copied_before(tmp_path: Path) -> None:
    for count in (0, 1, 5, 200):
        shard = Shard(ShardOptions())
        learn(shard, count)
        snapshot = Snapshot(shard)
        steps_while(snapshot, lambda step: None)
        assert digest(snapshot.state()) == shard.digest()


@pytest.mark.parametrize("model", [name for name, _ in registry.describe() if ":" not in name])
def test_a_shard_that_learns_meanwhile(model: str) -> None:
    shard = Shard(ShardOptions(model=model, test_every=3))
    learn(shard, 150)
    snapshot = Snapshot(shard)
    assert steps_while(snapshot, lambda step: learn(shard, 3)) > 10
    expected = shard.digest()
    learn(shard, 150)
    state = snapshot.state()
    assert digest(state) == expected
    restored = Shard(ShardOptions(model=model, test_every=3))
    restored.restore(state)
    learn(restored, 150)
    assert restored.digest() == shard.digest()


def test_learning_goes_on_between_the_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is saved is the state at its offset, which a single pass reaches too."""

    async def scenario() -> None:
        shards = Shards(ShardOptions(), CheckpointStore(tmp_path, Identity("ratings", "id", 1, {})))
        held = await shards.open(0, 0, 10**6, None)
        learn(held.shard, 100)
        steps = 0
        step = Snapshot.step

        def counted(snapshot: Snapshot) -> int | None:
            nonlocal steps
            steps += 1
            assert held.lock.locked()
            return step(snapshot)

        monkeypatch.setattr(Snapshot, "step", counted)

        async def commit(offsets: object) -> None:
            pass

        saving = asyncio.create_task(shards.save_all(commit))
        while not saving.done():
            async with held.lock:
                learn(held.shard, 1)
            await asyncio.sleep(0)
        assert steps > 10
        assert 100 < held.saved < held.shard.offset
        loaded, _ = shards.store.load(0)
        assert loaded is not None
        single = Shard(ShardOptions())
        learn(single, held.saved)
        assert loaded.header["digest"] == single.digest()

    asyncio.run(scenario())


def test_who_takes_the_lock_never_meets_a_thread_that_still_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither when time is up nor when the task is cancelled."""

    async def scenario() -> None:
        shards = Shards(ShardOptions(), CheckpointStore(tmp_path, Identity("ratings", "id", 1, {})))
        held = await shards.open(0, 0, 10**6, None)
        learn(held.shard, 5)
        copying, go_on = threading.Event(), threading.Event()

        def slow(snapshot: Snapshot) -> None:
            copying.set()
            assert go_on.wait(60)
            copying.clear()

        async def commit(offsets: object) -> None:
            pass

        monkeypatch.setattr(Snapshot, "step", slow)
        for within in (0.01, None):
            go_on.clear()
            saving = asyncio.create_task(shards.save_all(commit, within))
            await asyncio.to_thread(copying.wait, 60)
            if within is None:
                saving.cancel()
            waiting = asyncio.create_task(held.lock.acquire())
            for _ in range(100):
                await asyncio.sleep(0)
                assert not waiting.done()
            go_on.set()
            await waiting
            assert not copying.is_set()
            held.lock.release()
            await until(saving.done)
            assert saving.cancelled() or not saving.result()
            assert shards.store.load(0) == (None, [])

    asyncio.run(scenario())


def test_a_shard_that_is_replaced_meanwhile_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        shards = Shards(ShardOptions(), CheckpointStore(tmp_path, Identity("ratings", "id", 1, {})))
        held = await shards.open(0, 0, 10**6, None)
        learn(held.shard, 50)
        step = Snapshot.step

        def replaced(snapshot: Snapshot) -> int | None:
            if held.shard is snapshot.shard:
                held.shard = Shard(ShardOptions())
            return step(snapshot)

        monkeypatch.setattr(Snapshot, "step", replaced)

        async def commit(offsets: object) -> None:
            pass

        await shards.save_all(commit)
        assert held.saved == -1
        assert shards.store.load(0) == (None, [])

    asyncio.run(scenario())


def test_states_of_catalogs_of_the_past() -> None:
    shard = Shard(ShardOptions())
    states: list[Arrays] = []
    for each in ("a", "", "é", "x" * 300, "日本"):
        states.append(shard.users.state())
        shard.users.register(each)
    for count, state in enumerate(states):
        assert digest(shard.users.state(count)) == digest(state)
        assert state["lengths"].sum() == len(state["bytes"])
