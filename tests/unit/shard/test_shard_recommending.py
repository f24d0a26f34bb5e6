"""A shard's answers: who is new, what may be recommended, in which order, and what the answer tells."""

from __future__ import annotations

import math
from typing import Any

import pytest

from recommender.messages.ratings import Rating
from recommender.messages.requests import Request
from recommender.messages.responses import Failure, Response
from recommender.settings import load
from recommender.shard.options import ShardOptions
from recommender.shard.query import AsOf
from recommender.shard.shard import Shard

MODELS = ["popular", "sequence-knn", "mf", "random"]


def shard_of(model: str = "popular") -> Shard:
    """Item i is rated well by 10 - i users; user `likes` has rated items 0 and 1."""
    shard = Shard(ShardOptions(model))
    ratings = [
        Rating(f"user {user}", f"item {item}", 5, None) for item in range(10) for user in range(10 - item)
    ]
    ratings += [Rating("likes", "item 0", 5, None), Rating("likes", "item 1", 2, None)]
    shard.learn(ratings, map(float, range(len(ratings))))
    return shard


def ask(shard: Shard, user: str | int = "likes", **fields: Any) -> Response:
    return shard.recommend(Request(user, **fields))


def ids(response: Response) -> list[str]:
    return [each.item for each in response.items]


@pytest.fixture(scope="module", params=MODELS)
def shard(request: pytest.FixtureRequest) -> Shard:
    return shard_of(request.param)


def test_an_unknown_user_gets_the_popular_items(shard: Shard) -> None:
    answer = ask(shard, "nobody", n=3)
    assert ids(answer) == ["item 0", "item 1", "item 2"]
    assert [each.score for each in answer.items] == [11.0, 9.0, 8.0]
    assert answer.cold_start
    assert answer.model == "popular"
    assert answer.arm == shard.options.model


def test_a_known_user_gets_the_models_items(shard: Shard) -> None:
    answer = ask(shard)
    assert not answer.cold_start
    assert answer.model == answer.arm == shard.options.model
    assert answer.user == "likes"
    assert sorted(ids(answer)) == [f"item {each}" for each in range(2, 10)]


def test_the_best_come_first_and_scores_are_finite(shard: Shard) -> None:
    scores = [each.score for each in ask(shard, include_rated=True).items]
    assert all(math.isfinite(score) for score in scores)
    assert scores == sorted(scores, reverse=True)


def test_fewer_are_the_first_of_more(shard: Shard) -> None:
    every = ask(shard, n=1000).items
    for n in range(1, 9):
        assert ask(shard, n=n).items == every[:n]


def test_include_rated_adds_what_was_rated(shard: Shard) -> None:
    assert sorted(ids(ask(shard, include_rated=True))) == [f"item {each}" for each in range(10)]


def test_candidates_are_all_that_is_considered(shard: Shard) -> None:
    items = ["item 5", "item 3", "item 5", "never seen", "item 0"]
    assert sorted(ids(ask(shard, items=items))) == ["item 3", "item 5"]
    assert sorted(ids(ask(shard, items=items, include_rated=True))) == ["item 0", "item 3", "item 5"]
    alone = {each.item: each.score for each in ask(shard, items=items).items}
    among_all = {each.item: each.score for each in ask(shard).items}
    assert alone == {item: among_all[item] for item in alone}


@pytest.mark.parametrize("items", [[], ["never seen"], ["item 0", "item 1"]])
def test_without_candidates_the_answer_is_empty(shard: Shard, items: list[str | int]) -> None:
    assert ask(shard, items=items).items == []


def test_excluded_items_are_left_out(shard: Shard) -> None:
    exclude = ["item 2", "item 9", "never seen", "item 2"]
    assert sorted(ids(ask(shard, exclude=exclude))) == [f"item {each}" for each in range(3, 9)]
    left = ids(ask(shard, items=["item 2", "item 4"], exclude=exclude, include_rated=True))
    assert left == ["item 4"]
    assert "item 2" not in ids(ask(shard, "nobody", exclude=exclude))


def test_an_empty_shard_answers(shard: Shard) -> None:
    empty = Shard(shard.options)
    answer = ask(empty, "anybody", items=None)
    assert answer == Response("anybody", [], "popular", shard.options.model, True, 0, -1, -1)
    assert ask(empty, "anybody", items=["item 0"]).items == []


def test_ids_are_compared_as_text() -> None:
    shard = Shard(ShardOptions())
    shard.learn([Rating("7", "50", 5, None), Rating("8", "51", 5, None)], [0.0, 1.0])
    answer = shard.recommend(Request("7", items=["50", "51"]))
    assert (answer.user, ids(answer), answer.cold_start) == ("7", ["51"], False)


def test_equal_scores_are_ordered_by_ratings_and_then_by_age() -> None:
    shard = Shard(ShardOptions())
    rows = [("a", "x", 1), ("a", "y", 1), ("b", "y", 1), ("a", "z", 1)]
    shard.learn([Rating(*row, None) for row in rows], map(float, range(4)))
    assert ids(ask(shard, "nobody")) == ["y", "x", "z"]


def test_the_answer_tells_what_it_knows_of() -> None:
    answer = shard_of().recommend(Request("likes"), as_of=AsOf(3, 99, 7))
    assert (answer.partition, answer.offset, answer.journal) == (3, 99, 7)


def test_an_arm_that_there_is_none_of_is_refused(shard: Shard) -> None:
    assert ask(shard, arm=shard.options.model).arm == shard.options.model
    with pytest.raises(
        Failure, match=rf"^arm 'other' does not exist: expected '{shard.options.model}'$"
    ) as caught:
        ask(shard, arm="other")
    assert (caught.value.code, caught.value.retriable) == ("bad_request", False)


def test_neighbours_are_told_where_the_model_has_them() -> None:
    told = [each.neighbours for each in ask(shard_of("sequence-knn")).items]
    assert all(isinstance(each, int) and each >= 0 for each in told)
    assert any(told)
    assert {each.neighbours for each in ask(shard_of("popular")).items} == {None}
    assert all(each.source == "exploit" for each in ask(shard_of("popular")).items)


@pytest.mark.parametrize("model", MODELS)
def test_a_response_can_always_be_encoded(model: str) -> None:
    for user in ("likes", "nobody"):
        assert ask(shard_of(model), user, include_rated=True).encode()


def test_options_come_from_settings() -> None:
    settings = load(
        {"RECOMMENDER_FEEDBACK": "positive:7", "RECOMMENDER_RATING_MAX": "10"}, seed=5, model="random"
    )
    options = ShardOptions.of(settings)
    assert (options.model, options.seed, str(options.feedback)) == ("random", 5, "positive:7")
    assert (options.feedback.low, options.feedback.high) == (0.5, 10.0)
