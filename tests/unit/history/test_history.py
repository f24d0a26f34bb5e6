"""The history against lists, cut into any batches, saved and restored anywhere."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.history import layout
from recommender.history.events import Events
from recommender.history.history import History
from recommender.history.state import HistoryError, State, powers_of_two
from tests.support.naive import NaiveHistory

Log = list[tuple[int, int, float, float, float]]

EVENTS = st.tuples(
    st.integers(0, 4),
    st.integers(0, 7),
    st.sampled_from([1.0, 2.0, 5.0, math.nan]),
    st.sampled_from([0.5, 1.0, -1.0, 0.0]),
    st.sampled_from([0.0, 1.0, 1.0, 2.0, math.nan]),
)
LOGS = st.lists(EVENTS, max_size=120)


def columns(log: Log) -> list[Any]:
    return [np.array(column) for column in zip(*log, strict=True)] if log else [np.zeros(0)] * 5


def learned(log: Log, raters: int = 4) -> History:
    history = History(raters)
    history.append(*columns(log))
    return history


def same(left: State, right: State) -> bool:
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and left[name].tobytes() == right[name].tobytes()
        for name in left
    )


def assert_equal_to_naive(history: History, naive: NaiveHistory) -> None:
    state = history.state()
    place = 0
    for user in range(history.user_count):
        entries = naive.users[user].entries
        items, ratings, weights = history.rated(user)
        assert items.tolist() == [e.item for e in entries]
        assert ratings.tolist() == [e.rating for e in entries]
        assert weights.tolist() == [e.weight for e in entries]
        assert state["entry_positions"][place : place + len(entries)].tolist() == [
            e.position for e in entries
        ]
        place += len(entries)
        assert state["user_events"][user] == naive.users[user].events
        assert history.has(user) == bool(entries)
        assert history.items_of(user).tolist() == items.tolist()
    place = 0
    for item in range(history.item_count):
        ring = naive.ring(item)
        expected = [
            (v, [e is x for x in naive.users[v].entries].index(True)) if e is not None else (-1, -1)
            for v, e in ring
        ]
        users, entries_ = state["ring_users"], state["ring_entries"]
        part = slice(place, place + len(ring))
        assert list(zip(users[part].tolist(), entries_[part].tolist(), strict=True)) == expected
        place += len(ring)
        assert history.item_counts[item] == naive.count(item)
        assert history.raters(item).tolist() == [v for v, e in ring if e is not None]
        if item in naive.first:
            assert state["item_first_events"][item] == naive.first[item][0]
            assert state["item_last_events"][item] == naive.last[item][0]
            np.testing.assert_equal(state["item_last_times"][item], naive.last[item][1])
            np.testing.assert_equal(state["item_first_times"][item], naive.first[item][1])
    assert history.event_count == naive.event_count


@settings(max_examples=150)
@given(LOGS, st.sampled_from([1, 3, 8, 11]))
def test_equals_lists(log: Log, raters: int) -> None:
    history, naive = History(raters), NaiveHistory(raters)
    events = history.append(*columns(log))
    previous = [naive.append(*event) for event in log]
    np.testing.assert_array_equal(events.previous_ratings, [rating for rating, _ in previous])
    np.testing.assert_array_equal(events.previous_weights, [weight for _, weight in previous])
    assert_equal_to_naive(history, naive)


@settings(max_examples=100)
@given(LOGS, st.lists(st.integers(0, 120), max_size=6))
def test_any_cut_gives_the_same_state_and_events(log: Log, cuts: list[int]) -> None:
    whole = History(4)
    expected = whole.append(*columns(log))
    pieces = History(4)
    bounds = [0, *sorted(min(cut, len(log)) for cut in cuts), len(log)]
    found = [pieces.append(*columns(log[a:b])) for a, b in itertools.pairwise(bounds)]
    assert same(whole.state(), pieces.state())
    for name in Events.__slots__:
        joined = np.concatenate([getattr(part, name) for part in found])
        np.testing.assert_array_equal(joined, getattr(expected, name))


@settings(max_examples=100)
@given(LOGS, LOGS)
def test_going_on_after_restore_equals_never_having_stopped(before: Log, after: Log) -> None:
    history = learned(before)
    saved = history.state()
    restored = History(4)
    restored.restore(saved)
    assert same(restored.state(), saved)
    events, again = history.append(*columns(after)), restored.append(*columns(after))
    for name in Events.__slots__:
        np.testing.assert_array_equal(getattr(events, name), getattr(again, name))
    assert same(history.state(), restored.state())


def clicks(count: int, users: int, items: int, seed: int, times: float = math.nan) -> Log:
    rng = np.random.default_rng(seed)
    ratings = rng.choice([1.0, 2.0, 3.0, math.nan], count, p=[0.4, 0.3, 0.2, 0.1])
    stamps = (
        np.full(count, times) if not math.isnan(times) else np.sort(rng.integers(0, count // 7 + 1, count))
    )
    return list(
        zip(
            rng.integers(0, users, count).tolist(),
            rng.zipf(1.3, count).clip(1, items).astype(int).tolist(),
            ratings.tolist(),
            ratings.tolist(),
            stamps.astype(float).tolist(),
            strict=True,
        )
    )


@pytest.mark.parametrize("times", [math.nan, 0.0])
def test_clicks_and_bulk_imports_equal_lists(times: float) -> None:
    log = clicks(4000, 6, 60, seed=1, times=times)
    history, naive = learned(log, raters=20), NaiveHistory(20)
    for event in log:
        naive.append(*event)
    assert_equal_to_naive(history, naive)


def test_long_segments_use_the_index() -> None:
    rng = np.random.default_rng(2)
    count = 6 * layout.SCANNED
    items = rng.integers(0, 3 * layout.SCANNED, count)
    ratings = np.where(rng.random(count) < 0.2, math.nan, 1.0)
    history = History(4)
    events = history.append(np.zeros(count, int), items, ratings, ratings, np.arange(count))
    assert history.arrays.users["index_capacity"][0] > 0
    standing: dict[int, float] = {}
    for e, (item, rating) in enumerate(zip(items.tolist(), ratings.tolist(), strict=True)):
        assert math.isnan(events.previous_ratings[e]) == (item not in standing)
        standing.pop(item, None)
        if not math.isnan(rating):
            standing[item] = rating
    assert history.rated(0)[0].tolist() == list(standing)
    restored = History(4)
    restored.restore(history.state())
    assert [restored.rating(0, item) for item in range(50)] == [standing.get(item) for item in range(50)]


def test_memory_follows_what_stands_under_endless_clicks() -> None:
    history = History(16)
    history.append(*columns(clicks(2000, 5, 30, seed=3)))
    settled = history.nbytes
    for seed in range(4, 24):
        history.append(*columns(clicks(2000, 5, 30, seed=seed)))
    assert history.nbytes <= 2 * settled


def test_a_negative_index_is_refused_and_nothing_is_learned() -> None:
    history = History(4)
    with pytest.raises(ValueError, match="event 1: user 0 and item -1: indices must not be negative"):
        history.append([0, 0], [0, -1], [1, 1], [1, 1], [0, 0])
    assert history.event_count == 0
    assert not history.has(0)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        History(4).append([0, 0], [0], [1], [1], [0])


def test_what_is_unknown_is_empty() -> None:
    history = History(4)
    assert [len(column) for column in history.rated(3)] == [0, 0, 0]
    assert history.items_of(3).tolist() == history.items_of(-1).tolist() == []
    assert not history.has(3)
    assert history.rating(3, 1) is None
    assert history.raters(2).tolist() == []


def test_a_foreign_state_is_refused() -> None:
    state = learned([(0, 0, 1.0, 1.0, 0.0)]).state()
    with pytest.raises(HistoryError, match="4 raters for each item, expected 5"):
        History(5).restore(state)
    with pytest.raises(HistoryError, match="entry_items has length 0, expected 1"):
        History(4).restore({**state, "entry_items": np.zeros(0, np.int32)})
    with pytest.raises(HistoryError, match="lacks ring_users"):
        History(4).restore({name: array for name, array in state.items() if name != "ring_users"})


def test_counts_of_some_items() -> None:
    history = History(2)
    assert history.counts_of(np.array([0, 3], np.int32)).tolist() == [0, 0]
    history.append([0, 1, 0, 1], [2, 2, 0, 2], [1, 2, 3, np.nan], [1, 1, 1, 1], [0, 0, 0, 0])
    assert history.counts_of(np.array([2, 0, 1, 3, 9], np.int32)).tolist() == [1, 1, 0, 0, 0]
    assert history.counts_of(np.array([], np.int32)).tolist() == []


def test_sizes_are_rounded_up_to_powers_of_two() -> None:
    sizes = [0, 1, 2, *(2**power + more for power in range(2, 40) for more in (-1, 0, 1))]
    expected = [1 << max(size - 1, 0).bit_length() for size in sizes]
    assert powers_of_two(np.array(sizes)).tolist() == expected
