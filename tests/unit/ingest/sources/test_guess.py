"""A proposed table is one that maps the sample that it was made from."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from recommender.ingest.sources.file import parse
from recommender.ingest.sources.guess import guess
from recommender.ingest.sources.mapping import Meaning, SourceMapping
from recommender.ingest.sources.sample import Outcome, judge, partitioner
from recommender.messages.partitioning import partition_of_bytes
from recommender.messages.unreadable import Fetched
from tests.unit.ingest.sources.records import HIGH, LOW, record


def proposed(records: Sequence[Fetched], topic: str = "topic") -> tuple[SourceMapping, Outcome]:
    """The table, and what it makes of the sample."""
    made = guess(topic, records, LOW, HIGH)
    assert made.missing == []
    (mapping,) = parse(str(made), "proposed", LOW, HIGH)
    assert mapping.topic == topic
    return mapping, judge(mapping, records, LOW, HIGH)


def test_own_json() -> None:
    films = [
        {"userId": 7, "movie": {"id": n, "title": "x"}, "stars": n, "ratedAt": "2025-11-03T12:00:00Z"}
        for n in range(11)
    ]
    mapping, outcome = proposed([record(each) for each in films], "film.ratings")
    assert [str(each) for each in (mapping.user, mapping.item, mapping.rating, mapping.time)] == [
        "$.userId",
        "$.movie.id",
        "$.stars",
        "$.ratedAt",
    ]
    assert mapping.scale == (0.0, 10.0)
    assert (outcome.learned, outcome.refusals) == (11, [])


def test_a_clickstream() -> None:
    kinds = ["page_view", "add_to_cart", "purchase", "remove_from_cart", "heartbeat"]
    clicks = [
        {"type": kind, "ts": 1_700_000_000_000, "user": {"id": "u"}, "product": {"sku": "s"}}
        for kind in kinds
    ]
    mapping, outcome = proposed([record(each) for each in clicks])
    assert mapping.events == {
        "page_view": 1.0,
        "add_to_cart": 3.0,
        "purchase": 5.0,
        "remove_from_cart": Meaning.WITHDRAW,
        "heartbeat": Meaning.SKIP,
        "*": Meaning.SKIP,
    }
    assert (str(mapping.item), outcome.learned, outcome.reasons) == ("$.product.sku", 4, {"event": 1})


@pytest.mark.parametrize("around", [False, True])
def test_debezium(around: bool) -> None:
    row = {"user_id": 1, "movie_id": 2, "stars": 3}
    change = {"op": "c", "before": None, "after": row, "source": {"ts_ms": 1}}
    mapping, outcome = proposed([record({"payload": change} if around else change)], "shop.public.ratings")
    assert (mapping.envelope, mapping.events, outcome.learned) == ("debezium", {}, 1)


def test_cloud_events() -> None:
    headers = [("ce_specversion", b"1.0"), ("ce_type", b"review.created"), ("ce_subject", b"u")]
    mapping, outcome = proposed([record({"productId": 7, "score": 4}, headers=headers)])
    assert (mapping.envelope, str(mapping.user), outcome.learned) == ("cloudevents", "@ce.subject", 1)
    assert mapping.events["review.created"] is Meaning.RATING


def test_an_array_and_keys() -> None:
    order = {"status": "paid", "lines": [{"sku": "a"}, {"sku": "b"}]}
    mapping, outcome = proposed([record(order, b"user-1")])
    assert (str(mapping.user), str(mapping.each), str(mapping.item)) == ("@key", "$.lines", "$[...].sku")
    assert (outcome.learned, outcome.items, outcome.keys) == (1, {"a", "b"}, {True: 2})


def test_messagepack() -> None:
    value = msgspec.msgpack.encode({"user": "u", "item": 'a."b', "rating": 4})
    mapping, outcome = proposed([record(value)])
    assert (mapping.format, outcome.learned) == ("msgpack", 1)


def test_names_that_toml_quotes() -> None:
    mapping, outcome = proposed([record({'a "b': {"user.id": 1}, "item id": 5, "rating": 3})], 'to"pic é')
    assert mapping.user.steps == ('a "b', "user.id")
    assert outcome.learned == 1


def test_what_nobody_can_guess_is_said() -> None:
    made = guess("topic", [record({"a": 1, "b": [1]})], LOW, HIGH)
    assert made.missing == ["user", "item"]
    assert "# item = PATH: no field looks like it; there are a" in str(made)
    assert guess("topic", [record(b"\x00\x01")], LOW, HIGH).missing == ["user", "item"]


def test_by_which_rule_keys_have_their_partitions() -> None:
    keys = [f"user-{number}".encode() for number in range(20)]

    def placed(rule: Callable[[bytes], int]) -> list[Any]:
        return [Fetched("t", rule(key), 0, 0, key, b"{}", ()) for key in keys]

    assert partitioner(placed(lambda key: 0), 1) is None
    assert partitioner([record({})], 8) is None
    assert (
        partitioner(placed(lambda key: partition_of_bytes(key, 8)), 8) == "murmur2, as Kafka's own producers"
    )
    assert partitioner(placed(lambda key: zlib.crc32(key) % 8), 8) == "CRC32, as librdkafka's producers"
    assert partitioner(placed(lambda key: 3), 8) == "neither murmur2 nor CRC32 of the key"
