"""Times as ISO 8601, many at once: what Python reads one by one, or nothing."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.ingest.sources.iso_times import seconds_of_texts
from recommender.ingest.sources.values import seconds_of

MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC))
ZONES = st.sampled_from(["", "Z", "+00:00", "+05:30", "-08:00", "+23:59", "-24:00"])
ALMOST = st.from_regex(r"\A[0-3]\d{3}-[01]\d-[0-3]\dT[0-2]\d:[0-6]\d:[0-6]\d(\.\d{1,7})?(Z|[+-]\d\d:\d\d)?\Z")


def by_python(text: str) -> float:
    try:
        found = seconds_of(datetime.fromisoformat(text))
    except ValueError:
        return math.nan
    return found if "1970" <= text[:4] <= "2199" else math.nan


@given(st.lists(st.one_of(ALMOST, st.builds(lambda at, zone: at.isoformat()[:-6] + zone, MOMENTS, ZONES))))
def test_it_is_what_python_reads(texts: list[str]) -> None:
    for text, found in zip(texts, seconds_of_texts(texts).tolist(), strict=True):
        # What is not written as the first of its length is left to a closer look.
        assert math.isnan(found) or found == by_python(text)
    for text in texts:
        found = seconds_of_texts([text])[0]
        assert found == by_python(text) or (math.isnan(found) and math.isnan(by_python(text)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-11-03",
        "2025-11-03 12:00:00",
        "2025-02-29T00:00:00",
        "2025-11-03T12:00:00z",
        "٢٠٢٥-11-03T12:00:00",
    ],
)
def test_what_needs_a_closer_look(text: str) -> None:
    good = "2024-02-29T00:00:00"
    found = seconds_of_texts([good, text, good]).tolist()
    assert found[::2] == [by_python(good)] * 2
    assert math.isnan(found[1])
