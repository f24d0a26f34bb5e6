"""The blend's learning: weights, trials and the solver against what made the choices."""

from __future__ import annotations

import numpy as np
import pytest

from recommender.models.base import FloatArray
from recommender.models.blend.ranking import ListwiseRanker, solve
from recommender.models.blend.trials import FACTORS, Trials, update_leads
from recommender.models.blend.worth import MOST, Worth


def test_the_ranker_finds_the_weights_that_made_the_choices() -> None:
    rng = np.random.default_rng(6)
    true = np.array([1.5, -1.0, 0.0])
    ranker = ListwiseRanker(np.zeros(3), np.ones(3), contexts=1, firmness=1.0, memory=1e6)
    for _ in range(1500):
        features = rng.normal(size=(40, 3))
        utility = features @ true + rng.gumbel(size=40)
        ranker.learn(features, np.ones(len(features)), int(utility.argmax()), -1)
    assert ranker.weights(-1) == pytest.approx(true, abs=0.15)
    assert ranker.weights(0) == pytest.approx(ranker.weights(-1))


def test_contexts_may_differ_and_borrow() -> None:
    rng = np.random.default_rng(7)
    ranker = ListwiseRanker(np.zeros(2), np.ones(2), contexts=2, firmness=1.0, memory=1e6)
    for turn in range(1500):
        context = turn % 3 - 1
        true = np.array([1.0, -1.0]) if context == 0 else np.array([1.0, 1.0])
        features = rng.normal(size=(30, 2))
        chosen = int((features @ true + rng.gumbel(size=30)).argmax())
        ranker.learn(features, np.ones(30), chosen, context)
    assert ranker.weights(0) == pytest.approx([1.0, -1.0], abs=0.25)
    assert ranker.weights(1) == pytest.approx([1.0, 1.0], abs=0.25)
    assert ranker.weights(-1) == pytest.approx([1.0, 1.0], abs=0.25)


def test_choices_from_long_lists_teach_the_same() -> None:
    rng = np.random.default_rng(8)
    true = np.array([2.0, -1.0])
    ranker = ListwiseRanker(np.zeros(2), np.ones(2), contexts=0, firmness=1.0, memory=1e6)
    for _ in range(1500):
        features = rng.normal(size=(1000, 2))
        utility = features @ true + rng.gumbel(size=len(features))
        ranker.learn(features, np.ones(len(features)), int(utility.argmax()), -1)
    assert ranker.weights(-1) == pytest.approx(true, abs=0.25)


def test_rows_may_stand_for_others() -> None:
    """A tenth of those that were not chosen, each for ten, leads to the same weights."""
    rng = np.random.default_rng(10)
    true = np.array([1.5, -1.0])
    ranker = ListwiseRanker(np.zeros(2), np.ones(2), contexts=0, firmness=1.0, memory=1e6)
    for _ in range(1500):
        features = rng.normal(size=(500, 2))
        chosen = int((features @ true + rng.gumbel(size=500)).argmax())
        rows = np.unique([chosen, *range(0, 500, 10)])
        sample_weights = np.where(rows == chosen, 1.0, 10.0)
        ranker.learn(features[rows], sample_weights, int(np.searchsorted(rows, chosen)), -1)
    assert ranker.weights(-1) == pytest.approx(true, abs=0.3)


def test_an_observation_of_some_worth_counts_for_so_many() -> None:
    rng = np.random.default_rng(13)
    features = rng.normal(size=(30, 2))
    once, twice = (ListwiseRanker(np.zeros(2), np.ones(2), 0, 1.0, 1e6) for _ in range(2))
    sample_weights = np.ones(30)
    sample_weights[3] = 0.0
    for ranker, worth in ((once, 1.0), (twice, 2.0)):
        ranker.learn(features, sample_weights, 3, -1, worth)
    # With the prior's precision of one, and weights of zero: the gradient over one and the curvature.
    others = np.delete(features, 3, axis=0)
    gradient = features[3] - others.mean(axis=0)
    curvature = np.cov(others.T, bias=True)
    for ranker, worth in ((once, 1.0), (twice, 2.0)):
        expected = np.linalg.solve(np.eye(2) + worth * curvature, worth * gradient)
        assert ranker.weights(-1) == pytest.approx(expected, rel=1e-4)


def tried(features: FloatArray, trials: Trials, weights: FloatArray, chosen: int) -> None:
    """One choice, with everything that is tried worked out by numpy."""
    ones = np.ones(len(features))
    scaled = features[:, trials.first : trials.last] @ weights[trials.first : trials.last]
    fixed = features @ weights - scaled
    update_leads(fixed, scaled, ones, chosen, trials.keep, trials.leads, trials.squares)


def test_trials_follow_what_hits() -> None:
    """One column is noise, which the weights take for knowledge."""
    rng = np.random.default_rng(12)
    trials, weights = Trials(1, 2), np.array([1.0, 1.0])
    assert trials.applied(weights).tolist() == [1.0, FACTORS[0]]
    for _ in range(200):
        features = rng.normal(size=(100, 2))
        tried(features, trials, weights, int(features[:, 0].argmax()))
    assert trials.applied(weights).tolist() == [1.0, 0.0]


def test_a_few_lucky_choices_decide_nothing() -> None:
    trials, weights = Trials(1, 2), np.array([1.0, 1.0])
    features = np.zeros((1000, 2))
    features[:, 1] = -np.arange(1000.0)
    # The same for all factors but the one that is 0, and better for that.
    features[7, 0], features[7, 1] = 5.0, -900.0
    tried(features, trials, weights, 7)
    assert trials.leads[int(np.flatnonzero(FACTORS == 0.0)[0])] > 0.0
    assert trials.best == 0
    for _ in range(10):
        tried(features, trials, weights, 7)
    assert FACTORS[trials.best] == 0.0


def test_what_stood_near_the_top_is_worth_more_and_the_mean_is_one() -> None:
    worth = Worth()
    high, low = worth.of(0.0), worth.of(1000.0)
    assert high > 3.0 * low
    for ahead, least in ((20.0, 0.95), (200.0, 0.95), (2000.0, 0.75)):
        worth, rng = Worth(), np.random.default_rng(15)
        values = [worth.of(float(rng.uniform(0.0, 2.0 * ahead))) for _ in range(3000)]
        # Less than one by what the largest are cut to, and by the mean that was thought likely.
        assert least < np.mean(values[1500:]) < 1.1
        assert max(values) <= MOST


def test_solve_equals_the_library() -> None:
    rng = np.random.default_rng(9)
    for size in (1, 2, 17):
        root = rng.normal(size=(size, size))
        matrix, vector = root @ root.T + np.eye(size), rng.normal(size=size)
        expected = np.linalg.solve(matrix, vector)
        solve(matrix.copy(), vector)
        assert vector == pytest.approx(expected)
