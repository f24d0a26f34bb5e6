"""Popularity, chance and matrix factorization against plain Python and FluRS."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from flurs.data.entity import Event, Item, User
from flurs.recommender import MFRecommender
from hypothesis import given, settings

from recommender.history.history import History
from recommender.models.base import ModelContext
from recommender.models.factors.mf import MF
from recommender.models.options import ModelError
from recommender.models.popular import Popular, PopularRecent
from recommender.models.random import Random
from recommender.models.testing import random_log
from tests.unit.history.test_history import LOGS, Log, columns

ITEMS = np.arange(10, dtype=np.int32)


def context(history: History, seed: int = 0, positive_weight: float = 1.0) -> ModelContext:
    return ModelContext(history, seed, positive_weight)


@settings(max_examples=100)
@given(LOGS)
def test_popular_counts_the_positive_ratings_that_stand(log: Log) -> None:
    history = History()
    model = Popular(context(history))
    model.learn(history.append(*columns(log)))
    standing: dict[tuple[int, int], float] = {}
    for user, item, rating, weight, _ in log:
        standing.pop((user, item), None)
        if not math.isnan(rating):
            standing[user, item] = weight
    counts = Counter(item for (_, item), weight in standing.items() if weight >= 1.0)
    assert model.score(0, ITEMS).tolist() == [counts[item] for item in range(10)]


@settings(max_examples=100)
@given(LOGS)
def test_recently_popular_sums_what_faded(log: Log) -> None:
    history = History()
    model = PopularRecent(context(history), half_life=7.0)
    model.learn(history.append(*columns(log)))
    sums, counts = [0.0] * 10, [0] * 10
    standing: dict[tuple[int, int], float] = {}
    for user, item, rating, weight, _ in log:
        if standing.pop((user, item), -1.0) >= 1.0:
            sums[item] *= (counts[item] - 1) / counts[item]
            counts[item] -= 1
        if not math.isnan(rating):
            standing[user, item] = weight
            sums[item] += weight >= 1.0
            counts[item] += weight >= 1.0
        sums = [total * 0.5 ** (1 / 7.0) for total in sums]
    np.testing.assert_allclose(model.score(0, ITEMS), sums, rtol=1e-9, atol=1e-12)
    for item in range(10):
        assert counts[item] > 0 or model.score(0, ITEMS)[item] == 0.0


def test_recently_popular_prefers_the_new() -> None:
    history = History()
    model = PopularRecent(context(history), half_life=10.0)
    log: Log = [(user, 0, 5.0, 1.0, 0.0) for user in range(30)] + [
        (user, 1, 5.0, 1.0, 1.0) for user in range(20)
    ]
    model.learn(history.append(*columns(log)))
    old, new = model.score(0, ITEMS[:2])
    assert new > old


def test_chance_is_uniform_differs_by_user_and_seed_and_repeats() -> None:
    everything = np.arange(20_000, dtype=np.int32)
    scores = Random(context(History())).score(1, everything)
    deciles = np.histogram(scores, bins=10, range=(0, 1))[0]
    assert abs(deciles - 2000).max() < 6 * math.sqrt(2000)
    assert abs(np.corrcoef(scores, Random(context(History())).score(2, everything))[0, 1]) < 0.04
    assert abs(np.corrcoef(scores, Random(context(History(), seed=1)).score(1, everything))[0, 1]) < 0.04
    assert Random(context(History())).score(1, everything).tobytes() == scores.tobytes()


def test_mf_equals_flurs_from_the_same_vectors() -> None:
    log = [event for event in random_log(600, seed=11) if not math.isnan(event[2])]
    history = History()
    model = MF(context(history), k=12, learn_rate=0.05, rate="constant", negatives=0, rank="distance")
    events = history.append(*columns(log))
    model.register(0, 12)
    model.register(1, 20)
    flurs = MFRecommender(k=12, learn_rate=0.05)
    flurs.initialize()
    for user in range(12):
        flurs.register(User(user))
        flurs.users[user]["vec"] = model.user_factors[user].copy()
    for item in range(20):
        flurs.register(Item(item))
    flurs.Q, initial = model.item_factors.copy(), model.item_factors.copy()
    model.learn(events)
    for user, item, _, weight, _ in log:
        if weight >= 1.0:
            flurs.update(Event(User(user), Item(item), 1.0))
    np.testing.assert_allclose(model.item_factors, flurs.Q, rtol=0, atol=1e-9)
    expected = np.array([flurs.users[user]["vec"] for user in range(12)])
    np.testing.assert_allclose(model.user_factors, expected, rtol=0, atol=1e-9)
    candidates = np.arange(20, dtype=np.int32)
    np.testing.assert_allclose(
        -model.score(3, candidates), flurs.score(User(3), candidates), rtol=0, atol=1e-9
    )
    assert np.abs(model.item_factors - initial).max() > 0.01


def test_mf_can_rank_by_prediction() -> None:
    history = History()
    model = MF(context(history), k=4, learn_rate=0.1, rank="prediction")
    model.learn(history.append([0, 0], [0, 1], [5, 5], [1, 0.5], [0, 1]))
    assert model.score(0, ITEMS).tolist() == model.predict(0, ITEMS).tolist()


def test_mf_stays_finite_when_it_diverges() -> None:
    history = History()
    model = MF(context(history), learn_rate=1.0, l2_reg=1.0)
    with np.errstate(all="raise"):
        model.learn(
            history.append(np.zeros(2000), np.arange(2000) % 5, np.ones(2000), np.ones(2000), np.arange(2000))
        )
    assert np.isfinite(model.score(0, ITEMS)).all()


def test_initial_vectors_are_normal_and_depend_on_the_seed() -> None:
    models = [MF(context(History(), seed=seed)) for seed in (0, 1)]
    for model in models:
        model.register(1, 3000)
    left, right = (model.item_factors for model in models)
    assert abs(left.mean()) < 0.002
    assert abs(left.std() - 0.1) < 0.002
    assert abs(np.corrcoef(left.ravel(), right.ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("option", [{"k": 0}, {"learn_rate": -0.1}, {"l2_reg": 2.0}, {"rank": "best"}])
def test_mf_refuses_values_out_of_range(option: dict[str, float]) -> None:
    with pytest.raises(ModelError, match=f"mf: {next(iter(option))} has value"):
        MF(context(History()), **option)  # type: ignore[arg-type]
