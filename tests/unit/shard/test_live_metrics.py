"""Live metrics: ranks equal a naive count, the window looks back so far and no further, state survives."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.history.history import History
from recommender.models.base import ModelContext
from recommender.models.blend.blend import Blend
from recommender.models.topk import all_but
from recommender.shard.live_metrics import DENSE, MISS, THINNEST, TOP, LiveMetrics, rank_by, rank_of, sample
from tests.support.doubles import few

ranks = st.lists(st.tuples(st.integers(0, 30) | st.just(int(MISS)), st.integers(0, 30)), max_size=40)


def metrics(window: int, tests: list[tuple[int, int]]) -> LiveMetrics:
    live = LiveMetrics(window, ["one"])
    for each in tests:
        live.add(*each)
    return live


@few
@given(
    st.dictionaries(st.integers(0, 50), st.sampled_from([0.0, 0.5, 1.0, -3.0]), min_size=1),
    st.integers(0, 50),
)
def test_a_rank_equals_a_naive_count(scores: dict[int, float], item: int) -> None:
    candidates = sorted(scores)
    rank = rank_of(item, np.array(candidates, np.int32), np.array([scores[each] for each in candidates]))
    if item not in scores:
        assert rank == MISS
        return
    before = [each for each in candidates if scores[each] > scores[item]]
    equal = [each for each in candidates if each != item and scores[each] == scores[item]]
    assert rank == len(before) + len(equal) // 2


def test_a_model_that_scores_all_alike_has_the_middle_place() -> None:
    candidates = np.arange(101, dtype=np.int32)
    assert {rank_of(item, candidates, np.zeros(101)) for item in (0, 50, 100)} == {50}


def test_without_candidates_it_is_a_miss() -> None:
    assert rank_of(0, np.empty(0, np.int32), np.empty(0)) == MISS


@few
@given(ranks, st.integers(1, 10))
def test_only_the_newest_tests_count(tests: list[tuple[int, int]], window: int) -> None:
    live, newest = metrics(window, tests), tests[-window:]
    summary, recalls = live.summary(), live.recalls()
    assert (summary["tests"], summary["window"]) == (len(tests), len(newest))
    assert summary["arms"] == {"one": summary["model"]}
    for column, name in enumerate(("model", "popular")):
        if not newest:
            assert summary[name] == {f"recall@{TOP}": None, "mrr": None}
            assert recalls[column] != recalls[column]
            continue
        hits = [each[column] < 10 for each in newest]
        reciprocals = [0.0 if each[column] == MISS else 1 / (each[column] + 1) for each in newest]
        assert summary[name]["recall@10"] == pytest.approx(sum(hits) / len(newest))
        assert recalls[column] == pytest.approx(sum(hits) / len(newest))
        assert summary[name]["mrr"] == pytest.approx(sum(reciprocals) / len(newest))


@few
@given(ranks, ranks, st.integers(1, 10))
def test_a_restored_state_goes_on_as_if_nothing_had_happened(
    before: list[tuple[int, int]], after: list[tuple[int, int]], window: int
) -> None:
    restored = metrics(window, [(1, 2)] * 20)
    restored.restore(metrics(window, before).state())
    for each in after:
        restored.add(*each)
    whole = metrics(window, before + after)
    assert restored.summary() == whole.summary()
    assert {name: array.tolist() for name, array in restored.state().items()} == {
        name: array.tolist() for name, array in whole.state().items()
    }


def test_the_summary_is_json() -> None:
    assert json.loads(json.dumps(metrics(5, [(0, 3)]).summary()))["model"] == {"recall@10": 1.0, "mrr": 1.0}
    assert json.loads(json.dumps(LiveMetrics(5, ["a"]).summary()))["tests"] == 0


def test_a_state_is_a_copy() -> None:
    live = metrics(3, [(0, 0)])
    state = live.state()
    live.add(5, 5)
    assert state["ranks"].tolist() == [[0, 0]]


def test_each_arm_has_its_own_and_their_order_does_not_matter() -> None:
    live, other = LiveMetrics(9, ["b", "a"]), LiveMetrics(9, ["a", "b"])
    live.add(0, 20, 50)
    live.add(5, 0, 0)
    other.add(20, 0, 50)
    other.add(0, 5, 0)
    assert live.recalls() == [1.0, 0.5, 0.5]
    assert {arm: shown["recall@10"] for arm, shown in live.summary()["arms"].items()} == {"b": 1.0, "a": 0.5}
    assert live.summary()["model"] == live.summary()["arms"]["b"]
    assert live.summary()["popular"]["recall@10"] == 0.5
    assert live.state()["ranks"].tolist() == other.state()["ranks"].tolist()
    other.restore(live.state())
    assert other.summary()["arms"] == live.summary()["arms"]


@few
@given(st.integers(0, 2**62), st.integers(0, 50), st.integers(0, 50), st.integers(1, 20))
def test_a_sample_depends_on_the_numbers_alone(first: int, count: int, cut: int, every: int) -> None:
    whole = sample(first, count, every).tolist()
    cut = min(cut, count)
    assert whole == [*sample(first, cut, every), *sample(first + cut, count - cut, every)]


def mixed(number: int) -> int:
    """The finaliser of SplitMix64, in whole numbers of any length."""
    number = (number + 0x9E3779B97F4A7C15) % 2**64
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    number = (number ^ number >> 27) * 0x94D049BB133111EB % 2**64
    return number ^ number >> 31


@given(st.integers(0, 100 * DENSE) | st.integers(DENSE - 20, DENSE + 20), st.sampled_from([1, 2, 3, 10, 100]))
def test_a_sample_is_drawn_by_the_numbers_well_mixed(first: int, every: int) -> None:
    expected = []
    for number in range(first, first + 40):
        drawn, rest = divmod(mixed(number), every)
        thinner = min(max(number / DENSE, 1.0), 20.0)
        expected.append(rest == 0 and (every == 1 or drawn % 65_536 * thinner < 65_536))
    assert sample(first, 40, every).tolist() == expected


def test_a_rank_is_the_same_however_it_is_found() -> None:
    rng, history = np.random.default_rng(5), History()
    model = Blend(ModelContext(history))
    model.many = 0
    users, items = rng.integers(0, 60, 3000), np.minimum(rng.pareto(0.8, 3000) * 20, 400).astype(np.int32)
    ones = np.ones(3000)
    model.learn(history.append(users, items, ones, ones, np.arange(3000) * 1.0))
    for user, item in rng.integers(0, [60, history.item_count], (50, 2)).tolist():
        without = history.items_of(user)
        candidates = all_but(without, history.item_count)
        rank = rank_of(item, candidates, model.score(user, candidates))
        assert (rank == MISS) == (item in without)
        assert rank_by(model, user, item, without, candidates) == rank
        assert rank_by(model, user, item, without, candidates, many=0) == rank


def test_a_sample_has_its_share() -> None:
    assert abs(sample(0, DENSE, 20).sum() - DENSE / 20) < 4 * (DENSE / 20) ** 0.5
    assert sample(0, 100, 1).all()


def test_the_sample_of_a_long_stream_thins_out() -> None:
    count = DENSE * 4
    dense, thin, thinnest = (int(sample(first, count, 2).sum()) for first in (0, DENSE * 10, DENSE * 1000))
    # All of the first, then as many as the integral of 1 / number says.
    assert math.isclose(dense, DENSE / 2 * (1 + math.log(4)), rel_tol=0.05)
    assert math.isclose(thin, DENSE / 2 * math.log(14 / 10), rel_tol=0.1)
    assert math.isclose(thinnest, count / 2 / THINNEST, rel_tol=0.1)
    assert sample(DENSE * 1000, 100, 1).all()


@given(first=st.integers(0, 10**9), cut=st.integers(0, 500), every=st.integers(1, 20))
def test_a_sample_does_not_depend_on_how_it_is_cut(first: int, cut: int, every: int) -> None:
    whole = sample(first, 500, every)
    parts = [sample(first, cut, every), sample(first + cut, 500 - cut, every)]
    assert (np.concatenate(parts) == whole).all()
