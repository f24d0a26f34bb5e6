"""What a worker tells of its bounds: how near each is, who left because of it, and when it is reached."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from recommender.messages.ratings import Rating
from recommender.shard.bounds import DAY, Bounds
from recommender.shard.options import ShardOptions
from recommender.worker.bound_watch import BoundWatch
from recommender.worker.counters import Counters
from recommender.worker.gauges import Gauges
from recommender.worker.replicas import HeldReplica, Successor
from tests.support.learning_setup import LearningWorker


async def held_with(directory: Path, bounds: Bounds) -> HeldReplica:
    return (await LearningWorker(directory, ShardOptions("popular", bounds=bounds)).open()).held


def rate(held: HeldReplica, users: range, items: int = 1, day: float = 0.0) -> None:
    """Let each of some users rate so many items, one moment after the other."""
    time = 1e9 + day * DAY
    held.replica.shard.learn(
        [Rating(f"u{user}", f"i{item}", 5.0, time) for user in users for item in range(items)]
    )


def left(registry: CollectorRegistry, bound: str) -> float | None:
    return registry.get_sample_value("recommender_left_total", {"partition": "0", "bound": bound})


async def test_a_bound_is_told_of_once_when_it_is_reached(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held, registry = await held_with(tmp_path, Bounds(users=16, ratings=10_000)), CollectorRegistry()
    watch = BoundWatch(registry)
    rate(held, range(12))
    with caplog.at_level(logging.INFO):
        watch.look(held)
        assert caplog.messages == []
        assert watch.status(held) == {
            "max_users": {"bound": 16, "known": 12, "left": 0},
            "max_ratings_per_user": {"bound": 10_000, "known": None, "left": 0},
        }
        for last in (19, 30, 40):
            rate(held, range(last - 8, last))
            watch.look(held)
            watch.look(held)
    (told,) = caplog.messages
    assert told == (
        f"{held.replica}: RECOMMENDER_MAX_USERS is reached: 16; from now on users who were active longest "
        "ago leave, and are counted in recommender_left_total"
    )
    # Users 0 to 11, 11 to 18, 22 to 29 and 32 to 39 came, and the last 16 of these are there.
    assert watch.status(held)["max_users"] == {"bound": 16, "known": 16, "left": 35 - 16}
    assert left(registry, "max_users") == 35 - 16


#: Each of 20 users rates an item of their own; a month later somebody rates the same one again and again.
EACH_ITS_OWN = [Rating(f"u{number}", f"i{number}", 5.0, 1e9 + number) for number in range(20)]
A_MONTH_LATER = [Rating("new", "new", 5.0, 1e9 + 30 * DAY + turn) for turn in range(60)]
ONE_USER = [Rating("u", f"i{number}", 5.0, 1e9) for number in range(40)]


@pytest.mark.parametrize(
    ("bounds", "log", "expected", "says"),
    [
        (
            Bounds(items=16),
            EACH_ITS_OWN,
            {"max_items": 4},
            "MAX_ITEMS is reached: 16; from now on items that were rated longest ago leave",
        ),
        (
            Bounds(in_all=16),
            EACH_ITS_OWN,
            {"max_ratings": 4},
            "MAX_RATINGS is reached: 16; from now on users who were active longest ago leave",
        ),
        (
            Bounds(users=100, ratings=10),
            ONE_USER,
            {"max_ratings_per_user": 36 - 10},
            "MAX_RATINGS_PER_USER is reached: 10; from now on the oldest ratings of a user with more leave",
        ),
        (
            Bounds(users=100, user_ttl=2.5 * DAY),
            EACH_ITS_OWN + A_MONTH_LATER,
            {"user_ttl": 20},
            "USER_TTL is reached: 2.5 days; from now on users who did nothing for so long leave",
        ),
        (
            Bounds(items=100, item_ttl=2.5 * DAY),
            EACH_ITS_OWN + A_MONTH_LATER,
            {"item_ttl": 20},
            "ITEM_TTL is reached: 2.5 days; from now on items that nobody rated for so long leave",
        ),
        (Bounds(users=18, in_all=17), EACH_ITS_OWN, {"max_ratings": 3}, "MAX_RATINGS is reached: 17"),
        (
            Bounds(users=18, user_ttl=2.5 * DAY, in_all=90),
            EACH_ITS_OWN + A_MONTH_LATER,
            {"max_users": 3, "user_ttl": 17},
            "USER_TTL is reached: 2.5 days",
        ),
    ],
)
async def test_who_leaves_is_counted_by_the_bound(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    bounds: Bounds,
    log: list[Rating],
    expected: dict[str, int],
    says: str,
) -> None:
    held, registry = await held_with(tmp_path, bounds), CollectorRegistry()
    watch = BoundWatch(registry)
    held.replica.shard.learn(log)
    with caplog.at_level(logging.INFO):
        watch.look(held)
    assert {name: told["left"] for name, told in watch.status(held).items() if told["left"]} == expected
    assert {name: left(registry, name) for name in expected} == expected
    assert len([message for message in caplog.messages if says in message]) == 1
    assert len(caplog.messages) == len(expected)


async def test_how_near_each_bound_is(tmp_path: Path) -> None:
    bounds = Bounds(users=40, ratings=9, user_ttl=10 * DAY, items=50, item_ttl=8 * DAY, in_all=400)
    held, counters = await held_with(tmp_path, bounds), Counters("ratings")
    gauges = Gauges(counters.registry, dict, int)
    rate(held, range(10), items=2)
    rate(held, range(10, 30), items=2, day=4)
    told = json.loads(json.dumps(counters.bounds.status(held)))
    assert {name: (each["known"], each["bound"]) for name, each in told.items()} == {
        "max_users": (30, 40),
        "max_items": (2, 50),
        "max_ratings": (60, 400),
        "max_ratings_per_user": (None, 9),
        "user_ttl": (4.0, 10),
        "item_ttl": (0.0, 8),
    }
    gauges.replica(held, 0, 0.0)
    lines = generate_latest(counters.registry).decode().splitlines()
    assert 'recommender_bound_used_ratio{bound="max_users",partition="0"} 0.75' in lines
    assert 'recommender_bound_used_ratio{bound="user_ttl",partition="0"} 0.4' in lines
    assert not [line for line in lines if "bound_used_ratio" in line and "per_user" in line]


async def test_what_is_taken_over_says_how_far_it_is(tmp_path: Path) -> None:
    held = await held_with(tmp_path, Bounds())
    position = 3
    held.successor = Successor("the rewritten journal", 2, lambda: position)
    assert held.successor.status(9) == {"name": "the rewritten journal", "from": 2, "at": 3, "of": 9}
    position = 8
    assert held.successor.left(9) == 1
    assert held.successor.left(7) == 0
