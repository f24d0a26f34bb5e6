"""Items with many ratings are gone at once, and their ratings a few at a time, whatever the batches."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.checkpoints.checkpoint import Checkpoint
from recommender.checkpoints.export import ratings, ratings_of, users
from recommender.messages.ratings import Forget, Merge, Rating
from recommender.messages.requests import Request
from recommender.shard.bounds import ROWS, Bounds
from recommender.shard.keeper import MOST, WHOLE
from recommender.shard.leaving import AT_ONCE
from recommender.shard.shard import Shard
from recommender.shard.snapshot import Snapshot
from tests.support.doubles import fewer
from tests.unit.shard.bounds_rule import known, options
from tests.unit.shard.forgetting_log import Event, rows_of

#: More users than the history keeps raters of an item, and more than withdraw a rating in one go.
FANS = AT_ONCE + 500


def fans(count: int = FANS, hits: Sequence[str] = ("hit", "song")) -> list[Event]:
    """Each of many users rates each of some items, and one that few others rate."""
    return [
        Rating(f"u{user}", item, 5.0)
        for user in range(count)
        for item in (*hits, f"own {user % 40}")
    ]  # fmt: skip


def others(count: int, first: int = 0) -> list[Event]:
    """Ratings by others, of other items."""
    return [Rating(f"x{(first + place) % 50}", f"y{place % 7}", 4.0) for place in range(count)]


def learned(events: Iterable[Event], bounds: Bounds | None = None, model: str = "blend") -> Shard:
    shard = Shard(options(bounds or Bounds(), model))
    shard.learn_rows(rows_of(events))
    return shard


def shown(shard: Shard, user: str) -> set[str]:
    return {each.item for each in shard.recommend(Request(user, n=1000, include_rated=True)).items}


def rows_until_it_is_idle(shard: Shard, most: int = 20_000) -> int:
    """Learn until no item is leaving; how many rows that took."""
    for count in range(0, most, 100):
        if "bounds/leaving" not in shard.state():
            return count
        shard.learn_rows(rows_of(others(100, count), 10_000 + count))
    raise AssertionError(f"an item is leaving for {most} rows")


def test_an_item_with_many_ratings_is_gone_at_once() -> None:
    shard = learned([*fans(), Forget(None, "hit")])
    assert "bounds/leaving" in shard.state()
    assert shard.items.find("hit") is None
    for user in ("u0", "u1400", "nobody"):
        assert "hit" not in shown(shard, user)
        assert "" not in shown(shard, user)
    similar, never = (shard.recommend(Request(similar_to=item)).items for item in ("hit", "never seen"))
    assert similar == never
    reasons = shard.recommend(Request("u3", explain=True)).items
    assert not {each.item for item in reasons for each in item.because or ()} & {"hit", ""}
    assert "hit" not in {each.item for each in shard.recommend(Request(popular=True, n=100)).items}


def test_its_ratings_leave_a_few_at_a_time_and_its_index_is_used_again() -> None:
    shard = learned([*fans(), Forget(None, "hit")])
    index, before = 0, shard.events
    assert index in shard.items.free
    steps = []
    for turn in range(20):
        shard.learn_rows(rows_of(others(ROWS, turn * ROWS), 10_000 + turn * ROWS))
        steps.append(shard.events - before - ROWS)
        before = shard.events
    assert 0 < max(steps) <= (MOST + 2) * ROWS
    assert sum(steps) == FANS
    assert "bounds/leaving" not in shard.state()
    assert not any("hit" in mine for mine in known(shard).values())
    shard.learn_rows(rows_of([Rating("u0", "brand new", 5.0)], 50_000))
    assert shard.items.find("brand new") == index
    assert shard.history.raters(index).tolist() == [0]
    assert int(shard.history.item_counts[index]) == 1


def test_an_item_of_the_same_name_is_another_one() -> None:
    shard = learned([*fans(), Forget(None, "hit"), Rating("u5", "hit", 1.0), Rating("u6", "hit", None)])
    assert shard.items.find("hit") not in (None, 0)
    rows_until_it_is_idle(shard)
    assert {user for user, mine in known(shard).items() if "hit" in mine} == {"u5"}
    assert known(shard)["u5"] == {"song": 5.0, "own 5": 5.0, "hit": 1.0}


def test_what_is_leaving_is_neither_exported_nor_merged() -> None:
    shard = learned([*fans(), Forget(None, "hit"), Merge("x", "u7"), Forget("u8", None)])
    checkpoint = Checkpoint(Path("any"), {"partition": 0}, shard.state())
    assert ratings_of(checkpoint, "u9") == [("u9", "song", 5), ("u9", "own 9", 5)]
    assert {len(row) for row in ratings(checkpoint)} == {3}
    assert {item for _, item, _ in ratings(checkpoint)} == {"song", *(f"own {k}" for k in range(40))}
    assert {count for _, count, *_ in users(checkpoint)} == {2}
    rows_until_it_is_idle(shard)
    assert known(shard)["x"] == {"song": 5.0, "own 7": 5.0}
    assert "u8" not in known(shard)


#: Places of a log of fans and others, half of them where an item is leaving.
PLACES = st.one_of(st.integers(0, 9000), st.integers(3 * FANS, 3 * FANS + 1500))


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(items=45), Bounds(users=FANS - 200, items=44)])
@settings(fewer, max_examples=6)  # of thousands of rows, one by one where a bound is small
@given(st.integers(0, 10**6), st.lists(st.tuples(PLACES, st.integers(0, 2)), max_size=16))
def test_batches_saves_and_restarts_change_nothing(
    bounds: Bounds, seed: int, cuts: list[tuple[int, int]]
) -> None:
    chance = random.Random(seed)
    # The second one leaves behind the first, or while that is leaving.
    events: list[Event] = [
        *fans(),
        Forget(None, "hit"),
        *others(chance.randrange(chance.choice([200, 3000]))),
    ]
    events += [
        Forget(None, "song"),
        Forget("u3", None),
        *others(chance.randrange(3000)),
        Rating("z", "hit", 5.0),
    ]
    # Nearly all of the time would go into tests of the model.
    seldom = replace(options(bounds, "blend"), test_every=50)
    whole = Shard(seldom)
    whole.learn_rows(rows_of(events))
    shard, start = Shard(seldom), 0
    for stop, how in [*sorted(cuts), (len(events), 1)]:
        snapshot = Snapshot(shard)
        snapshot.advance()
        shard.learn_rows(rows_of(events[start:stop], start))
        start = max(start, min(stop, len(events)))
        if how:
            snapshot.finish()
            state = shard.state() if how == 1 else snapshot.state()
            restored = Shard(seldom)
            restored.restore({name: np.array(array) for name, array in state.items()})
            assert restored.digest() == shard.digest()
            shard = restored
    assert shard.digest() == whole.digest()


def test_a_bound_lets_an_item_with_many_ratings_leave_step_by_step() -> None:
    bounds = Bounds(items=3)
    assert bounds.rows == 1
    shard = learned([Rating(f"u{user}", "hit", 5.0) for user in range(600)], bounds)
    before, steps = shard.events, []
    for place in range(600):
        shard.learn_rows(rows_of([Rating("x", f"y{place % 3}", 4.0)], 1000 + place))
        steps.append(shard.events - before - 1)
        before = shard.events
    assert "hit" not in shown(shard, "nobody")
    assert sum(steps) == 600
    # Those whom the history keeps in one go, the others as users are passed through.
    assert sorted(steps)[-2:] == [2, 258]


def test_a_user_with_many_ratings_leaves_in_several_looks() -> None:
    bounds = Bounds(users=2)
    assert bounds.rows == 1
    count = 3 * WHOLE
    shard = learned([Rating("big", f"i{place}", 5.0) for place in range(count)], bounds, "popular")
    left = []
    for place in range(5):
        shard.learn_rows(rows_of([Rating(f"u{place}", "i0", 4.0)], 10_000 + place))
        left.append(len(known(shard).get("big", ())))
    assert left == [count, count - WHOLE, count - 2 * WHOLE, 0, 0]
    assert set(known(shard)) == {"u3", "u4"}


def test_a_user_who_comes_back_while_leaving_keeps_what_is_left() -> None:
    shard = learned(
        [Rating("big", f"i{place}", 5.0) for place in range(2 * WHOLE)], Bounds(users=2), "popular"
    )
    shard.learn_rows(rows_of([Rating("a", "i0", 4.0), Rating("b", "i0", 4.0)], 10_000))
    assert len(known(shard)["big"]) == WHOLE
    shard.learn_rows(rows_of([Rating("big", "new", 4.0), Rating("a", "i1", 4.0)], 10_002))
    assert set(known(shard)) == {"big", "a"}
    assert len(known(shard)["big"]) == WHOLE + 1


def test_items_that_nobody_rates_leave_by_the_time_of_the_log() -> None:
    shard = Shard(options(Bounds(items=10**6, item_ttl=100.0), "popular"))
    log: list[Event] = [Rating("u", f"i{place}", 5.0) for place in range(50)]
    shard.learn_rows(rows_of([*log, *(Rating("v", f"i{place % 20}", 5.0) for place in range(2 * ROWS))]))
    assert set(filter(None, shard.items.ids())) == {f"i{place}" for place in range(20)}
    assert set(known(shard)["u"]) == {f"i{place}" for place in range(20)}
