"""What happens to each record of the ratings topic before the journal: a rating, or a dead letter."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.history.id_table import ITEM, USER
from recommender.ingest.ingest import BatchDecoder, Ingest, Ingested
from recommender.messages.ratings import Rating
from tests.support.doubles import FakeRecord, few, rating_records, rating_value

BAD: dict[str, tuple[bytes | None, str]] = {
    "not JSON": (b"\xffnope", "malformed"),
    "null": (None, "the value is null"),
    "not an object": (b"[1]", "Expected `object`"),
    "missing field": (b'{"user":"1","item":"2"}', "missing required field `rating`"),
    "wrong type": (b'{"user":"1","item":"2","rating":"5"}', "$.rating"),
    "out of range": (b'{"user":"1","item":"2","rating":77}', "$.rating"),
    "long id": (rating_value("1" * 257, "2"), "256"),
    "absurd timestamp": (rating_value("1", "2", 5, timestamp=10**13), "$.timestamp"),
    "deep": (b'{"user":1,"item":2,"rating":3,"x":' + b"[" * 20_000, "nested too deeply"),
    "large": (rating_value("1", "2", 5, x="x" * 1_000_000), "bytes"),
}


NOW = 1_700_000_000.0


def read(records: list[FakeRecord], partition: int = 0) -> Ingested:
    return Ingest("ratings", BatchDecoder(0.5, 5.0), clock=lambda: NOW).read(partition, records)


def rated(ingested: Ingested) -> list[tuple[str, str, float]]:
    """The ratings, in order."""
    rows = ingested.rows
    kept = np.flatnonzero(rows.plain).tolist()
    users, items = rows.ids(USER), rows.ids(ITEM)
    return [(users[place], items[place], float(rows.ratings[place])) for place in kept]


def test_each_record_has_its_row() -> None:
    ingested = read(rating_records([Rating("a", "x", 5, 7.0), Rating("b", "y", 3, None)], first=10))
    assert (ingested.learned, ingested.skipped, ingested.dead_letters) == (2, 0, [])
    assert rated(ingested) == [("a", "x", 5.0), ("b", "y", 3.0)]
    assert ingested.rows.plain.tolist() == [True, True]


def test_no_records_are_no_ratings() -> None:
    ingested = read([])
    assert (ingested.learned, ingested.dead_letters, len(ingested.rows.ratings)) == (0, [], 0)


def test_the_time_is_the_ratings_own_or_else_the_records_or_else_now() -> None:
    ingested = read(
        [
            FakeRecord(0, rating_value("a", "x", 5, timestamp=7.5), timestamp=99_000),
            FakeRecord(1, rating_value("b", "x", 5), timestamp=99_250),
            FakeRecord(2, rating_value("c", "x", 5), timestamp=-1),
            FakeRecord(3, b' {"user":"d","item":"x","rating":5}', timestamp=-1),
        ]
    )
    assert ingested.rows.times.tolist() == [7.5, 99.25, NOW, NOW]


@pytest.mark.parametrize("name", BAD)
def test_bad_records_are_dead_letters_and_their_neighbours_are_ratings(name: str) -> None:
    value, told = BAD[name]
    good = [FakeRecord(each, rating_value("u", f"i{each}")) for each in (0, 2)]
    bad = FakeRecord(1, value, b"key \xff", 1234, (("trace", b"\x00\xff"), ("trace", b"2")))
    ingested = read([good[0], bad, good[1]], partition=3)
    assert ingested.learned == 2
    assert rated(ingested) == [("u", "i0", 5.0), ("u", "i2", 5.0)]
    assert ingested.rows.plain.tolist() == [True, False, True]
    (letter,), (refusal,) = ingested.dead_letters, ingested.refusals
    assert (refusal.topic, refusal.partition, refusal.offset) == ("ratings", 3, 1)
    assert told in refusal.reason
    assert (letter.partition, letter.key, letter.value, letter.timestamp) == (3, b"key \xff", value, 1234)
    assert letter.headers[:2] == [("trace", b"\x00\xff"), ("trace", b"2")]
    told_headers = dict(letter.headers[2:])
    assert told in told_headers.pop("__connect.errors.exception.message").decode()
    assert told_headers == {
        "__connect.errors.topic": b"ratings",
        "__connect.errors.partition": b"3",
        "__connect.errors.offset": b"1",
        "__connect.errors.exception.class.name": b"recommender.BadMessage",
        "__connect.errors.stage": b"decode",
    }


def test_a_null_key_stays_null() -> None:
    (letter,) = read([FakeRecord(0, b"x")], partition=2).dead_letters
    assert letter.key is None
    assert letter.partition == 2


def test_another_content_type_is_told_where_the_value_is_no_json() -> None:
    headers = (("content-type", b"text/csv"),)
    (letter,) = read([FakeRecord(0, b"a,b,5", headers=headers)]).dead_letters
    assert letter.headers[0] == headers[0]
    assert b"text/csv" in dict(letter.headers)["__connect.errors.exception.message"]
    assert read([FakeRecord(0, rating_value("a", "b"), headers=headers)]).learned == 1


def test_messagepack_is_read() -> None:
    value = msgspec.msgpack.encode({"user": "a", "item": 7, "rating": 4})
    ingested = read([FakeRecord(0, value, headers=(("content-type", b"application/msgpack"),))])
    assert rated(ingested) == [("a", "7", 4.0)]


@few
@given(
    st.lists(st.sampled_from(["good", "odd", "bad"]), max_size=30), st.lists(st.integers(0, 30), max_size=4)
)
def test_mixed_runs_lose_nothing_however_they_are_cut(kinds: list[str], cuts: list[int]) -> None:
    values: dict[str, Any] = {
        "good": lambda place: rating_value("u", f"i{place}"),
        # What only the slower reader takes.
        "odd": lambda place: b'{"rating":5e0,"item":"i%d","user":"\\u0075"}' % place,
        "bad": lambda place: b"bad",
    }
    records = [FakeRecord(place, values[kind](place)) for place, kind in enumerate(kinds)]
    start, found = 0, list[Ingested]()
    for stop in [*sorted(cuts), len(records)]:
        found.append(read(records[start:stop]))
        start = max(start, stop)
    headers = [dict(each.headers) for ingested in found for each in ingested.dead_letters]
    places = [place for place, kind in enumerate(kinds) if kind == "bad"]
    assert [int(each["__connect.errors.offset"]) for each in headers] == places
    good = [("u", f"i{place}", 5.0) for place, kind in enumerate(kinds) if kind != "bad"]
    assert [each for ingested in found for each in rated(ingested)] == good
    assert sum(ingested.learned for ingested in found) == len(good)
