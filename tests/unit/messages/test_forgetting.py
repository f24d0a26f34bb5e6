"""Records that say whom to forget: from the topic to the journal's rows."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.client.ratings import encode_forget, encode_merge
from recommender.history.rows import FORGET_ITEM, FORGET_USER, Rows
from recommender.ingest.ingest import BatchDecoder, Ingest, Ingested
from recommender.journal import lines, sharding
from recommender.journal.block import Packer, Source, head_of
from recommender.journal.block_kernels import KINDS
from recommender.journal.block_reader import read
from recommender.journal.rule import Rule
from recommender.messages.ratings import BadMessage, Forget, Merge, Rating, RatingDecoder
from recommender.messages.refusals import Kind
from tests.support.doubles import FakeRecord, few

PACKED = (("content-type", b"application/msgpack"),)
DECODER = RatingDecoder(0.5, 5.0)


def read_all(values: list[dict[str, Any]], packed: bool = False) -> Ingested:
    encode = msgspec.msgpack.encode if packed else orjson.dumps
    headers = PACKED if packed else ()
    records = [FakeRecord(place, encode(value), headers=headers) for place, value in enumerate(values)]
    return Ingest("ratings", BatchDecoder(0.5, 5.0)).read(0, records)


def said(rows: Rows) -> list[dict[str, Any]]:
    """The rows as the ratings topic takes them, without times."""
    found = [json.loads(line) for line in lines.rating_lines(rows).splitlines()]
    return [{name: value for name, value in each.items() if name != "timestamp"} for each in found]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"user": "42", "forget": True}, Forget("42", None)),
        ({"user": 42, "forget": True, "timestamp": 7, "why": "asked"}, Forget("42", None, 7.0)),
        ({"item": "50", "forget": True}, Forget(None, "50")),
        ({"item": 50, "user": None, "forget": True}, Forget(None, "50")),
        ({"user": "42", "item": "50", "rating": 5, "forget": False}, Rating("42", "50", 5.0)),
        ({"user": "42", "item": "50", "rating": 5, "forget": None}, Rating("42", "50", 5.0)),
    ],
)
def test_it_is_read(value: dict[str, Any], expected: Rating | Forget, packed: bool) -> None:
    encoded = msgspec.msgpack.encode(value) if packed else orjson.dumps(value)
    assert DECODER.decode_event(encoded, PACKED if packed else ()) == expected


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("value", "told", "kind"),
    [
        ({"user": "1", "item": "2", "rating": 3, "forget": True}, "both a rating and `forget`", "bad_field"),
        ({"user": "1", "rating": 3, "forget": True}, "both a rating and `forget`", "bad_field"),
        ({"user": "1", "item": "2", "rating": None, "forget": True}, "both a rating", "bad_field"),
        ({"user": "1", "item": "2", "forget": True}, "a user or an item, got both", "bad_field"),
        ({"forget": True}, "a user or an item, got neither", "bad_field"),
        ({"user": "1", "forget": False}, "missing required field `item`", "missing_field"),
        ({"user": "1", "item": "2", "rating": 3, "forget": 1}, "`$.forget`", "bad_field"),
        ({"user": "", "forget": True}, "`$.user`", "bad_user"),
        ({"user": "é" * 200, "forget": True}, "at most 256 bytes, got 400", "bad_user"),
    ],
)
def test_what_is_wrong_is_said(value: dict[str, Any], told: str, kind: str, packed: bool) -> None:
    ingested = read_all([{"user": "a", "item": "b", "rating": 1}, value], packed)
    (refusal,) = ingested.refusals
    assert told in refusal.reason
    assert refusal.kind == Kind(kind)
    assert len(ingested.dead_letters) == 1
    assert ingested.rows.kinds is None


def test_who_expects_a_rating_is_told() -> None:
    with pytest.raises(BadMessage, match="says `forget`: expected a rating"):
        DECODER.decode(b'{"user": "42", "forget": true}')


def test_the_client_writes_what_is_read() -> None:
    assert DECODER.decode_event(encode_forget(42)) == Forget("42", None)
    assert DECODER.decode_event(encode_forget(item="50")) == Forget(None, "50")
    for given_ in ((None, None), ("a", "b")):
        with pytest.raises(ValueError, match="expected either user or item"):
            encode_forget(*given_)
    with pytest.raises(ValueError, match="user is empty"):
        encode_forget("")


ids = st.sampled_from(["a", "b", "42", "é", "*"])
events = st.one_of(
    st.fixed_dictionaries({"user": ids, "item": ids, "rating": st.sampled_from([1.0, 5.0, None])}),
    st.fixed_dictionaries({"user": ids, "forget": st.just(True)}),
    st.fixed_dictionaries({"item": ids, "forget": st.just(True)}),
    st.sampled_from([{"user": "a", "merge": "b"}, {"user": "é", "merge": "42"}]),
)


@few
@given(st.lists(events, min_size=1, max_size=12), st.booleans(), st.integers(0, 12))
def test_the_journal_says_what_the_topic_said(values: list[dict[str, Any]], packed: bool, cut: int) -> None:
    ingested = read_all(values, packed)
    forgets = sum("rating" not in each for each in values)
    assert (ingested.forgets, ingested.learned) == (forgets, len(values) - forgets)
    rows = ingested.rows
    assert said(rows) == values
    offsets = np.arange(len(values))
    block = Packer(Source(bytes(16), 0)).pack(0, len(values), rows, offsets)
    assert bool(head_of(block).flags & KINDS) == bool(forgets)
    assert said(read(block, "journal", 0, 0).rows) == values
    followed = Rule("journal").follow([FakeRecord(0, block)])
    assert said(followed.rows) == values
    assert said(followed.rows.part(cut, len(values))) == values[cut:]
    assert said(followed.rows.ratings_alone()) == [each for each in values if "rating" in each]
    if not forgets:
        assert followed.rows.kinds is None


def test_a_block_that_is_cut_forgets_in_its_rest() -> None:
    values = [
        {"user": "a", "forget": True},
        {"user": "b", "item": "x", "rating": 1.0},
        {"item": "y", "forget": True},
    ]
    rows, offsets, packer = read_all(values).rows, np.arange(3), Packer(Source(bytes(16), 0))
    rule = Rule("journal")
    rule.follow([FakeRecord(0, packer.pack(0, 1, rows, offsets, 0, 1))])
    assert said(rule.follow([FakeRecord(1, packer.pack(0, 3, rows, offsets))]).rows) == values[1:]


def test_an_item_is_forgotten_in_all_partitions_of_the_journal_and_a_user_in_one() -> None:
    values = [{"user": f"u{number}", "forget": True} for number in range(40)] + [
        {"item": "x", "forget": True}
    ]
    rows = read_all(values).rows
    assert rows.kinds is not None
    assert set(rows.kinds.tolist()) == {FORGET_USER, FORGET_ITEM}
    keeps = sharding.split(rows, 3)
    counts = np.sum(keeps, axis=0)
    assert counts.tolist() == [1] * 40 + [3]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"user": "42", "merge": "guest-7f"}, Merge("42", "guest-7f")),
        ({"user": 42, "merge": 7, "timestamp": 1.5, "forget": False}, Merge("42", "7", 1.5)),
        ({"user": "42", "item": "50", "rating": 5, "merge": None}, Rating("42", "50", 5.0)),
    ],
)
def test_a_merge_is_read(value: dict[str, Any], expected: Rating | Merge, packed: bool) -> None:
    encoded = msgspec.msgpack.encode(value) if packed else orjson.dumps(value)
    assert DECODER.decode_event(encoded, PACKED if packed else ()) == expected


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"user": "42", "merge": "42"}, "user '42' cannot be merged with himself"),
        ({"user": "42", "merge": 42}, "user '42' cannot be merged with himself"),
        ({"merge": "42"}, "`merge` goes with a user and nothing else"),
        ({"user": "42", "item": "50", "merge": "7"}, "`merge` goes with a user and nothing else"),
        ({"user": "42", "forget": True, "merge": "7"}, "`merge` goes with a user and nothing else"),
        ({"user": "42", "item": "50", "rating": 5, "merge": "7"}, "both a rating and `merge`"),
        ({"user": "42", "rating": 5, "merge": "7"}, "both a rating and `merge`"),
        ({"user": "42", "merge": ""}, "missing required field `item`"),
    ],
)
def test_what_is_wrong_with_a_merge_is_said(value: dict[str, Any], told: str) -> None:
    ingested = read_all([value])
    (refusal,) = ingested.refusals
    assert told in refusal.reason


def test_users_of_different_partitions_are_not_merged() -> None:
    values = [{"user": "42", "merge": f"guest-{number}"} for number in range(20)]
    records = [FakeRecord(place, orjson.dumps(value)) for place, value in enumerate(values)]
    ingested = Ingest("ratings", BatchDecoder(0.5, 5.0), partitions=2).read(0, records)
    assert 0 < ingested.forgets < 20
    assert ingested.forgets + len(ingested.refusals) == 20
    assert "are in partitions" in ingested.refusals[0].reason
    keeps = sharding.split(ingested.rows, 2)
    assert sorted(np.count_nonzero(each) for each in keeps) == [0, ingested.forgets]


def test_the_client_writes_a_merge_that_is_read() -> None:
    assert DECODER.decode_event(encode_merge(42, "guest")) == Merge("42", "guest")
    with pytest.raises(ValueError, match="user and guest must differ, both are '42'"):
        encode_merge(42, "42")
