"""Many ratings decoded at once are what each gives alone, or else nothing is said about any of them."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.messages import BadMessage, Columns, RatingDecoder
from tests.unit.doubles import FakeRecord, few, rating_value

decoder = RatingDecoder(0.5, 5.0)

identifiers = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=70) | st.integers()
good = st.fixed_dictionaries(
    {"user": identifiers, "item": identifiers, "rating": st.none() | st.floats(0.5, 5)},
    optional={"timestamp": st.none() | st.floats(0, 10**9), "note": st.text(max_size=3)},
).map(lambda fields: json.dumps(fields).encode())
BAD: list[bytes | None] = [
    None,
    b"",
    b"nonsense",
    b"\xff\xfe",
    b"[]",
    rating_value("a", "b", 77),
    rating_value("", "b"),
    rating_value("a", "b" * 257),
    rating_value("a", "\u20ac" * 100),
    rating_value("a", "b", timestamp=-1),
    rating_value("a", "b", note="x" * 70_000),
    rb'{"user":"\ud800","item":"b","rating":5}',
    b'{"user":"a","item":"\xed\xa0\x80","rating":5}',
    b'{"user":%s,"item":"b","rating":5}' % (b"9" * 5000),
    b'{"user":%s,"item":"b","rating":5}' % (b"9" * 300),
    b'{"user":"a","item":"b","rating":5,"x":' + b"[" * 20_000,
]


def one_by_one(records: list[FakeRecord]) -> Columns | None:
    """What `decode` makes of the records; None if it refuses one."""
    columns = Columns([], [], [], [])
    for record in records:
        try:
            rating = decoder.decode(record.value, record.headers)
        except BadMessage:
            return None
        columns.users.append(rating.user)
        columns.items.append(rating.item)
        columns.ratings.append(rating.rating)
        columns.times.append(record.timestamp / 1000 if rating.timestamp is None else rating.timestamp)
    return columns


def records_of(values: list[bytes | None]) -> list[FakeRecord]:
    return [FakeRecord(place, value, timestamp=1000 * place + 500) for place, value in enumerate(values)]


@few
@given(st.lists(good, max_size=8))
def test_all_at_once_equals_one_by_one(values: list[bytes | None]) -> None:
    records = records_of(values)
    columns = decoder.decode_all(records)
    # Ids that may be too long in bytes ask for the closer look; all others are read.
    if columns is None:
        ids = [json.loads(value or b"")[field] for value in values for field in ("user", "item")]
        assert max(len(str(each)) for each in ids) > 64
    else:
        assert columns == one_by_one(records)


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_with_one_bad_rating_a_closer_look_is_asked_for(bad: bytes | None) -> None:
    values = [rating_value("a", "b"), bad, rating_value("c", "d")]
    assert one_by_one(records_of(values)) is None
    assert decoder.decode_all(records_of(values)) is None


def test_with_headers_a_closer_look_is_asked_for() -> None:
    packed = msgspec.msgpack.encode({"user": "a", "item": "b", "rating": 5})
    records = [FakeRecord(0, packed, headers=(("content-type", b"application/msgpack"),))]
    assert decoder.decode_all(records) is None
    assert decoder.decode_all([FakeRecord(0, rating_value("a", "b"), headers=(("x", b""),))]) is None


@few
@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_left_to_the_closer_look(value: bytes) -> None:
    records = records_of([value])
    assert decoder.decode_all(records) in (None, one_by_one(records))
