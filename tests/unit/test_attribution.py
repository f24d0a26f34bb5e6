"""Attribution against a naive join, in any order of reading, over restarts."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.attribution import Attribution, AttributionError, Outcomes

Key = tuple[str, str, str]


class Shown(NamedTuple):
    """A record of the recommendations log."""

    user: str
    request: str
    arm: str
    time: float
    items: tuple[str, ...]


class Rated(NamedTuple):
    """A rating."""

    user: str
    item: str
    sign: int
    time: float
    offset: int


def add(attribution: Attribution, record: Shown | Rated) -> None:
    if isinstance(record, Rated):
        attribution.rated(*record)
        return
    places = [(item, "explore" if n % 3 == 1 else "exploit") for n, item in enumerate(record.items)]
    attribution.recommended(
        record.user, record.request, record.arm, f"{record.arm}-model", record.time, places
    )


def joined(records: list[Shown | Rated], window: float = 10.0) -> Outcomes:
    attribution = Attribution(window)
    for record in records:
        add(attribution, record)
    return attribution.join()


def by_place(outcomes: Outcomes) -> dict[Key, tuple[str, str, int, int]]:
    names = outcomes.names
    return {
        (names["users"][u], names["requests"][r], names["items"][i]): (
            names["arms"][a],
            names["sources"][s],
            int(p),
            int(outcome),
        )
        for u, r, i, a, s, p, outcome in zip(
            outcomes.users,
            outcomes.requests,
            outcomes.items,
            outcomes.arms,
            outcomes.sources,
            outcomes.positions,
            outcomes.outcomes,
            strict=True,
        )
    }


def naive(records: list[Shown | Rated], window: float) -> dict[Key, int]:
    """The rule, rating by rating in order of time."""
    shown = [record for record in set(records) if isinstance(record, Shown)]
    led: dict[Key, int] = {(each.user, each.request, item): 0 for each in shown for item in each.items}
    ratings = [record for record in set(records) if isinstance(record, Rated) and record.sign]
    for rating in sorted(ratings, key=lambda each: (each.time, each.offset)):
        before = [
            (each.time, each.request)
            for each in shown
            if each.user == rating.user and rating.item in each.items and each.time <= rating.time
        ]
        if before and rating.time - max(before)[0] <= window:
            key = rating.user, max(before)[1], rating.item
            led[key] = led[key] or rating.sign
    return led


@st.composite
def logs(draw: st.DrawFn) -> list[Shown | Rated]:
    items = st.sampled_from(["x", "y", "z"])
    shown = st.builds(
        lambda user, arm, time, items: (user, arm, time, tuple(items)),
        st.sampled_from(["u", "v"]),
        st.sampled_from(["a", "b"]),
        st.integers(0, 30).map(float),
        st.lists(items, unique=True, max_size=3),
    )
    records: list[Shown | Rated] = [
        Shown(user, f"r{n}", arm, time, shown_items)
        for n, (user, arm, time, shown_items) in enumerate(draw(st.lists(shown, max_size=6)))
    ]
    rated = st.tuples(
        st.sampled_from(["u", "v"]), items, st.sampled_from([-1, 0, 1]), st.integers(0, 40).map(float)
    )
    records += [Rated(*each, offset) for offset, each in enumerate(draw(st.lists(rated, max_size=10)))]
    return records


@given(records=logs(), shuffle=st.randoms(use_true_random=False))
def test_equals_the_naive_join_in_any_order(records: list[Shown | Rated], shuffle: random.Random) -> None:
    expected = naive(records, 10.0)
    outcomes = joined(records)
    assert {key: value[3] for key, value in by_place(outcomes).items()} == expected
    twice = records + shuffle.sample(records, len(records) // 2)
    shuffle.shuffle(twice)
    again = joined(twice)
    for name in ("users", "requests", "arms", "sources", "positions", "outcomes"):
        assert getattr(again, name).tolist() == getattr(outcomes, name).tolist(), name


@given(records=logs(), cut=st.integers(0, 20))
def test_survives_a_restart(records: list[Shown | Rated], cut: int) -> None:
    attribution = Attribution(10.0)
    for number, record in enumerate(records):
        if number == cut:
            state = attribution.state()
            attribution = Attribution(10.0)
            attribution.restore(state)
            saved = attribution.state()
            assert {name: array.tobytes() for name, array in saved.items()} == {
                name: array.tobytes() for name, array in state.items()
            }
        add(attribution, record)
    assert by_place(attribution.join()) == by_place(joined(records))


def test_the_window_is_closed_at_both_ends() -> None:
    shown = Shown("u", "r", "a", 100.0, ("x",))
    for time, outcome in [(99.999, 0), (100.0, 1), (110.0, 1), (110.001, 0)]:
        result = by_place(joined([shown, Rated("u", "x", 1, time, 0)]))
        assert result == {("u", "r", "x"): ("a", "exploit", 0, outcome)}


def test_the_latest_recommendation_and_the_earliest_rating_count() -> None:
    records: list[Shown | Rated] = [
        Rated("u", "x", -1, 9.0, 1),
        Shown("u", "first", "a", 0.0, ("y", "x")),
        Rated("u", "x", 1, 8.0, 0),
        Shown("u", "second", "b", 5.0, ("x",)),
        Rated("v", "x", 1, 6.0, 0),
    ]
    result = by_place(joined(records))
    assert result[("u", "first", "x")] == ("a", "explore", 1, 0)
    assert result[("u", "second", "x")] == ("b", "exploit", 0, 1)
    assert result[("u", "first", "y")][3] == 0


def test_nothing_added_is_joined_to_nothing() -> None:
    assert len(Attribution().join()) == 0
    assert len(joined([Rated("u", "x", 1, 1.0, 0)])) == 0


def test_bad_input_is_refused() -> None:
    for window in (0.0, -1.0, math.nan):
        with pytest.raises(AttributionError, match="must be above 0"):
            Attribution(window)
    with pytest.raises(AttributionError, match="time of a recommendation or rating is nan"):
        Attribution().rated("u", "x", 1, math.nan)
    with pytest.raises(AttributionError, match="saved window is 5 seconds, expected 6"):
        Attribution(6).restore(Attribution(5).state())
