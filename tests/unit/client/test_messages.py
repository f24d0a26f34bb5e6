"""The wire from the asking side: what one end encodes, the other decodes to the same."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.client.errors import BadReply, RequestFailed
from recommender.client.messages import (
    decode_reply,
    decode_response,
    encode_request,
)
from recommender.client.ratings import encode_rating
from recommender.messages.ratings import BadMessage, RatingDecoder
from recommender.messages.requests import decode_request
from recommender.messages.responses import Failure, Reason, Recommended, Response

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ids = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
reasons = st.none() | st.lists(st.builds(Reason, ids, st.floats(0, 1)), max_size=3)
recommended = st.builds(
    Recommended,
    ids,
    numbers,
    text,
    st.none() | st.integers(0, 10**6),
    reasons,
    st.booleans(),
    st.none() | numbers,
    st.none() | text,
)
responses = st.builds(
    Response,
    ids,
    st.lists(recommended, max_size=5),
    text,
    text,
    st.booleans(),
    st.integers(0, 4095),
    st.integers(-1, 2**53),
    st.integers(-1, 2**53),
    st.booleans(),
)
RESPONSE = Response("42", [Recommended("50", 0.93, neighbours=37)], "item-knn", "knn", False, 0, 99, 7)


@given(responses)
def test_a_response_survives_the_wire(response: Response) -> None:
    assert decode_response(response.encode()) == response


@given(text, text, st.booleans())
def test_a_failure_survives_the_wire(code: str, message: str, retriable: bool) -> None:
    with pytest.raises(Failure) as caught:
        decode_response(Failure(code, message, retriable=retriable).encode())
    assert (caught.value.code, caught.value.message, caught.value.retriable) == (code, message, retriable)


@given(st.binary(max_size=200))
def test_bytes_are_decoded_or_refused(value: bytes) -> None:
    with pytest.raises((BadMessage, Failure)):
        decode_response(value)


@given(
    st.recursive(
        st.none() | st.booleans() | numbers | text,
        lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    )
)
def test_other_json_is_refused(value: Any) -> None:
    with pytest.raises((BadMessage, Failure)):
        decode_response(json.dumps(value).encode())


@given(responses, st.data())
def test_a_field_that_is_missing_or_of_another_type_is_named(response: Response, data: st.DataObject) -> None:
    wire = json.loads(response.encode())
    name = data.draw(st.sampled_from(sorted(set(wire) - {"ok", "forced", "fewer"})))
    # A worker of before does not say whether it explained.
    if name != "explained" and data.draw(st.booleans()):
        del wire[name]
    else:
        # Where similar items were asked for, there is no user.
        wire[name] = 7 if name == "user" else None
    with pytest.raises(BadMessage, match=name):
        decode_response(json.dumps(wire).encode())


def test_fields_that_are_not_known_yet_are_ignored() -> None:
    wire = json.loads(RESPONSE.encode())
    wire["new"] = wire["as_of"]["new"] = wire["items"][0]["new"] = {"deep": [1]}
    assert decode_response(json.dumps(wire).encode()) == RESPONSE


def test_fields_of_an_item_that_are_optional_have_their_defaults() -> None:
    wire = json.loads(RESPONSE.encode())
    wire["items"] = [{"item": "7", "score": 1}]
    assert decode_response(json.dumps(wire).encode()).items == [Recommended("7", 1.0, "exploit", None)]


def test_the_clients_errors_say_what_came() -> None:
    with pytest.raises(RequestFailed, match=r"n must be between 1 and 1000, got 0 \(bad_request\)") as caught:
        decode_reply(Failure("bad_request", "n must be between 1 and 1000, got 0").encode())
    assert (caught.value.code, caught.value.retriable) == ("bad_request", False)
    with pytest.raises(BadReply, match="null"):
        decode_reply(None)
    with pytest.raises(BadReply, match="nested too deeply"):
        decode_reply(b'{"ok": true, "x": ' + b"[" * 10_000 + b"]" * 10_000 + b"}")


def test_a_failed_request_can_be_copied() -> None:
    error = copy.copy(RequestFailed("not_caught_up", "later", True))
    assert (error.code, error.message, error.retriable) == ("not_caught_up", "later", True)


@given(
    ids | st.integers(-(2**63), 2**64),
    st.integers(1, 1000),
    st.none() | st.lists(ids | st.integers()),
    st.lists(ids | st.integers()),
    st.booleans(),
    st.none() | st.integers(0, 2**53),
    st.none() | ids,
    st.none() | st.floats(0, 1),
)
def test_the_worker_reads_the_request_that_was_meant(
    user: str | int,
    n: int,
    items: list[str | int] | None,
    exclude: list[str | int],
    include_rated: bool,
    after: int | None,
    arm: str | None,
    explore: float | None,
) -> None:
    sent = encode_request(
        user,
        n,
        items=items,
        exclude=exclude,
        include_rated=include_rated,
        after=after,
        arm=arm,
        explore=explore,
    )
    request = decode_request(sent)
    assert request.explore == explore
    assert request.user == str(user)
    assert request.n == n
    assert request.items == (None if items is None else [str(each) for each in items])
    assert request.exclude == [str(each) for each in exclude]
    assert (request.include_rated, request.after, request.arm) == (include_rated, after, arm)


def test_what_is_not_asked_for_is_not_sent() -> None:
    assert json.loads(encode_request("42")) == {"user": "42", "n": 10}


@given(ids, ids, st.none() | st.floats(0.5, 5), st.none() | st.floats(0, 4e9))
def test_the_worker_reads_the_rating_that_was_meant(
    user: str, item: str, rating: float | None, timestamp: float | None
) -> None:
    decoded = RatingDecoder(0.5, 5).decode(encode_rating(user, item, rating, timestamp))
    assert decoded == (user, item, rating, timestamp)


@pytest.mark.parametrize("rating", [math.nan, math.inf, -math.inf])
def test_a_rating_that_json_would_turn_into_a_withdrawal_is_refused(rating: float) -> None:
    with pytest.raises(ValueError, match="finite number"):
        encode_rating("42", "50", rating)


@pytest.mark.parametrize("explore", [math.nan, math.inf, -math.inf])
def test_an_exploration_that_json_would_leave_to_the_worker_is_refused(explore: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1, got"):
        encode_request("42", explore=explore)


def test_not_again_is_sent_as_it_is_asked() -> None:
    request = decode_request(encode_request("42", hide_seen=2, hide_seen_for=1))
    assert (request.hide_seen, request.hide_seen_for) == (2, 1.0)
    assert decode_request(encode_request("42", hide_seen=0)).hide_seen == 0
    assert decode_request(encode_request("42")).hide_seen is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"hide_seen": -1}, "hide_seen must be an integer between 0 and 1000"),
        ({"hide_seen": 1001}, "hide_seen must be an integer between 0 and 1000"),
        ({"hide_seen_for": 0}, "hide_seen_for must be a number of hours up to 8760"),
        ({"hide_seen_for": math.nan}, "hide_seen_for must be a number of hours up to 8760"),
        ({"hide_seen": 1, "user": None, "similar_to": "50"}, "expected it with user"),
    ],
)
def test_not_again_that_cannot_be_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        encode_request(**{"user": "42", **given})
