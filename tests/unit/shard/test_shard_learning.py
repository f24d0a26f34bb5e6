"""A shard's state is a function of its log alone: cuts, saves and restores change nothing."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.history.arrays import digest
from recommender.messages.ratings import Rating
from recommender.messages.requests import Request
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from tests.support.doubles import fewer

MODELS = ["popular", "sequence-knn", "mf", "random"]
POLICIES = ["graded:4", "positive:3", "signed"]


def options(model: str = "popular", policy: str = "graded:4", **more: Any) -> ShardOptions:
    return ShardOptions(model, Feedback.parse(policy), test_every=3, test_window=20, **more)


def stream(seed: int, count: int, policy: str = "graded:4") -> list[Rating]:
    """Ratings by few users of few items, so that many are given again, and some withdrawn."""
    chance = random.Random(seed)
    values = [-1.0, 0.0, 1.0] if policy == "signed" else [0.5, 1.0, 2.0, 3.0, 4.0, 4.5, 5.0]
    ratings = []
    for _ in range(count):
        value = None if chance.random() < 0.1 else chance.choice(values)
        user, item = f"u{chance.randrange(8)}", f"i{int(chance.paretovariate(1.0)) % 25}"
        ratings.append(Rating(user, item, value, None))
    return ratings


def times_of(ratings: list[Rating], seed: int = 0) -> list[float]:
    """Seconds, with several ratings in one."""
    chance = random.Random(seed)
    return [1000.0 + place - chance.randrange(3) * (place % 4) for place in range(len(ratings))]


def learned(shard_options: ShardOptions, ratings: list[Rating], times: list[float] | None = None) -> Shard:
    shard = Shard(shard_options)
    shard.learn(ratings, times_of(ratings) if times is None else times)
    return shard


def items_of(shard: Shard, **fields: Any) -> list[str]:
    return [each.item for each in shard.recommend(Request(**fields)).items]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("policy", POLICIES)
@fewer
@given(st.integers(0, 10**6), st.lists(st.tuples(st.integers(0, 120), st.booleans()), max_size=6))
def test_batches_and_restarts_change_nothing(
    model: str, policy: str, seed: int, cuts: list[tuple[int, bool]]
) -> None:
    ratings = stream(seed, 120, policy)
    times = times_of(ratings, seed)
    whole = learned(options(model, policy), ratings, times)
    shard, start = Shard(options(model, policy)), 0
    for stop, restarts in [*sorted(cuts), (len(ratings), True)]:
        shard.learn(ratings[start:stop], times[start:stop])
        start = stop
        if restarts:
            restored = Shard(options(model, policy))
            restored.restore({name: np.array(array) for name, array in shard.state().items()})
            assert restored.digest() == shard.digest()
            shard = restored
    assert shard.digest() == whole.digest()
    assert shard.live.summary() == whole.live.summary()
    for user in ("u0", "u1", "nobody"):
        for include in (False, True):
            request = Request(user, include_rated=include)
            assert shard.recommend(request) == whole.recommend(request)


@pytest.mark.parametrize("model", MODELS)
def test_one_by_one_equals_all_at_once(model: str) -> None:
    ratings = stream(7, 150)
    times = times_of(ratings)
    single = Shard(options(model))
    for rating, time in zip(ratings, times, strict=True):
        single.learn([rating], [time])
    assert single.digest() == learned(options(model), ratings).digest()


@pytest.mark.parametrize("model", MODELS)
def test_recommending_changes_nothing(model: str) -> None:
    shard = learned(options(model), stream(3, 100))
    before = shard.digest()
    for user in ("u0", "nobody"):
        shard.recommend(Request(user, n=1000, include_rated=True))
    assert shard.digest() == before


def test_what_is_ignored_leaves_no_trace() -> None:
    shard = learned(options(policy="signed"), [Rating("u", "a", 0, None), Rating("u", "a", None, None)])
    assert (len(shard.users), len(shard.items), shard.events) == (0, 0, 0)
    assert shard.digest() == Shard(options(policy="signed")).digest()


def test_a_withdrawal_of_what_never_stood_leaves_no_trace() -> None:
    shard = learned(options(), [Rating("u", "a", 5, None)])
    before = shard.digest()
    shard.learn([Rating("u", "b", None, None), Rating("v", "a", None, None)], [1.0, 2.0])
    assert shard.digest() == before


@pytest.mark.parametrize("model", MODELS)
def test_a_rating_again_replaces_the_earlier_one(model: str) -> None:
    shard = learned(
        options(model), [Rating("u", "a", 5, None), Rating("u", "b", 5, None), Rating("u", "a", 1, None)]
    )
    assert shard.history.rating(0, 0) == 1.0
    assert shard.history.rated(0)[0].tolist() == [1, 0]
    assert shard.popular.score(0, np.array([0, 1], np.int32)).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("model", MODELS)
def test_a_withdrawal_takes_the_rating_back(model: str) -> None:
    shard = learned(
        options(model), [Rating("u", "a", 5, None), Rating("v", "b", 5, None), Rating("u", "a", None, None)]
    )
    assert shard.history.rating(0, 0) is None
    assert shard.events == 3
    answer = shard.recommend(Request("u"))
    assert [each.item for each in answer.items] == ["b", "a"]
    assert answer.cold_start


def test_dislikes_are_not_popular_under_signed() -> None:
    ratings = [Rating("u", "a", -1, None), Rating("v", "a", -1, None), Rating("u", "b", 1, None)]
    shard = learned(options(policy="signed"), ratings)
    assert items_of(shard, user="w") == ["b", "a"]
    assert shard.popular.score(0, np.array([0, 1], np.int32)).tolist() == [0.0, 1.0]


CHANGES: dict[str, Any] = {
    "user": lambda shard: shard.users.register("new"),
    "item": lambda shard: shard.items.register("new"),
    "rating": lambda shard: shard.learn([Rating("u0", "i1", 3.0, None)], [5000.0]),
    "live": lambda shard: shard.live.add(0, 0),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_digest_changes_with_anything(name: str) -> None:
    shard = learned(options(), stream(1, 50))
    before = shard.digest()
    CHANGES[name](shard)
    assert shard.digest() != before


@pytest.mark.parametrize(
    "change",
    [{"rating": 4.0}, {"user": "other"}, {"item": "other"}, {"rating": None}],
    ids=lambda each: str(each),
)
@pytest.mark.parametrize("model", MODELS)
def test_the_digest_tells_logs_apart(model: str, change: dict[str, Any]) -> None:
    ratings = [*stream(2, 40), Rating("u1", "i1", 5.0, None)]
    other = [*ratings[:-1], ratings[-1]._replace(**change)]
    assert learned(options(model), ratings).digest() != learned(options(model), other).digest()


def test_the_digest_tells_times_and_order_apart() -> None:
    ratings = [Rating("u", "a", 5, None), Rating("u", "b", 5, None)]
    base = learned(options(), ratings, [1.0, 2.0]).digest()
    assert base != learned(options(), ratings, [1.0, 1.0]).digest()
    assert base != learned(options(), ratings[::-1], [1.0, 2.0]).digest()


def test_a_digest_covers_names_types_shapes_and_every_value() -> None:
    base: dict[str, Any] = {"a": np.arange(6, dtype=np.int32), "b": np.empty(0)}
    others: list[dict[str, Any]] = [
        {"c": base["a"], "b": base["b"]},
        {"a": base["a"]},
        {"a": base["a"].astype(np.uint32), "b": base["b"]},
        {"a": base["a"].reshape(2, 3), "b": base["b"]},
        {"a": base["a"], "b": np.empty((0, 2))},
        *(
            {"a": np.where(base["a"] == value, 9, base["a"]).astype(np.int32), "b": base["b"]}
            for value in range(6)
        ),
    ]
    digests = {digest(each) for each in (base, *others)}
    assert len(digests) == len(others) + 1
    strided = {"b": base["b"], "a": np.repeat(base["a"], 2)[::2]}
    assert digest(strided) == digest(base)


@pytest.mark.parametrize("every", [1, 4])
def test_live_tests_are_a_sample_of_the_positives_that_are_new_to_their_user(every: int) -> None:
    ratings = [
        Rating(f"u{place % 40}", f"i{place}", 5.0 if place % 2 else 1.0, None) for place in range(2000)
    ]
    shard = Shard(ShardOptions(test_every=every))
    shard.learn(ratings, times_of(ratings))
    expected = 1000 / every
    assert math.isclose(shard.live.tests, expected, rel_tol=0.0 if every == 1 else 0.2)


def test_a_rating_again_tests_nothing_and_zero_tests_none() -> None:
    again = [Rating("u", "a", 5.0, None)] * 10
    assert learned(ShardOptions(test_every=1), again).live.tests == 1
    assert learned(ShardOptions(test_every=0), stream(1, 100)).live.tests == 0


def test_the_live_ranks_are_those_of_a_model_that_has_not_seen_the_rating() -> None:
    ratings = [Rating(f"u{each}", "hit", 5.0, None) for each in range(3)] + [Rating("u9", "hit", 5.0, None)]
    shard = Shard(ShardOptions("popular", test_every=1))
    shard.learn(ratings, times_of(ratings))
    # The first is a miss, for nobody knew the item; the others find it first.
    assert shard.live.tests == 4
    assert shard.live.recalls() == [0.75, 0.75]
