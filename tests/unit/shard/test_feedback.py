"""Feedback policies: what is a policy, what teaches, how strongly, and what counts as positive."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.errors import RecommenderError
from recommender.messages.ratings import Rating
from recommender.shard.feedback import GRADES, Feedback, FeedbackError
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from tests.support.doubles import few


def teaching(policy: Feedback, rating: float | None) -> float | None:
    """What one rating means: itself, NaN for a withdrawal, None for what is ignored."""
    values, used = policy.teach([rating])
    return float(values[0]) if used[0] else None


def weights(policy: Feedback, *ratings: float) -> list[float]:
    return [float(weight) for weight in policy.weights(np.array(ratings, np.float32))]


@pytest.mark.parametrize(
    ("text", "kind", "threshold", "low", "high"),
    [
        ("graded:4", "graded", 4.0, 0.5, 5.0),
        ("graded", "graded", 4.0, 0.5, 5.0),
        ("graded:3.5", "graded", 3.5, 0.5, 5.0),
        ("positive:3", "positive", 3.0, 0.5, 5.0),
        ("positive", "positive", 3.0, 0.5, 5.0),
        ("signed", "signed", 1.0, -1.0, 1.0),
    ],
)
def test_policies_are_read(text: str, kind: str, threshold: float, low: float, high: float) -> None:
    assert Feedback.parse(text) == Feedback(kind, threshold, low, high)


@pytest.mark.parametrize("text", ["graded:4", "graded:3.5", "positive:3", "signed"])
def test_a_policy_writes_itself_as_it_is_read(text: str) -> None:
    assert str(Feedback.parse(text)) == text


@pytest.mark.parametrize("text", ["", "Graded:4", "stars:3", "signed:1", ":4", "positiv:3", "graded4"])
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(FeedbackError, match="expected graded:T, positive:T or signed") as caught:
        Feedback.parse(text)
    assert repr(text) in str(caught.value)
    assert isinstance(caught.value, RecommenderError)


@pytest.mark.parametrize("text", ["graded:x", "positive:4:5", "positive:3,5"])
def test_a_threshold_is_a_number(text: str) -> None:
    with pytest.raises(FeedbackError, match="not a number"):
        Feedback.parse(text)


@pytest.mark.parametrize("text", ["graded:6", "graded:0", "positive:-1", "positive:nan", "graded:inf"])
def test_a_threshold_lies_within_the_scale(text: str) -> None:
    with pytest.raises(FeedbackError, match=r"outside the scale of ratings, 0\.5 to 5$"):
        Feedback.parse(text)


def test_the_scale_can_be_given() -> None:
    assert Feedback.parse("positive:50", 0.0, 100.0) == Feedback("positive", 50.0, 0.0, 100.0)
    assert Feedback.parse("graded:8", high=10.0) == Feedback("graded", 8.0, 0.5, 10.0)
    with pytest.raises(FeedbackError, match=r"outside the scale of ratings, 0 to 3$"):
        Feedback.parse("positive:4", 0.0, 3.0)
    with pytest.raises(FeedbackError, match="outside the scale of ratings, -1 to 0"):
        Feedback.parse("signed", high=0.5)


@pytest.mark.parametrize(("low", "high"), [(5.0, 1.0), (3.0, 3.0)])
def test_a_scale_goes_up(low: float, high: float) -> None:
    with pytest.raises(FeedbackError, match="the first must be smaller"):
        Feedback.parse("positive:3", low, high)


@pytest.mark.parametrize("high", [0.0, -1.0])
def test_graded_needs_a_scale_that_ends_above_zero(high: float) -> None:
    with pytest.raises(FeedbackError, match="a scale that ends above 0, got -5 to"):
        Feedback.parse("graded:-2", -5.0, high)
    assert Feedback.parse("positive:-2", -5.0, high).threshold == -2.0


def test_graded_weighs_by_value() -> None:
    policy = Feedback.parse("graded:4")
    expected = [0.3, 0.5, 0.8, 1.0, 1.2, 0.9, 0.3]
    assert weights(policy, 1, 2, 3, 4, 5, 3.5, 0.5) == pytest.approx(expected)


def test_graded_maps_other_scales_to_five() -> None:
    policy = Feedback.parse("graded:80", 0.0, 100.0)
    assert weights(policy, 20, 40, 60, 80, 100, 70) == pytest.approx([0.3, 0.5, 0.8, 1.0, 1.2, 0.9])


@few
@given(st.lists(st.one_of(st.floats(-1, 11, width=32), st.integers(-1, 11).map(float)), min_size=1))
def test_grades_are_interpolated_as_numpy_does(ratings: list[float]) -> None:
    policy, given_ = Feedback.parse("graded:4", 0.0, 10.0), np.array(ratings, np.float32)
    expected = np.interp(given_ * 0.5, (1, 2, 3, 4, 5), GRADES).astype(np.float32)
    assert policy.weights(given_).tolist() == expected.tolist()


def test_positive_and_signed_weigh_by_kind() -> None:
    assert weights(Feedback.parse("positive:3"), 3, 4.5, 5) == [1.0, 1.0, 1.0]
    assert weights(Feedback.parse("signed"), 1, -1, 0.5, -0.25) == [1.0, -1.0, 1.0, -1.0]


@pytest.mark.parametrize("text", ["graded:4", "positive:3", "signed"])
def test_a_withdrawal_has_no_weight(text: str) -> None:
    assert weights(Feedback.parse(text), math.nan) == [0.0]
    assert math.isnan(teaching(Feedback.parse(text), None) or 0.0)


@few
@given(
    st.sampled_from(["graded", "positive"]),
    st.floats(1, 5, width=32),
    st.lists(st.floats(1, 5, width=32), min_size=1, max_size=20),
)
def test_positive_is_what_reaches_the_threshold(kind: str, threshold: float, ratings: list[float]) -> None:
    policy = Feedback.parse(f"{kind}:{threshold!r}")
    taught = [each for each in ratings if teaching(policy, each) == each]
    positive = policy.weights(np.array(taught, np.float32)) >= policy.positive_weight
    for rating, hit in zip(taught, positive.tolist(), strict=True):
        if rating >= threshold:
            assert hit
        elif rating < threshold - 1e-6:  # nearer than single precision tells weights apart
            assert not hit


def test_what_teaches_by_policy() -> None:
    graded, positive, signed = (Feedback.parse(each) for each in ("graded:4", "positive:3", "signed"))
    assert [teaching(graded, each) for each in (0.5, 1.0, 5.0)] == [0.5, 1.0, 5.0]
    assert [teaching(positive, each) for each in (3.0, 5.0)] == [3.0, 5.0]
    assert math.isnan(teaching(positive, 2.9) or 0.0)
    assert [teaching(signed, each) for each in (1.0, -1.0, 0.0)] == [1.0, -1.0, None]


def test_a_rating_below_the_threshold_takes_the_earlier_one_back() -> None:
    shard = Shard(ShardOptions(feedback=Feedback.parse("positive:3")))
    shard.learn(
        [Rating("u", "a", 5, None), Rating("u", "b", 4, None), Rating("v", "c", 1, None)], [0.0, 1.0, 2.0]
    )
    assert (len(shard.users), len(shard.items), shard.events) == (1, 2, 2)
    shard.learn([Rating("u", "a", 2, None)], [3.0])
    assert shard.history.rating(0, 0) is None
    assert shard.history.rating(0, 1) == 4.0
    assert shard.popular.score(0, np.array([0, 1], np.int32)).tolist() == [0.0, 1.0]
