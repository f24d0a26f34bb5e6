"""Bounds: who was active longest ago leaves, at the same place whatever the batches; a plain rule agrees."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recommender import settings
from recommender.messages.ratings import Rating
from recommender.messages.requests import Request
from recommender.settings import SettingsError
from recommender.shard.activity import RECENT, Activity
from recommender.shard.bounds import DAY, ROWS, Bounds
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.shard.snapshot import Snapshot
from tests.support.doubles import few, fewer
from tests.unit.shard.bounds_rule import Naive, known, learned, options, stream


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(users=3),
        Bounds(users=2, ratings=2),
        Bounds(ratings=3),
        Bounds(8, 2, 40.0),
        Bounds(8, 0, 9.0),
        Bounds(items=3),
        Bounds(users=3, items=2),
        Bounds(items=9, item_ttl=9.0),
        Bounds(8, 3, 40.0, 4, 30.0),
        Bounds(in_all=9),
        Bounds(8, 0, 40.0, 9, 0.0, 12),
    ],
)
@few
@given(st.integers(0, 10**6))
def test_those_are_kept_whom_the_rule_keeps(bounds: Bounds, seed: int) -> None:
    log = stream(seed, 150)
    shard, naive = learned(bounds, log), Naive(bounds).learn(log)
    assert known(shard) == naive.standing()
    assert set(filter(None, shard.items.ids())) == set(naive.items)
    assert shard.users.size <= 8 + len(naive.rated) + RECENT or not bounds.users
    assert not bounds.items or len(shard.items) <= bounds.items
    for user in naive.rated:
        assert not shard.recommend(Request(user)).cold_start or not naive.rated[user]
    assert not {each.item for each in shard.recommend(Request("nobody", n=100)).items} - set(naive.items)


@pytest.mark.parametrize("model", ["blend", "mf", "cosine", "bpr", "user-knn"])
@pytest.mark.parametrize(
    "bounds", [Bounds(users=3, ratings=2), Bounds(200, 24, 60.0), Bounds(items=3), Bounds(3, 3, 60.0, 2, 9.0)]
)
@fewer
@given(st.integers(0, 10**6), st.lists(st.tuples(st.integers(0, 150), st.integers(0, 2)), max_size=6))
@example(
    seed=0, cuts=[(86, 0)]
)  # an item that is tested beside one that comes in the same batch, at a free index
def test_batches_saves_and_restarts_change_nothing(
    bounds: Bounds, model: str, seed: int, cuts: list[tuple[int, int]]
) -> None:
    log = stream(seed, 150)
    whole = learned(bounds, log, model)
    shard, start = Shard(options(bounds, model)), 0
    for stop, how in [*sorted(cuts), (len(log), 1)]:
        snapshot = Snapshot(shard)
        snapshot.advance()
        shard.learn(log[start:stop])
        start = stop
        if how:
            snapshot.finish()
            state = shard.state() if how == 1 else snapshot.state()
            restored = Shard(options(bounds, model))
            restored.restore({name: np.array(array) for name, array in state.items()})
            assert restored.digest() == shard.digest()
            shard = restored
    assert shard.digest() == whole.digest()


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(users=25),
        Bounds(items=18),
        Bounds(ratings=3),
        Bounds(500, 5),
        Bounds(in_all=60),
        Bounds(26, 64, 0.0, 19, 0.0, 70),
    ],
)
@few
@given(st.integers(0, 10**6), st.lists(st.integers(0, 150), max_size=8))
def test_batches_are_whole_only_where_no_look_finds_anything(
    bounds: Bounds, seed: int, cuts: list[int]
) -> None:
    log = stream(seed, 150)
    if seed % 2:  # else some take ratings back
        log = [each._replace(rating=each.rating or 3.0) for each in log]
    one_by_one = Shard(options(bounds))
    for each in log:
        one_by_one.learn([each])
    shard, start = Shard(options(bounds)), 0
    for stop in [*sorted(cuts), len(log)]:
        shard.learn(log[start:stop])
        start = stop
    assert shard.digest() == one_by_one.digest() == learned(bounds, log).digest()


def test_a_policy_that_drops_ratings_takes_items_away_wherever_batches_end() -> None:
    chance = random.Random(5)
    log = [
        Rating(f"u{chance.randrange(5)}", f"i{chance.randrange(30)}", chance.choice([1.0, 5.0]), 1e9)
        for _ in range(300)
    ]
    bounds = Bounds(users=100, items=100)
    chosen = ShardOptions("popular", Feedback.parse("positive:4"), bounds=bounds)
    whole, shard = Shard(chosen), Shard(chosen)
    whole.learn(log)
    for each in log:
        shard.learn([each])
    assert shard.digest() == whole.digest()


def given_at(times: Iterable[float], users: Iterable[str]) -> list[Rating]:
    return [Rating(user, "i", 5.0, time) for user, time in zip(users, times, strict=True)]


def test_a_record_from_ten_years_ahead_makes_nobody_leave() -> None:
    bounds = Bounds(user_ttl=30 * DAY, ratings=3)
    users = [f"u{number}" for number in range(100)]
    log = given_at(1e9 + np.arange(100.0), users)
    log[50] = log[50]._replace(timestamp=1e9 + 3650 * DAY)
    log[60] = log[60]._replace(timestamp=0.0)
    shard = learned(bounds, log)
    assert len(shard.users) == 100
    back = given_at(1e9 - np.arange(100.0) * DAY, users[::-1])
    shard.learn(back)
    assert len(shard.users) == 100


def test_who_is_active_between_two_looks_stays_however_long_these_are_apart() -> None:
    bounds = Bounds(user_ttl=DAY, items=10**6, item_ttl=DAY)
    log = [
        Rating(f"u{place % 40}", f"i{place % 30}", 5.0, 1e9 + place * DAY / 20) for place in range(4 * ROWS)
    ]
    shard = learned(bounds, log)
    assert (len(shard.users), len(shard.items)) == (40, 30)


def test_after_a_pause_of_a_log_users_leave_a_few_at_a_time() -> None:
    bounds = Bounds(user_ttl=30 * DAY, ratings=3)
    assert bounds.rows == 1
    shard = learned(bounds, given_at(1e9 + np.arange(1000.0), [f"u{number}" for number in range(1000)]))
    counts = []
    for place in range(300):
        shard.learn(given_at([1e9 + 365 * DAY + place], ["new"]))
        counts.append(len(shard.users))
    assert counts[RECENT // 2 - 1] == 1001
    steps = -np.diff(counts)
    assert steps.max() == 4
    assert counts[-1] == 1


def test_a_stream_of_ever_new_users_takes_no_more_room() -> None:
    bounds = Bounds(users=640, ratings=100, in_all=10_000)
    shard, chance = Shard(options(bounds, "blend")), random.Random(1)
    sizes = []
    for turn in range(12):
        users = [turn * 2000 + chance.randrange(2500) for _ in range(10_000)]
        shard.learn(
            [
                Rating(f"u{user}", f"i{(user // 10 + chance.randrange(100)) % 100_000}", 5.0, 1e9 + user)
                for user in users
            ]
        )
        assert len(shard.users) <= 640 + bounds.rows
        state = sum(array.nbytes for array in shard.state().values())
        sizes.append((shard.history.nbytes, shard.users.size, shard.items.size, state))
    assert sizes[-1][0] == sizes[4][0]
    assert sizes[-1][1] <= 640 + bounds.rows
    assert sizes[-1][2] <= 1.1 * sizes[4][2]
    assert sizes[-1][3] <= 1.1 * sizes[4][3]


def test_the_order_is_that_of_the_last_event() -> None:
    activity = Activity()
    activity.pass_events(np.array([3, 1, 3, 7], np.int32))
    activity.tick(-math.inf)
    assert {seen for _, seen in activity.oldest()} == {math.inf}
    activity.tick(5.0)
    assert [user for user, _ in activity.oldest()] == [1, 3, 7]
    activity.remove(np.array([3], np.int32))
    activity.remove(np.array([3, 100], np.int32))
    activity.pass_events(np.array([1], np.int32))
    activity.tick(6.0)
    assert list(activity.oldest()) == [(7, 5.0), (1, 6.0)]
    activity.remove(np.array([7, 1], np.int32))
    assert list(activity.oldest()) == []


def test_without_bounds_the_state_has_nothing_of_them() -> None:
    log = stream(1, 100)
    names = set(learned(Bounds(), log).state())
    order = {"before", "after", "ends"}
    kept = {*order, "passed"}
    assert set(learned(Bounds(users=1000), log).state()) - names == {f"bounds/{name}" for name in kept}
    kept |= {f"item_{name}" for name in order}
    assert set(learned(Bounds(items=1000), log).state()) - names == {f"bounds/{name}" for name in kept}
    kept |= {"recent", "now", "seen", "item_seen"}
    assert set(learned(Bounds(item_ttl=1e9), log).state()) - names == {f"bounds/{name}" for name in kept}
    assert not Bounds()
    assert Bounds(10**6, 10**4).rows == Bounds(user_ttl=1.0).rows == ROWS
    assert Bounds(items=640).rows == Bounds(in_all=640).rows == 40
    assert (Bounds(items=1023).rows, Bounds(users=1500).rows, Bounds(items=12_400).rows) == (63, 500, ROWS)
    assert (Bounds(ratings=3).rows, Bounds(ratings=4).rows) == (1, ROWS)


def test_settings_say_the_bounds() -> None:
    given_ = {
        "RECOMMENDER_MAX_USERS": "5",
        "RECOMMENDER_MAX_RATINGS_PER_USER": "none",
        "RECOMMENDER_USER_TTL": "30",
        "RECOMMENDER_MAX_ITEMS": "7",
        "RECOMMENDER_ITEM_TTL": "0.5",
        "RECOMMENDER_MAX_RATINGS": "99",
    }
    assert ShardOptions.of(settings.load(given_)).bounds == Bounds(5, 0, 30 * DAY, 7, 0.5 * DAY, 99)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("MAX_USERS", "0", "must be at least 2, or none for no bound"),
        ("MAX_USERS", "1", "must be at least 2"),
        ("MAX_ITEMS", "-1", "must be at least 2"),
        ("MAX_ITEMS", "many", "not an integer, nor none"),
        ("MAX_RATINGS_PER_USER", "0", "must be at least 2, or none for no bound"),
        ("USER_TTL", "0", "must be at least 0.1, or none for no bound"),
        ("USER_TTL", "0.001", "must be at least 0.1"),
        ("ITEM_TTL", "1e-4", "must be at least 0.1"),
        ("ITEM_TTL", "nan", "not a finite number"),
    ],
)
def test_a_bound_that_would_keep_nothing_is_refused(name: str, text: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings.load({f"RECOMMENDER_{name}": text})
    assert str(caught.value) == f"RECOMMENDER_{name} has value '{text}': {told}"
