"""Rounded factors leave out nobody who belongs to the best."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recommender.history.history import History
from recommender.models import registry
from recommender.models.base import ModelContext
from recommender.models.factors import mf
from recommender.models.factors.kernels import score_all
from recommender.models.factors.mf import MF
from recommender.models.factors.rounded import RoundedItems
from recommender.models.testing import random_log
from recommender.models.topk import contenders
from tests.support.doubles import few
from tests.unit.history.test_history import columns

FACTORS = st.floats(-2.0, 2.0) | st.sampled_from(
    [0.0, 1.0, -1.0, 1e-17, 5e-324, 1e-200, 1e160, -1e308, float("inf"), float("nan")]
)


def exact(user: Any, items: Any, candidates: Any, by_distance: bool) -> NDArray[np.float64]:
    scores = np.empty(len(candidates))
    score_all(user[None, :], 0, items, len(items), candidates, by_distance, scores)
    return scores


@few
@given(st.data(), st.sampled_from([8, 16]), st.integers(1, 150), st.integers(1, 20), st.booleans())
def test_the_best_are_among_those_that_may_lead(
    data: st.DataObject, width: int, count: int, n: int, by_distance: bool
) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    # Few different rows, so that scores are tied.
    rows = np.array(data.draw(st.lists(st.lists(FACTORS, min_size=width, max_size=width), max_size=4)))
    items = random.normal(0.0, data.draw(st.sampled_from([1e-17, 0.1, 1.0])), (count, width))
    if len(rows):
        chosen = random.random(count) < 0.5
        items[chosen] = rows[random.integers(len(rows), size=chosen.sum())]
    user = np.array(data.draw(st.lists(FACTORS, min_size=width, max_size=width)))
    candidates = np.flatnonzero(random.random(count) < 0.8).astype(np.int32)
    rounded = RoundedItems(width)
    rounded.grow(count)
    rounded.refresh(items, count)
    places = rounded.may_lead(user, candidates, n, by_distance)
    assert (np.diff(places) > 0).all()
    with np.errstate(all="ignore"):
        scores = exact(user, items, candidates, by_distance)
    assert set(contenders(scores, n).tolist()) <= set(places.tolist())


@pytest.mark.parametrize("by_distance", [True, False])
def test_few_of_many_may_lead(by_distance: bool) -> None:
    random = np.random.default_rng(4)
    items, user = random.normal(0.0, 0.1, (20_000, 40)), random.normal(0.0, 0.1, 40)
    rounded = RoundedItems(40)
    rounded.grow(len(items))
    rounded.refresh(items, len(items))
    everything = np.arange(len(items), dtype=np.int32)
    places = rounded.may_lead(user, everything, 10, by_distance)
    assert set(contenders(exact(user, items, everything, by_distance), 10).tolist()) <= set(places.tolist())
    assert len(places) < 40


def test_changed_items_and_new_ones_are_rounded_again() -> None:
    items, user = np.zeros((700, 8)), np.ones(8)
    rounded, everything = RoundedItems(8), np.arange(700, dtype=np.int32)
    for count, best in ((3, 2), (70, 69), (70, 5), (700, 699), (700, 300)):
        if count > len(rounded.changed):
            rounded.grow(count)
        items[best] += 1.0 + items.max()
        rounded.changed[best] = 1
        rounded.refresh(items, count)
        assert not rounded.changed[:count].any()
        assert rounded.may_lead(user, everything[:count], 1, False).tolist() == [best]


@pytest.mark.parametrize(
    "spec",
    ["mf", "mf/rate=constant/negatives=0/rank=distance", "mf/rate=constant/negatives=0/k=11", "bpr"],
)
def test_leading_items_are_those_of_all_scores(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mf, "MANY", 1)
    history = History()
    model = registry.create(spec, ModelContext(history, seed=3))
    assert isinstance(model, MF)
    for start in range(0, 900, 300):
        part = random_log(900, seed=31)[start : start + 300]
        for event in part:
            model.learn(history.append(*columns([event])))
        if start == 300:
            saved, model = model.state(), registry.create(spec, ModelContext(history, seed=3))
            assert isinstance(model, MF)
            model.restore(saved)
        for user in (0, 3, 99):
            for candidates in (np.arange(history.item_count), np.arange(2, 400, 3), np.array([7, 3, 5])):
                for n in (1, 4, 50):
                    scores = model.score(user, candidates.astype(np.int32))
                    places, highest = model.leading(user, candidates.astype(np.int32), n)
                    assert places.tolist() == contenders(scores, n).tolist()
                    assert highest.tolist() == scores[places].tolist()


def test_of_no_candidates_none_is_leading() -> None:
    model = MF(ModelContext(History()))
    places, scores = model.leading(0, np.empty(0, np.int32), 10)
    assert len(places) == len(scores) == 0
