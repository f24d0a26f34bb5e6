"""Sources of impressions: their tables, and what their records say was shown to whom."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import pytest

from recommender.ingest.sources import file, items_file
from recommender.ingest.sources.configured import impressions_of, with_log_for
from recommender.ingest.sources.impressions_file import parse
from recommender.ingest.sources.mapping import SourcesError
from recommender.items.shown import ShownStore
from recommender.messages.unreadable import Fetched
from recommender.settings import Settings
from recommender.worker.shown_following import ImpressionsFollowing
from tests.unit.ingest.sources.records import record

TABLE = """
[seen]
kind = "impressions"
topic = "shop.impressions"
user = "user.id"
each = "slots"
item = ".sku"
time = "at"
where = {type = ["impression"]}
"""
PLAIN = '[seen]\nkind = "impressions"'


class Following:
    """A source that is followed without a broker."""

    def __init__(self, table: str = TABLE) -> None:
        (mapping,) = parse(table, "sources.toml")
        self.store, self.counts = ShownStore(), Counter[str]()
        self.following = ImpressionsFollowing(
            mapping, self.store, 24.0, {}, lambda: pytest.fail("asks for a topic"), self._count
        )

    def _count(self, result: str, count: int) -> None:
        self.counts[result] += count

    def take(self, *records: Fetched) -> Following:
        self._count("taken", self.following.take(records))
        return self

    def shown(self, user: str = "u", times: int = 1, since: float = 0.0) -> set[str]:
        return set(self.store.shown(user, times, since))


def view(*items: object, user: str = "u", at: float | None = 1000.0, kind: str = "impression") -> Any:
    return {"user": {"id": user}, "at": at, "type": kind, "slots": [{"sku": each} for each in items]}


def test_a_record_shows_all_its_items_once() -> None:
    seen = Following().take(record(view("a", "b", 3)), record(view("b", at=2000.0), offset=1))
    assert seen.shown() == {"a", "b", "3"}
    assert seen.shown(times=2) == {"b"}
    assert seen.shown(since=1500.0) == {"b"}
    assert seen.shown("somebody else") == set()
    seen.take(record(view("a", "b", 3)))  # the same place of the topic, read again
    assert seen.shown(times=2) == {"b"}
    assert seen.counts == {"taken": 3, "skipped": 0}


def test_a_record_may_be_one_item_or_of_several_users() -> None:
    seen = Following(PLAIN).take(record({"user": "u", "item": "a"}))
    assert seen.shown() == {"a"}
    assert seen.shown(since=record({}).timestamp / 1000 + 1) == set()  # it has its record's time
    each = PLAIN + '\neach = "all"\nuser = ".u"\nitem = ".i"'
    seen = Following(each).take(record({"all": [{"u": "x", "i": "a"}, {"u": "y", "i": "b"}]}))
    assert (seen.shown("x"), seen.shown("y")) == ({"a"}, {"b"})


def test_a_time_that_is_yet_to_come_is_now() -> None:
    seen = Following().take(record(view("a", at=32e9)))
    assert seen.shown(since=time.time() - 10) == {"a"}
    assert seen.shown(since=time.time() + 10) == set()


def test_what_says_nothing_is_skipped_and_what_is_none_refused() -> None:
    bad = [
        b"not json",
        b"[1]",
        b"[" * 5000,
        view("a", user=""),
        view("x" * 300),
        view(None),
        view("a", at=-1.0),
    ]
    seen = Following().take(
        *(record(each, offset=number) for number, each in enumerate(bad)),
        *(record(each, offset=10) for each in (None, view("a", kind="click"), view())),
        record(view("good"), offset=20),
    )
    assert seen.shown() == {"good"}
    assert seen.counts == {"taken": 1, "refused": len(bad), "skipped": 3}
    assert "source `seen`" in seen.following.status()["newest_refusal"]


def test_events_come_in_envelopes() -> None:
    event = {"specversion": "1.0", "type": "x", "data": {"user": "u", "item": "a"}}
    assert Following(PLAIN + '\nenvelope = "cloudevents"').take(record(event)).shown() == {"a"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("rating = 5", "'rating' is no key"),
        ('format = "avro"', "format has value 'avro': expected one of auto, json, msgpack"),
        ('envelope = "debezium"', "envelope has value 'debezium': expected one of none, cloudevents"),
        ('item = ".sku"', "item begins with a dot"),
    ],
)
def test_a_table_that_cannot_be_says_where(line: str, told: str) -> None:
    with pytest.raises(SourcesError) as caught:
        parse(f"{PLAIN}\n{line}", "sources.toml")
    assert told in str(caught.value)
    assert str(caught.value).startswith("sources.toml: [seen]")


def test_one_topic_may_be_read_for_ratings_and_for_impressions() -> None:
    text = TABLE + '["shop.impressions"]\nrating = 5\nwhere = {type = ["like"]}\n'
    assert [each.topic for each in parse(text, "f")] == ["shop.impressions"]
    assert [each.topic for each in file.parse(text, "f", 0.5, 5.0)] == ["shop.impressions"]
    assert items_file.parse(text, "f") == []
    with pytest.raises(SourcesError, match=r"both read topic 'shop\.impressions'"):
        parse(TABLE + TABLE.replace("[seen]", "[again]"), "f")


def test_where_there_are_impressions_no_log_is_needed() -> None:
    for sources, times in (("", 3), (PLAIN, 0)):
        config = Settings(sources=sources, hide_seen=3, recommendations_log="off")
        assert with_log_for(config, impressions_of(config)).hide_seen == times
