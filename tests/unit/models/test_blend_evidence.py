"""What other users' histories say equals what a naive version finds, wherever it is cut, whoever is gone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from recommender.history.history import History
from recommender.models.base import FloatArray
from recommender.models.blend.instructions import add_to_pair
from recommender.models.blend.marks import empty_marks, is_marked
from recommender.models.blend.neighbourhood import LASTING, NEAR, NEIGHBOURS, Neighbourhood

USERS = 12


@njit
def add(sums, items, weight, first, second):  # type: ignore[no-untyped-def]
    for item in items:
        add_to_pair(sums, item, weight, first, second)


def test_both_sums_of_an_item_are_added_to_and_no_others() -> None:
    sums = np.arange(12, dtype=np.float32).reshape(6, 2)
    expected = sums.copy()
    for item in (0, 3, 3, 5):
        expected[item] += np.float32(0.3) * np.array([1.7, -2.0], np.float32)
    numbers = (np.float32(number) for number in (0.3, 1.7, -2.0))
    add(sums, np.array([0, 3, 3, 5]), *numbers)
    assert sums.tolist() == expected.tolist()
    assert any("fmul <2 x float>" in text for text in add.inspect_llvm().values())


def newest_raters(history: History, item: int, most: int) -> list[int]:
    """Those whose rating stands among the newest so many, the newest first."""
    record, users = history.arrays.items[item], history.arrays.ring_users
    events, capacity, start = (int(record[name]) for name in ("events", "capacity", "start"))
    newest = range(events - 1, events - 1 - min(events, capacity, most), -1)
    found = (int(users[start + event % capacity]) for event in newest)
    return [user for user in found if user >= 0]


def made(history: History, max_entries: int) -> Neighbourhood:
    return Neighbourhood(history, entries=40, raters=256, max_entries=max_entries, effort=200_000)


def closeness(distance: int) -> float:
    """Of an entry so many half events after a shared item."""
    if abs(distance) > 40:
        return 0.0
    return (0.8 if distance < 0 else 1.0) * 0.95 ** (max(abs(distance) - 2, 0) / 2)


def naive(history: History, user: int, max_entries: int) -> FloatArray:
    """By the formula: a loop over neighbours, their entries, and what they share with the user."""
    sums, a = np.zeros((history.item_count, 2)), history.arrays
    profile = made(history, max_entries).profile(user)
    shared: dict[int, list[tuple[int, float, int]]] = {}
    for k, item in enumerate(profile.items.tolist()):
        share = profile.strengths[k] / (float(a.items[item]["count"]) + 20.0) ** 0.6
        for other in newest_raters(history, item, history.raters_per_item):
            items, _, weights = history.rated(other)
            place = items.tolist().index(item)
            if other != user and weights[place] > 0:
                shared.setdefault(other, []).append((k, share, place))
    for other, links in shared.items():
        items, _, weights = history.rated(other)
        record = a.users[other]
        slots = np.arange(int(record["used"])) + int(record["start"])
        positions = a.entry_positions[slots[a.entry_items[slots] >= 0]].tolist()
        taste = sum(share * profile.strengths[k] ** (LASTING - 1.0) for k, share, _ in links) ** 1.5
        near = [(share, positions[place]) for k, share, place in links if k < NEAR]
        base = 0.15 * sum(share for share, _ in near)
        for place, (item, weight) in enumerate(zip(items.tolist(), weights.tolist(), strict=True)):
            distances = [(share, positions[place] - position) for share, position in near]
            within = any(abs(distance) <= 40 for _, distance in distances)
            if weight <= 0 or (place < len(items) - max_entries and not within):
                continue
            mass = sum(share * closeness(distance) for share, distance in distances)
            sums[item] += weight * ((mass + base) ** 1.5 + base**1.5), weight * taste
    return sums


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0, 3, 20, 500]), st.booleans())
def test_it_is_what_the_formula_says(seed: int, max_entries: int, at_once: bool) -> None:
    rng = np.random.default_rng(seed)
    history = History(int(rng.integers(2, 9)))
    count, items = int(rng.integers(50, 700)), int(rng.choice([30, 200, 2000]))
    users = rng.integers(0, int(rng.choice([3, USERS])), count)
    ratings = rng.choice([1.25, 1.0, 0.5, 0.0, -1.0, math.nan], count, p=[0.3, 0.2, 0.2, 0.1, 0.1, 0.1])
    times = np.zeros(count) if at_once else np.arange(count) // rng.integers(1, 30) * 1.0
    history.append(users, rng.integers(0, items, count), ratings, np.nan_to_num(ratings), times)
    neighbourhood = made(history, max_entries)
    for user in range(0, USERS + 1, 3):
        expected, profile = naive(history, user, max_entries), neighbourhood.profile(user)
        sums = neighbourhood.sums(profile, history.item_count)
        assert sums == pytest.approx(expected, rel=1e-5, abs=1e-9)
        # Nothing is left of it that would change what comes next.
        marks = empty_marks(history.item_count)
        neighbourhood.add(profile, marks.sums, marks.supported)
        assert marks.sums.tolist() == sums.tolist()
        marked = [bool(is_marked(marks.supported, item)) for item in range(history.item_count)]
        assert marked == (expected.sum(axis=1) > 0.0).tolist()


@pytest.mark.parametrize("fewer", [1, 2, 4])
def test_fewer_neighbours_are_the_newest_of_them(fewer: int) -> None:
    history, users = History(2 * NEIGHBOURS), 700
    for user in range(1, users + 1):
        # Something of their own first, by which they are known.
        history.append([user, user], [user, 0], [1.0] * 2, [1.0] * 2, [0.0, 1.0])
    history.append([0], [0], [1.0], [1.0], [2.0])
    neighbourhood = Neighbourhood(history, entries=40, raters=NEIGHBOURS, max_entries=500, effort=200_000)
    sums = np.zeros((users + 1, 2), np.float32)
    neighbourhood.add(neighbourhood.profile(0), sums, None, fewer=fewer)
    asked = min(NEIGHBOURS // fewer, users)
    assert np.flatnonzero(sums[1:, 1]).tolist() == list(range(users - asked, users))


@pytest.mark.parametrize("run", [1, 2, 7, 15])
@pytest.mark.parametrize("max_entries", [12, 27, 40])
def test_of_what_is_too_old_all_counts_that_is_near_and_nothing_else(run: int, max_entries: int) -> None:
    history = History()
    # Several at once have one position, the mean of theirs.
    history.append(
        [60] * 60, list(range(60)), [1.0] * 60, [1.0] * 60, [float(item // run) for item in range(60)]
    )
    for user in range(60):
        history.append([user], [user], [1.0], [1.0], [1e6])
    neighbourhood = made(history, max_entries)
    for user in range(60):
        sums = neighbourhood.sums(neighbourhood.profile(user), 60)
        assert sums == pytest.approx(naive(history, user, max_entries), rel=1e-5)
