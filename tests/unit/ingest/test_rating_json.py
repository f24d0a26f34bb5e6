"""Reading many ratings at once: whatever is taken as plain is exactly what msgspec makes of it."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recommender.history.id_table import ITEM, USER
from recommender.messages.ratings import MAX_RATING_BYTES, BadMessage, Rating, RatingDecoder
from tests.support.doubles import few, rating_value

LOW, HIGH = -5.0, 5.0

digits = st.text("0123456789", min_size=1, max_size=20)
numbers = st.one_of(
    st.integers(-(10**19), 10**19).map(str),
    st.floats(allow_nan=False).map(repr),
    st.tuples(st.sampled_from(["", "-"]), digits, digits).map(lambda p: f"{p[0]}{p[1]}.{p[2]}"),
    st.decimals(0, 40_000_000_000, places=9).map(str),
    st.sampled_from(["0", "-0", "-0.0", "00", "1.", ".5", "1e3", "NaN", "Infinity", "3.5", "0.1", "+1", "-"]),
)
texts = st.one_of(
    st.text(max_size=70).map(json.dumps),
    st.text(max_size=70).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.text("abc019", max_size=66).map(json.dumps),
)
values = st.one_of(numbers, texts, st.sampled_from(["null", "true", "[]", "{}", '"skip"', "nul", ""]))
names = st.sampled_from(["user", "item", "rating", "timestamp", "users", "", "Item", "note"])
spaces = st.text(" \t\r\n", max_size=2)


@st.composite
def whole(draw: st.DrawFn) -> bytes:
    """An object with the known fields, mostly."""
    fields = {"user": draw(st.one_of(texts, numbers)), "item": draw(st.one_of(texts, numbers))}
    fields |= {"rating": draw(st.one_of(st.sampled_from(["1", "4.5", "null", '"skip"']), numbers))}
    if draw(st.booleans()):
        fields["timestamp"] = draw(st.one_of(numbers, st.just("null")))
    pairs = draw(st.permutations([*fields.items()]))
    if draw(st.integers(0, 9)) == 0:
        pairs = [*pairs, (draw(names), draw(values))]
    space = draw(spaces)
    inner = f"{space},{space}".join(f'{space}"{name}"{space}:{space}{value}' for name, value in pairs)
    return f"{space}{{{inner}{space}}}{space}".encode(errors="replace")


def of(decoder: RatingDecoder, *encoded: bytes | None) -> tuple[list[Rating | None], Any]:
    """What is read of each record; None where it is not plain."""
    rows = decoder.read([SimpleNamespace(value=each, headers=()) for each in encoded])
    columns = zip(rows.ids(USER), rows.ids(ITEM), rows.ratings.tolist(), rows.times.tolist(), strict=True)
    found = [
        Rating(user, item, None if math.isnan(rating) else rating, None if math.isnan(time) else time)
        for user, item, rating, time in columns
    ]
    return [each if plain else None for each, plain in zip(found, rows.plain, strict=True)], rows


@pytest.mark.parametrize("skips", [False, True])
@few
@given(
    st.lists(st.one_of(whole(), st.binary(max_size=100), whole().map(lambda value: value[:-3])), max_size=8)
)
@example([b'{"user":"a","item":"b","rating":0.30000000000000004,"timestamp":1700000000.1234567}'])
@example([b'{"user":-0,"item":"b","rating":1}', b'{"user":"a","user":"b","item":"c","rating":1}'])
def test_what_is_plain_is_what_msgspec_makes_of_it(skips: bool, encoded: list[bytes]) -> None:
    decoder = RatingDecoder(LOW, HIGH, skips=skips)
    for value, found in zip(encoded, of(decoder, *encoded)[0], strict=True):
        if found is not None:
            expected = decoder.decode(value)
            assert found == expected
            assert str(found) == str(expected)  # -0.0 is not 0.0


@pytest.mark.parametrize(
    "value",
    [
        {"user": "42", "item": "50", "rating": 5, "timestamp": 881250949},
        {"user": 42, "item": -7, "rating": 4.5},
        {"rating": None, "item": "tea", "user": "ann", "timestamp": None},
        {"user": "a" * 64, "item": "~!@ /{}", "rating": -5, "timestamp": 1700000000.123456},
        {"user": "a", "item": "b", "rating": 0.1, "timestamp": 1700000000.1234567},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_what_producers_write_is_plain(value: dict[str, Any], indent: int | None) -> None:
    encoded = json.dumps(value, indent=indent).encode()
    decoder = RatingDecoder(LOW, HIGH)
    assert of(decoder, encoded)[0] == [decoder.decode(encoded)]


@few
@given(st.integers(0, 10**18 - 1), st.integers(0, 15))
def test_a_number_is_rounded_once(number: int, decimals: int) -> None:
    text = f"{Decimal(number).scaleb(-decimals):f}"
    decoder = RatingDecoder(0, 1e18)
    found = of(decoder, f'{{"user":"a","item":"b","rating":{text}}}'.encode())[0][0]
    assert found is None or found.rating == float(text)
    assert found is not None or len(text) > 15


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{}",
        b"[1]",
        b'{"user":"","item":"b","rating":1}',
        b'{"user":"a","item":"b","rating":5.01}',
        b'{"user":"a","item":"b","rating":1,"timestamp":-1}',
        b'{"user":"a","item":"b","rating":1,}',
        b'{"user":"a","item":"b","rating":1} x',
        b'{"user":"a","item":"b","rating":01}',
        b'{"user":"a\n","item":"b","rating":1}',
        b'{"user":"\xff","item":"b","rating":1}',
        b'{"user":"a","item":"b"}',
        b'{"user":"a","item":"b","rating":"skip"}',
        b'{"user":"a","item":"b","rating":1}' + b" " * MAX_RATING_BYTES,
        b"nonsense",
        b"\xff\xfe",
        rating_value("a", "b", 77),
        rating_value("a", "b" * 257),
        rating_value("a", "\u20ac" * 100),
        rating_value("a", "b", note="x" * 70_000),
        rb'{"user":"\ud800","item":"b","rating":5}',
        b'{"user":"a","item":"\xed\xa0\x80","rating":5}',
        b'{"user":%s,"item":"b","rating":5}' % (b"9" * 5000),
        b'{"user":%s,"item":"b","rating":5}' % (b"9" * 300),
        b'{"user":"a","item":"b","rating":5,"x":' + b"[" * 20_000,
    ],
    ids=lambda _: "",
)
def test_what_is_wrong_is_left_to_the_decoder(value: bytes | None) -> None:
    decoder = RatingDecoder(LOW, HIGH)
    good = b'{"user":"a","item":"b","rating":1}'
    assert of(decoder, good, value, good)[0] == [decoder.decode(good), None, decoder.decode(good)]
    with pytest.raises(BadMessage):
        decoder.decode(value)


def test_a_record_with_headers_is_not_plain() -> None:
    value = b'{"user":"a","item":"b","rating":1}'
    records = [SimpleNamespace(value=value, headers=each) for each in ((), [("a", b"")], [])]
    assert RatingDecoder(LOW, HIGH).read(records).plain.tolist() == [True, False, True]


def test_messagepack_is_not_plain_and_its_neighbours_are_read() -> None:
    decoder = RatingDecoder(LOW, HIGH)
    value = rating_value("a", "b", 4, timestamp=7.5)
    packed = msgspec.msgpack.encode({"user": "a", "item": "b", "rating": 5})
    headers = [("content-type", b"application/msgpack")]
    rows = decoder.read(
        [
            SimpleNamespace(value=value, headers=()),
            SimpleNamespace(value=packed, headers=headers),
            SimpleNamespace(value=value, headers=()),
        ]
    )
    assert rows.plain.tolist() == [True, False, True]
    assert (rows.ids(USER), rows.ids(ITEM)) == (["a", "", "a"], ["b", "", "b"])
    assert rows.ratings[[0, 2]].tolist() == [4.0, 4.0]
    assert rows.times[[0, 2]].tolist() == [7.5, 7.5]


def test_nothing_is_read_of_no_records() -> None:
    rows = RatingDecoder(LOW, HIGH).read([])
    assert rows.text.dtype == np.uint8
    assert len(rows.ratings) == len(rows.spans) == 0
