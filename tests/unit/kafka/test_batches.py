"""Fetched bytes become records, whatever the bytes are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.kafka import batches, salvage
from recommender.kafka.batches import Parser, unpack
from recommender.kafka.codecs import decompressed
from recommender.kafka.kafka_python_records import KAFKA_PYTHON
from recommender.kafka.parsers import AIOKAFKA
from recommender.messages.unreadable import Unreadable
from tests.support.record_batches import (
    CODECS,
    MAGIC_AT,
    TIME,
    TRANSACTIONAL,
    RawRecord,
    batch,
    compressed,
    encoded,
    marker,
    sealed,
)

PARSERS = [
    pytest.param(AIOKAFKA, id="aiokafka"),
    pytest.param(KAFKA_PYTHON, id="kafka-python"),
]
BAD_NAME = b"\xff\xfe"
#: Records whose length is right and whose rest is not.
BROKEN = [
    b"\x08\0\0\2\1",  # neither value nor headers
    b"\x0c\0\0\2\1\1\2",  # a header is promised
    b"\x10\0\0\2\1\1\0\0\0",  # bytes are left
    b"\x0c\0\0\2\x14\1\0",  # the key is longer than the record
    b"\x1a\0" + b"\xff" * 11 + b"\1",  # a number of more than 64 bits
]


@dataclass
class Reader:
    """Reads bytes of a log from an offset on, as a consumer does that fetches again where it is told to."""

    next_fetch_offset: int = 0
    topic: str = "ratings"
    partition: int = 3

    def read(self, parser: Parser, data: bytes, aborted: tuple[tuple[int, int], ...] = ()) -> list[Any]:
        return list(unpack(self, self, data, aborted, parser))


def shown(record: Any) -> tuple[int, bytes | None]:
    return record.offset, record.content if isinstance(record, Unreadable) else record.value


def values(*texts: str) -> list[RawRecord]:
    return [RawRecord(text.encode(), b"key", [(b"name", b"x"), (b"null", None)]) for text in texts]


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("codec", CODECS)
def test_records_of_all_codecs(parser: Parser, codec: str) -> None:
    reader = Reader(4)
    data = batch(values("a" * 500, "b"), 3, codec=codec) + batch(values("c"), 9, codec=codec)
    first, second = reader.read(parser, data + b"cut off behind a whole one"[:11])
    assert (first.offset, first.key, first.value, first.timestamp) == (4, b"key", b"b", TIME + 1)
    assert list(first.headers) == [("name", b"x"), ("null", None)]
    assert (second.offset, second.value, reader.next_fetch_offset) == (9, b"c", 10)


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("codec", CODECS)
def test_a_header_name_that_is_not_utf8_costs_one_record(parser: Parser, codec: str) -> None:
    bad = RawRecord(b"bad", b"k", [(b"id", b"7"), (BAD_NAME, b"x")])
    reader = Reader(20)
    first, middle, last = reader.read(parser, batch([*values("a"), bad, *values("c")], 20, codec=codec))
    assert [shown(first), shown(last)] == [(20, b"a"), (22, b"c")]
    assert middle == Unreadable(
        *("ratings", 3, 21, 21, "a header's name is not UTF-8: b'\\xff\\xfe'"),
        *(b"bad", b"k", [("id", b"7"), ("\\xff\\xfe", b"x")], TIME + 1),
    )
    assert str(middle) == "ratings[3] offset 21: a header's name is not UTF-8: b'\\xff\\xfe'"
    assert (middle.value, reader.next_fetch_offset) == (None, 23)


@pytest.mark.parametrize("parser", PARSERS)
def test_a_wrong_checksum_costs_the_batch(parser: Parser) -> None:
    good = batch(values("b"), 12)
    damaged = bytearray(batch(values("a", "a"), 10))
    damaged[-1] ^= 1
    reader = Reader(10)
    (found,) = reader.read(parser, bytes(damaged) + good)
    assert (found.first, found.offset, found.content) == (10, 11, bytes(damaged))
    assert "checksum is wrong" in found.cause
    # What follows is asked for once more: the damaged one may have been a mark of a transaction.
    assert reader.next_fetch_offset == 12
    assert [shown(each) for each in reader.read(parser, good)] == [(12, b"b")]


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("field", [23, 57], ids=["last offset", "count"])
def test_a_length_that_is_wrong_does_not_lead_far_away(parser: Parser, field: int) -> None:
    damaged = bytearray(batch(values("a", "a"), 10))
    damaged[field] ^= 0x40
    reader = Reader(10)
    (found,) = reader.read(parser, bytes(damaged))
    assert (found.first, found.offset, reader.next_fetch_offset) == (10, 10, 11)
    reader = Reader(10)
    (found,) = reader.read(parser, bytes(damaged) + batch(values("b"), 12))
    assert (found.first, found.offset, reader.next_fetch_offset) == (10, 11, 12)


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("magic", [3, 255])
def test_an_unknown_format(parser: Parser, magic: int) -> None:
    data = bytearray(batch(values("a", "b"), 5))
    data[MAGIC_AT] = magic
    reader = Reader(5)
    (found,) = reader.read(parser, bytes(data))
    assert (found.first, found.offset, reader.next_fetch_offset) == (5, 6, 7)
    assert f"format {magic}" in found.cause


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("codec", CODECS[1:])
def test_a_batch_that_cannot_be_decompressed(parser: Parser, codec: str) -> None:
    whole = batch(values("a" * 500, "b" * 500), 7, codec=codec)
    cut = batch(values("", ""), 7, codec=codec, body=whole[61:-9])
    reader = Reader(8)
    (found,) = reader.read(parser, cut)
    assert (found.first, found.offset, found.content, reader.next_fetch_offset) == (8, 8, cut, 9)
    # A part of a zstd stream is taken for the whole, and then a record ends too early.
    assert f"codec {codec}" in found.cause or codec == "zstd"


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("codec", CODECS[1:])
def test_a_batch_that_becomes_too_large(parser: Parser, codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for room in (batches, salvage):
        monkeypatch.setattr(room, "decompressed", partial(decompressed, most=100_000))
    large, small = batch(values("a" * 99_999), codec=codec), batch(values("a" * 99_900), 1, codec=codec)
    assert len(large) < 5000
    reader = Reader()
    too_large, fits = reader.read(parser, large + small)
    assert (too_large.offset, too_large.content, fits.offset) == (0, large, 1)
    assert f"codec {codec}" in too_large.cause
    assert "come" in too_large.cause


@pytest.mark.parametrize("parser", PARSERS)
def test_a_codec_that_does_not_exist(parser: Parser) -> None:
    data = sealed(batch(values("a"), 0, attributes=7))
    (found,) = Reader().read(parser, data)
    assert "there is no codec 7" in found.cause


@pytest.mark.parametrize("parser", PARSERS)
def test_snappy_with_numbers_in_another_byte_order(parser: Parser) -> None:
    records = b"".join(encoded(each, place) for place, each in enumerate(values("a", "b")))
    packed = compressed(records, "snappy")
    body = b"\x82SNAPPY\0" + b"\1\0\0\0" * 2 + len(packed).to_bytes(4, "big") + packed
    found = Reader().read(parser, batch([b"", b""], codec="snappy", body=body))
    assert [shown(each) for each in found] == [(0, b"a"), (1, b"b")]


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_record_costs_one_record(parser: Parser, broken: bytes) -> None:
    reader = Reader()
    first, middle, last = reader.read(
        parser, batch([encoded(values("a")[0], 0), broken, encoded(values("c")[0], 2)])
    )
    assert [shown(first), shown(middle), shown(last)] == [(0, b"a"), (1, broken), (2, b"c")]
    assert (middle.first, middle.key, middle.headers, middle.timestamp) == (1, None, (), -1)


@pytest.mark.parametrize("parser", PARSERS)
def test_a_record_whose_length_is_wrong_costs_the_rest(parser: Parser) -> None:
    data = batch([encoded(values("a")[0], 0), b"\x7e\0", encoded(values("c")[0], 2)])
    reader = Reader()
    first, rest = reader.read(parser, data)
    assert (shown(first), rest.first, rest.offset, rest.content) == ((0, b"a"), 1, 2, data)
    assert reader.next_fetch_offset == 3


@pytest.mark.parametrize("parser", PARSERS)
def test_bytes_that_are_no_batch(parser: Parser) -> None:
    reader = Reader(5)
    for data in (b"abc", b"\0" * 12, b"\0" * 8 + b"\xff" * 4 + b"\0" * 100, b"\0" * 8 + b"\x7f" * 60):
        (found,) = reader.read(parser, data)
        assert (found.offset, found.content) == (reader.next_fetch_offset - 1, data)
    assert reader.next_fetch_offset == 9
    assert reader.read(parser, b"") == []


@pytest.mark.parametrize("parser", PARSERS)
def test_aborted_transactions_do_not_count(parser: Parser) -> None:
    mine, theirs = 7, 8
    log = [
        batch(values("open"), 0, producer=mine, attributes=TRANSACTIONAL),
        batch(values("taken back", "taken back"), 1, producer=theirs, attributes=TRANSACTIONAL),
        batch(values("plain"), 3),
        batch(values("idempotent"), 4, producer=theirs),
        marker(5, theirs, commit=False),
        batch(values("kept"), 6, producer=theirs, attributes=TRANSACTIONAL),
        marker(7, theirs, commit=True),
        marker(8, mine, commit=True),
    ]
    aborted = ((theirs, 1),)
    reader = Reader()
    found = reader.read(parser, b"".join(log), aborted)
    assert [shown(each) for each in found] == [
        (0, b"open"),
        (3, b"plain"),
        (4, b"idempotent"),
        (6, b"kept"),
    ]
    assert reader.next_fetch_offset == 9
    # From the middle of the aborted one, and with a mark of one that wrote nothing here.
    reader = Reader(2)
    found = reader.read(parser, b"".join(log[1:]) + marker(9, 99, commit=False), aborted)
    assert [each.offset for each in found] == [3, 4, 6]
    assert reader.next_fetch_offset == 10


@pytest.mark.parametrize("parser", PARSERS)
def test_behind_damage_in_a_transaction_nothing_is_guessed(parser: Parser) -> None:
    damaged = bytearray(marker(1, 7, commit=False))
    damaged[-1] ^= 1
    behind = batch(values("kept"), 2, producer=7, attributes=TRANSACTIONAL)
    taken_back = batch(values("taken back"), 0, producer=7, attributes=TRANSACTIONAL)
    reader = Reader()
    (found,) = reader.read(parser, taken_back + bytes(damaged) + behind, ((7, 0),))
    assert (found.offset, reader.next_fetch_offset) == (1, 2)
    # The next fetch says what was aborted from there on.
    assert [shown(each) for each in reader.read(parser, behind)] == [(2, b"kept")]


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]], list[range]]:
    """Batches with the offsets behind them, the records that must come, and where something is damaged."""
    log, expected, damaged, base = [], [], [], 0
    for number in range(draw(st.integers(1, 5))):
        good = [(base + place, b"%d.%d" % (number, place)) for place in range(draw(st.integers(1, 4)))]
        records = [RawRecord(text, b"key", [(b"name", b"x")]) for _, text in good]
        end, codec = base + len(good), draw(st.sampled_from(CODECS))
        made = batch(records, base, codec=codec)
        kind = draw(st.sampled_from(["none", "bit", "record", "body"]))
        if kind == "bit":
            flipped = bytearray(made)
            flipped[draw(st.integers(MAGIC_AT, len(made) - 1))] ^= 1 << draw(st.integers(0, 7))
            made, good = bytes(flipped), []
        elif kind == "record":
            place = draw(st.integers(0, len(good) - 1))
            parts: list[RawRecord | bytes] = [encoded(each, delta) for delta, each in enumerate(records)]
            badly_named = encoded(RawRecord(b"1", None, [(BAD_NAME, b"")]), place)
            parts[place] = draw(st.sampled_from([*BROKEN, badly_named]))
            made = batch(parts, base, codec=codec)
            del good[place]
        elif kind == "body":
            made, good = batch(records, base, codec=codec, body=draw(st.binary(max_size=30))), []
        if kind != "none":
            damaged.append(range(base, end))
        log.append((end, made))
        expected += good
        base = end
    return log, expected, damaged


@given(logs())
@pytest.mark.parametrize("parser", PARSERS)
def test_whatever_comes_there_is_a_way_past(parser: Parser, drawn: Any) -> None:
    """What is not damaged comes whole and in order, the rest as unreadable, and reading gets to the end."""
    log, expected, damaged = drawn
    end = log[-1][0]
    reader, found = Reader(), []
    while reader.next_fetch_offset < end:
        before = reader.next_fetch_offset
        found += reader.read(parser, b"".join(made for behind, made in log if behind > before))
        assert reader.next_fetch_offset > before
    whole = [shown(each) for each in found if not isinstance(each, Unreadable)]
    assert [each for each in whole if each in expected] == expected
    assert all(any(offset in span for span in damaged) for offset, _ in set(whole) - set(expected))
    for each in found:
        if isinstance(each, Unreadable):
            assert any(each.first in span for span in damaged)
