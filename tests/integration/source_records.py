"""Topics of several shapes: the file that maps them, what they hold, and which ratings that is."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from recommender.journal.replica import Replica
from tests.support.kafka import Record
from tests.support.worker_logs import rating

FILE = """
[films]
topic = "{prefix}film-ratings"
user = "userId"
item = "movie.id"
rating = "stars"
scale = [0, 10]
time = "ratedAt"

[shop]
topic = "{prefix}shop"
envelope = "debezium"
user = "user_id"
item = "movie_id"
rating = "stars"

[reviews]
topic = "{prefix}reviews"
envelope = "cloudevents"
user = "@ce.subject"
item = "productId"
rating = "score"
[reviews.events]
"review.created" = "rating"
"review.deleted" = "withdraw"

[clicks]
topic = "{prefix}clicks"
user = "user.id"
item = "product.sku"
event = "type"
time = "ts"
[clicks.events]
view = 1
add_to_cart = 3
purchase = 5
remove_from_cart = "withdraw"
watch = {{of = "seconds", per = "duration", at = [[0.1, 1], [0.5, 3], [0.9, 5]]}}

[views]
topic = "{prefix}views"
format = "msgpack"
user = "@key"
item = "sku"
rating = 1

[orders]
topic = "{prefix}orders"
user = "customer.id"
each = "lines"
item = ".sku"
rating = 5
where = {{status = ["paid", "shipped"]}}

[late]
topic = "{prefix}late"
start = "latest"

[since]
topic = "{prefix}since"
start = 2023-11-15T00:00:00Z

[missing]
topic = "{prefix}missing"
"""
TOPICS = ("film-ratings", "shop", "reviews", "clicks", "views", "orders", "late", "since")


def encoded(value: Any) -> bytes:
    """JSON as other programs write it."""
    return json.dumps(value, ensure_ascii=False).encode()


def change(operation: str, before: Any, after: Any) -> bytes:
    """A change as Debezium writes it."""
    return encoded({"payload": {"op": operation, "before": before, "after": after, "source": {"ts_ms": 1}}})


def row(user: str, item: str, stars: int) -> dict[str, Any]:
    """A row of a shop's table."""
    return {"user_id": user, "movie_id": item, "stars": stars}


def click(kind: str, item: str, **more: Any) -> bytes:
    """An event of a page."""
    return encoded(
        {"type": kind, "ts": "2025-11-03T12:00:00Z", "user": {"id": "kai"}, "product": {"sku": item}, **more}
    )


def event(kind: bytes, item: str, score: int) -> Record:
    """A review as a CloudEvent."""
    headers = [("ce_specversion", b"1.0"), ("ce_type", kind), ("ce_subject", b"eve")]
    return Record(encoded({"productId": item, "score": score}), headers=headers)


def records() -> dict[str, list[Record | bytes]]:
    """The records of each topic when the worker starts: a bad one in most."""
    film = {"userId": "ann", "movie": {"id": "m1"}, "stars": 10, "ratedAt": "2025-11-03T12:00:00Z"}
    return {
        "film-ratings": [
            encoded(film),
            encoded({**film, "movie": {"id": "m2"}, "stars": "5"}),
            encoded({**film, "stars": 11}),
            b"<film/>",
        ],
        "shop": [
            change("c", None, row("bob", "m1", 4)),
            change("r", None, row("bob", "m2", 3)),
            change("d", row("bob", "m2", 3), None),
            change("u", row("bob", "m1", 4), row("bob", "m3", 2)),
            change("d", {"id": 1}, None),
            Record(None, b"tombstone"),
        ],
        "reviews": [
            event(b"review.created", "m1", 4),
            event(b"review.created", "m2", 2),
            event(b"review.deleted", "m2", 1),
        ],
        "clicks": [
            click("view", "m1"),
            click("purchase", "m2"),
            click("view", "m2"),
            click("scroll", "m3"),
            click("watch", "m4", seconds=50, duration=100),
            click("watch", "m5", seconds=1, duration=100),
            click("remove_from_cart", "m1"),
        ],
        "views": [Record(msgspec.msgpack.encode({"sku": "m1"}), "zoë".encode())],
        "orders": [
            encoded({"status": "paid", "customer": {"id": 42}, "lines": [{"sku": "m1"}, {"sku": "m2"}]}),
            encoded({"status": "open", "customer": {"id": 42}, "lines": [{"sku": "m3"}]}),
            encoded({"status": "paid", "customer": {"id": 42}, "lines": [{"sku": "m4"}, {}]}),
        ],
        "late": [rating("old", "m1")],
        "since": [
            Record(rating("before", "m1"), timestamp_ms=1_699_000_000_000),
            Record(rating("after", "m1"), timestamp_ms=1_701_000_000_000),
        ],
    }


#: Whose ratings of what stand in the end.
EXPECTED = {
    "ann": {"m1": 5.0, "m2": 2.75},
    "bob": {"m3": 2.0},
    "eve": {"m1": 4.0},
    "kai": {"m2": 5.0, "m4": 3.0},
    "zoë": {"m1": 1.0},
    "42": {"m1": 5.0, "m2": 5.0},
    "after": {"m1": 5.0},
}


def standing(replica: Replica) -> dict[str, dict[str, float]]:
    """Whose ratings of what stand."""
    shard, known = replica.shard, replica.shard.items.ids()
    found: dict[str, dict[str, float]] = {}
    for number, user in enumerate(shard.users.ids()):
        items, values, _ = shard.history.rated(number)
        found[user] = {
            known[item]: value for item, value in zip(items.tolist(), values.tolist(), strict=True)
        }
    return {user: rated for user, rated in found.items() if rated}
