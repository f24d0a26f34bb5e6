"""Tests of differences: error rates on simulated experiments, and the standard error of paired users."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from recommender.experiments.attribution import Attribution
from recommender.experiments.attribution_tables import COUNT, NAMED, Counts
from recommender.experiments.report import report
from recommender.experiments.statistics import Difference, adjusted, compare, wilson
from recommender.shard.arms import Arms

Floats = NDArray[np.float64]


@given(st.lists(st.floats(1e-6, 1), min_size=1, max_size=6))
def test_adjusted_p_values_are_those_of_holm(values: list[float]) -> None:
    """Holm's method closes Bonferroni's test: what holds a hypothesis up most of all sets with it."""
    differences = [Difference(str(number), "a", 0.0, None, each, 9) for number, each in enumerate(values)]
    numbers = range(len(values))
    sets = [each for size in numbers for each in combinations(numbers, size + 1)]
    bonferroni = {each: min(1.0, len(each) * min(values[number] for number in each)) for each in sets}
    expected = [max(bonferroni[each] for each in sets if number in each) for number in numbers]
    assert [each.adjusted_p_value for each in adjusted(differences)] == pytest.approx(expected)
    assert {each.comparisons for each in adjusted(differences)} == {len(values)}


def test_a_difference_that_cannot_be_tested_is_adjusted_for_nothing() -> None:
    found = adjusted([Difference("b", "a", 0.1, None, None, 1), Difference("c", "a", 0.1, None, 0.04, 9)])
    assert [each.adjusted_p_value for each in found] == [None, 0.04]


def test_of_many_arms_without_effect_one_is_found_in_one_of_twenty_experiments() -> None:
    """Some p-value is at most .05, or some interval lacks 0, in 5 % of experiments at most."""
    runs, arms, users = 300, 4, 120
    wrong, outside, naive = 0, 0, 0
    for run in range(runs):
        draw = np.random.default_rng([7, run])
        attribution = attributed(draw, arms, users)
        told = report(attribution, resamples=199, seed=run).arm_differences
        wrong += min(each.adjusted_p_value or 1.0 for each in told) <= 0.05
        naive += min(each.p_value or 1.0 for each in told) <= 0.05
        outside += any(
            each.interval is not None and not each.interval[0] < 0 < each.interval[1] for each in told
        )
    most = 0.05 * runs + 3.3 * math.sqrt(0.05 * 0.95 * runs)
    assert wrong <= most
    assert outside <= most
    assert naive > most


def attributed(draw: np.random.Generator, arms: int, users: int) -> Counts:
    """Counts of arms of one rate, eight ratings from each user."""
    rows = np.zeros(arms * users, COUNT)
    rows["arm"], rows["user"] = np.repeat(np.arange(arms), users), np.arange(arms * users)
    rows["places"] = rows["attributed"] = 8
    rows["positive"] = simulated(draw, arms * users, 8, 0.6, 0.3)[:, 0]
    names = {name: [str(number) for number in range(arms * users)] for name in NAMED}
    return Counts(rows, names)


@pytest.mark.parametrize(
    ("positive", "count", "low", "high"),
    # Newcombe (1998), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_equals_published_ones(positive: int, count: int, low: float, high: float) -> None:
    assert wilson(positive, count) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson(count - positive, count)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=5e-5)


def test_wilson_refuses_what_is_no_share() -> None:
    for positive, count in [(1, 0), (3, 2), (-1, 2)]:
        with pytest.raises(ValueError, match=f"got {positive} of {count}"):
            wilson(positive, count)


def simulated(draw: np.random.Generator, users: int, ratings: int, rate: float, alike: float) -> Floats:
    """Positive and all ratings of users whose own rates vary: Beta, correlation `alike` within a user."""
    spread = (1 - alike) / alike
    own = draw.beta(rate * spread, (1 - rate) * spread, users)
    return np.stack([draw.binomial(ratings, own), np.full(users, ratings)], axis=1).astype(np.float64)


def found(effect: float, runs: int, users: int = 150, ratings: int = 8, alike: float = 0.3) -> float:
    """The share of simulated experiments in which a difference is found at 5 %."""
    significant = 0
    nothing = np.zeros((users, 2))
    for run in range(runs):
        draw = np.random.default_rng([run, int(1000 * effect)])
        a = simulated(draw, users, ratings, 0.6, alike)
        b = simulated(draw, users, ratings, 0.6 + effect, alike)
        result = compare(
            "b", np.concatenate([nothing, b]), "a", np.concatenate([a, nothing]), resamples=199, seed=run
        )
        assert result.p_value is not None
        assert result.interval is not None
        # The interval and the test are the same statement.
        assert (result.p_value <= 0.05) == (not result.interval[0] < 0 < result.interval[1])
        significant += result.p_value <= 0.05
    return significant / runs


def test_no_effect_is_found_in_one_of_twenty_experiments() -> None:
    runs = 600
    assert abs(found(0.0, runs) - 0.05) < 3.3 * math.sqrt(0.05 * 0.95 / runs)


def test_an_effect_is_found_as_often_as_its_power_says() -> None:
    runs, effect, users, ratings, alike = 300, 0.08, 150, 8, 0.3
    clustering = 1 + (ratings - 1) * alike
    variance = sum(rate * (1 - rate) * clustering / (users * ratings) for rate in (0.6, 0.6 + effect))
    distance = effect / math.sqrt(variance)
    normal = NormalDist()
    power = normal.cdf(distance - 1.96) + normal.cdf(-distance - 1.96)
    assert 0.5 < power < 0.8
    assert abs(found(effect, runs) - power) < 3.3 * math.sqrt(power * (1 - power) / runs)


def test_clustered_ratings_would_fool_a_test_of_single_ratings() -> None:
    """The naive test of two proportions finds what is not there far too often."""
    runs, naive = 400, 0
    for run in range(runs):
        draw = np.random.default_rng([9, run])
        (x, n), (y, m) = (simulated(draw, 150, 8, 0.6, 0.3).sum(axis=0) for _ in range(2))
        pooled = (x + y) / (n + m)
        z = abs(x / n - y / m) / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
        naive += z > 1.96
    assert naive / runs > 0.15


def simulated_log(effect: float, run: int, users: int = 120, lists: int = 3, alike: float = 0.3) -> Counts:
    """An experiment from its first list to its last rating.

    Each user belongs to an arm as the worker assigns them, sees lists of four places of which one is
    explored, and rates what they like to rate. How often they are pleased is their own, a Beta draw, plus
    the effect of arm b; what is explored pleases as often as what is not.
    """
    draw = np.random.default_rng([run, int(1000 * effect)])
    arms = Arms.parse("a:1,b:1", f"run {run}")
    attribution = Attribution(window=1000.0)
    rated: list[tuple[str, str, int, float]] = []
    for user in (f"u{number}" for number in range(users)):
        arm = arms.arm_of(user)
        rate, spread = 0.6 + effect * (arm == "b"), (1 - alike) / alike
        own = draw.beta(rate * spread, (1 - rate) * spread)
        pleased, rates = draw.random((lists, 4)) < own, draw.random((lists, 4)) < 0.7
        delay, explored = draw.uniform(0, 999, (lists, 4)), draw.integers(4, size=lists)
        for shown, time in enumerate(5000.0 * np.arange(lists) + draw.uniform(0, 3000, lists)):
            items = [f"i{shown}-{position}" for position in range(4)]
            sources = ["explore" if position == explored[shown] else "exploit" for position in range(4)]
            places = list(zip(items, sources, range(4), strict=True))
            attribution.recommended(user, f"r{shown}", "e", arm, time, places)
            rated += [
                (user, items[n], 1 if pleased[shown, n] else -1, time + delay[shown, n])
                for n in range(4)
                if rates[shown, n]
            ]
            # Neither what was not shown nor what was shown long ago is an outcome.
            rated += [(user, "elsewhere", 1, time), (user, items[0], -1, time + 2000)]
    raters, items_, signs, times = zip(*rated, strict=True)
    attribution.rated_all(raters, items_, np.array(signs), np.array(times), np.arange(len(times)))
    return attribution.counts()


def assert_found(times: int, runs: int, share: float) -> None:
    """What a share of this size shows in all but one of ten thousand sets of runs, by the binomial law."""
    law = binom(runs, share)
    assert law.ppf(5e-5) <= times <= law.ppf(1 - 5e-5), (times, runs, share)


def test_a_simulated_experiment_finds_an_effect_as_often_as_its_power_says_and_none_in_one_of_twenty() -> (
    None
):
    runs, effect = 240, 0.12
    found = {0.0: 0, effect: 0}
    explored = 0
    estimates = []
    for run in range(runs):
        for size in found:
            summary = report(simulated_log(size, run), resamples=199, seed=run)
            (difference,), (source,) = summary.arm_differences, summary.source_differences
            assert difference.p_value is not None
            assert source.p_value is not None
            found[size] += difference.p_value <= 0.05
            if size:
                estimates.append(difference.difference)
            else:
                explored += source.p_value <= 0.05
    assert_found(found[0.0], runs, 0.05)
    assert_found(explored, runs, 0.05)
    # Of 12 places users rate 7 in 10: not all equally many, so the design effect has E n^2 / E n.
    mean, users = 12 * 0.7, 60
    clustering = 1 + ((mean**2 + mean * 0.3) / mean - 1) * 0.3
    variance = sum(rate * (1 - rate) * clustering / (users * mean) for rate in (0.6, 0.6 + effect))
    normal, distance = NormalDist(), effect / math.sqrt(variance)
    assert_found(found[effect], runs, normal.cdf(distance - 1.96) + normal.cdf(-distance - 1.96))
    assert np.mean(estimates) == pytest.approx(effect, abs=4 * math.sqrt(variance / runs))


def test_standard_error_is_that_of_paired_users() -> None:
    """Exploit and explore are seen by the same users: what they share cancels out."""
    draw = np.random.default_rng(1)
    own = draw.beta(1.2, 0.8, 400)
    groups = [
        np.stack([draw.binomial(20, own), np.full(400, 20)], axis=1).astype(np.float64) for _ in range(2)
    ]
    paired = compare("explore", groups[1], "exploit", groups[0], resamples=999)
    nothing = np.zeros((400, 2))
    apart = compare(
        "b", np.concatenate([nothing, groups[1]]), "a", np.concatenate([groups[0], nothing]), resamples=999
    )
    assert paired.difference == pytest.approx(apart.difference)
    assert paired.interval is not None
    assert apart.interval is not None
    assert np.diff(paired.interval)[0] < 0.5 * np.diff(apart.interval)[0]
    # By hand: the mean of differences within users, since all have equally many ratings.
    within = (groups[1][:, 0] - groups[0][:, 0]) / 20
    expected = 2 * 1.96 * within.std(ddof=1) / math.sqrt(400)
    assert np.diff(paired.interval)[0] == pytest.approx(expected, rel=0.1)


def test_too_few_users_have_no_p_value() -> None:
    one = compare("b", np.array([[1.0, 2.0]]), "a", np.array([[2.0, 2.0]]), resamples=99)
    assert (one.difference, one.interval, one.p_value, one.users) == (-0.5, None, None, 1)


def test_rates_without_any_spread() -> None:
    same = np.tile([[2.0, 2.0, 2.0, 2.0]], (5, 1))
    equal = compare("b", same[:, :2], "a", same[:, 2:], resamples=99)
    assert (equal.difference, equal.p_value) == (0.0, 1.0)
    apart = compare("b", same[:, :2] * [0, 1], "a", same[:, 2:], resamples=99)
    assert apart.difference == -1.0
    assert apart.p_value is not None
