"""Snapshots: a copy that is taken while the shard learns equals the shard at the moment of its last step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.history.arrays import digest
from recommender.history.catalog import Catalog
from recommender.history.catalog_snapshot import CatalogSnapshot
from recommender.history.history import History
from recommender.history.snapshot import HistorySnapshot
from recommender.messages.ratings import Rating
from recommender.models import registry
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.shard.snapshot import Snapshot
from tests.support.doubles import few

#: So few entries at a time that small histories have many slices.
FEW = 7


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
    """Learn so many ratings more."""
    first = shard.events
    shard.learn(ratings(first, count), (each // 3 for each in range(first, first + count)))


def steps_while(snapshot: Snapshot, between: Callable[[int], None]) -> int:
    """Take a snapshot; the number of its steps."""
    count = 1
    while snapshot.advance():
        between(count)
        count += 1
    snapshot.finish()
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
    snapshot = HistorySnapshot(history, FEW)
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


def test_a_copy_is_whole_though_nothing_was_copied_before() -> None:
    for count in (0, 1, 5, 200):
        shard = Shard(ShardOptions())
        learn(shard, count)
        snapshot = Snapshot(shard, FEW)
        steps_while(snapshot, lambda step: None)
        assert digest(snapshot.state()) == shard.digest()


@pytest.mark.parametrize("model", [name for name, _ in registry.describe() if ":" not in name])
def test_a_shard_that_learns_meanwhile(model: str) -> None:
    shard = Shard(ShardOptions(model=model, test_every=3))
    learn(shard, 150)
    snapshot = Snapshot(shard, FEW)
    assert steps_while(snapshot, lambda step: learn(shard, 3)) > 10
    expected = shard.digest()
    learn(shard, 150)
    state = snapshot.state()
    assert digest(state) == expected
    restored = Shard(ShardOptions(model=model, test_every=3))
    restored.restore(state)
    learn(restored, 150)
    assert restored.digest() == shard.digest()


@few
@given(
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=60),
    st.lists(st.lists(st.tuples(st.integers(0, 80), st.booleans()), max_size=8), max_size=30),
)
def test_a_catalog_that_changes_meanwhile(
    before: list[tuple[int, bool]], between: list[list[tuple[int, bool]]]
) -> None:
    catalog, held = Catalog(), list[int]()

    def change(steps: list[tuple[int, bool]]) -> None:
        for number, removed in steps:
            name = f"{'é' * (number % 3)}{number}"
            if not removed:
                catalog.register(name)
            elif (index := catalog.find(name)) is not None:
                catalog.remove_all([index], held=number % 4 == 0)
                held.extend([index] if number % 4 == 0 else [])
            if number == 40:
                catalog.release(held)
                held.clear()

    change(before)
    snapshot = CatalogSnapshot(catalog, FEW)
    for steps in between:
        change(steps)
        if not snapshot.advance():
            break
    snapshot.finish()
    expected = catalog.state()
    change([(number, number % 2 == 0) for number in range(60)])
    found = snapshot.state()
    assert found.keys() == expected.keys()
    assert digest(found) == digest(expected)
