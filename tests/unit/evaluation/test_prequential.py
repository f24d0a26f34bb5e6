"""Evaluation: metrics equal naive loops, protocols test what they say, the live metrics are the same."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.evaluation import rank_metrics as metrics
from recommender.evaluation.prequential import Evaluation, Replay, evaluate, long_tail
from recommender.evaluation.streams import EvaluationError, Stream, shuffled_ties
from recommender.messages.ratings import Rating
from recommender.shard.feedback import Feedback
from recommender.shard.live_metrics import MISS, TOP
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from tests.support.doubles import few

ranks = st.lists(st.integers(0, 40) | st.just(int(MISS)), max_size=60)


def array(values: list[int]) -> metrics.Ranks:
    return np.array(values, np.int32)


def ratings(count: int, seed: int, users: int = 15, items: int = 30) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(users * items)[:count]
    popular = np.minimum(rng.zipf(1.3, len(pairs)), items) - 1
    keep = np.unique(pairs // items * items + popular, return_index=True)[1]
    keep.sort()
    u, i = (pairs // items)[keep], popular[keep]
    return u, i, rng.integers(1, 6, len(u)).astype(float), np.arange(len(u)) // 2 * 10.0


def stream(protocol: Any = "graded", positive: float = 4.0, seed: int = 1) -> Stream:
    return Stream.of(*ratings(300, seed), positive, protocol)


@few
@given(ranks)
def test_metrics_equal_naive_loops(values: list[int]) -> None:
    if not values:
        for metric in (metrics.recall, metrics.reciprocal_rank, metrics.ndcg):
            assert math.isnan(metric(array(values)))
        return
    hits, reciprocal, gain = 0, 0.0, 0.0
    for rank in values:
        if rank < 10:
            hits += 1
            gain += 1.0 / math.log2(rank + 2)
        if rank != MISS:
            reciprocal += 1.0 / (rank + 1)
    assert metrics.recall(array(values)) == pytest.approx(hits / len(values))
    assert metrics.reciprocal_rank(array(values)) == pytest.approx(reciprocal / len(values))
    assert metrics.ndcg(array(values)) == pytest.approx(gain / len(values))


@few
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(41, 90)), min_size=1, max_size=30), st.booleans())
def test_the_mean_percentile_rank_equals_a_naive_loop(pairs: list[tuple[int, int]], missed: bool) -> None:
    total = 0.0
    for rank, candidates in pairs:
        total += rank / (candidates - 1)
    if missed:
        pairs = [*pairs, (int(MISS), 50)]
        total += 1.0
    found = metrics.percentile_rank(array([rank for rank, _ in pairs]), array([n for _, n in pairs]))
    assert found == pytest.approx(total / len(pairs))


@few
@given(ranks, st.integers(1, 80))
def test_windows_equal_naive_slices(values: list[int], window: int) -> None:
    ends, recalls = metrics.windows(array(values), window)
    for end, value in zip(ends.tolist(), recalls.tolist(), strict=True):
        part = values[max(0, end - window) : end]
        assert value == pytest.approx(sum(rank < 10 for rank in part) / len(part))
    if values:
        assert len(ends)


def test_mcnemar_counts_the_targets_that_one_model_alone_hit() -> None:
    first = array([0] * 30 + [50] * 10 + [3] * 20 + [99] * 5)
    second = array([50] * 30 + [0] * 10 + [3] * 20 + [99] * 5)
    test = metrics.mcnemar(first, second)
    assert (test.first_only, test.second_only) == (30, 10)
    assert test.statistic == pytest.approx(10.0)
    assert test.p == pytest.approx(
        0.001565, rel=1e-3
    )  # the tail of chi-squared with one degree of freedom at 10
    assert metrics.mcnemar(first, first).p == 1.0


def test_windows_in_which_a_model_is_better() -> None:
    good, bad = array([0] * 50), array([99] * 50)
    first = np.concatenate([good, bad, good])
    second = np.concatenate([bad, good, good])
    assert metrics.better_windows(first, second, 50) == (1, 1, 1)


def test_the_long_tail_has_a_fifth_of_the_ratings() -> None:
    counts = np.array([50, 1, 30, 9, 10])
    assert long_tail(counts).tolist() == [False, True, False, True, True]


@pytest.mark.parametrize("protocol", ["graded", "flurs"])
def test_targets_are_the_last_half_of_the_positive_ratings(protocol: Any) -> None:
    users, items, values, times = ratings(300, 1)
    made = Stream.of(users, items, values, times, 4.0, protocol)
    positives = np.flatnonzero(made.ratings >= 4.0)
    assert np.flatnonzero(made.tested).tolist() == positives[len(positives) // 2 :].tolist()
    assert len(made) == (len(users) if protocol == "graded" else (values >= 4.0).sum())


def naive_popular(made: Stream, learns: Any) -> list[int]:
    """Ranks of the targets by popularity, with sets and dictionaries."""
    counts: dict[int, int] = {}
    seen: set[int] = set()
    has: dict[int, set[int]] = {}
    found = []
    for event in range(len(made)):
        user, item = int(made.users[event]), int(made.items[event])
        own = has.setdefault(user, set())
        if made.tested[event] and item not in own:
            if item not in seen:
                found.append(int(MISS))
            else:
                others = [counts.get(i, 0) for i in seen - own]
                higher = sum(score > counts.get(item, 0) for score in others)
                ties = sum(score == counts.get(item, 0) for score in others)
                found.append(higher + (ties - 1) // 2)
        seen.add(item)
        own.add(item)
        if learns(made, event):
            counts[item] = counts.get(item, 0) + 1
    return found


@pytest.mark.parametrize("protocol", ["graded", "flurs"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_replay_equals_a_naive_one(protocol: Any, seed: int) -> None:
    made = stream(protocol, seed=seed)
    result = evaluate(made, ["popular"])[0]
    assert result.ranks == naive_popular(made, lambda s, e: s.ratings[e] >= 4.0)
    assert result.learned == len(made)


def test_models_together_are_measured_as_alone() -> None:
    made, names = stream(), ["popular", "blend", "sequence-knn", "bpr"]
    together = evaluate(made, names)
    assert [each.ranks for each in together] == [evaluate(made, [name])[0].ranks for name in names]


def test_the_live_metrics_of_a_shard_equal_the_offline_ones() -> None:
    users, items, values, times = ratings(300, 4)
    offline = evaluate(Stream.of(users, items, values, times, 4.0), ["sequence-knn"])[0]
    # Stream.of takes the scale from the ratings, which reach from 1 to 5.
    shard = Shard(ShardOptions("sequence-knn", Feedback.parse("graded:4"), test_every=1, test_window=1000))
    events = [Rating(str(u), str(i), r, t) for u, i, r, t in zip(users, items, values, times, strict=True)]
    half = int(np.flatnonzero(Stream.of(users, items, values, times, 4.0).tested)[0])
    shard.learn(events[:half], times[:half].tolist())
    before = shard.live.tests
    shard.learn(events[half:], times[half:].tolist())
    known = [n > 0 for n in offline.user_ratings]
    assert shard.live.tests - before == len(offline.ranks)
    live = shard.live.state()["ranks"][before : before + len(known), 0]
    assert live[known].tolist() == array(offline.ranks)[known].tolist()


def test_a_summary_names_every_metric_and_splits_off_cold_ones() -> None:
    result = Evaluation(
        "x", ranks=[0, 20, 5, int(MISS)], recommended={1, 2}, slots=40, tail_slots=10, items=8
    )
    result.candidates, result.user_ratings, result.item_ratings = [30] * 4, [0, 4, 5, 9], [100, 3, 99, 0]
    summary = result.summary()
    assert summary[f"recall@{TOP}"] == 0.5
    assert summary[f"recall@{TOP}_first_ratings"] == 0.5
    assert summary[f"recall@{TOP}_young_items"] == 0.5
    assert (summary["item_coverage"], summary["long_tail_share"], summary["tests"]) == (0.25, 0.25, 4)
    assert Evaluation("x").summary()["mrr"] is None


def test_too_few_positive_ratings_are_said() -> None:
    with pytest.raises(EvaluationError, match="0 of 3 ratings are at least 6"):
        Stream.of(np.arange(3), np.arange(3), np.ones(3), np.zeros(3), 6.0)


@pytest.mark.parametrize(
    ("values", "positive"), [([1.0] * 6, 1.0), ([-1.0, 1.0] * 3, 1.0), ([0.0, 10.0] * 3, 7.5)]
)
def test_any_scale_is_evaluated(values: list[float], positive: float) -> None:
    made = Stream.of(
        np.array(list("aabbcc")), np.array(list("xyxyxy")), np.array(values), np.zeros(6), positive
    )
    result = Replay(made, ["popular"]).run(lambda _: None)[0]
    assert len(result.ranks) == int(made.tested.sum())


def test_only_ties_are_shuffled() -> None:
    times = np.array([3.0, 1.0, 1.0, 1.0, 2.0, 1.0])
    orders = [shuffled_ties(times, seed) for seed in range(20)]
    assert all((np.diff(times[order]) >= 0).all() for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) > 5
    assert (shuffled_ties(times, 7) == shuffled_ties(times, 7)).all()
