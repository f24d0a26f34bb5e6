"""Guests, of whom only a request tells, and the popular items."""

from __future__ import annotations

import json

import pytest

from recommender.items.store import ItemStore
from recommender.messages.items import ItemInfo
from recommender.messages.ratings import BadMessage, Rating
from recommender.messages.requests import Liked, Request, decode_request
from recommender.messages.responses import Failure
from recommender.settings import Settings, load
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard

PROFILING = ["blend", "sequence-knn", "item-knn", "cooc", "cosine", "knn-baseline"]


def learned(model: str) -> Shard:
    """Two crowds that share no item: a0 to a9 and b0 to b9; each user has rated seven of them."""
    shard = Shard(ShardOptions(model=model))
    ratings = [
        Rating(f"{crowd}{user}", f"{crowd}{(user + step) % 10}", 5.0, None)
        for step in range(7)
        for user in range(10)
        for crowd in "ab"
    ]
    ratings += [Rating("c0", "a0", 5.0, None), Rating("c1", "a0", 5.0, None), Rating("c2", "a1", 5.0, None)]
    shard.learn(ratings, [float(place) for place in range(len(ratings))])
    return shard


def asked(**fields: object) -> Request:
    return decode_request(json.dumps(fields).encode())


def items(shard: Shard, **fields: object) -> list[str]:
    return [each.item for each in shard.recommend(asked(**fields)).items]


@pytest.mark.parametrize("model", PROFILING)
def test_a_guest_gets_what_goes_with_the_history(model: str) -> None:
    shard = learned(model)
    before = shard.digest()
    for crowd in "ab":
        history = [f"{crowd}1", f"{crowd}2", f"{crowd}3"]
        response = shard.recommend(asked(history=history, n=5))
        assert (response.user, response.arm, response.model, response.cold_start) == (
            None,
            model,
            model,
            False,
        )
        found = [each.item for each in response.items]
        assert {each[0] for each in found} == {crowd}
        assert not set(found) & set(history)
        assert set(history) <= set(items(shard, history=history, n=1000, include_rated=True))
    assert shard.digest() == before
    assert "guest" not in shard.users


def test_what_a_guest_did_not_like_is_left_out_and_looked_around_by_nobody() -> None:
    shard = learned("blend")
    history = [{"item": "b1", "rating": 1}, "a1", {"item": "a2", "rating": 5}]
    found = items(shard, history=history, n=5)
    assert {each[0] for each in found} == {"a"}
    assert "b1" not in items(shard, history=history, n=1000)
    # The last word on an item counts.
    changed = items(shard, history=["b1", {"item": "b1", "rating": 1}], n=5)
    assert changed == items(shard, history=["zz"], exclude=["b1"], n=5)


@pytest.mark.parametrize("history", [[], ["unheard of"], [{"item": "a1", "rating": 1}]])
def test_a_guest_of_whom_nothing_is_known_gets_the_popular_items(history: list[object]) -> None:
    response = learned("blend").recommend(asked(history=history, n=3))
    assert (response.model, response.cold_start) == ("popular", True)
    assert len(response.items) == 3


@pytest.mark.parametrize("model", PROFILING)
def test_a_long_history_counts_by_its_newest_items(model: str) -> None:
    shard = learned(model)
    old = [f"b{number % 10}" for number in range(9_000)]
    found = shard.recommend(asked(history=[*old, *[f"a{number % 8}" for number in range(1000)]], n=2))
    assert {each.item for each in found.items} <= {"a8", "a9"}


def test_models_that_know_users_only_say_so() -> None:
    shard = learned("mf")
    with pytest.raises(Failure, match="cannot recommend by `history`"):
        shard.recommend(asked(history=["a1"]))
    both = Shard(ShardOptions.of(_settings()))
    both.learn([Rating("a", "b", 5.0, None)], [0.0])
    assert both.recommend(asked(history=["b"])).arm == "blend"
    with pytest.raises(Failure, match="arm 'mf'"):
        both.recommend(asked(history=["b"], arm="mf"))


def _settings() -> Settings:
    return load({}, arms="mf:0.9,blend:0.1")


def test_popular() -> None:
    shard = learned("blend")
    response = shard.recommend(asked(popular=True, n=3))
    assert [(each.item, each.score) for each in response.items[:2]] == [("a0", 9.0), ("a1", 8.0)]
    assert (response.user, response.model, response.forced) == (None, "popular", True)
    mine = shard.recommend(asked(popular=True, user="c0", n=1))
    assert (mine.user, mine.items[0].item) == ("c0", "a1")
    store = ItemStore()
    store.put("b3", ItemInfo(categories=("x",)))
    store.put("a0", ItemInfo(available=False))
    assert [each.item for each in shard.recommend(asked(popular=True, n=1), store=store).items] == ["a1"]
    few = shard.recommend(asked(popular=True, categories=["x"]), store=store)
    assert [each.item for each in few.items] == ["b3"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"history": ["1"], "user": "2"}, "one of `user`, `similar_to` and `history`"),
        ({"history": ["1"], "similar_to": "2"}, "one of `user`, `similar_to` and `history`"),
        ({"history": ["1"] * 10_001}, r"\$\.history"),
        ({"history": [{"rating": 1}]}, r"missing required field `item`"),
        ({"history": [""]}, r"\$\.history"),
        ({"history": ["x" * 257]}, r"\$\.history"),
        ({"history": "1"}, r"\$\.history"),
        ({"history": ["1"], "explain": True}, "`explain`"),
        ({"popular": True, "similar_to": "1"}, "`popular` goes with `user` or alone"),
        ({"popular": True, "history": ["1"]}, "`popular` goes with `user` or alone"),
        ({"popular": True, "user": "1", "explore": 0.5}, "`explore`"),
        ({"popular": False}, "missing required field `user`"),
        ({"popular": "yes"}, r"\$\.popular"),
    ],
)
def test_what_makes_no_sense_is_refused(fields: dict[str, object], says: str) -> None:
    with pytest.raises(BadMessage, match=says):
        asked(**fields)


def test_both_forms_of_a_history() -> None:
    request = asked(history=[5, "a", {"item": 7, "rating": 4.5, "page": 1}])
    assert request.history == [Liked("5"), Liked("a"), Liked("7", 4.5)]
