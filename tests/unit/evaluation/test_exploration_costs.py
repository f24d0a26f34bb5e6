"""Exploration in the evaluation: without chance it is the evaluation itself, with chance it is `mix`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from recommender.cli.evaluate import evaluate as command
from recommender.errors import RecommenderError
from recommender.evaluation.exploration_costs import Explored, evaluate
from recommender.evaluation.prequential import evaluate as plain
from recommender.evaluation.streams import Stream
from recommender.shard.exploration import Exploration
from tests.unit.evaluation.test_prequential import ratings

KINDS = ("none", "epsilon:0", "epsilon:0.5", "epsilon:1", "softmax:1e-9", "softmax:1e9", "thompson")


def stream() -> Stream:
    return Stream.of(*ratings(3000, 1, users=60, items=100), 4.0, "graded")


@pytest.fixture(scope="module")
def explored() -> dict[str, Explored]:
    found = evaluate(stream(), "popular", [Exploration.parse(each) for each in KINDS], seed=3)
    return dict(zip(KINDS, found, strict=True))


def test_without_chance_it_is_the_evaluation(explored: dict[str, Explored]) -> None:
    (expected,) = plain(stream(), ["popular"], seed=3)
    whole = expected.summary()
    for kind in ("none", "epsilon:0"):
        found = explored[kind].summary()
        assert found["tests"] == whole["tests"] > 20
        for name in ("item_coverage", "long_tail_share"):
            assert found[name] == whole[name]
        # Where the target shares its score, its rank is the middle one; in the list it is or is not.
        assert found["recall@10"] == pytest.approx(whole["recall@10"], abs=0.1)
        assert found["explored_share"] == 0.0


def test_chance_costs_recall_and_gives_coverage(explored: dict[str, Explored]) -> None:
    best, some, chance = (explored[kind] for kind in ("none", "epsilon:0.5", "epsilon:1"))
    assert best.hits > some.hits > chance.hits
    assert 0.4 < some.explored / some.slots < 0.6
    assert chance.explored == chance.slots == best.slots
    assert best.recommended <= chance.recommended
    assert best.tail_slots < some.tail_slots < chance.tail_slots
    # Cold it is the best of them, hot it is any.
    assert explored["softmax:1e-9"].hits == pytest.approx(best.hits, abs=8)
    assert explored["softmax:1e9"].hits < some.hits
    assert 0 < explored["thompson"].explored < explored["thompson"].slots


def test_the_same_seed_gives_the_same_lists(explored: dict[str, Explored]) -> None:
    ways = [Exploration.parse(each) for each in KINDS]
    again = evaluate(stream(), "popular", ways, seed=3)
    assert [each.summary() for each in again] == [each.summary() for each in explored.values()]
    other = evaluate(stream(), "popular", ways, seed=4)
    assert [each.recommended for each in other] != [each.recommended for each in again]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    s = stream()
    path = tmp_path / "u.data"
    rows = zip(s.users, s.items, s.ratings, s.times, strict=True)
    path.write_text("".join(f"{u}\t{i}\t{r:g}\t{t:.0f}\n" for u, i, r, t in rows))
    return path


def run(*arguments: object) -> tuple[int, str, BaseException | None]:
    result = CliRunner().invoke(command, [str(each) for each in arguments])
    return result.exit_code, result.output, result.exception


def test_the_command_compares_ways_for_each_model(source: Path) -> None:
    options = (source, "--models", "popular,random", "--explore", "none, thompson")
    code, out, _ = run(*options, "--json", "-")
    assert code == 0, out
    rows = json.loads(out)["models"]
    assert [(row["model"], row["explore"]) for row in rows] == [
        ("popular", "none"),
        ("popular", "thompson"),
        ("random", "none"),
        ("random", "thompson"),
    ]
    code, out, _ = run(*options)
    assert code == 0
    assert "thompson" in out
    assert "coverage" in out


def test_what_cannot_be_explored_is_told(source: Path) -> None:
    _, _, error = run(source, "--explore", "none,greedy")
    assert isinstance(error, RecommenderError)
    assert "exploration 'greedy' does not exist" in str(error)
    for more in (("--protocol", "top3"), ("--plot", "a.png")):
        code, out, _ = run(source, "--explore", "none", *more)
        assert code == 2
        assert "--explore goes without" in out
