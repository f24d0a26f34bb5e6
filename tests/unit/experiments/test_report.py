"""The report: its figures and its forms."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from numpy.typing import NDArray

from recommender.experiments.attribution import Attribution
from recommender.experiments.attribution_tables import COUNT, NAMED, Counts
from recommender.experiments.chart import as_png, as_svg
from recommender.experiments.report import report
from recommender.experiments.statistics import wilson

Floats = NDArray[np.float64]


def experiment_counts() -> Counts:
    """Two arms; u0 and u1 see a, u2 and u3 see b; every second place is explored."""
    attribution = Attribution()
    for number in range(4):
        arm = "a" if number < 2 else "b"
        places = [("x", "exploit", 0), ("y", "explore", 1), ("z", "exploit", 2)]
        attribution.recommended(f"u{number}", "r", "e", arm, 10.0, places)
    for user, item, sign in [
        ("u0", "x", 1),
        ("u0", "y", -1),
        ("u1", "x", 1),
        ("u2", "x", -1),
        ("u3", "z", 1),
    ]:
        attribution.rated(user, item, sign, 20.0)
    attribution.rated("u2", "z", 0, 20.0)
    return attribution.counts()


def test_counts_and_rates() -> None:
    summary = report(experiment_counts(), resamples=199)
    a, b = summary.arms
    assert (a.name, a.users, a.recommendations, a.attributed, a.positive) == ("a", 2, 6, 3, 2)
    assert (b.name, b.users, b.recommendations, b.attributed, b.positive) == ("b", 2, 6, 2, 1)
    assert a.rate == 2 / 3
    assert a.interval == wilson(2, 3)
    (difference,) = summary.arm_differences
    assert (difference.name, difference.base, difference.users) == ("b", "a", 4)
    assert difference.difference == pytest.approx(1 / 2 - 2 / 3)
    exploit, explore = summary.sources
    assert (exploit.name, exploit.recommendations, exploit.attributed, exploit.positive) == (
        "exploit",
        8,
        4,
        3,
    )
    assert (explore.name, explore.recommendations, explore.attributed, explore.positive) == (
        "explore",
        4,
        1,
        0,
    )
    assert summary.source_differences[0].difference == pytest.approx(-3 / 4)
    positions = [(each.name, each.recommendations, each.attributed) for each in summary.positions["a"]]
    assert positions == [("0", 2, 2), ("1", 2, 1), ("2", 2, 0)]


def test_what_a_request_forced_is_counted_apart() -> None:
    attribution = Attribution()
    for user, arm, forced in [("u0", "a", False), ("u1", "b", False), ("u0", "b", True), ("u2", "c", True)]:
        # Later than the list of u0's own arm, so that the rating is that of the forced list.
        place = [("x", "exploit", 0)]
        attribution.recommended(user, f"r{forced}", "e", arm, 10.0 + forced, place, forced=forced)
        attribution.rated(user, "x", 1, 20.0)
    summary = report(attribution.counts(), resamples=99)
    assert [(each.name, each.users, each.attributed) for each in summary.arms] == [("a", 1, 0), ("b", 1, 1)]
    assert [(each.name, each.recommendations) for each in summary.sources] == [("exploit", 2)]
    assert {name: len(each) for name, each in summary.positions.items()} == {"a": 1, "b": 1}
    assert [(each.name, each.users, each.attributed) for each in summary.forced] == [("b", 1, 1), ("c", 1, 1)]


def attributed(draw: np.random.Generator, arms: int, users: int) -> Counts:
    """Counts of arms of one rate, eight ratings from each user."""
    rows = np.zeros(arms * users, COUNT)
    rows["arm"], rows["user"] = np.repeat(np.arange(arms), users), np.arange(arms * users)
    rows["places"] = rows["attributed"] = 8
    rows["positive"] = simulated(draw, arms * users, 8, 0.6, 0.3)[:, 0]
    names = {name: [str(number) for number in range(arms * users)] for name in NAMED}
    return Counts(rows, names)


def test_arms_come_in_the_order_asked_for_and_may_be_empty() -> None:
    summary = report(experiment_counts(), arms=("b", "a", "c"), resamples=99)
    assert [group.name for group in summary.arms] == ["b", "a", "c"]
    assert [(each.name, each.base) for each in summary.arm_differences] == [("a", "b")]
    nothing = summary.arms[2]
    assert (nothing.users, nothing.recommendations, nothing.rate, nothing.interval) == (0, 0, None, None)
    assert report(Attribution().counts()).arms == []


def test_the_same_counts_give_the_same_report() -> None:
    first, second = report(experiment_counts(), seed=3), report(experiment_counts(), seed=3)
    assert json.dumps(first.as_json()) == json.dumps(second.as_json())


def test_json_and_picture() -> None:
    summary = report(experiment_counts(), arms=("a", "b", "<c>"))
    read = json.loads(json.dumps(summary.as_json(), allow_nan=False))
    assert read["arms"][0]["attributed"] == 3
    assert read["arms"][2]["rate"] is None
    picture = ET.fromstring(as_svg(summary))
    texts = [element.text for element in picture.iter() if element.tag.endswith("text")]
    assert "<c>" in texts
    assert "66.7 % of 3" in texts
    assert "no ratings yet" in texts
    assert as_png(summary, "costs $1 and $2").startswith(b"\x89PNG")


def simulated(draw: np.random.Generator, users: int, ratings: int, rate: float, alike: float) -> Floats:
    """Positive and all ratings of users whose own rates vary: Beta, correlation `alike` within a user."""
    spread = (1 - alike) / alike
    own = draw.beta(rate * spread, (1 - rate) * spread, users)
    return np.stack([draw.binomial(ratings, own), np.full(users, ratings)], axis=1).astype(np.float64)
