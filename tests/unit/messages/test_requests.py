"""Requests, responses and failures on the wire."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.messages import ratings, requests
from recommender.messages.ratings import BadMessage, header
from recommender.messages.requests import Request, decode_request
from recommender.messages.responses import Failure, Recommended, Response
from tests.support.doubles import few

MSGPACK = [("content-type", b"application/msgpack")]

identifiers = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)


def complaint(value: bytes | None, headers: ratings.Headers = ()) -> str:
    with pytest.raises(BadMessage) as caught:
        decode_request(value, headers)
    return str(caught.value)


def both(request: Any) -> list[tuple[bytes, ratings.Headers]]:
    return [(json.dumps(request).encode(), ()), (msgspec.msgpack.encode(request), MSGPACK)]


def test_a_user_is_enough() -> None:
    for value, headers in both({"user": "42"}):
        assert decode_request(value, headers) == Request("42")
    request = Request("42")
    assert (request.n, request.items, request.exclude) == (10, None, [])
    assert (request.include_rated, request.after, request.arm) == (False, None, None)


def test_every_field_is_read() -> None:
    fields = {
        "user": 42,
        "n": 1000,
        "items": ["a", 5, "a"],
        "exclude": [7, "b"],
        "include_rated": True,
        "after": 0,
        "arm": "knn",
        "explore": 0.25,
        "hide_seen": 3,
        "hide_seen_for": 0.5,
        "page": 3,
    }
    for value, headers in both(fields):
        request = decode_request(value, headers)
        more: dict[str, Any] = {"explore": 0.25, "hide_seen": 3, "hide_seen_for": 0.5}
        assert request == Request("42", 1000, ["a", "5", "a"], ["7", "b"], True, 0, "knn", **more)


def test_empty_lists_and_nulls_are_what_they_say() -> None:
    request = decode_request(b'{"user":"1","items":[],"exclude":[],"after":null,"arm":null}')
    assert request == Request("1", items=[])
    assert decode_request(b'{"user":"1","items":null}').items is None


def test_null_is_the_same_as_leaving_a_field_out() -> None:
    names = [each.name for each in msgspec.structs.fields(Request)]
    for subject in ("user", "similar_to"):
        fields: dict[str, Any] = {**dict.fromkeys(names), subject: "1"}
        for value, headers in both(fields):
            assert decode_request(value, headers) == decode_request(json.dumps({subject: "1"}).encode())


@pytest.mark.parametrize("n", [0, -1, 1001, 10**30])
def test_n_is_named_with_its_bounds(n: Any) -> None:
    told = complaint(json.dumps({"user": "1", "n": n}).encode())
    assert told == f"n must be between 1 and 1000, got {n!r}"


@pytest.mark.parametrize("n", [True, "5", 1.5, 10.0, [1]])
def test_n_that_is_no_integer_is_told_so(n: Any) -> None:
    for value, headers in both({"user": "1", "n": n}):
        assert complaint(value, headers) == f"n must be an integer between 1 and 1000, got {n!r}"


@pytest.mark.parametrize("explore", [-0.1, 1.5, 2])
def test_explore_is_named_with_its_bounds(explore: Any) -> None:
    told = complaint(json.dumps({"user": "1", "explore": explore}).encode())
    assert told == f"explore must be between 0 and 1, got {explore!r}"


@pytest.mark.parametrize("explore", [True, "0.5", [0.5], {}])
def test_explore_that_is_no_number_is_told_so(explore: Any) -> None:
    for value, headers in both({"user": "1", "explore": explore}):
        assert complaint(value, headers) == f"explore must be a number between 0 and 1, got {explore!r}"


def test_explore_may_be_a_whole_number_or_left_out() -> None:
    assert decode_request(b'{"user":"1","explore":1}').explore == 1.0
    assert decode_request(b'{"user":"1","explore":null}').explore is None
    assert decode_request(b'{"similar_to":"1","explore":0}').explore == 0.0


def test_n_is_named_whatever_it_is() -> None:
    for n in (b"9" * 5000, b"9" * 4000, b"1e999", b'"%s"' % (b"x" * 5000)):
        told = complaint(b'{"user":"1","n":%s}' % n)
        assert "`$.n`" in told or told.startswith(("n must be between 1 and", "n must be an integer between"))
        assert len(told) < 200
    packed = msgspec.msgpack.encode({"user": "1", "n": 0})
    assert complaint(packed, MSGPACK) == "n must be between 1 and 1000, got 0"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"user": None}, "missing required field `user` (or `similar_to`, `history`, `popular`)"),
        ({"user": "1", "similar_to": "2"}, "expected either `user` or `similar_to`"),
        ({"user": None, "similar_to": "2", "explain": True}, "`explain` names a user's own items"),
        ({"user": True}, "Expected `int | str | null`, got `bool` - at `$.user`"),
        ({"user": 4.0}, "Expected `int | str | null`, got `float` - at `$.user`"),
        ({"user": ""}, "length >= 1 - at `$.user`"),
        ({"user": ["1"]}, "got `array` - at `$.user`"),
        ({"items": "a"}, "got `str` - at `$.items`"),
        ({"items": [1.5]}, "got `float` - at `$.items[0]`"),
        ({"items": [""]}, "length >= 1 - at `$.items[0]`"),
        ({"items": [None]}, "at `$.items[0]`"),
        ({"items": ["x"] * 10_001}, "Expected `array` of length <= 10000 - at `$.items`"),
        ({"exclude": {"a": 1}}, "got `object` - at `$.exclude`"),
        ({"exclude": [True]}, "got `bool` - at `$.exclude[0]`"),
        ({"exclude": ["x"] * 10_001}, "Expected `array` of length <= 10000 - at `$.exclude`"),
        ({"include_rated": 1}, "Expected `bool | null`, got `int` - at `$.include_rated`"),
        ({"include_rated": "yes"}, "Expected `bool | null`, got `str` - at `$.include_rated`"),
        ({"after": -1}, "Expected `int` >= 0 - at `$.after`"),
        ({"after": 1.5}, "got `float` - at `$.after`"),
        ({"after": "7"}, "got `str` - at `$.after`"),
        ({"user": None, "similar_to": "2", "explore": 0.5}, "`explore` is for recommendations"),
        ({"hide_seen": 1001}, "hide_seen must be between 0 and 1000, got 1001"),
        ({"hide_seen": 1.5}, "hide_seen must be an integer between 0 and 1000, got 1.5"),
        ({"hide_seen_for": 0}, "at `$.hide_seen_for`"),
        ({"hide_seen_for": "1h"}, "got `str` - at `$.hide_seen_for`"),
        ({"user": None, "similar_to": "2", "hide_seen": 1}, "`hide_seen` is about what a user was shown"),
        ({"user": None, "popular": True, "hide_seen_for": 1}, "`hide_seen_for` is about what a user was"),
        ({"arm": ""}, "length >= 1 - at `$.arm`"),
        ({"arm": 5}, "got `int` - at `$.arm`"),
        ({"arm": "x" * 257}, "length <= 256 - at `$.arm`"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, Any], told: str) -> None:
    for value, headers in both({"user": "1", **fields}):
        assert told in complaint(value, headers)


def test_a_missing_user_is_named() -> None:
    for value, headers in both({"n": 5}):
        expected = "Object missing required field `user` (or `similar_to`, `history`, `popular`)"
        assert complaint(value, headers) == expected


@pytest.mark.parametrize(
    "window", ["", "0h", "h", "24", "1000h", "24h\n", "24 h", " 24h", "-1d", "24H", "٢d"]
)
def test_windows_that_are_none_are_told_so(window: str) -> None:
    for value, headers in both({"popular": True, "window": window}):
        assert complaint(value, headers) == 'window must be 1 to 999 hours or days, such as "24h" or "7d"'


@pytest.mark.parametrize("rating", [float("nan"), float("inf"), -float("inf")])
def test_ratings_of_guests_are_finite(rating: float) -> None:
    value = msgspec.msgpack.encode({"history": ["1", {"item": "2", "rating": rating}]})
    told = complaint(value, MSGPACK)
    assert told == f"Expected a finite number, got {rating} - at `$.history[1].rating`"


@pytest.mark.parametrize("value", [b"", b"x", b"{", b"\xff", b"[]", b"null", b'"x"', b"7", b"{} {}"])
def test_what_is_no_object_is_refused(value: bytes) -> None:
    assert complaint(value)


def test_null_large_and_deep_values_are_refused() -> None:
    assert complaint(None) == "the value is null: expected a request"
    large = json.dumps({"user": "1", "note": "x" * 1_000_000}).encode()
    assert (
        complaint(large) == f"the value has {len(large)} bytes: expected at most {requests.MAX_REQUEST_BYTES}"
    )
    assert complaint(b'{"user":"1","x":' + b"[" * 200_000) == "the value is nested too deeply"
    assert complaint(b'{"user":"1","n":' + b"[" * 200_000 + b"]" * 200_000 + b"}")
    assert complaint(b"\x81\xa1x" + b"\x91" * 200_000, MSGPACK) == "the value is nested too deeply"


@pytest.mark.parametrize("character", ["a", "\u00e9", "\u20ac", "\U0001f600"])
def test_ids_have_at_most_256_bytes(character: str) -> None:
    size = len(character.encode())
    longest = character * (256 // size) + "x" * (256 % size)
    assert decode_request(json.dumps({"user": longest, "items": [longest]}).encode()).user == longest
    for fields, path in (
        ({"user": longest + "x"}, "`$.user`"),
        ({"user": "1", "items": ["a", longest + "x"]}, "`$.items[1]`"),
        ({"user": "1", "exclude": [longest + "x"]}, "`$.exclude[0]`"),
        ({"user": int("9" * 257)}, "`$.user`"),
    ):
        told = complaint(json.dumps(fields).encode())
        assert path in told
        assert "256" in told


def test_surrogates_are_refused() -> None:
    assert complaint(rb'{"user":"\ud800"}')
    assert complaint(rb'{"user":"1","items":["\udc00"]}')
    assert complaint(rb'{"user":"1","arm":"\ud800"}')
    assert "not UTF-8" in complaint(b'{"user":"\xed\xa0\x80"}')


def test_what_is_json_is_read_whatever_its_content_type_says() -> None:
    xml = [("Content-Type", b"text/xml")]
    assert decode_request(b'{"user":"1"}', xml) == Request("1")
    told = complaint(b"<user>1</user>", xml)
    assert told == (
        "content-type is 'text/xml': expected application/json or application/msgpack, and the value is not "
        "JSON: the value looks like XML or HTML"
    )


@few
@given(
    st.builds(
        Request,
        identifiers,
        st.integers(1, 1000),
        st.none() | st.lists(identifiers, max_size=5),
        st.lists(identifiers, max_size=5),
        st.booleans(),
        st.none() | st.integers(0, 2**62),
        st.none() | identifiers,
        explore=st.none() | st.floats(0, 1),
    )
)
def test_what_is_encoded_is_decoded(request: Request) -> None:
    assert decode_request(msgspec.json.encode(request)) == request
    assert decode_request(msgspec.msgpack.encode(request), MSGPACK) == request


@few
@given(st.binary(max_size=200), st.sampled_from([(), MSGPACK]))
def test_bytes_are_a_request_or_a_bad_message(value: bytes, headers: ratings.Headers) -> None:
    with suppress(BadMessage):
        decode_request(value, headers)


def test_a_response_goes_out_as_the_contract_says() -> None:
    items = [Recommended("50", 0.93, "explore", 37), Recommended("\u00fc", -1.5, cold_start=True)]
    response = Response("42", items, "item-knn", "knn", False, 0, 99_999, 120)
    assert json.loads(response.encode()) == {
        "ok": True,
        "user": "42",
        "items": [
            {"item": "50", "score": 0.93, "source": "explore", "neighbours": 37},
            {"item": "\u00fc", "score": -1.5, "source": "exploit", "cold_start": True},
        ],
        "model": "item-knn",
        "arm": "knn",
        "cold_start": False,
        "as_of": {"partition": 0, "offset": 99_999, "journal": 120},
    }


@few
@given(st.lists(st.tuples(identifiers, st.floats(allow_nan=False, allow_infinity=False)), max_size=5))
def test_scores_lose_nothing(rows: list[tuple[str, float]]) -> None:
    items = [Recommended(*each) for each in rows]
    sent = json.loads(Response("1", items, "m", "m", True, 3, -1, -1).encode())
    for place, each in zip(sent["items"], items, strict=True):
        assert place["item"] == each.item
        assert math.copysign(1, place["score"]) == math.copysign(1, each.score)
        assert place["score"] == each.score


def test_a_failure_goes_out_as_the_contract_says() -> None:
    failure = Failure("bad_request", "n must be between 1 and 1000, got 0")
    assert json.loads(failure.encode()) == {
        "ok": False,
        "error": {
            "code": "bad_request",
            "message": "n must be between 1 and 1000, got 0",
            "retriable": False,
        },
    }
    assert json.loads(Failure("x", "y", retriable=True).encode())["error"]["retriable"] is True
    assert str(failure) == failure.message
    assert json.loads(Failure("x", "half \ud800").encode())["error"]["message"] == "half ?"


def test_of_equal_headers_the_last_counts_and_null_says_nothing() -> None:
    headers: Any = [("a", b"1"), ("b", b"2"), ("a", b"3"), ("d", b"4"), ("d", None)]
    assert header(headers, "b", "a") == b"2"
    assert header(headers, "a", "b") == b"3"
    assert header(headers, "b") == b"2"
    assert header(headers, "d", "b") == b"2"
    assert header(headers, "d") is None
    assert header(headers, "c") is None
    assert header((), "a") is None
