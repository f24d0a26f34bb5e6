"""Decoding as columns gives what decoding record by record gives, whatever the records are."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.ingest.sources.column_decoder import ColumnDecoder
from recommender.ingest.sources.documents import PlainReader
from recommender.ingest.sources.field_decoder import FieldDecoder
from recommender.ingest.sources.outcomes import SkipReason
from recommender.ingest.sources.source_ingest import IngestedSource, SourceIngest
from tests.unit.ingest.sources.records import HIGH, LOW, mapping, record
from tests.unit.ingest.sources.test_decoder import CLICKS, MOVIES, ROWS

WITH_FLAGS = """
[a]
user = "@key"
item = "x.i"
rating = "r"
deleted = "gone"
time = "t"
where = {w = ["a", "b"], n = [1, "1", true]}
"""
WITH_UNIT = '[b]\nuser = "x.u"\nitem = "x.i"\nrating = 3\ntime = "t"\ntime_unit = "ms"'
OTHERS = CLICKS + '"*" = 2\n'
WITH_TIME = CLICKS.replace("event =", 'time = "t"\nevent =', 1)
SOURCES = [MOVIES, CLICKS, WITH_TIME, OTHERS, ROWS, ROWS + 'time = "at"', WITH_FLAGS, WITH_UNIT]

ids: st.SearchStrategy[Any] = st.sampled_from(
    ["u", "v", 5, 2.0, 1.5, "", "é", "x" * 65, "é" * 129, None, True, [], {}]
)
numbers: st.SearchStrategy[Any] = st.sampled_from(
    [1, 4.5, 0, 10, 11, "3", "x", None, True, [], float(2**60), 1e300]
)
times: st.SearchStrategy[Any] = st.sampled_from(
    [
        0,
        1.5,
        1_600_000_000_123,
        10**16,
        10**18,
        "2020-09-13T12:26:40",
        "2020-09-13 14:26:40+02:00",
        "x",
        None,
        -1,
        True,
    ]
)
words: st.SearchStrategy[Any] = st.sampled_from(
    ["view", "purchase", "remove", "ping", "stars", "watch", "scroll", 7, None, "a", "b", [], True]
)
flags: st.SearchStrategy[Any] = st.sampled_from([True, False, "true", None, 1, "x"])


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


GOOD_ROW = {"user_id": 1, "movie_id": "m", "stars": 3, "at": 1_600_000_000_000}
GOOD_CHANGE = {"op": "u", "before": None, "after": GOOD_ROW, "source": {"ts_ms": 5000}}
GOOD = {
    "userId": "u", "movie": {"id": 5}, "stars": 7, "ratedAt": 1_600_000_000_123, "type": "view",
    "user": {"id": "u"},
    "product": {"sku": "s"}, "seconds": 5, "duration": 10, "rating": 4, "x": {"u": 1, "i": "é"}, "r": 3,
    "gone": False, "t": 1_600_000_000_000, "w": "a", "n": 1,
}  # fmt: skip


def changed(good: dict[str, Any], **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """A good document, of which a few fields are others."""
    names = st.sets(st.sampled_from(sorted(fields)), max_size=2)
    return names.flatmap(lambda chosen: st.fixed_dictionaries({each: fields[each] for each in chosen})).map(
        lambda others: {**good, **others}
    )


rows: st.SearchStrategy[Any] = st.one_of(
    changed(GOOD_ROW, user_id=ids, movie_id=ids, stars=numbers, at=times), st.none(), st.just([])
)
operations = st.sampled_from(["c", "r", "u", "d", "t", "m", "x", None])
changes = changed(GOOD_CHANGE, op=operations, before=rows, after=rows, source=maybe(ts_ms=times) | st.none())
documents = st.one_of(
    changed(
        GOOD, userId=ids, movie=maybe(id=ids) | st.none(), stars=numbers, ratedAt=times, type=words,
        user=maybe(id=ids), product=maybe(sku=ids), seconds=numbers, duration=numbers, rating=numbers,
        x=maybe(u=ids, i=ids), r=numbers, gone=flags, t=times, w=words, n=numbers,
    ),
    maybe(userId=ids, movie=maybe(id=ids), user=maybe(id=ids), type=words, x=maybe(i=ids)),
    changes,
    changes.map(lambda each: {"payload": each, "schema": None}),
    st.sampled_from([[], 5, "x", None]),
)  # fmt: skip
keys = st.sampled_from([b"k", None, b"\xff", b"", b"5"])


@pytest.mark.parametrize("source", SOURCES, ids=range(len(SOURCES)))
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(documents, keys), max_size=12), st.sampled_from(["json", "msgpack", "broken"]))
def test_columns_equal_a_closer_look(source: str, given_: list[tuple[Any, Any]], form: str) -> None:
    encode = msgspec.msgpack.encode if form == "msgpack" else orjson.dumps
    records = [record(encode(document), key, offset=at) for at, (document, key) in enumerate(given_)]
    if form == "broken" and records:
        records[0].value = b"{"
        records.append(record(None, offset=len(records)))
    text = source + ('\nformat = "msgpack"' if form == "msgpack" and "[a.events]" not in source else "")
    if form == "msgpack":
        text = source.replace("]\n", ']\nformat = "msgpack"\n', 1)
    quick = SourceIngest(mapping(text), LOW, HIGH, clock=lambda: 1.0)
    slow = SourceIngest(mapping(text), LOW, HIGH, clock=lambda: 1.0, by_column=False)
    assert ColumnDecoder.of(mapping(text), LOW, HIGH) is not None
    assert_equal(quick.read(0, records), slow.read(0, records))


def assert_equal(found: IngestedSource, expected: IngestedSource) -> None:
    for name in ("ratings", "times"):
        assert repr(getattr(found.rows, name).tolist()) == repr(getattr(expected.rows, name).tolist())
    for column in (0, 2):
        assert found.rows.ids(column) == expected.rows.ids(column)
    for name in ("learned", "skipped", "refusals", "dead_letters", "unlisted"):
        assert getattr(found, name) == getattr(expected, name)
    assert (+found.passed, found.places.tolist()) == (+expected.passed, expected.places.tolist())  # type: ignore[union-attr]


CHANGES = st.lists(st.tuples(st.integers(0, 300), st.binary(min_size=1, max_size=2)), max_size=2)


@pytest.mark.parametrize("source", [MOVIES, WITH_TIME, OTHERS, WITH_UNIT], ids=range(4))
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(documents, CHANGES), max_size=6))
def test_fields_of_damaged_records_equal_a_closer_look(source: str, given_: list[tuple[Any, Any]]) -> None:
    records = []
    for at, (document, damage) in enumerate(given_):
        value = orjson.dumps(document)
        for place, written in damage:
            value = value[:place] + written + value[place + len(written) :]
        records.append(record(value, offset=at))
    decoder, quick = FieldDecoder.of(mapping(source), LOW, HIGH), SourceIngest(mapping(source), LOW, HIGH)
    assert decoder is not None
    plain = [record for at, record in enumerate(records) if at not in decoder.read(records).closely]
    slow = SourceIngest(mapping(source), LOW, HIGH, by_column=False)
    assert_equal(quick.read(0, plain), slow.read(0, plain))


@pytest.mark.parametrize(
    "source", [MOVIES, CLICKS, OTHERS, WITH_FLAGS, WITH_UNIT, ROWS, ROWS + 'time = "at"'], ids=range(7)
)
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(documents, keys), max_size=12), st.booleans())
def test_columns_of_documents_equal_a_closer_look(
    source: str, given_: list[tuple[Any, Any]], broken: bool
) -> None:
    records = [record(orjson.dumps(document), key, offset=at) for at, (document, key) in enumerate(given_)]
    if broken and records:
        records[0].value = b"{"
        records.append(record(None, offset=len(records)))
    text = source.replace("]\n", ']\nformat = "avro"\n', 1)
    reader = PlainReader("json")
    quick, slow = (
        SourceIngest(mapping(text), LOW, HIGH, reader=reader, clock=lambda: 1.0, by_column=by_column)
        for by_column in (True, False)
    )
    assert_equal(quick.read(0, records), slow.read(0, records))


def test_plain_records_need_no_closer_look() -> None:
    decoder = ColumnDecoder.of(mapping(CLICKS), LOW, HIGH)
    assert decoder is not None
    good = {"type": "view", "user": {"id": "u"}, "product": {"sku": 7}}
    read = decoder.read([record(good), record({"type": "scroll"})], packed=False)
    assert read.closely == []
    assert (read.columns.users, read.columns.items) == (["u"], ["7"])


@pytest.mark.parametrize("time", [1_600_000_000_000, "2020-09-13T12:26:40Z", None])
def test_a_kernel_reads_what_most_producers_write(time: Any) -> None:
    decoder = FieldDecoder.of(mapping(WITH_TIME), LOW, HIGH)
    assert decoder is not None
    good = {"type": "view", "user": {"id": "é", "x": [{}]}, "product": {"sku": 7}, "t": time}
    pings = {"type": "scroll"}, {"type": None}, {"type": "ping"}
    read = decoder.read(
        [record(good), *map(record, pings), record({**good, "user": {"id": 5.0}}), record(good)]
    )
    assert (read.places.tolist(), read.closely) == ([0, 5], [4])
    assert (read.rows.ids(0), read.rows.ids(2)) == (["é", "é"], ["7", "7"])
    assert read.skipped == {SkipReason.EVENT_NOT_LISTED: 2, SkipReason.EVENT: 1}
    assert read.unlisted == {"scroll": 1, "": 1}
    assert repr(read.rows.times.tolist()) == repr([math.nan if time is None else 1.6e9] * 2)


@pytest.mark.parametrize(
    "more",
    ["each = 'x'", "envelope = 'cloudevents'", "time = '@header.t'", "item = 'user.x'", "item = 'user'"],
)
def test_what_columns_cannot_be_is_looked_at_closely(more: str) -> None:
    assert ColumnDecoder.of(mapping(f"[a]\n{more}"), LOW, HIGH) is None
