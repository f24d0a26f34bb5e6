"""Ratings on the wire: what is accepted, every kind of bad input, and that nothing else escapes."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.messages import ratings
from recommender.messages.ratings import BadMessage, Rating, RatingDecoder
from tests.support.doubles import few, rating_value
from tests.support.json_values import identifiers, json_values

JSON = [("content-type", b"application/json")]
MSGPACK = [("content-type", b"application/msgpack")]
GOOD = {"user": "42", "item": "50", "rating": 5, "timestamp": 881250949}

decode = RatingDecoder(0.5, 5.0).decode


def complaint(value: bytes | None, headers: ratings.Headers = ()) -> str:
    with pytest.raises(BadMessage) as caught:
        decode(value, headers)
    return str(caught.value)


def changed(**fields: Any) -> dict[str, Any]:
    return {**GOOD, **fields}


def both(rating: dict[str, Any]) -> list[tuple[bytes, ratings.Headers]]:
    """A rating in JSON and in MessagePack."""
    return [(json.dumps(rating).encode(), ()), (msgspec.msgpack.encode(rating), MSGPACK)]


@pytest.mark.parametrize(("value", "headers"), both(GOOD))
def test_a_rating_is_read(value: bytes, headers: ratings.Headers) -> None:
    assert decode(value, headers) == Rating("42", "50", 5.0, 881250949.0)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"user": 42, "item": 50}, Rating("42", "50", 5.0, 881250949.0)),
        ({"user": -7, "item": 2**63}, Rating("-7", str(2**63), 5.0, 881250949.0)),
        ({"rating": None}, Rating("42", "50", None, 881250949.0)),
        ({"rating": 0.5}, Rating("42", "50", 0.5, 881250949.0)),
        ({"timestamp": None}, Rating("42", "50", 5.0, None)),
        ({"timestamp": 0.25}, Rating("42", "50", 5.0, 0.25)),
        ({"shop": {"id": [1, 2]}, "\u00fc": None}, Rating("42", "50", 5.0, 881250949.0)),
        ({"user": "a\x00\n\U0001f600", "item": " "}, Rating("a\x00\n\U0001f600", " ", 5.0, 881250949.0)),
    ],
)
def test_what_the_contract_allows_is_read(fields: dict[str, Any], expected: Rating) -> None:
    for value, headers in both(changed(**fields)):
        assert decode(value, headers) == expected


def test_the_timestamp_may_be_missing() -> None:
    assert decode(b'{"user":"1","item":"2","rating":null}') == Rating("1", "2", None, None)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"user": None}, " - at `$.user`"),
        ({"user": True}, "Expected `int | str`, got `bool` - at `$.user`"),
        ({"user": 4.0}, "Expected `int | str`, got `float` - at `$.user`"),
        ({"user": ["1"]}, "Expected `int | str`, got `array` - at `$.user`"),
        ({"user": ""}, "Expected `str` of length >= 1 - at `$.user`"),
        ({"item": False}, "Expected `int | str`, got `bool` - at `$.item`"),
        ({"item": 1e3}, "Expected `int | str`, got `float` - at `$.item`"),
        ({"item": {}}, "Expected `int | str`, got `object` - at `$.item`"),
        ({"item": ""}, "Expected `str` of length >= 1 - at `$.item`"),
        ({"rating": "5"}, "Expected `float | null`, got `str` - at `$.rating`"),
        ({"rating": True}, "Expected `float | null`, got `bool` - at `$.rating`"),
        ({"rating": [5]}, "Expected `float | null`, got `array` - at `$.rating`"),
        ({"rating": 0.49}, "Expected `float` >= 0.5 - at `$.rating`"),
        ({"rating": 6}, "Expected `float` <= 5.0 - at `$.rating`"),
        ({"rating": 10**18}, "Expected `float` <= 5.0 - at `$.rating`"),
        ({"timestamp": -1}, "Expected `float` >= 0.0 - at `$.timestamp`"),
        ({"timestamp": 881250949000}, "(timestamps are in seconds)"),
        ({"timestamp": "now"}, "Expected `float | null`, got `str` - at `$.timestamp`"),
        ({"timestamp": True}, "Expected `float | null`, got `bool` - at `$.timestamp`"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, Any], told: str) -> None:
    for value, headers in both(changed(**fields)):
        assert told in complaint(value, headers)


@pytest.mark.parametrize("name", ["user", "item", "rating"])
def test_missing_fields_are_named(name: str) -> None:
    rating = {key: value for key, value in GOOD.items() if key != name}
    for value, headers in both(rating):
        assert complaint(value, headers) == f"Object missing required field `{name}`"


@pytest.mark.parametrize("field", ["rating", "timestamp"])
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_are_finite(field: str, number: float) -> None:
    assert f"at `$.{field}`" in complaint(msgspec.msgpack.encode(changed(**{field: number})), MSGPACK)
    assert "malformed" in complaint(json.dumps(changed(**{field: number})).encode())
    assert f"out of range - at `$.{field}`" in complaint(
        b'{"user":1,"item":2,"rating":3,"%s":1e999}' % field.encode()
    )


@pytest.mark.parametrize(
    "value", [b"", b"rating", b"{", b'{"user":', b"\xff\xfe", b"\xef\xbb\xbf{}", b"{} {}"]
)
def test_what_is_not_json_is_refused(value: bytes) -> None:
    assert complaint(value)
    assert complaint(value, JSON)


@pytest.mark.parametrize(
    ("value", "kind"),
    [(b"null", "null"), (b"[]", "array"), (b'"x"', "str"), (b"5", "int"), (b"true", "bool")],
)
def test_what_is_no_object_is_refused(value: bytes, kind: str) -> None:
    assert complaint(value) == f"Expected `object`, got `{kind}`"
    assert "Expected `object`, got " in complaint(msgspec.msgpack.encode(json.loads(value)), MSGPACK)


def test_a_null_value_is_refused() -> None:
    assert complaint(None) == "the value is null: expected a rating"
    assert complaint(None, MSGPACK) == "the value is null: expected a rating"


def test_a_megabyte_is_refused_unread() -> None:
    value = rating_value("1", "2", 5, note="x" * 1_000_000)
    assert (
        complaint(value) == f"the value has {len(value)} bytes: expected at most {ratings.MAX_RATING_BYTES}"
    )
    assert decode(rating_value("1", "2", 5, note="x" * 60_000)) == Rating("1", "2", 5.0, None)


@pytest.mark.parametrize(
    "value", [b'{"x":' * 10_000, b'{"user":1,"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}"]
)
def test_deep_nesting_is_refused(value: bytes) -> None:
    assert complaint(value) == "the value is nested too deeply"


def test_deep_nesting_in_messagepack_is_refused() -> None:
    value = b"\x81\xa1x" + b"\x91" * 30_000 + b"\xc0"
    assert complaint(value, MSGPACK) == "the value is nested too deeply"


@pytest.mark.parametrize("field", ["user", "item"])
@pytest.mark.parametrize("character", ["a", "\u00e9", "\u20ac", "\U0001f600"])
def test_ids_have_at_most_256_bytes(field: str, character: str) -> None:
    size = len(character.encode())
    longest = character * (256 // size) + "x" * (256 % size)
    for value, headers in both(changed(**{field: longest})):
        assert getattr(decode(value, headers), field) == longest
    for value, headers in both(changed(**{field: longest + "x"})):
        told = complaint(value, headers)
        assert f"at `$.{field}`" in told
        assert "256" in told


@pytest.mark.parametrize("field", ["user", "item"])
def test_huge_integers_are_ids_up_to_256_digits(field: str) -> None:
    template = json.dumps(changed(**{field: "HUGE"})).replace('"HUGE"', "%s")
    assert getattr(decode((template % ("9" * 256)).encode()), field) == "9" * 256
    for digits in (257, 4000, 5000, 50_000):
        assert f"at `$.{field}`" in complaint((template % ("9" * digits)).encode())


def test_surrogates_are_refused() -> None:
    for text in (rb"\ud800", rb"\udfff", rb"\ud800\ud800", rb"x\udc00"):
        assert complaint(b'{"user":"' + text + b'","item":"2","rating":5}')
        assert complaint(b'{"user":"1","item":"' + text + b'","rating":5}')
    assert decode(rb'{"user":"\ud83d\ude00","item":"2","rating":5}').user == "\U0001f600"
    for surrogate in (b"\xed\xa0\x80", b"\xed\xbf\xbf"):
        assert "not UTF-8" in complaint(b'{"user":"' + surrogate + b'","item":"2","rating":5}')
        packed = b"\x83\xa4user\xa3" + surrogate + b"\xa4item\xa1b\xa6rating\x05"
        assert "not UTF-8" in complaint(packed, MSGPACK)


def test_the_scale_is_the_decoders() -> None:
    signed = RatingDecoder(-1.0, 1.0).decode
    assert signed(rating_value("1", "2", -1)).rating == -1.0
    with pytest.raises(BadMessage, match=r"Expected `float` <= 1\.0 - at `\$\.rating`"):
        signed(rating_value("1", "2", 2))


@few
@given(
    st.builds(
        Rating,
        identifiers,
        identifiers,
        st.none() | st.floats(0.5, 5),
        st.none() | st.floats(0, ratings.MAX_TIMESTAMP),
    )
)
def test_what_is_encoded_is_decoded(rating: Rating) -> None:
    for value, headers in both(rating._asdict()):
        assert decode(value, headers) == rating


@few
@given(st.binary(max_size=200), st.sampled_from([(), JSON, MSGPACK]))
def test_bytes_are_a_rating_or_a_bad_message(value: bytes, headers: ratings.Headers) -> None:
    try:
        rating = decode(value, headers)
    except BadMessage:
        pass
    else:
        assert isinstance(rating, Rating)


@few
@given(st.dictionaries(st.sampled_from([*GOOD, "x"]), json_values))
def test_objects_are_a_rating_or_a_bad_message(fields: dict[str, Any]) -> None:
    for value, headers in both(changed(**fields)) if _packs(fields) else []:
        try:
            rating = decode(value, headers)
        except BadMessage:
            pass
        else:
            assert 1 <= len(rating.user.encode()) <= ratings.MAX_ID_BYTES
            assert 1 <= len(rating.item.encode()) <= ratings.MAX_ID_BYTES
            assert rating.rating is None or 0.5 <= rating.rating <= 5
            assert rating.timestamp is None or 0 <= rating.timestamp <= ratings.MAX_TIMESTAMP


@few
@given(st.integers(0, 60), st.integers(1, 255))
def test_a_flipped_byte_is_a_rating_or_a_bad_message(place: int, mask: int) -> None:
    for value, headers in both(GOOD):
        flipped = bytearray(value)
        flipped[place % len(flipped)] ^= mask
        with suppress(BadMessage):
            decode(bytes(flipped), headers).user.encode()


def _packs(fields: dict[str, Any]) -> bool:
    """MessagePack has integers of 64 bits, and its texts no surrogates."""
    try:
        msgspec.msgpack.encode(fields)
    except (OverflowError, UnicodeEncodeError):
        return False
    return True
