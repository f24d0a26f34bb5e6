"""What a model says of a user's own items, and of items that are alike, equals naive loops."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recommender.history.history import History
from recommender.models import reasons, registry
from recommender.models.base import Model, ModelContext
from recommender.models.factors.mf import MF
from recommender.models.reasons import Comparing, Profiling
from recommender.models.sequence.sequence_knn import Profile
from recommender.models.testing import random_log
from tests.unit.history.test_history import Log, columns

CANDIDATES = np.arange(25, dtype=np.int32)


def learned(spec: str, log: Log) -> Model:
    history = History()
    model = registry.create(spec, ModelContext(history))
    model.learn(history.append(*columns(log)))
    return model


@pytest.mark.parametrize("spec", ["cooc", "cooc/memory=0", "cosine", "cosine/memory=0"])
def test_a_score_is_what_all_own_items_say_together(spec: str) -> None:
    model = learned(spec, random_log(500, seed=41))
    assert isinstance(model, Profiling)
    said = 0.0
    for user in range(-1, 14):
        profile = model.profile(user)
        whole = model.score_profile(profile, CANDIDATES)
        assert whole == pytest.approx(model.score(user, CANDIDATES))
        alone = [
            model.score_profile(Profile(user, profile.items[k : k + 1], np.ones(1)), CANDIDATES)
            for k in range(len(profile.items))
        ]
        assert np.sum(alone, axis=0) == pytest.approx(whole if alone else 0.0)
        said += float(whole.sum())
        for reasons_of in reasons.explain(model, user, CANDIDATES[:20]):
            assert {own for own, _ in reasons_of} <= set(profile.items.tolist())
            assert sum(share for _, share in reasons_of) <= 1.0 + 1e-9
    assert said > 0.0


def test_neighbours_of_a_baseline_are_told_by_their_similarity() -> None:
    log: Log = [
        (user, item, float(1 + (3 * user + item * item) % 5), 1.0, float(user))
        for user in range(9)
        for item in range(8)
        if (user * item + user) % 3
    ]
    model = learned("knn-baseline/k=3/low=1/high=5", log)
    assert isinstance(model, Profiling)
    ratings = {(user, item): rating for user, item, rating, _, _ in log}
    for user in range(10):
        own = {item for rater, item in ratings if rater == user}
        assert set(model.profile(user).items.tolist()) == own
    for item in range(8):
        similar = reasons.similar_items(model, item, CANDIDATES)
        for other in range(25):
            both = [
                (ratings[user, item], ratings[user, other])
                for user in range(9)
                if (user, item) in ratings and (user, other) in ratings
            ]
            distance = sum((a - b) ** 2 for a, b in both) / max(len(both), 1)
            expected = 1.0 / (distance + 1.0) if both and other != item else 0.0
            assert similar[other] == pytest.approx(expected)
    told = reasons.explain(model, 2, CANDIDATES)
    assert any(told)
    assert told[20] == []
    by_users = learned("knn-baseline/user_based=true/low=1/high=5", log)
    assert isinstance(by_users, Profiling)
    assert reasons.explain(by_users, 2, CANDIDATES) == [[] for _ in CANDIDATES]


def test_factors_tell_what_is_alike_but_give_no_reasons() -> None:
    model = learned("mf/k=5/negatives=3", random_log(400, seed=42))
    assert isinstance(model, MF)
    assert isinstance(model, Comparing)
    assert not isinstance(model, Profiling)
    factors = model.item_factors.tolist()
    for item in (0, 7, 99):
        similar = reasons.similar_items(model, item, CANDIDATES)
        for other in CANDIDATES.tolist():
            expected = 0.0
            if max(item, other) < len(factors) and item != other:
                left, right = factors[item], factors[other]
                product = sum(a * b for a, b in zip(left, right, strict=True))
                expected = product / math.hypot(*left) / math.hypot(*right)
            assert similar[other] == pytest.approx(expected)
