"""`recommender evaluate`: what it prints and writes, and what it says when it cannot."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from recommender.cli.evaluate import evaluate
from recommender.errors import RecommenderError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A small gzipped rating file with ids that are words and many equal timestamps."""
    rng = np.random.default_rng(1)
    pairs = list(dict.fromkeys((int(u), int(i)) for u, i in rng.integers(0, 25, (400, 2))))
    lines = [f"u{u}\ti{i}\t{rng.integers(1, 6)}\t{1000 + n // 10}" for n, (u, i) in enumerate(pairs)]
    path = tmp_path / "u.data.gz"
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(evaluate, [str(each) for each in arguments])


def test_json_alone_is_on_standard_output(source: Path) -> None:
    result = run(source, "--models", "popular,blend", "--json", "-")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert (report["source"], report["positive"]) == (str(source), 4)
    assert [each["model"] for each in report["models"]] == ["popular", "blend"]
    for each in report["models"]:
        assert 0.0 < each["mrr"] <= each["recall@10"] <= 1.0
        assert each["learn_us"] > 0.0
        assert each["tests"] > 50


def test_files_hold_the_same_and_the_table_names_all(source: Path, tmp_path: Path) -> None:
    result = run(
        source, "--models", "random,popular", "--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv"
    )
    assert result.exit_code == 0
    assert "random" in result.stdout
    assert "McNemar" in result.stdout
    report = json.loads((tmp_path / "a.json").read_text())
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    for told, row in zip(report["models"], rows, strict=True):
        assert row["model"] == told["model"]
        assert float(row["recall@10"]) == told["recall@10"]


def test_repeats_are_tested_where_they_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "bought.csv"
    rows = [f"u{n % 7},i{n * 3 % 5},5,{1000 + n}" for n in range(200)]
    path.write_text("\n".join(["user,item,rating,timestamp", *rows]) + "\n")
    found = run(path, "--models", "popular", "--repeats", "--json", "-")
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    assert (report["repeats"], report["models"][0]["tests"]) == (True, 100)
    refused = run(path, "--models", "popular", "--repeats", "--explore", "epsilon")
    assert refused.exit_code == 2
    assert "--repeats goes without --explore" in refused.output


def test_protocols_limits_and_shuffles_change_what_is_tested(source: Path) -> None:
    def tests(*options: object) -> tuple[int, float]:
        found = json.loads(run(source, "--models", "sequence-knn", "--json", "-", *options).stdout)["models"][
            0
        ]
        return found["tests"], found["mrr"]

    assert tests("--limit", 100)[0] < tests()[0]
    assert tests("--positive", 2)[0] > tests()[0]
    assert tests("--protocol", "flurs") != tests()
    assert tests("--shuffle-ties", 1) == tests("--shuffle-ties", 1)
    assert tests("--shuffle-ties", 1) != tests()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--models", "nonesuch"], "unknown model: 'nonesuch'"),
        (["--positive", "6"], "expected 2 or more positive ones"),
        (["--models", "popular", "--json", "/dev/null/a.json"], "cannot be written"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(source: Path, options: list[str], said: str) -> None:
    result = run(source, *options)
    assert isinstance(result.exception, RecommenderError)
    assert said in str(result.exception)


def test_a_missing_source_is_said(tmp_path: Path) -> None:
    result = run(tmp_path / "missing.csv")
    assert isinstance(result.exception, RecommenderError)
    assert "does not exist" in str(result.exception)
