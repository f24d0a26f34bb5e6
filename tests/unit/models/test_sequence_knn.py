"""Sequence neighbours against their naive version, to the bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.history.history import History
from recommender.models.base import ModelContext
from recommender.models.options import ModelError
from recommender.models.sequence.sequence_knn import SequenceKNN
from tests.support.naive import NaiveHistory, naive_sequence_knn
from tests.unit.history.test_history import Log, clicks, columns

EVENTS = st.tuples(
    st.integers(0, 5),
    st.integers(0, 9),
    st.sampled_from([1.0, 1.0, 3.0, 5.0, math.nan]),
    st.sampled_from([0.3, 1.0, 1.2, 1.0, -1.0, 0.0]),
    st.sampled_from([0.0, 1.0, 2.0, 2.0, math.nan]),
)
ITEMS = list(range(12))


def assert_equal_to_naive(log: Log, ring: int, **options: float) -> None:
    history, naive = History(ring), NaiveHistory(ring)
    history.append(*columns(log))
    for event in log:
        naive.append(*event)
    model = SequenceKNN(ModelContext(history), **options)  # type: ignore[arg-type]
    items = list(range(history.item_count + 2))
    for user in range(history.user_count + 1):
        scores, counts = naive_sequence_knn(naive, user, items, **options)  # type: ignore[arg-type]
        assert model.score(user, np.array(items, np.int32)).tolist() == scores
        assert model.neighbours(user, np.array(items, np.int32)).tolist() == counts


@settings(max_examples=150)
@given(
    st.lists(EVENTS, max_size=80),
    st.sampled_from([2, 8]),
    st.sampled_from([1, 3, 20]),
    st.sampled_from([0, 1, 20]),
    st.sampled_from([0, 2, 500]),
    st.sampled_from([1, 5, 256]),
)
def test_equals_the_naive_version(
    log: Log, ring: int, entries: int, window: int, max_entries: int, raters: int
) -> None:
    assert_equal_to_naive(log, ring, entries=entries, window=window, max_entries=max_entries, raters=raters)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"raters": 12, "raters_decay": 0.5},
        {"effort": 100},
        {"neighbours": 5},
        {"max_entries": 15, "window": 3},
        {"base": 0.0},
        {"power": 2.5, "window_decay": 0.5},
    ],
)
def test_equals_the_naive_version_on_longer_histories(options: dict[str, float]) -> None:
    assert_equal_to_naive(clicks(1500, 20, 80, seed=5), 16, **options)


def test_evidence_of_two_shards_adds_up() -> None:
    # One user of interest, and neighbours that live in one shard or in another.
    log = clicks(600, 12, 40, seed=6)
    own = [event for event in log if event[0] == 0]
    shards = [[event for event in log if event[0] % 2 == side and event[0] != 0] for side in (0, 1)]
    whole, left, right = History(1000), History(1000), History(1000)
    whole.append(*columns(log))
    left.append(*columns(own + shards[0]))
    right.append(*columns(shards[1]))
    model = SequenceKNN(ModelContext(whole), own_power=0.0, raters=1000)
    profile = model.profile(0)
    parts = [SequenceKNN(ModelContext(h), own_power=0.0, raters=1000) for h in (left, right)]
    sums = np.zeros(whole.item_count)
    for part, user in zip(parts, (0, -1), strict=True):
        evidence = part.evidence(profile._replace(user=user))
        sums[: len(evidence.sums)] += evidence.sums
    np.testing.assert_allclose(sums, model.evidence(profile).sums, rtol=1e-12)


def test_items_that_stand_together_in_a_neighbours_history_come_first() -> None:
    # Users 1 and 2 saw item 0 right before item 1 and long before item 2.
    log: Log = [(0, 0, 5.0, 1.0, 0.0)]
    for user in (1, 2):
        log += [(user, item, 5.0, 1.0, float(t)) for t, item in enumerate([0, 1, *range(10, 35), 2])]
    history = History()
    history.append(*columns(log))
    scores = SequenceKNN(ModelContext(history)).score(0, np.array([1, 2, 3], np.int32))
    assert scores[0] > scores[1] > scores[2] == 0.0


@pytest.mark.parametrize(
    "option", [{"entries": 0}, {"decay": 1.5}, {"max_entries": -1}, {"power": 0.0}, {"raters": 0}]
)
def test_values_out_of_range_are_refused(option: dict[str, float]) -> None:
    with pytest.raises(ModelError, match=f"sequence-knn: {next(iter(option))} has value"):
        SequenceKNN(ModelContext(History()), **option)  # type: ignore[arg-type]
