"""Not showing again, in the evaluation: without it it is the evaluation itself, with it lists change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from recommender.cli.evaluate import evaluate as command
from recommender.evaluation.hiding_costs import Hiding, evaluate
from recommender.evaluation.prequential import evaluate as plain
from recommender.evaluation.streams import Stream
from tests.unit.evaluation.test_prequential import ratings

TIMES = (0, 1, 3, 1000)


def stream() -> Stream:
    return Stream.of(*ratings(3000, 1, users=60, items=100), 4.0, "graded")


@pytest.fixture(scope="module")
def hiding() -> dict[int, Hiding]:
    return dict(zip(TIMES, evaluate(stream(), "popular", TIMES, hours=1e6), strict=True))


def test_where_nothing_is_hidden_it_is_the_evaluation(hiding: dict[int, Hiding]) -> None:
    (expected,) = plain(stream(), ["popular"])
    for times in (0, 1000):
        found = hiding[times].summary()
        assert found["tests"] == len(expected.ranks) > 20
        assert found["item_coverage"] == expected.summary()["item_coverage"]
        assert found["hidden_per_list"] == 0.0


def test_what_was_shown_costs_recall_and_turns_lists_over(hiding: dict[int, Hiding]) -> None:
    never, once, thrice = (hiding[times] for times in (0, 1, 3))
    assert never.hits > thrice.hits > once.hits
    assert never.new / never.places < thrice.new / thrice.places < once.new / once.places
    assert once.new == once.places  # no item comes twice
    assert never.recommended < once.recommended


def test_what_was_shown_too_long_ago_does_not_count() -> None:
    (never, short) = evaluate(stream(), "popular", (0, 1), hours=-1.0)  # also what has the same time
    assert short.hidden == 0
    assert short.hits == never.hits


def test_the_command(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    lines = [f"u{number % 20},i{number * 7 % 31},{number % 5 + 1},{number}" for number in range(600)]
    path.write_text("user,item,rating,timestamp\n" + "\n".join(lines) + "\n")

    def run(*options: str) -> str:
        result = CliRunner().invoke(command, [str(path), "--models", "popular", *options])
        return result.stdout if result.exit_code == 0 else f"{result.exit_code}: {result.output}"

    rows = json.loads(run("--hide-seen", "0,2", "--json", "-"))["models"]
    assert [row["hide_seen"] for row in rows] == [0, 2]
    assert rows[1]["turnover"] > rows[0]["turnover"]
    assert "turnover" in run("--hide-seen", "1")
    for wrong in ("x", "-1", "1,,2"):
        assert run(f"--hide-seen={wrong}").startswith("2: ")
    assert run("--hide-seen", "1", "--explore", "none").startswith("2: ")
