"""The best n equal a plain sort."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.models.topk import all_but, best, contenders, distinct
from tests.support.doubles import few


def sorted_best(scores: list[float], counts: list[int], n: int) -> list[int]:
    return sorted(range(len(scores)), key=lambda place: (-scores[place], -counts[place], place))[:n]


tied_scores = st.lists(
    st.tuples(st.sampled_from([0.0, -0.0, 1.0, 1.5, -2.0]), st.integers(0, 3)), max_size=60
)
any_scores = st.lists(
    st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**31 - 1)), max_size=60
)


@few
@given(tied_scores | any_scores, st.integers(1, 70))
def test_it_equals_a_sort(rows: list[tuple[float, int]], n: int) -> None:
    scores, counts = [score for score, _ in rows], [count for _, count in rows]
    chosen = best(np.array(scores, np.float64), np.array(counts, np.int32), n)
    assert chosen.tolist() == sorted_best(scores, counts, n)


@few
@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=200), st.integers(1, 210))
def test_contenders_are_all_that_reach_the_nth_highest(scores: list[float], n: int) -> None:
    least = sorted(scores, reverse=True)[min(n, len(scores)) - 1]
    expected = [place for place, score in enumerate(scores) if score >= least]
    assert contenders(np.array(scores), n).tolist() == expected


@pytest.mark.parametrize("seed", range(3))
def test_it_equals_a_sort_of_many_with_many_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, 5, 20_000).astype(np.float64)
    counts = random.integers(0, 50, 20_000).astype(np.int32)
    for n in (1, 10, 1000, 19_999, 20_000, 30_000):
        assert best(scores, counts, n).tolist() == sorted_best(scores.tolist(), counts.tolist(), n)


def test_of_equal_scores_the_more_rated_comes_first_and_then_the_earlier_place() -> None:
    scores, counts = np.zeros(5), np.array([1, 7, 1, 7, 0], np.int32)
    assert best(scores, counts, 3).tolist() == [1, 3, 0]


def test_of_nothing_nothing_is_best() -> None:
    assert best(np.empty(0), np.empty(0, np.int32), 10).tolist() == []


@few
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 1.0, -2.0]), st.integers(0, 2), st.integers(0, 3)), max_size=60),
    st.integers(1, 70),
)
def test_of_equal_scores_the_better_supported_come_first(rows: list[tuple[float, int, int]], n: int) -> None:
    scores, counts, neighbours = (
        (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    )
    chosen = best(np.array(scores, np.float64), np.array(counts, np.int32), n, np.array(neighbours, np.int32))
    expected = sorted(range(len(rows)), key=lambda p: (-scores[p], -neighbours[p], -counts[p], p))
    assert chosen.tolist() == expected[:n]


@few
@given(tied_scores | any_scores, st.integers(1, 70))
def test_the_contenders_are_all_that_are_as_good_as_the_nth(rows: list[tuple[float, int]], n: int) -> None:
    scores = [score for score, _ in rows]
    least = sorted(scores)[-min(n, len(scores))] if scores else 0.0
    expected = [place for place, score in enumerate(scores) if score >= least]
    assert contenders(np.array(scores, np.float64), n).tolist() == expected


@few
@given(st.integers(0, 90), st.data())
def test_all_but_some_are_left(count: int, data: st.DataObject) -> None:
    without = data.draw(st.lists(st.integers(0, count + 3), max_size=100))
    left = all_but(np.array(without, np.int32), count)
    assert left.dtype == np.int32
    assert left.tolist() == [number for number in range(count) if number not in without]


@few
@given(st.lists(st.integers(0, 600), max_size=40), st.integers(0, 4000), st.booleans())
def test_distinct_numbers_are_those_of_a_set(numbers: list[int], below: int, ordered: bool) -> None:
    given_numbers = np.array(sorted(set(numbers)) if ordered else numbers, np.int32)
    found = distinct(given_numbers, below)
    assert found.dtype == np.int32
    assert found.tolist() == sorted({number for number in numbers if number < below})
