"""The first line of the live page."""

from __future__ import annotations

from typing import Any

import pytest

from recommender.web.health import FAILING, OK, WARNING, Check
from recommender.worker.verdict import BROKER, Figures, verdict

WELL = [Check("journal", OK, "followed")]
BUSY = Figures(12_400.0, 310.0, 5_000, 0, 0.0, 3.2, False)


def says(**different: Any) -> str:
    return verdict(WELL, BUSY._replace(**different))["says"]


@pytest.mark.parametrize(
    ("different", "expected"),
    [
        (
            {},
            "Learning 12,400 ratings a second, up to date, answering 310 requests a second, saved 3 s ago.",
        ),
        ({"replies": 0.0, "saved_age": None}, "Learning 12,400 ratings a second, up to date."),
        (
            {"replies": 0.0, "lag_records": 700, "lag_seconds": 130.0},
            "Learning 12,400 ratings a second, 2 min behind, saved 3 s ago.",
        ),
        (
            {"ratings": 0.0, "replies": 0.0, "saved_age": 7300.0},
            "Up to date: all 5,000 ratings are learned, saved 2 hours ago.",
        ),
        (
            {"ratings": 0.0, "replies": 0.0, "lag_records": 700, "lag_seconds": 40.0, "saved_age": None},
            "700 records wait to be learned, 40 s behind.",
        ),
        (
            {"ratings": 0.0, "replies": 0.0, "standby": True, "saved_age": None},
            "Up to date: all 5,000 ratings are learned, a standby that reads no partition.",
        ),
        ({"events": 0}, "Ready, and waiting for the first rating."),
    ],
)
def test_what_it_says_of_a_worker_that_is_well(different: dict[str, Any], expected: str) -> None:
    assert says(**different) == expected


def test_what_fails_comes_before_what_warns() -> None:
    checks = [*WELL, Check("checkpoints", WARNING, "checkpoints cannot be written")]
    assert verdict(checks, BUSY) == {"level": WARNING, "says": "Working, but checkpoints cannot be written."}
    checks.append(Check("requests", FAILING, "not joined"))
    assert verdict(checks, BUSY) == {"level": FAILING, "says": "Not ready: not joined."}


def test_a_broker_that_is_away_is_waited_for() -> None:
    checks = [*WELL, Check(BROKER, WARNING, "no broker at kafka:9092 has answered for 22 s")]
    expected = "Waiting for Kafka, and losing nothing: no broker at kafka:9092 has answered for 22 s."
    assert verdict(checks, BUSY) == {"level": WARNING, "says": expected}
