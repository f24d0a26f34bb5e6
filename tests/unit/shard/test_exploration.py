"""Exploration: who is shown, how often, and the same again for the same request."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.shard.exploration import EPSILON, Exploration, ExplorationError, mix, request_seed

SCORES = np.array([0.5, 0.9, 0.1, 0.7, 0.3, 0.8])
RANKED = np.argsort(-SCORES)
POLICIES = ["none", "epsilon:0", "epsilon:0.5", "epsilon:1", "softmax:0.3", "thompson"]


@given(
    count=st.integers(0, 30),
    n=st.integers(0, 40),
    policy=st.sampled_from(POLICIES),
    seed=st.integers(0, 2**64 - 1),
)
def test_never_a_repeat_and_as_many_as_there_are(count: int, n: int, policy: str, seed: int) -> None:
    scores = np.random.default_rng(0).random(count)
    ranked, counts = np.argsort(-scores), np.arange(count)
    places = mix(ranked, scores, n, Exploration.parse(policy), seed, positives=counts, negatives=counts)
    candidates = [place.candidate for place in places]
    assert len(candidates) == min(n, count)
    assert len(set(candidates)) == len(candidates)
    assert set(candidates) <= set(range(count))
    assert (
        mix(ranked, scores, n, Exploration.parse(policy), seed, positives=counts, negatives=counts) == places
    )
    exploited = [place.candidate for place in places if place.source == "exploit"]
    assert exploited == [c for c in ranked.tolist() if c in exploited]


def test_without_exploration_it_is_the_ranking() -> None:
    for policy in (Exploration(), Exploration("epsilon", 0.0), Exploration("epsilon", 0.4).for_request(0)):
        places = mix(RANKED, SCORES, 4, policy, 1)
        assert [place.candidate for place in places] == RANKED[:4].tolist()
        assert {place.source for place in places} == {"exploit"}


def test_a_third_is_random_and_uniform() -> None:
    count, n, draws = 50, 10, 3000
    scores = -np.arange(count, dtype=float)
    ranked = np.arange(count)
    explored = np.zeros(count)
    total = 0
    for seed in range(draws):
        for place in mix(ranked, scores, n, Exploration.parse("epsilon"), seed):
            explored[place.candidate] += place.source == "explore"
            total += place.source == "explore"
    share = total / (draws * n)
    assert abs(share - EPSILON) < 4 * (EPSILON * (1 - EPSILON) / (draws * n)) ** 0.5
    # Those far from the top are never exploited, so only chance shows them: all equally often.
    far = explored[n:]
    assert ((far - far.mean()) ** 2 / far.mean()).sum() < 80  # chi-square, 39 degrees of freedom, p = 1e-4


def test_random_of_few_that_are_left_is_uniform() -> None:
    """A list as long as the candidates: the last places are drawn from very few."""
    last = np.zeros(6)
    for seed in range(6000):
        places = mix(RANKED, SCORES, 6, Exploration("epsilon", 1.0), seed)
        last[places[-1].candidate] += 1
        assert {place.source for place in places} == {"explore"}
    assert ((last - 1000) ** 2 / 1000).sum() < 26  # 5 degrees of freedom, p = 1e-4


def test_only_what_may_be_explored_is_drawn() -> None:
    explorable = np.array([2, 4])
    for seed in range(200):
        places = mix(RANKED, SCORES, 5, Exploration("epsilon", 1.0), seed, explorable=explorable)
        assert [place.source for place in places] == ["explore"] * 2 + ["exploit"] * 3
        assert {place.candidate for place in places[:2]} == {2, 4}
        assert [place.candidate for place in places[2:]] == [1, 5, 3]
    none_left = mix(RANKED, SCORES, 6, Exploration("epsilon", 1.0), 0, explorable=np.array([], int))
    assert [place.candidate for place in none_left] == RANKED.tolist()


def test_softmax_draws_the_first_place_in_proportion() -> None:
    temperature, draws = 0.25, 8000
    expected = np.exp(SCORES / temperature) / np.exp(SCORES / temperature).sum() * draws
    first = np.zeros(len(SCORES))
    for seed in range(draws):
        place = mix(RANKED, SCORES, 3, Exploration("softmax", temperature), seed)[0]
        first[place.candidate] += 1
        assert (place.source == "exploit") == (place.candidate == RANKED[0])
    assert ((first - expected) ** 2 / expected).sum() < 26


def test_thompson_prefers_what_pleased_and_tries_what_is_unknown() -> None:
    positives, negatives = np.array([90, 10, 0]), np.array([10, 90, 0])
    scores, ranked = np.zeros(3), np.arange(3)
    first = np.zeros(3)
    counts = {"positives": positives, "negatives": negatives}
    for seed in range(2000):
        places = mix(ranked, scores, 1, Exploration("thompson"), seed, **counts)
        first[places[0].candidate] += 1
    # The unknown one's chance is uniform: it beats a chance of about 0.9 in about a tenth of the draws.
    assert first[1] == 0
    assert 130 < first[2] < 280
    with pytest.raises(ValueError, match="positive and negative"):
        mix(ranked, scores, 1, Exploration("thompson"), 0)


def test_a_request_has_its_own_seed() -> None:
    seeds = {
        request_seed("a", b"1"),
        request_seed("a", b"2"),
        request_seed("b", b"1"),
        request_seed("a", b"1", seed=1),
        request_seed("a1", b""),
        request_seed("", b"a1"),
    }
    assert len(seeds) == 6
    assert request_seed("a", b"1") == request_seed("a", b"1") == 17158454462293730819


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epsilon:1.5", "epsilon has value 1.5: must be between 0 and 1"),
        ("epsilon:-0.1", "epsilon has value -0.1"),
        ("epsilon:nan", "epsilon has value nan"),
        ("epsilon:a", "parameter 'a': not a number"),
        ("softmax:0", "temperature of softmax has value 0"),
        ("softmax:inf", "temperature of softmax has value inf"),
        ("thompson:2", "thompson takes no parameter"),
        ("ucb", "'ucb' does not exist: expected epsilon:E, softmax:T, thompson or none"),
        ("", "'' does not exist"),
    ],
)
def test_unknown_ways_are_refused(text: str, message: str) -> None:
    with pytest.raises(ExplorationError, match=message):
        Exploration.parse(text)


def test_requests_decide_for_themselves() -> None:
    policy = Exploration.parse("softmax:0.5")
    assert policy.for_request(None) is policy
    assert policy.for_request(0) == Exploration()
    assert policy.for_request(0.25) == Exploration("epsilon", 0.25)
    for explore in (-0.5, 1.01, float("nan")):
        with pytest.raises(ExplorationError, match="explore must be between 0 and 1"):
            policy.for_request(explore)
    for text in POLICIES:
        assert Exploration.parse(str(Exploration.parse(text))) == Exploration.parse(text)


def test_too_few_ranked_candidates_are_refused() -> None:
    with pytest.raises(ValueError, match="n=3 of 6"):
        mix(RANKED[:2], SCORES, 3, Exploration(), 0)
    with pytest.raises(ValueError, match="n=-1"):
        mix(RANKED, SCORES, -1, Exploration(), 0)
