"""How deep is too deep: one bound for all that is read, whatever the interpreter."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recommender.client.errors import BadReply
from recommender.client.messages import decode_reply
from recommender.messages import nesting, recommendations_log
from recommender.messages.nesting import MAX_NESTING, json_is_too_deep, msgpack_is_too_deep
from recommender.messages.ratings import BadMessage, Rating, RatingDecoder
from recommender.messages.requests import decode_request
from tests.support.doubles import few

MSGPACK = (("content-type", b"application/msgpack"),)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False),
    st.text('[]{}"\\a\u00e9\x90', max_size=40),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=20), st.dictionaries(st.text('[{"\\a', max_size=4), inner, max_size=20)
    ),
    max_leaves=60,
)
binary = st.recursive(
    st.one_of(
        leaves, st.binary(max_size=300), st.integers(0, 5).map(lambda n: msgspec.msgpack.Ext(n, b"\x91" * n))
    ),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=20,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def wrapped(inner: bytes, levels: int) -> bytes:
    return b'{"a":[' * (levels // 2) + inner + b"]}" * (levels // 2)


@few
@given(values, st.integers(MAX_NESTING // 2 - 6, MAX_NESTING // 2 + 1))
def test_levels_of_json_are_counted(value: Any, pairs: int) -> None:
    encoded = wrapped(json.dumps(value).encode(), 2 * pairs)
    assert json_is_too_deep(encoded) == (2 * pairs + depth(value) > MAX_NESTING)


@few
@given(binary, st.integers(MAX_NESTING - 6, MAX_NESTING + 1))
def test_levels_of_messagepack_are_counted(value: Any, levels: int) -> None:
    encoded = b"\x92\xc0" * levels + msgspec.msgpack.encode(value)
    assert msgpack_is_too_deep(encoded) == (levels + depth(value) > MAX_NESTING)


@few
@given(st.binary(max_size=400), st.integers(0, MAX_NESTING + 10))
@example(b"\xdd\xff\xff\xff\xff", MAX_NESTING)
def test_any_bytes_are_looked_at(noise: bytes, levels: int) -> None:
    for opening in (b"[", b'{"":', b"\x91", b"\x81\x01"):
        for is_too_deep in (json_is_too_deep, msgpack_is_too_deep):
            assert is_too_deep(opening * levels + noise) in (True, False)


@pytest.mark.parametrize(("levels", "fits"), [(MAX_NESTING - 1, True), (MAX_NESTING, False)])
def test_all_decoders_have_the_same_bound(levels: int, fits: bool) -> None:
    deep = b"[" * levels + b"]" * levels
    deep_packed = b"\x91" * (levels - 1) + b"\x90"

    def read(decode: Callable[..., object], *arguments: object) -> str:
        try:
            decode(*arguments)
        except (BadMessage, BadReply) as error:
            return str(error)
        return ""

    rating = RatingDecoder(0.5, 5.0).decode
    packed = msgspec.msgpack.encode({"user": "a", "item": "b", "rating": 5, "x": 0})[:-1] + deep_packed
    told = [
        read(rating, b'{"user":"a","item":"b","rating":5,"x":' + deep + b"}"),
        read(rating, packed, MSGPACK),
        read(decode_request, b'{"user":"a","x":' + deep + b"}"),
        read(decode_request, b"\x82\xa4user\xa1a\xa1x" + deep_packed, MSGPACK),
        read(decode_reply, b'{"x":' + deep + b"}"),
        read(recommendations_log.decode, b'{"x":' + deep + b"}"),
    ]
    assert ["nested too deeply" in each for each in told] == [not fits] * 6
    assert [each == "" for each in told[:4]] == [fits] * 4


def test_much_that_is_not_deep_is_read() -> None:
    wide = {"user": "a", "item": "b", "rating": 5, "x": [[1], {"y": "[[["}] * 1000}
    assert RatingDecoder(0.5, 5.0).decode(json.dumps(wide).encode()) == Rating("a", "b", 5.0, None)
    assert RatingDecoder(0.5, 5.0).decode(msgspec.msgpack.encode(wide), MSGPACK) == Rating(
        "a", "b", 5.0, None
    )
    assert nesting.MAX_NESTING == 256
