"""Of a user's ratings of an item the highest stands until it is withdrawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recommender.history.history import History
from recommender.history.rows import Rows
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from tests.support.doubles import few

Event = tuple[int, int, float]
values = st.sampled_from([1.0, 2.5, 4.0, 5.0, np.nan])
events = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), values), max_size=30)


def raised(log: list[Event]) -> list[Event]:
    """The same events, with each rating as it counts."""
    standing: dict[tuple[int, int], float] = {}
    found = []
    for user, item, rating in log:
        if np.isnan(rating):
            standing.pop((user, item), None)
            found.append((user, item, rating))
            continue
        standing[user, item] = max(rating, standing.get((user, item), rating))
        found.append((user, item, standing[user, item]))
    return found


def learned(history: History, log: list[Event], size: int) -> dict[str, NDArray[Any]]:
    for begin in range(0, len(log), size):
        users, items, ratings = zip(*log[begin : begin + size], strict=True)
        rated = np.array(ratings, np.float32)
        times = np.arange(begin, begin + len(rated), dtype=np.float64)
        history.append(users, items, rated, rated * 2, times)
        assert np.array_equal(rated, np.array(ratings, np.float32), equal_nan=True)
    return history.state()


@few
@given(events, st.integers(1, 7))
def test_it_equals_ratings_that_are_raised_before(log: list[Event], size: int) -> None:
    found = learned(History(4, highest=True), log, size)
    expected = learned(History(4), raised(log), 1)
    assert found.keys() == expected.keys()
    for name in found:
        assert found[name].tobytes() == expected[name].tobytes(), name


def shard(feedback: str, *, highest: bool) -> Shard:
    repeats = "highest" if highest else "replace"
    return Shard(ShardOptions("popular", Feedback.parse(feedback), repeats=repeats))


def teach(shard: Shard, *ratings: float | None) -> list[float]:
    """The rating of an item that stands after these."""
    count = len(ratings)
    text = np.frombuffer(b"ui", np.uint8)
    spans = np.array([[0, 1, 1, 2]] * count)
    values = np.array([np.nan if each is None else each for each in ratings], np.float64)
    shard.learn_rows(Rows(text, spans, values, np.arange(count, dtype=float), np.ones(count, np.bool_)))
    found: list[float] = shard.history.rated(0)[1].tolist()
    return found


@pytest.mark.parametrize("feedback", ["graded:4", "positive:3"])
def test_a_view_takes_no_purchase_back(feedback: str) -> None:
    assert teach(shard(feedback, highest=True), 5.0, 1.0) == [5.0]
    assert teach(shard(feedback, highest=True), 5.0, None) == []
    assert teach(shard(feedback, highest=True), 5.0, None, 4.0) == [4.0]
    assert teach(shard(feedback, highest=False), 5.0, 4.0) == [4.0]


def test_what_a_policy_drops_takes_back_only_where_ratings_replace() -> None:
    assert teach(shard("positive:3", highest=False), 5.0, 1.0) == []
