"""Signed feedback end to end: +1, -1, 0, "skip" and null, as Findka's users gave them."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.ingest.ingest import BatchDecoder, Ingest, Ingested
from recommender.messages.ratings import BadMessage
from recommender.messages.requests import Request
from recommender.models.knn_baseline.knn_baseline import KNNBaseline
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from tests.support.doubles import FakeRecord, few

SIGNED = Feedback.parse("signed")
MSGPACK = [("content-type", b"application/msgpack")]

MODEL = "knn-baseline/k=3/retrain=7"

Event = tuple[str, str, Any]
events = st.lists(
    st.tuples(
        st.sampled_from(["ann", "bob", "cid", "dan"]),
        st.sampled_from(["tea", "milk", "rum", "ale", "gin"]),
        st.sampled_from([1, 1, -1, -1, 0, "skip", None]),
    ),
    max_size=60,
)


def records(of: list[Event], first: int = 0) -> list[FakeRecord]:
    return [
        FakeRecord(offset, json.dumps({"user": user, "item": item, "rating": rating}).encode(), user.encode())
        for offset, (user, item, rating) in enumerate(of, first)
    ]


def ingest(feedback: Feedback = SIGNED) -> Ingest:
    return Ingest("ratings", BatchDecoder(feedback.low, feedback.high, skips=feedback.skips))


def learn(here: Shard, of: list[FakeRecord]) -> Ingested:
    """Read records and learn what they hold."""
    ingested = ingest(here.options.feedback).read(0, of)
    here.learn_rows(ingested.rows)
    return ingested


def shard(model: str = MODEL, feedback: Feedback = SIGNED) -> Shard:
    return Shard(ShardOptions(model, feedback))


@few
@given(events, st.integers(1, 10))
def test_events_of_the_log_give_the_state_that_set_rating_gives(of: list[Event], run: int) -> None:
    knn = KNNBaseline(low=-1, high=1, k=3, retrain=7)
    for user, item, rating in of:
        if rating not in (0, "skip"):
            knn.set_rating(user, item, rating)
    here = shard()
    learned = skipped = 0
    for start in range(0, len(of), run):
        outcome = learn(here, records(of[start : start + run], start))
        assert not outcome.dead_letters
        learned, skipped = learned + outcome.learned, skipped + outcome.skipped
    assert skipped == sum(rating in (0, "skip") for *_, rating in of)
    assert learned == len(of) - skipped
    assert here.users.ids() == knn.users.ids()
    assert here.items.ids() == knn.items.ids()
    ours, theirs = here.models[MODEL].state(), knn.model.state()
    assert {name: array.tobytes() for name, array in ours.items()} == {
        name: array.tobytes() for name, array in theirs.items()
    }


def test_a_skip_leaves_an_earlier_rating_and_teaches_nothing() -> None:
    here = shard()
    given_ = [("ann", "tea", 1), ("bob", "tea", -1), ("ann", "milk", 1)]
    learn(here, records(given_))
    before = here.digest()
    skips: list[Event] = [
        ("ann", "tea", "skip"),
        ("bob", "tea", 0),
        ("eve", "gin", "skip"),
        ("eve", "gin", 0),
    ]
    outcome = learn(here, records(skips, first=3))
    assert (outcome.learned, outcome.skipped, outcome.dead_letters) == (0, 4, [])
    assert here.digest() == before
    assert learn(here, records([("ann", "tea", None)], first=3)).learned == 1
    assert here.history.rating(0, 0) is None


@pytest.mark.parametrize(
    ("feedback", "rating", "told"),
    [
        ("signed", "skipped", "Expected a number, null or 'skip', got 'skipped'"),
        ("signed", 2, "Expected `float` <= 1.0"),
        ("signed", -1.5, "Expected `float` >= -1.0"),
        ("signed", True, "got `bool`"),
        ("graded:4", "skip", "'skip' is for the feedback policy signed"),
        ("positive:3", "skip", "'skip' is for the feedback policy signed"),
        ("graded:4", "5", "Expected `float | null`, got `str`"),
    ],
)
def test_what_is_no_rating_is_a_dead_letter_that_says_why(feedback: str, rating: Any, told: str) -> None:
    policy = Feedback.parse(feedback)
    here = shard("popular", policy)
    good = 1 if policy.skips else 5
    given_ = [("ann", "tea", good), ("ann", "milk", rating), ("ann", "rum", good)]
    outcome = learn(here, records(given_))
    assert (outcome.learned, outcome.skipped) == (2, 0)
    (letter,) = outcome.dead_letters
    message = dict(letter.headers)["__connect.errors.exception.message"].decode()
    assert told in message
    assert "`$.rating`" in message


@pytest.mark.parametrize("rating", [1, -1, 0, 0.5, "skip", None])
def test_json_and_messagepack_one_by_one_and_together_are_read_alike(rating: Any) -> None:
    decoder = BatchDecoder(-1.0, 1.0, skips=True)
    wire = {"user": "ann", "item": "tea", "rating": rating}
    expected = 0.0 if rating == "skip" else rating
    assert decoder.decode(json.dumps(wire).encode()).rating == expected
    assert decoder.decode(msgspec.msgpack.encode(wire), MSGPACK).rating == expected
    together = decoder.read(records([("ann", "tea", rating), ("bob", "tea", 1)]))
    assert together.plain.tolist() == [True, True]
    np.testing.assert_array_equal(together.ratings, np.array([expected, 1.0], np.float64))


def test_only_signed_ratings_are_skipped() -> None:
    with pytest.raises(BadMessage, match="policy signed"):
        BatchDecoder(0.0, 5.0).decode(b'{"user":"a","item":"b","rating":"skip"}')
    # On a scale that has a 0, the rating 0 teaches.
    zero = Feedback.parse("graded:4", 0.0, 5.0)
    assert learn(shard("popular", zero), records([("a", "b", 0)])).learned == 1


def test_equal_estimates_are_ordered_by_neighbours_then_as_ever() -> None:
    """Estimates are clipped to the scale, so that many are equal."""
    here = shard("knn-baseline/reg_u=0/reg_i=0/n_epochs=1")
    given_ = [(user, item, 1) for user in ("f1", "f2") for item in ("p", "q")]
    given_ += [(user, item, 1) for user in ("m1", "m2", "m3") for item in ("p", "r", "s")]
    given_ += [("me", "p", 1), ("me", "r", 1)]
    learn(here, records(given_))
    response = here.recommend(Request(user="me", n=5, items=["unknown", "q", "other", "s", "q"]))
    assert [each.score for each in response.items] == [1.0] * 4
    told = [(each.item, each.neighbours, each.cold_start) for each in response.items]
    assert told == [("s", 2, False), ("q", 1, False), ("unknown", 0, True), ("other", 0, True)]
    assert not response.cold_start
    stranger = here.recommend(Request(user="stranger", n=2))
    assert (stranger.cold_start, stranger.model) == (True, "knn-baseline/reg_u=0/reg_i=0/n_epochs=1")
