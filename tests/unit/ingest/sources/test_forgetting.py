"""Sources that say who is to be forgotten: by a table of their own, or by an event among others."""

from __future__ import annotations

from typing import Any

import pytest

from recommender.history.rows import FORGET_ITEM, FORGET_USER
from recommender.ingest.sources.mapping import SourcesError
from recommender.ingest.sources.outcomes import SkipReason
from tests.unit.ingest.sources.records import STAMP, mapping, read, reason, record

NOW = STAMP / 1000
REQUESTS = '[erasures]\nuser = "subject.id"\nforget = "user"\ntime = "at"\nwhere = {status = ["granted"]}'
USERS = '[users]\nenvelope = "debezium"\nuser = "id"\nforget = "user"'
PRODUCTS = '[products]\nitem = "sku"\nforget = "item"\ndeleted = "__deleted"'
CLICKS = """
[clicks]
user = "user"
item = "sku"
event = "type"
[clicks.events]
view = 1
account_closed = "forget"
"""


def rows(ingested: Any) -> list[tuple[int, str, str, float]]:
    """Kind, user, item and time of each row."""
    found = ingested.rows
    kinds = [0] * len(found.times) if found.kinds is None else found.kinds.tolist()
    return list(zip(kinds, found.ids(0), found.ids(2), found.times.tolist(), strict=True))


def test_each_record_of_a_table_of_requests_forgets() -> None:
    given = [
        record({"subject": {"id": 7}, "at": 5, "status": "granted"}),
        record({"subject": {"id": 8}, "status": "asked"}),
        record({"subject": {"id": "9"}, "status": "granted"}),
    ]
    found = read(REQUESTS, *given)
    assert rows(found) == [(FORGET_USER, "7", "*", 5.0), (FORGET_USER, "9", "*", NOW)]
    assert (found.forgets, found.learned, found.skipped) == (2, 0, 1)
    assert found.passed[SkipReason.WHERE] == 1


def test_a_deleted_row_forgets_and_others_are_kept() -> None:
    source = {"ts_ms": 5000}
    given = [
        record({"op": "c", "before": None, "after": {"id": 1}, "source": source}),
        record({"op": "d", "before": {"id": 1}, "after": None, "source": source}),
    ]
    found = read(USERS, *given)
    assert rows(found) == [(FORGET_USER, "1", "*", 5.0)]
    assert (found.forgets, found.passed[SkipReason.KEPT]) == (1, 1)
    told = reason(read(USERS, record({"op": "d", "before": {"name": "x"}, "after": None, "source": source})))
    assert "missing required field - at `$.before.id`" in told
    assert "REPLICA IDENTITY FULL" in told


def test_a_flattened_row_that_is_gone_forgets_an_item() -> None:
    given = [record({"sku": "s1", "__deleted": "true"}), record({"sku": "s2", "__deleted": False})]
    found = read(PRODUCTS, *given)
    assert rows(found) == [(FORGET_ITEM, "*", "s1", NOW)]
    assert (found.forgets, found.learned, found.passed[SkipReason.KEPT]) == (1, 0, 1)


def test_an_event_among_ratings_forgets_in_its_order() -> None:
    given = [
        record({"user": "u", "sku": "s", "type": "view"}),
        record({"user": "u", "type": "account_closed"}),
        record({"user": "u", "sku": "s", "type": "view"}),
    ]
    found = read(CLICKS, *given)
    assert [row[:3] for row in rows(found)] == [(0, "u", "s"), (FORGET_USER, "u", "*"), (0, "u", "s")]
    assert (found.forgets, found.learned) == (1, 2)
    assert found.places is not None
    assert found.places.tolist() == [0, 1, 2]


def test_who_is_to_be_forgotten_must_be_named() -> None:
    assert "at `$.subject.id`" in reason(read(REQUESTS, record({"status": "granted"})))
    assert "at `$.user`" in reason(read(CLICKS, record({"type": "account_closed", "user": None})))


def test_a_table_that_forgets_is_another_mapping() -> None:
    assert mapping('[a]\nforget = "user"').fingerprint != mapping("[a]").fingerprint


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[a]\nforget = "both"', "[a]: forget has value 'both': expected user or item"),
        ("[a]\nforget = true", "[a]: forget has value True: expected user or item"),
        ('[a]\nforget = "user"\nrating = 1', "[a]: `rating` is for ratings: a table with `forget` has none"),
        ('[a]\nforget = "user"\neach = "x"', "[a]: `each` is for ratings"),
    ],
)
def test_what_cannot_be(text: str, told: str) -> None:
    with pytest.raises(SourcesError) as raised:
        mapping(text)
    assert told in str(raised.value)
