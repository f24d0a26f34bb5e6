"""Similarities that are found when they are needed: when that is must leave no trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.history.history import History
from recommender.models.base import ModelContext
from recommender.models.knn_baseline import kept_pairs
from recommender.models.knn_baseline.model import KNNBaselineModel

USERS, ITEMS = 7, 9
#: What has no exact sums: `pearson_baseline`, and ratings on no grid.
CASES = [("pearson_baseline", 1.0), ("msd", 0.1), ("cosine", 0.1), ("pearson", 0.1)]


def model(**options: Any) -> KNNBaselineModel:
    return KNNBaselineModel(ModelContext(History()), k=3, **options)


def learn(each: KNNBaselineModel, event: tuple[int, int, float | None]) -> None:
    user, item, rating = event
    given = np.array([np.nan if rating is None else rating])
    each.learn_ratings(np.array([user], np.int32), np.array([item], np.int32), given)


def answers(of: KNNBaselineModel, users: range = range(-1, USERS + 1)) -> bytes:
    everything = np.arange(-1, ITEMS + 1, dtype=np.int32)
    found = [of.estimate(user, everything) for user in users]
    return b"".join(scores.tobytes() + neighbours.tobytes() for scores, neighbours in found)


@st.composite
def histories(draw: st.DrawFn, step: float) -> list[tuple[int, int, float | None] | int]:
    """Ratings and withdrawals, and users who ask in between."""
    rating = st.one_of(st.none(), st.integers(10, 50).map(lambda n: n * step))
    event = st.tuples(st.integers(0, USERS - 1), st.integers(0, ITEMS - 1), rating)
    return draw(st.lists(st.one_of(event, event, st.integers(0, USERS - 1)), min_size=1, max_size=90))


@pytest.mark.parametrize(("similarity", "step"), CASES)
@settings(max_examples=60)
@given(data=st.data(), retrain=st.sampled_from([0, 13, 10_000]))
def test_asking_in_between_changes_nothing(
    similarity: str, step: float, data: st.DataObject, retrain: int
) -> None:
    """Beside a model that keeps nothing, to the bit, at every question and at the end."""
    options: dict[str, Any] = {"similarity": similarity, "retrain": retrain}
    kept, nothing = model(**options), model(**options, memory=0)
    for each in data.draw(histories(step)):
        if isinstance(each, int):
            one = range(each, each + 1)
            assert answers(kept, one) == answers(nothing, one)
        else:
            learn(kept, each)
            learn(nothing, each)
    assert answers(kept) == answers(nothing)
    restored = model(**options)
    restored.restore(kept.state())
    assert answers(restored) == answers(kept)


@pytest.mark.parametrize(("similarity", "step"), CASES)
def test_a_long_history_with_questions(similarity: str, step: float) -> None:
    draw = np.random.default_rng(3)
    kept, nothing = (model(similarity=similarity, retrain=500, memory=memory) for memory in (256, 0))
    for number in range(2000):
        user, item = draw.integers(USERS * 3), draw.integers(ITEMS * 4)
        event = (int(user), int(item), None if draw.random() < 0.2 else float(draw.integers(10, 50) * step))
        learn(kept, event)
        learn(nothing, event)
        if number % 7 == 0:
            some = draw.integers(0, ITEMS * 4, draw.integers(1, 12)).astype(np.int32)
            asked = int(draw.integers(USERS * 3))
            assert kept.estimate(asked, some)[0].tobytes() == nothing.estimate(asked, some)[0].tobytes()
    assert kept.keeps == kept_pairs.FOUND
    assert nothing.keeps == kept_pairs.NOTHING


def test_ratings_on_no_grid_turn_sums_into_what_is_found() -> None:
    learned = model()
    for event in ((0, 0, 1.0), (0, 1, 2.0), (1, 0, 4.0), (1, 1, 5.0), (2, 0, 3.0)):
        learn(learned, event)
    assert learned.keeps == kept_pairs.SUMMED
    before = answers(learned)
    learn(learned, (2, 1, 1 / 3))
    learn(learned, (2, 1, None))
    assert learned.keeps == kept_pairs.FOUND
    assert answers(learned) == before
