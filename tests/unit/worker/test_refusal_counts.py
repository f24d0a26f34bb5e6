"""Dead letters are told of: the first at once, the others once a minute, and all of them are counted."""

from __future__ import annotations

import logging

import pytest
from prometheus_client import CollectorRegistry

from recommender.messages.refusals import Kind, Refusal
from recommender.worker.refusal_counts import RefusalCounts


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def refusals(first: int, count: int, kind: Kind = Kind.BAD_TIMESTAMP, reason: str = "late") -> list[Refusal]:
    return [Refusal(kind, "ratings", 3, offset, reason) for offset in range(first, first + count)]


def test_the_first_is_told_at_once_and_the_others_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    letters = RefusalCounts(CollectorRegistry(), clock)
    with caplog.at_level(logging.WARNING, "recommender"):
        letters.log()
        letters.take([])
        assert caplog.messages == []
        letters.take(refusals(7, 1))
        assert caplog.messages == ["ratings[3] offset 7 is a dead letter: late"]
        for offset in range(8, 58):
            clock.seconds += 1
            letters.take(refusals(offset, 1))
        letters.take(refusals(58, 2, Kind.NOT_JSON, "no\nJSON"))
        assert len(caplog.messages) == 1
        clock.seconds += 10
        letters.log()
        assert caplog.messages[1:] == [
            "52 more dead letters (50 bad_timestamp, 2 not_json); "
            "the first of them is ratings[3] offset 8: late"
        ]
        clock.seconds += 3600
        letters.log()
        assert len(caplog.messages) == 2
        letters.take(refusals(60, 1, Kind.NOT_JSON, "no\nJSON"))
        assert caplog.messages[2:] == ["ratings[3] offset 60 is a dead letter: no JSON"]
        letters.take(refusals(61, 1))
        letters.log(at_once=True)
        assert caplog.messages[3:] == ["ratings[3] offset 61 is a dead letter: late"]


def test_a_file_of_them_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    letters = RefusalCounts(CollectorRegistry(), Clock())
    letters.take(refusals(0, 60, reason="x" * 5000))
    (line,) = caplog.messages
    assert line.startswith("60 dead letters (60 bad_timestamp); the first of them is ratings[3] offset 0: x")
    assert len(line) < 500


def test_they_are_counted_by_reason() -> None:
    registry = CollectorRegistry()
    letters = RefusalCounts(registry, Clock())
    name = "recommender_dead_letters_total"
    assert registry.get_sample_value(name, {"reason": "unreadable"}) == 0.0
    assert letters.summary() == {"total": 0, "reasons": {}, "newest": None}
    letters.take([*refusals(0, 2), *refusals(2, 3, Kind.NOT_JSON, "no JSON")])
    assert registry.get_sample_value(name, {"reason": "bad_timestamp"}) == 2.0
    assert registry.get_sample_value(name, {"reason": "not_json"}) == 3.0
    assert letters.summary() == {
        "total": 5,
        "reasons": {"not_json": 3, "bad_timestamp": 2},
        "newest": "ratings[3] offset 4: no JSON",
    }
    labels = {
        each.labels["reason"] for family in registry.collect() for each in family.samples if each.labels
    }
    assert labels <= set(Kind)
