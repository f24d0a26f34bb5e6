"""Samples of a blend: which events it observes, and which items of a large catalogue it looks at."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recommender.history.history import History
from recommender.models.base import FloatArray, IntArray, ModelContext
from recommender.models.blend.blend import Blend
from recommender.models.blend.marks import clear_supported, empty_marks, mark
from recommender.models.blend.popularity import COUNT, REMEMBERED, ROOT, UPDATED, empty_table
from recommender.models.blend.sample import FEW_ITEMS, Budget, sampled_candidates
from recommender.models.testing import Driven


def looked_at(
    table: FloatArray, items: int, now: int, rated: IntArray, item: int, sums: FloatArray, turn: int
) -> tuple[IntArray, FloatArray, int]:
    """The sampled candidates, by sums of evidence; nothing is left of what was noted meanwhile."""
    marks, newest = empty_marks(items), np.zeros(REMEMBERED, np.int32)
    marks.sums[: len(sums)] = sums
    for each in np.flatnonzero(sums.any(axis=1)).tolist():
        mark(marks.supported, each)
    updated = table[:items, UPDATED].astype(np.int64)
    lately = np.flatnonzero((table[:items, COUNT] > 0.0) & (updated >= now - REMEMBERED))
    newest[updated[lately] % REMEMBERED] = lately
    candidates, sample_weights, place = sampled_candidates(
        table, items, now, rated, item, marks, newest, turn
    )
    clear_supported(marks)
    assert not any(each.any() for each in marks[:4])
    return candidates, sample_weights, place


def test_a_large_catalogue_is_looked_at_in_part() -> None:
    history = History()
    model = Blend(ModelContext(history))
    rng = np.random.default_rng(11)
    count = 9000
    users = rng.integers(0, 500, count).astype(np.int32)
    ones = np.ones(count, np.float32)
    times = np.arange(count).astype(np.float64)
    model.learn(history.append(users, np.arange(count, dtype=np.int32), ones, ones, times))
    sums = np.zeros((count, 2))
    sums[17] = 1.0
    rated = history.rated(3)[0]
    candidates, sample_weights, place = looked_at(model.popularity.table, count, count, rated, 42, sums, 0)
    assert candidates[place] == 42
    owned = int(rated[0])
    assert looked_at(model.popularity.table, count, count, rated, owned, sums, 0)[2] == -1
    assert {17, 42} <= set(candidates.tolist())
    assert set(range(count - 2000, count)) - set(rated.tolist()) <= set(candidates.tolist())
    assert not set(rated.tolist()) & set(candidates.tolist())
    assert len(candidates) < 5000
    assert sample_weights.sum() == pytest.approx(count, rel=0.01)


@pytest.mark.parametrize("seed", range(3))
def test_the_part_of_a_large_catalogue_equals_a_naive_one(seed: int) -> None:
    rng, items, now = np.random.default_rng(seed), 9000, 20_000
    table = empty_table(items)
    table[:, COUNT] = rng.integers(0, 4, items)
    # An event is about one item.
    table[:, UPDATED], table[:, ROOT] = rng.permutation(now)[:items], np.sqrt(table[:, COUNT] + 10.0)
    sums = np.where(rng.random((items - 50, 2)) < 0.5, rng.integers(0, 40, (items - 50, 2)), 0.0)
    rated, item, turn = rng.integers(0, items + 100, 300).astype(np.int32), int(rng.integers(items)), 12345
    step = items // FEW_ITEMS
    relevance = np.zeros(items)
    relevance[: len(sums)] = sums[:, 0] / table[: len(sums), ROOT]
    least = np.sort(relevance[: len(sums)])[-FEW_ITEMS]
    expected = []
    for each in range(items):
        if table[each, COUNT] == 0.0 or each in rated:
            continue
        said = relevance[each] > 0.0 and relevance[each] >= least
        if each == item or said or table[each, UPDATED] >= now - FEW_ITEMS:
            expected.append((each, 1.0))
        elif each % step == turn % step:
            expected.append((each, float(step)))
    candidates, sample_weights, place = looked_at(table, items, now, rated, item, sums, turn)
    assert list(zip(candidates.tolist(), sample_weights.tolist(), strict=True)) == expected
    numbers = candidates.tolist()
    assert place == (numbers.index(item) if item in numbers else -1)


def test_what_a_large_catalogue_teaches_is_the_same_after_a_restart() -> None:
    rng, count = np.random.default_rng(16), 2 * FEW_ITEMS + 500
    history = History()
    model = Blend(ModelContext(history))
    users, ones = rng.integers(0, 300, count).astype(np.int32), np.ones(count, np.float32)
    model.learn(history.append(users, rng.permutation(count), ones, ones, np.arange(count) * 1.0))
    again = Blend(ModelContext(history))
    again.restore(model.state())
    for user, item in zip(
        rng.integers(0, 300, 60).tolist(), rng.integers(0, count, 60).tolist(), strict=True
    ):
        for each in (model, again):
            each.observe(user, item, 1.0)
        new = history.append([user], [item], [1.0], [1.0], [1e6])
        for each in (model, again):
            each.learn(new)
    assert model.budget.observed > 50
    states = ({name: array.tolist() for name, array in each.state().items()} for each in (model, again))
    assert next(states) == next(states)


def test_the_sample_of_observed_events_thins_out() -> None:
    model = Blend(ModelContext(History()))
    sampled, event = [], model.next_observation(0)
    while event < 200_000:
        sampled.append(event)
        event = model.next_observation(event + 1)
    assert sampled[:100] == list(range(100))
    late = sum(event >= 100_000 for event in sampled)
    assert 0.9 < late / (500 * math.log(2) + 24 * (math.sqrt(200_000) - math.sqrt(100_000))) < 1.1
    assert all(model.next_observation(event) == event for event in sampled[::97])


def test_observations_are_as_many_as_the_root_of_the_stream_and_fewer_where_they_take_long() -> None:
    def observed(read: int) -> list[int]:
        budget, found = Budget(180.0), []
        for event in range(0, 1_000_000, 10):
            if budget.allows(event):
                budget.take(read, 1000)
                found.append(event)
        return found

    cheap, costly = observed(20_000), observed(10_000_000)
    for event in (100_000, 900_000):
        count = sum(each < event for each in cheap)
        assert count == pytest.approx(180 + 2 * (math.sqrt(100_000) + math.sqrt(event)), rel=0.02)
        assert sum(each < event for each in costly) < 0.5 * count
    # However long it takes, learning goes on.
    assert costly[-1] > 980_000


class Declining(Blend):
    """Counts what it observes."""

    seen = 0

    def __init__(self, context: ModelContext) -> None:
        super().__init__(context, observations=60.0)

    def observe(self, user: int, item: int, weight: float) -> None:
        self.seen += 1
        super().observe(user, item, weight)


class Taking(Declining):
    """Observes whatever it is shown."""

    def observes(self, event: int, *, again: bool, fresh: bool) -> bool:
        return True


def test_what_it_declines_to_observe_would_teach_it_nothing() -> None:
    rng = np.random.default_rng(15)
    users, items = rng.integers(0, 40, 3000).tolist(), (rng.zipf(1.3, 3000) % 500).tolist()
    ratings = rng.choice([1.25, 1.25, 0.5, math.nan], 3000)
    weights = np.nan_to_num(ratings).tolist()
    log = list(zip(users, items, ratings.tolist(), weights, [0.0] * 3000, strict=True))
    states, seen = [], []
    for kind in (Declining, Taking):
        model = Driven(kind).learn(log).model
        assert isinstance(model, Declining)
        states.append({name: array.tolist() for name, array in model.state().items()})
        seen.append(model.seen)
    assert states[0] == states[1]
    assert seen[0] < 0.7 * seen[1]
