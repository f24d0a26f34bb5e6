"""Sums of a filter's fading counts: as if added up anew, whoever asked before, and as a formula says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.history.history import History
from recommender.models.base import Arrays, FloatArray, IntArray, Passing
from recommender.models.blend import features
from recommender.models.blend.blocks import room
from recommender.models.blend.filtered import MOST, PERIOD, Filters, Sums
from recommender.models.blend.popularity import (
    FADING,
    FIRST,
    HALF_LIVES,
    LATELY,
    REMEMBERED,
    UPDATED,
    Popularity,
)

BLOCK = room(features.ROWS)
ITEMS = 9000


def added_up(popularity: Popularity, items: IntArray) -> FloatArray:
    """The same by a plain formula."""
    rows = popularity.table[items]
    passed = popularity.events - rows[:, UPDATED]
    columns = range(len(HALF_LIVES) - LATELY, len(HALF_LIVES))
    return np.array([(rows[:, FADING + t] * 2.0 ** (-passed / HALF_LIVES[t])).sum() for t in columns])


def learn(popularity: Popularity, history: History, items: IntArray) -> None:
    count = len(items)
    ones, users = np.ones(count, np.float32), np.zeros(count, np.int32)
    popularity.learn(history.append(users, items, ones, ones, np.zeros(count)))


@settings(max_examples=30)
@given(
    st.integers(0, 2**32),
    st.floats(0.0, 1.0),
    st.lists(st.one_of(st.integers(0, 3), st.sampled_from([700, REMEMBERED, REMEMBERED + 1])), max_size=8),
)
def test_sums_are_what_they_would_be_anew(seed: int, share: float, steps: list[int]) -> None:
    rng, history = np.random.default_rng(seed), History()
    popularity = Popularity(history, np.float32(1.0))
    # Soon there is another event that sums are as of.
    nothing: Arrays = {"table": np.zeros((0, FIRST)), "totals": np.zeros(LATELY)}
    popularity.restore(nothing, PERIOD - 3500)
    learn(popularity, history, np.append(rng.integers(0, ITEMS, 3000), ITEMS - 1).astype(np.int32))
    listed = np.flatnonzero(rng.random(ITEMS) < share).astype(np.int32)
    kept = Sums(listed)
    for step in steps:
        if step:
            learn(popularity, history, rng.integers(0, ITEMS, step).astype(np.int32))
        found = kept.totals(popularity, BLOCK)
        assert found.tolist() == Sums(listed).totals(popularity, BLOCK).tolist()
        assert found == pytest.approx(added_up(popularity, listed), rel=1e-9)


def test_sums_stay_right_up_to_the_last_event_before_they_are_made_anew() -> None:
    history, items = History(), np.arange(ITEMS, dtype=np.int32)
    popularity = Popularity(history, np.float32(1.0))
    learn(popularity, history, items)
    listed = items[::3].copy()
    kept = Sums(listed)
    for events in (ITEMS, PERIOD - 1, PERIOD, PERIOD + 1, 3 * PERIOD - 1):
        popularity.events = events
        assert kept.totals(popularity, BLOCK) == pytest.approx(added_up(popularity, listed), rel=1e-9)


def test_more_filters_than_are_kept_are_right_as_well() -> None:
    history, items = History(), np.arange(ITEMS, dtype=np.int32)
    popularity = Popularity(history, np.float32(1.0))
    learn(popularity, history, items)
    filters = Filters()
    masks = [items % (number + 3) == 0 for number in range(MOST + 4)]
    for _ in range(2):
        for mask in masks:
            listed = np.flatnonzero(mask).astype(np.int32)
            found = filters.of(Passing(mask, listed, True), ITEMS, popularity, BLOCK)
            assert found.totals == pytest.approx(added_up(popularity, listed), rel=1e-9)
            assert (found.size, found.excluded.tolist()) == (len(listed), (~mask).astype(int).tolist())
        learn(popularity, history, items[:5])
