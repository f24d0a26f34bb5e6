"""What records mean: each is learned, passed over with a reason, or rejected with a sentence."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import orjson
import pytest

from recommender.ingest.sources.outcomes import SkipReason
from recommender.messages.refusals import Kind
from tests.unit.ingest.sources.records import STAMP, ratings, read, reason, record

NOW = STAMP / 1000
MOVIES = """
[films]
user = "userId"
item = "movie.id"
rating = "stars"
scale = [0, 10]
time = "ratedAt"
"""
CLICKS = """
[clicks]
user = "user.id"
item = "product.sku"
event = "type"
[clicks.events]
view = 1
purchase = 5
ping = "skip"
remove = "withdraw"
stars = "rating"
watch = {of = "seconds", per = "duration", at = [[0.1, 1], [0.5, 3], [0.9, 5]]}
"""
ROWS = """
[shop]
envelope = "debezium"
user = "user_id"
item = "movie_id"
rating = "stars"
"""
REVIEWS = """
[reviews]
envelope = "cloudevents"
user = "@ce.subject"
item = "productId"
rating = "score"
[reviews.events]
"review.created" = "rating"
"review.deleted" = "withdraw"
"""
ORDERS = """
[orders]
user = "customer.id"
each = "lines"
item = ".sku"
rating = 5
where = {status = ["paid", "shipped"]}
"""


def film(**changes: Any) -> dict[str, Any]:
    return {"userId": "u", "movie": {"id": 7}, "stars": 10, "ratedAt": 1_600_000_000_000, **changes}


def click(kind: str, **changes: Any) -> dict[str, Any]:
    return {"type": kind, "user": {"id": "u"}, "product": {"sku": "s"}, **changes}


def change(operation: str, before: Any = None, after: Any = None) -> dict[str, Any]:
    return {"op": operation, "before": before, "after": after, "source": {"ts_ms": 5000}}


def row(user: Any = 1, item: Any = 2, stars: Any = 3) -> dict[str, Any]:
    return {"user_id": user, "movie_id": item, "stars": stars}


def test_own_json_under_other_names() -> None:
    found = read(MOVIES, record(film()), record(film(stars="5.0", ratedAt="2020-09-13T12:26:40Z")))
    assert ratings(found) == [("u", "7", 5.0, 1.6e9), ("u", "7", 2.75, 1.6e9)]
    assert (found.learned, found.skipped, found.refusals) == (2, 0, [])


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (1_600_000_000, 1.6e9),
        (1_600_000_000_123, 1_600_000_000.123),
        (1_600_000_000_123_456, 1_600_000_000.123456),
        (1_600_000_000_000_000_000, 1.6e9),
        ("2020-09-13T12:26:40", 1.6e9),
        ("2020-09-13 14:26:40+02:00", 1.6e9),
        ("2020-09-13", 1_599_955_200.0),
        (None, NOW),
    ],
)
def test_times(time: Any, seconds: float) -> None:
    assert ratings(read(MOVIES, record(film(ratedAt=time))))[0][3] == seconds


def test_a_null_rating_withdraws_and_ids_may_be_integral() -> None:
    found = read(MOVIES, record(film(stars=None, userId=42.0, movie={"id": "é"})))
    assert ratings(found) == [("42", "é", None, 1.6e9)]


def test_messagepack() -> None:
    value = msgspec.msgpack.encode(film())
    marked = record(value, headers=[("content-type", b"application/msgpack")])
    assert ratings(read(MOVIES, marked)) == [("u", "7", 5.0, 1.6e9)]
    assert ratings(read(MOVIES + 'format = "msgpack"', record(value))) == [("u", "7", 5.0, 1.6e9)]


def test_roots_beside_the_value() -> None:
    text = '[a]\nuser = "@key.id"\nitem = "@header.sku"\nrating = 1\nwhere = {"@topic" = ["a"]}'
    found = read(text, record({}, b'{"id": 5}', [("sku", b"old"), ("sku", b"x")]))
    assert ratings(found) == [("5", "x", 1.0, NOW)]
    assert ratings(read('[a]\nuser = "@key"\nrating = 1', record({"item": "i"}, b"k"))) == [
        ("k", "i", 1.0, NOW)
    ]


def test_events_have_weights() -> None:
    kinds = ["view", "purchase", "remove"]
    found = read(CLICKS, *(record(click(kind)) for kind in kinds))
    assert [each[2] for each in ratings(found)] == [1.0, 5.0, None]
    found = read(CLICKS, *(record(click("watch", seconds=each, duration=10)) for each in (0, 1, 4, 5, 9, 20)))
    assert [each[2] for each in ratings(found)] == [1.0, 1.0, 3.0, 5.0, 5.0]
    assert found.passed == {SkipReason.BELOW_STEPS: 1, SkipReason.RATING: 0}
    assert [each[2] for each in ratings(read(CLICKS, record(click("stars", rating="4"))))] == [4.0]


def test_what_is_passed_over_needs_no_user() -> None:
    found = read(CLICKS, record({"type": "ping"}), record({"type": "scroll"}), record({}), record(None))
    assert (ratings(found), found.learned, found.refusals) == ([], 0, [])
    assert +found.passed == {SkipReason.EVENT: 1, SkipReason.EVENT_NOT_LISTED: 2, SkipReason.NULL_VALUE: 1}
    assert found.unlisted == {"scroll": 1, "": 1}


def test_all_other_events_may_have_a_rule() -> None:
    found = read(CLICKS + '"*" = 2', record(click("scroll")))
    assert ratings(found) == [("u", "s", 2.0, NOW)]


def test_where() -> None:
    text = '[a]\nwhere = {"device.kind" = ["phone", 1]}'
    good = {"user": "u", "item": "i", "rating": 1}
    devices: list[Any] = [{"kind": "phone"}, {"kind": 1}, {"kind": True}, {"kind": []}, {}, None]
    found = read(text, *(record({**good, "device": each}) for each in devices))
    assert (found.learned, found.passed[SkipReason.WHERE]) == (2, 4)


def test_deleted() -> None:
    text = '[a]\ndeleted = "__deleted"'
    flags: list[Any] = [True, "true", False, "false", None]
    good = {"user": "u", "item": "i", "rating": 1}
    found = read(text, *(record({**good, "__deleted": each}) for each in flags), record(good))
    assert [each[2] for each in ratings(found)] == [None, None, 1.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize("around", [False, True], ids=["bare", "in Connect's schema and payload"])
def test_debezium(around: bool) -> None:
    def changed(*given: Any) -> Any:
        return record({"schema": {}, "payload": change(*given)} if around else change(*given))

    assert ratings(read(ROWS, changed("c", None, row()))) == [("1", "2", 3.0, 5.0)]
    assert ratings(read(ROWS, changed("r", None, row()))) == [("1", "2", 3.0, 5.0)]
    assert ratings(read(ROWS, changed("u", row(stars=1), row()))) == [("1", "2", 3.0, 5.0)]
    assert ratings(read(ROWS, changed("d", row()))) == [("1", "2", None, 5.0)]
    moved = read(ROWS, changed("u", row(item=9), row()))
    assert ratings(moved) == [("1", "9", None, 5.0), ("1", "2", 3.0, 5.0)]
    assert moved.places is not None
    assert (moved.learned, moved.places.tolist()) == (1, [0, 0])
    keyed = read(ROWS, changed("u", {"id": 5}, row()))
    assert ratings(keyed) == [("1", "2", 3.0, 5.0)]
    for operation in ("t", "m"):
        assert +read(ROWS, changed(operation)).passed == {SkipReason.NO_CHANGE: 1}


def test_rows_of_debezium_may_have_a_time() -> None:
    found = read(ROWS + 'time = "at"', record(change("c", None, {**row(), "at": 1_600_000_000_000_000})))
    assert ratings(found)[0][3] == 1.6e9
    assert ratings(read(ROWS + 'time = "at"', record(change("c", None, row()))))[0][3] == 5.0


def test_cloud_events() -> None:
    binary = [("ce_specversion", b"1.0"), ("ce_type", b"review.created"), ("ce_subject", b"u")]
    binary += [("ce_time", b"2020-09-13T12:26:40Z"), ("content-type", b"application/json")]
    event = {"specversion": "1.0", "type": "review.deleted", "subject": "u", "data": {"productId": 7}}
    structured = record(event, headers=[("content-type", b"application/cloudevents+json; charset=UTF-8")])
    found = read(REVIEWS, record({"productId": 7, "score": 4}, headers=binary), structured)
    assert ratings(found) == [("u", "7", 4.0, 1.6e9), ("u", "7", None, NOW)]


def test_one_rating_for_each_element() -> None:
    lines = [{"sku": "a"}, {"sku": 2}]
    order = {"status": "paid", "customer": {"id": "u"}, "lines": lines}
    found = read(ORDERS, record(order), record({"status": "open"}), record({**order, "lines": []}))
    assert ratings(found) == [("u", "a", 5.0, NOW), ("u", "2", 5.0, NOW)]
    assert (found.learned, +found.passed) == (1, {SkipReason.WHERE: 1, SkipReason.EMPTY: 1})
    assert found.places is not None
    assert found.places.tolist() == [0, 0]


BATCH = [("content-type", b"application/cloudevents-batch+json")]
PRECISE = "set it to double or string"
REJECTED: list[tuple[str, str, Any, Kind, str]] = [
    ("not JSON", MOVIES, b"<xml/>", Kind.OTHER_FORMAT, "JSON is malformed"),
    ("cut off", MOVIES, b'{"userId": ', Kind.NOT_JSON, "truncated"),
    ("not UTF-8", MOVIES, b'{"userId": "\xff"}', Kind.NOT_JSON, "UTF-8"),
    ("an array", MOVIES, [1], Kind.NOT_AN_OBJECT, "Expected `object`, got `array` of source `films`"),
    ("no user", MOVIES, {"movie": {"id": 1}, "stars": 1}, Kind.MISSING_FIELD, "`$.userId` of source `films`"),
    ("no item", MOVIES, film(movie=None), Kind.MISSING_FIELD, "required field - at `$.movie.id`"),
    ("null user", MOVIES, film(userId=None), Kind.BAD_USER, "got `null` - at `$.userId`"),
    ("a boolean", MOVIES, film(userId=True), Kind.BAD_USER, "got `bool`"),
    ("an object", MOVIES, film(movie={"id": {}}), Kind.BAD_ITEM, "got `object` - at `$.movie.id`"),
    ("a fraction", MOVIES, film(userId=1.5), Kind.BAD_USER, "got `float`"),
    ("empty", MOVIES, film(userId=""), Kind.BAD_USER, "of length >= 1"),
    ("long", MOVIES, film(userId="é" * 129), Kind.BAD_USER, "at most 256 bytes, got 258"),
    ("digits", MOVIES, b'{"userId": %s}' % (b"9" * 5000), Kind.BAD_FIELD, "out of range"),
    ("no rating", MOVIES, {"userId": 1, "movie": {"id": 1}}, Kind.MISSING_FIELD, "at `$.stars`"),
    ("off the scale", MOVIES, film(stars=11), Kind.BAD_RATING, "Expected `float` <= 10.0 - at `$.stars`"),
    ("a list of stars", MOVIES, film(stars=[1]), Kind.BAD_RATING, "Expected `float`, got `array`"),
    ("words", MOVIES, film(stars="nan"), Kind.BAD_RATING, "Expected a number, got 'nan'"),
    ("before 1970", MOVIES, film(ratedAt=-1), Kind.BAD_TIMESTAMP, "a time from 1970 to 3000, got -1"),
    ("beyond 3000", MOVIES, film(ratedAt="3001-01-01"), Kind.BAD_TIMESTAMP, "from 1970 to 3000"),
    ("no time", MOVIES, film(ratedAt="noon"), Kind.BAD_TIMESTAMP, "ISO 8601, got 'noon' - at `$.ratedAt`"),
    ("nested", MOVIES, b'{"x": ' * 400 + b"1" + b"}" * 400, Kind.TOO_DEEP, "nested too deeply"),
    ("no row before", ROWS, change("d", {"id": 1}), Kind.MISSING_FIELD, "REPLICA IDENTITY FULL"),
    ("nothing before", ROWS, change("d"), Kind.MISSING_FIELD, "at `$.before.user_id`: the table needs"),
    ("nothing after", ROWS, change("c"), Kind.MISSING_FIELD, "at `$.after`"),
    ("no envelope", ROWS, row(), Kind.ENVELOPE, "at `$.op`: expected an envelope of Debezium"),
    ("another operation", ROWS, change("x"), Kind.ENVELOPE, "Expected c, r, u, d, t or m, got 'x'"),
    ("a precise decimal", ROWS, change("c", None, row(stars="AZA=")), Kind.BAD_RATING, PRECISE),
    ("no event", REVIEWS, {"productId": 1}, Kind.ENVELOPE, "expected a header ce_specversion"),
    ("one bad line", ORDERS, {"status": "paid", "customer": {"id": 1}, "lines": [{"sku": 1}, {}]},
     Kind.MISSING_FIELD, "at `$.lines[1].sku`"),
    ("no lines", ORDERS, {"status": "paid"}, Kind.MISSING_FIELD, "at `$.lines`"),
    ("text for lines", ORDERS, {"status": "paid", "lines": "x"}, Kind.BAD_FIELD, "`array`, got `str`"),
    ("100,000 lines", ORDERS, {"status": "paid", "lines": [{}] * 100_000}, Kind.TOO_LARGE,
     "at most 1000 elements, got 100000"),
    ("watched of nothing", CLICKS, click("watch", seconds=1, duration=0), Kind.BAD_FIELD, "a number above 0"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "value", "kind", "told"), [each[1:] for each in REJECTED], ids=[each[0] for each in REJECTED]
)
def test_what_is_rejected_is_a_letter_as_it_came(source: str, value: Any, kind: Kind, told: str) -> None:
    bad = record(value, b"\x00key", [("name", b"\xff"), ("name", b"")])
    found = read(source, bad)
    assert (found.learned, ratings(found)) == (0, [])
    assert told in reason(found)
    assert found.refusals[0].kind is kind
    letter = found.dead_letters[0]
    assert (letter.key, letter.value, letter.headers[:2]) == (bad.key, bad.value, [*bad.headers])
    assert dict(letter.headers)["__connect.errors.exception.message"].decode() == reason(found)[:1000]


def test_a_batch_of_cloud_events() -> None:
    found = read(REVIEWS, record(orjson.dumps([]), headers=BATCH))
    assert "expected one event a record" in reason(found)


def test_sixty_four_levels_are_read() -> None:
    deep: Any = 1
    for _ in range(64):
        deep = {"x": deep}
    assert read(MOVIES, record(film(more=deep))).learned == 1


def test_signed_ratings_may_be_skipped() -> None:
    found = read("[a]", record({"user": 1, "item": 2, "rating": "skip"}), skips=True)
    assert (found.learned, found.skipped) == (0, 1)
    assert [each[2] for each in ratings(found)] == [0.0]
    assert not math.isnan(found.rows.ratings[0])
