"""Attribution against a naive join: in any order, with repeats."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.experiments.attribution import Attribution, AttributionError
from tests.unit.experiments.joins import WINDOW, Key, Rated, Shown, add, naive, plain


def joined(records: Sequence[Shown | Rated], **options: float) -> dict[Key, tuple[int, int, int]]:
    attribution = Attribution(WINDOW, **options)
    for record in records:
        add(attribution, record)
    return plain(attribution.counts())


@st.composite
def logs(draw: st.DrawFn) -> list[Shown | Rated]:
    """Both logs; the same request may come again, at any distance, with other items."""
    users, items = st.sampled_from(["u", "v"]), st.sampled_from(["x", "y", "z"])
    times = st.integers(0, 60)
    shown = st.tuples(users, times, st.lists(items, unique=True, max_size=3), st.integers(0, 5))
    # Two lists of one request have different times, else which of them counts would be up to the tie rule.
    lists = draw(st.lists(shown, max_size=10, unique_by=lambda each: (each[0], each[3], each[1])))
    records: list[Shown | Rated] = [
        Shown(
            user,
            f"r{request}",
            f"e{request % 2}",
            f"a{request % 3}",
            float(time),
            tuple(chosen),
            time % 4 == 1,
        )
        for user, time, chosen, request in lists
    ]
    rated = st.tuples(users, items, st.sampled_from([-1, 0, 1]), st.integers(0, 70).map(float))
    records += [Rated(*each, offset) for offset, each in enumerate(draw(st.lists(rated, max_size=16)))]
    return records


@given(records=logs(), shuffle=st.randoms(use_true_random=False), since=st.integers(-1, 60))
def test_equals_the_naive_join_in_any_order(
    records: list[Shown | Rated], shuffle: random.Random, since: int
) -> None:
    assert joined(records) == naive(records)
    assert joined(records, since=since, until=since + 20) == naive(records, since, since + 20)
    twice = records + shuffle.sample(records, len(records) // 2)
    shuffle.shuffle(twice)
    assert joined(twice) == naive(records)


def test_the_window_is_closed_at_both_ends() -> None:
    shown = Shown("u", "r", "e", "a", 100.0, ("x",))
    for time, attributed in [(99.999, 0), (100.0, 1), (110.0, 1), (110.001, 0)]:
        result = joined([shown, Rated("u", "x", 1, time, 0)])
        assert result == {("e", "a", "exploit", 0, "u"): (1, attributed, attributed)}


def test_the_latest_recommendation_and_the_earliest_rating_count() -> None:
    records: list[Shown | Rated] = [
        Rated("u", "x", -1, 9.0, 1),
        Shown("u", "first", "e", "a", 0.0, ("y", "x")),
        Rated("u", "x", 1, 8.0, 0),
        Shown("u", "second", "e", "b", 5.0, ("x",)),
        Rated("v", "x", 1, 6.0, 0),
    ]
    assert joined(records) == {
        ("e", "a", "exploit", 0, "u"): (1, 0, 0),
        ("e", "a", "explore", 1, "u"): (1, 0, 0),
        ("e", "b", "exploit", 0, "u"): (1, 1, 1),
    }


def test_a_request_that_is_logged_again_counts_once() -> None:
    again = [Shown("u", "r", "e", arm, time, ("x",)) for arm, time in [("b", 3.0), ("a", 0.0), ("c", 3.0)]]
    records: list[Shown | Rated] = [*again, Rated("u", "x", 1, 9.0, 0)]
    assert joined(records) == {("e", "a", "exploit", 0, "u"): (1, 1, 1)}
    # Of two at one time the same one counts in either order.
    assert joined(again[::2]) == joined(again[::-2]) == {("e", "b", "exploit", 0, "u"): (1, 0, 0)}


def test_the_counts_of_one_experiment_are_its_own() -> None:
    attribution = Attribution()
    for number in range(4):
        shown = ("r", f"e{number % 2}", f"a{number % 3}", 1.0, [("x", "exploit", 0)])
        attribution.recommended(f"u{number}", *shown)
    whole = attribution.counts()
    assert plain(whole.of("e0")) | plain(whole.of("e1")) == plain(whole)
    assert {key[0] for key in plain(whole.of("e1"))} == {"e1"}
    assert len(whole.of("e0")) == len(whole.of("e1")) == 2
    assert len(whole.of("other")) == len(Attribution().counts().of("other")) == 0


def test_nothing_added_is_joined_to_nothing() -> None:
    assert len(Attribution().counts()) == 0
    assert joined([Rated("u", "x", 1, 1.0, 0)]) == {}
    attribution = Attribution()
    attribution.settle(5.0)
    assert len(attribution.counts()) == 0


def test_bad_input_is_refused() -> None:
    for window in (0.0, -1.0, math.nan):
        with pytest.raises(AttributionError, match="must be above 0"):
            Attribution(window)
    for time in (math.nan, math.inf, -math.inf):
        with pytest.raises(AttributionError, match=f"invalid timestamp {time}"):
            Attribution().rated("u", "x", 1, time)
        with pytest.raises(AttributionError, match=f"invalid timestamp {time}"):
            Attribution().recommended("u", "r", "e", "a", time, [])
    attribution = Attribution()
    attribution.settle(5.0)
    with pytest.raises(AttributionError, match=r"is 4\.500: older than what is settled, 5\.000"):
        attribution.rated("u", "x", 1, 4.5)
