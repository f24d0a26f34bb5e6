"""Arguments of a rating: numbers and times of all kinds, on the client's scale."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.client import arguments
from recommender.client.ratings import encode_rating
from recommender.messages import contract
from recommender.messages.contract import KNOWN_SCALE
from recommender.messages.ratings import MAX_TIMESTAMP, BadMessage, RatingDecoder


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (5, 5.0),
        (-1, -1.0),
        (4.5, 4.5),
        (np.float32(4.5), 4.5),
        (np.int8(3), 3.0),
        (Decimal("3.5"), 3.5),
        (Fraction(1, 2), 0.5),
        (None, None),
    ],
)
def test_numbers_of_all_kinds_are_ratings(given: Any, meant: float | None) -> None:
    assert json.loads(encode_rating("u", "i", given))["rating"] == meant


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        (True, TypeError, r"must be a finite number, or None to withdraw one, got True \(bool\)"),
        (np.False_, TypeError, "must be a finite number"),
        ("5", TypeError, r"must be a finite number, or None to withdraw one, got '5' \(str\)"),
        (b"5", TypeError, "must be a finite number"),
        ([5], TypeError, "must be a finite number"),
        (1j, TypeError, "must be a finite number"),
        (math.nan, ValueError, "must be a finite number, got nan"),
        (np.float32("nan"), ValueError, "must be a finite number, got nan"),
        (-math.inf, ValueError, "must be a finite number, got -inf"),
        (10**400, ValueError, "must be a finite number"),
        (Decimal("sNaN"), ValueError, "must be a finite number"),
        (7, ValueError, "must be between -1 and 5, got 7; the client's rating_scale"),
        (-1.5, ValueError, "must be between -1 and 5, got -1.5"),
    ],
)
def test_what_is_no_rating_is_refused(given: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=rf"^rating {told}"):
        encode_rating("u", "i", given)


def test_the_scale_is_the_clients() -> None:
    assert json.loads(encode_rating("u", "i", 9, scale=(1.0, 10.0)))["rating"] == 9
    assert json.loads(encode_rating("u", "i", 1e9, scale=None))["rating"] == 1e9
    with pytest.raises(ValueError, match=r"^rating must be between 1 and 10, got 0"):
        encode_rating("u", "i", 0, scale=(1.0, 10.0))
    assert arguments.scale([np.int64(1), 10]) == (1.0, 10.0)
    assert arguments.scale(None) is None
    for wrong in ((5, 1), (1,), (1, 2, 3), (0, math.inf), (math.nan, 1)):
        with pytest.raises(ValueError, match=r"^rating_scale must be the lowest and the highest rating"):
            arguments.scale(wrong)
    for wrong in (5, "15", (None, 5), {1: 2}):  # type: ignore[assignment]
        with pytest.raises(TypeError, match=r"^rating_scale must be a pair of numbers"):
            arguments.scale(wrong)


SUMMER = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (881250949, 881250949),
        (881250949.5, 881250949.5),
        (0, 0),
        (np.int64(881250949), 881250949),
        (np.float64(0.25), 0.25),
        (datetime(1997, 12, 4, 15, 55, 49, tzinfo=UTC), 881250949),
        (datetime(1997, 12, 4, 17, 55, 49, 500_000, tzinfo=SUMMER), 881250949.5),
    ],
)
def test_times_are_sent_in_seconds(given: Any, meant: float) -> None:
    assert json.loads(encode_rating("u", "i", 5, given))["timestamp"] == meant


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        (881250949000, ValueError, ".*got 881250949000, which looks like milliseconds"),
        (881250949000000, ValueError, ".*which looks like microseconds"),
        (881250949000000000, ValueError, ".*which looks like nanoseconds"),
        (1e300, ValueError, "must be in seconds since 1970, at most 32503680000, got 1"),
        (-1, ValueError, "must be in seconds since 1970, got -1"),
        (math.nan, ValueError, "must be a finite number"),
        (math.inf, ValueError, "must be a finite number"),
        (datetime(1997, 12, 4, 15, 55, 49), ValueError, "must have a time zone, got datetime"),
        (datetime(1960, 1, 1, tzinfo=UTC), ValueError, "must be in seconds since 1970, got -"),
        (date(1997, 12, 4), TypeError, "must be a number of seconds since 1970, or a datetime"),
        (np.datetime64("1997-12-04"), TypeError, "must be a number of seconds"),
        ("881250949", TypeError, "must be a number of seconds"),
        (True, TypeError, "must be a number of seconds"),
    ],
)
def test_what_is_no_time_is_refused(given: Any, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=rf"^timestamp {told}"):
        encode_rating("u", "i", 5, given)


anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=300),
    st.binary(max_size=5),
    st.decimals(),
    st.datetimes(timezones=st.none() | st.just(UTC)),
    st.lists(st.integers(), max_size=2),
    st.sampled_from([np.int64(5), np.float32(2.5), np.float64("nan"), np.str_("x"), 881250949000, 7, -0.5]),
)


@given(anything, anything, anything, anything)
def test_what_the_edge_lets_through_the_worker_takes(
    user: Any, item: Any, rating: Any, timestamp: Any
) -> None:
    try:
        sent = encode_rating(user, item, rating, timestamp)
    except (TypeError, ValueError) as error:
        assert str(error).startswith(("user ", "item ", "rating ", "timestamp "))  # noqa: PT017
    else:
        RatingDecoder(*KNOWN_SCALE).decode(sent)


@given(st.text(max_size=300), st.floats(-2, 6), st.floats(-1e12, 1e12))
def test_the_bounds_are_those_of_the_workers_decoder(user: str, rating: float, timestamp: float) -> None:
    def accepted(value: dict[str, Any]) -> bool:
        try:
            RatingDecoder(*KNOWN_SCALE).decode(json.dumps(value).encode())
        except BadMessage:
            return False
        return True

    good = {"user": "u", "item": "i", "rating": 1, "timestamp": 1}
    checks: list[tuple[dict[str, Any], Callable[[], str]]] = [
        ({"user": user}, lambda: contract.id_fault(user)),
        ({"rating": rating}, lambda: contract.rating_fault(rating, *KNOWN_SCALE)),
        ({"timestamp": timestamp}, lambda: contract.timestamp_fault(timestamp)),
        ({"timestamp": MAX_TIMESTAMP}, lambda: contract.timestamp_fault(MAX_TIMESTAMP)),
    ]
    for changed, fault in checks:
        assert accepted({**good, **changed}) == (fault() == "")
