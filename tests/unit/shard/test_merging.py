"""A guest becomes a user, who keeps what the guest has rated."""

from __future__ import annotations

from recommender.messages.ratings import Merge, Rating
from recommender.messages.requests import Request
from tests.unit.shard.forgetting_log import Event, learned


def test_a_guest_becomes_a_user() -> None:
    shard = learned(
        "blend",
        [
            Rating("42", "a", 5.0),
            Rating("42", "b", 1.0),
            Rating("guest", "b", 5.0),
            Rating("guest", "d", 4.0),
            Rating("guest", "c", 3.0),
            Rating("guest", "e", None),
            Merge("42", "guest"),
        ],
    )
    assert shard.users.find("guest") is None
    index = shard.users.find("42")
    assert index is not None
    items, ratings, _ = shard.history.rated(index)
    assert [shard.items.id_of(int(each)) for each in items] == ["a", "b", "d", "c"]
    assert ratings.tolist() == [5.0, 1.0, 4.0, 3.0]
    assert shard.history.arrays.users["last_time"][index] == 1e9 + 6
    assert shard.history.arrays.users["events"][index] == 4


def test_guests_may_be_merged_in_a_circle_and_into_nobody() -> None:
    events: list[Event] = [
        Rating("a", "x", 5.0),
        Merge("b", "a"),
        Merge("a", "b"),
        Merge("c", "a"),
        Merge("c", "z"),
    ]
    shard = learned("mf", events)
    assert [each for each in shard.users.ids() if each] == ["c"]
    assert shard.recommend(Request("c", n=5)).items == []
    assert shard.forgetting.take_counts() == {("guest", "merged"): 3, ("guest", "unknown"): 1}


def test_a_guest_without_ratings_makes_no_user() -> None:
    shard = learned("popular", [Rating("g", "x", 5.0), Rating("g", "x", None), Merge("new", "g")])
    assert (len(shard.users), shard.users.find("new")) == (0, None)
