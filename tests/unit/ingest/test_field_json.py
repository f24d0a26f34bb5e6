"""Fields of objects, found in one pass over their bytes: what msgspec reads, or nothing."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.ingest.field_json import ABSENT, INTEGER, NULL, NUMBER, TEXT, Tree, Words, find_all

TREE = Tree.of({0: ("user", "id"), 1: ("é",), 2: ("user", "more", "at"), 3: ("type",)})
WORDS = Words.of(["view", "cart", "é"])
GOOD = {"type": "cart", "user": {"id": "u", "plan": [1, {"id": 2}], "more": {"at": 1.5}}, "é": 7, "id": "x"}


def found(*documents: bytes) -> list[list[Any] | None]:
    """What is in each column of each document: None of a document that takes another to read it."""
    text = np.frombuffer(bytearray(b"").join(documents), np.uint8)
    count = len(documents)
    kinds, spans = np.zeros((count, 4), np.uint8), np.zeros((count, 8), np.int64)
    values, plain = np.zeros((count, 4)), np.zeros(count, np.bool_)
    find_all(text, np.cumsum(list(map(len, documents))), TREE, WORDS, 3, kinds, spans, values, plain)

    def value(e: int, column: int) -> Any:
        kind = kinds[e, column]
        if kind in (ABSENT, NULL):
            return None
        if kind in (INTEGER, NUMBER):
            return values[e, column]
        written = text[slice(*spans[e, 2 * column : 2 * column + 2])].tobytes().decode()
        return written if column < 3 else (written, int(values[e, column]))

    return [[value(e, column) for column in range(4)] if plain[e] else None for e in range(count)]


def test_fields_are_found_wherever_they_are() -> None:
    indented = orjson.dumps(GOOD, option=orjson.OPT_INDENT_2)
    assert found(orjson.dumps(GOOD), indented, b'{"a": []}') == [
        ["u", 7.0, 1.5, ("cart", 1)],
        ["u", 7.0, 1.5, ("cart", 1)],
        [None] * 4,
    ]


def test_texts_lose_their_escapes_and_are_told_apart() -> None:
    (one,) = found(b'{"user": {"id": "\\u00e9\\n"}, "type": "\\u00e9"}')
    assert one == ["é\n", None, None, ("é", 2)]
    (other,) = found(b'{"user": {"id": null}, "type": "vie"}')
    assert other == [None, None, None, ("vie", -1)]


@pytest.mark.parametrize(
    "document",
    [
        b"", b"{}", b"[]", b"{", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,}', b'{"a":1}x', b'{"a":1 "b":2}',
        b'{"type": "a", "type": "b"}',
        b'{"user": {"id": 1}, "user": {"id": 2}}',
        b'{"user": {}}', b'{"user": null}', b'{"user": 5}', b'{"user": {"id": 1}',
        b'{"user": {"id": []}}', b'{"user": {"id": true}}', b'{"user": {"id": nul}}', b'{"user": {"id": }}',
        b'{"user": {"id": "x}}', b'{"user": {"id": "\xff"}}', b'{"user": {"id": "\\ud800"}}',
        b'{"user": {"id": 01}}', b'{"user": {"id": -0}}', b'{"user": {"id": 1e999}}',
        b'{"us\\u0065r": {"id": "u"}}', b'{"x": "\xff"}', b'{"x": tru}', b"\xef\xbb\xbf" + orjson.dumps(GOOD),
    ],
)  # fmt: skip
def test_what_is_wrong_or_rare_is_left_to_others(document: bytes) -> None:
    good = orjson.dumps(GOOD)
    first, middle, last = found(good, document, good)
    assert middle is None
    assert first == last == ["u", 7.0, 1.5, ("cart", 1)]


def test_integers_are_told_from_other_numbers() -> None:
    text = np.frombuffer(bytearray(b'{"a":5}{"a":5.0}'), np.uint8)
    kinds, spans, values, plain = np.zeros((2, 1), np.uint8), np.zeros((2, 2), np.int64), np.zeros((2, 1)), np.zeros(2, np.bool_)  # noqa: E501 # fmt: skip
    find_all(text, np.array([7, 16]), Tree.of({0: ("a",)}), Words.of([]), -1, kinds, spans, values, plain)
    assert kinds[:, 0].tolist() == [INTEGER, NUMBER]
    assert kinds[0, 0] != TEXT


LEAVES = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text()
ANY = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)
MORE = st.fixed_dictionaries(
    {}, optional={"id": LEAVES, "more": st.dictionaries(st.just("at"), LEAVES), "x": ANY}
)
DOCUMENTS = st.fixed_dictionaries({}, optional={"user": MORE, "é": LEAVES, "type": LEAVES, "x": ANY, "": ANY})
CHANGES = st.tuples(st.integers(0, 200), st.binary(max_size=2))


@given(DOCUMENTS, st.lists(CHANGES, max_size=2))
def test_it_is_what_msgspec_reads(document: dict[str, Any], changes: list[tuple[int, bytes]]) -> None:
    text = msgspec.json.encode(document)
    for place, written in changes:
        text = text[:place] + written + text[place + len(written) :]
    (one,) = found(text)
    if one is not None:
        read = msgspec.json.decode(text)
        user = read.get("user", {})
        event = read.get("type")
        words = ["view", "cart", "é"]
        if isinstance(event, str):
            event = event, words.index(event) if event in words else -1
        assert one == [user.get("id"), read.get("é"), user.get("more", {}).get("at"), event]
