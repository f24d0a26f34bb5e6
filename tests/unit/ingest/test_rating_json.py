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
from recommender.ingest.ingest import BatchDecoder
from recommender.ingest.json_scan import DEEPEST
from recommender.messages.ratings import MAX_RATING_BYTES, BadMessage, Rating
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
exponents = st.tuples(numbers, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 400))
numbers = st.one_of(numbers, exponents.map(lambda parts: "".join(map(str, parts))))
escaped = st.text('\\u/bfnrt"q0189abDdEF\x07é€😀', max_size=24).map(lambda inner: f'"{inner}"')
texts = st.one_of(texts, escaped)
words = st.sampled_from(["null", "true", "false", "[]", "{}", '"skip"', "nul", "", "[1,]", '{"a" 1}'])
spaces = st.text(" \t\r\n", max_size=2)
names = st.one_of(
    st.sampled_from(
        ["user", "item", "rating", "timestamp", "users", "", "Item", "note", r"us\u0065r", "zoé"]
    ),
    texts.map(lambda text: text[1:-1]),
)


def nested(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Arrays and objects of values."""
    arrays = st.tuples(spaces, st.lists(inner, max_size=3), spaces).map(
        lambda parts: f"[{parts[0]}{','.join(parts[1])}{parts[2]}]"
    )
    members = st.tuples(texts, spaces, inner).map(lambda parts: f"{parts[0]}{parts[1]}:{parts[1]}{parts[2]}")
    objects = st.tuples(spaces, st.lists(members, max_size=3)).map(
        lambda parts: f"{{{parts[0]}{','.join(parts[1])}}}"
    )
    return st.one_of(arrays, objects)


values = st.recursive(st.one_of(numbers, texts, words), nested, max_leaves=8)


def mostly(usual: st.SearchStrategy[str], rare: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.integers(0, 9).flatmap(lambda drawn: usual if drawn else rare)


usual_ids = st.one_of(
    st.text(min_size=1, max_size=40).map(json.dumps),
    st.text(min_size=1, max_size=40).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.integers(-(10**19), 10**19).map(str),
)
usual_ratings = st.one_of(
    st.floats(LOW, HIGH).map(repr),
    st.integers(-49, 49).map(lambda tenths: f"{tenths}E-1"),
    st.sampled_from(["1", "4.5", "null", '"skip"']),
)
usual_times = st.one_of(
    st.floats(0, 1e10).map(repr), st.integers(0, 10**10).map(str), st.sampled_from(["null", "1.7e9"])
)
usual_values = st.recursive(st.one_of(usual_times, usual_ids), nested, max_leaves=8)


@st.composite
def whole(draw: st.DrawFn) -> bytes:
    """An object with the known fields, mostly, and others."""
    fields = {
        "user": draw(mostly(usual_ids, values)),
        "item": draw(mostly(usual_ids, values)),
        "rating": draw(mostly(usual_ratings, values)),
    }
    if draw(st.booleans()):
        fields["timestamp"] = draw(mostly(usual_times, values))
    pairs = list(draw(st.permutations([*fields.items()])))
    for _ in range(draw(st.integers(0, 2))):
        name = draw(mostly(st.sampled_from(["note", "zoé", "", "from"]), names))
        pairs.insert(draw(st.integers(0, len(pairs))), (name, draw(mostly(usual_values, values))))
    space = draw(spaces)
    inner = f"{space},{space}".join(f'{space}"{name}"{space}:{space}{value}' for name, value in pairs)
    return f"{space}{{{inner}{space}}}{space}".encode(errors="surrogatepass")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The same with a part of it taken out, or bytes put in."""
    value = draw(whole())
    place = draw(st.integers(0, len(value)))
    return value[:place] + draw(st.binary(max_size=2)) + value[place + draw(st.integers(0, 3)) :]


def of(decoder: BatchDecoder, *encoded: bytes | None) -> tuple[list[Rating | None], Any]:
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
@given(st.lists(st.one_of(whole(), damaged(), st.binary(max_size=100)), max_size=8))
@example([b'{"user":"a","item":"b","rating":0.30000000000000004,"timestamp":1700000000.1234567}'])
@example(
    [rb'{"user":"\ud83d\ude00","item":"\ude00","rating":1}', rb'{"user":"\u00e9\n","item":"\/","rating":1}']
)
@example(
    [b'{"user":"a","item":"b","rating":1,"x":"\xff"}', b'{"user":"a","item":"b","rating":1,"\xed\xa0\x80":0}']
)
@example([b'{"user":"\xc0\x80","item":"b","rating":1}', b'{"user":"\xf4\x90\x80\x80","item":"b","rating":1}'])
@example([b'{"user":-0,"item":"b","rating":1}', b'{"user":"a","user":"b","item":"c","rating":1}'])
def test_what_is_plain_is_what_msgspec_makes_of_it(skips: bool, encoded: list[bytes]) -> None:
    decoder = BatchDecoder(LOW, HIGH, skips=skips)
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
        {"user": "a" * 256, "item": "~!@ /{}", "rating": -5, "timestamp": 1700000000.123456},
        {"user": "a", "item": "b", "rating": 0.1, "timestamp": 1700000000.1234567},
        {"user": "zoë", "item": "Война и мир", "rating": 3, "note": 'she said "tea\\coffee" 😀\n'},
        {"user": 2**63, "item": "a/b", "rating": 3, "tags": ["new", 3, -0.5e-7, True, None, [], {}]},
        {
            "source": "web",
            "user": "a",
            "item": "b",
            "rating": 3,
            "device": {"os": {"name": "x", "v": [17, 4]}},
        },
        {"user": "a", "item": "b", "rating": 3, "deep": json.loads("[" * DEEPEST + "]" * DEEPEST)},
    ],
    ids=lambda _: "",
)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_what_producers_write_is_plain(value: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    encoded = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
    decoder = BatchDecoder(LOW, HIGH)
    assert of(decoder, encoded, encoded.replace(b"/", rb"\/"))[0] == [decoder.decode(encoded)] * 2


@pytest.mark.parametrize("text", ["4e0", "4E+0", "0.4e1", "40e-1", "4.000e00", "1e-22", "0e5"])
def test_numbers_with_exponents_are_plain(text: str) -> None:
    decoder = BatchDecoder(LOW, HIGH)
    encoded = f'{{"user":"a","item":"b","rating":{text},"timestamp":1.7E9}}'.encode()
    assert of(decoder, encoded)[0] == [Rating("a", "b", float(text), 1.7e9)]


@few
@given(st.integers(0, 10**18 - 1), st.integers(0, 15))
def test_a_number_is_rounded_once(number: int, decimals: int) -> None:
    text = f"{Decimal(number).scaleb(-decimals):f}"
    decoder = BatchDecoder(0, 1e18)
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
    decoder = BatchDecoder(LOW, HIGH)
    good = b'{"user":"a","item":"b","rating":1}'
    assert of(decoder, good, value, good)[0] == [decoder.decode(good), None, decoder.decode(good)]
    with pytest.raises(BadMessage):
        decoder.decode(value)


JSON, PACKED = b"application/json", b"application/msgpack"
headers_of_a_record = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "Content-Type", "CONTENT-TYPE", "traceparent", "mark", "Mark", ""]),
        st.sampled_from([JSON, b" Application/JSON; charset=utf-8", PACKED, b"text/csv", b"", b"\xff", None]),
    ),
    max_size=3,
)


@few
@given(st.lists(st.one_of(st.none(), headers_of_a_record), max_size=5), st.integers(1, 3))
@example([[("content-type", JSON)], [("content-type", PACKED)]], 1)
@example([[("content-type", JSON), ("content-type", PACKED)]], 2)
@example([[("a", b"1"), ("content-type", PACKED)], [("content-type", PACKED), ("a", b"2")]], 1)
def test_headers_count_as_the_decoder_counts_them(headers: list[Any], times: int) -> None:
    decoder = BatchDecoder(LOW, HIGH)
    value = b'{"user":"a","item":"b","rating":1}'
    records = [SimpleNamespace(value=value, headers=each) for each in headers * times]
    for record, plain in zip(records, decoder.read(records).plain.tolist(), strict=True):
        kinds = [text for name, text in record.headers or () if name.lower() == "content-type"]
        if plain:
            assert decoder.decode(value, record.headers) == Rating("a", "b", 1.0, None)
        assert plain == (PACKED not in kinds)


def test_messagepack_is_not_plain_and_its_neighbours_are_read() -> None:
    decoder = BatchDecoder(LOW, HIGH)
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
    rows = BatchDecoder(LOW, HIGH).read([])
    assert rows.text.dtype == np.uint8
    assert len(rows.ratings) == len(rows.spans) == 0
