"""A dump of a source's topic is read as its table says, so that a mapping can be tried on it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from recommender.cli.evaluate import evaluate
from recommender.evaluation.datasets.mapped import mapping_of, read
from recommender.ingest.sources.mapping import SourcesError
from recommender.messages.ratings import Rating
from recommender.shard.feedback import Feedback

CLICKS = """
[clicks]
user = "u"
item = "i"
event = "type"
time = "ts"
[clicks.events]
view = 1
purchase = 5
remove = "withdraw"
"""
FEEDBACK = Feedback.parse("graded:4")


def dumped(path: Path, *values: Any) -> Path:
    lines = [value if isinstance(value, str) else json.dumps(value) for value in values]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\n\n").encode()))
    return path


def test_ratings_skips_and_rejections(tmp_path: Path) -> None:
    path = dumped(
        tmp_path / "dump.jsonl.gz",
        {"u": 1, "i": "é", "type": "purchase", "ts": 1_700_000_000_000},
        {"u": 1, "i": "é", "type": "remove"},
        {"type": "scroll"},
        {"u": 1, "type": "view"},
        "{",
        {"u": 2, "type": "view"},
    )
    said: list[str] = []
    found = list(read(path, mapping_of(CLICKS, None, 0.5, 5.0), FEEDBACK, said.append))
    assert found == [Rating("1", "é", 5.0, 1.7e9), Rating("1", "é", None, None)]
    missing = "Object missing required field - at `$.i` of source `clicks`"
    assert said == [
        f"{path}: 1 records are skipped: 1 event_not_listed",
        f"{path}: 3 records are rejected: 2 times {missing}, first on line 4; "
        "1 times Input data was truncated of source `clicks`, first on line 5",
    ]


def test_which_table() -> None:
    assert mapping_of("[a]\n[b]", "b", 0.5, 5.0).name == "b"
    with pytest.raises(SourcesError, match="--source is missing: expected one of a, b"):
        mapping_of("[a]\n[b]", None, 0.5, 5.0)
    with pytest.raises(SourcesError, match="--source has value 'c': expected one of a, b"):
        mapping_of("[a]\n[b]", "c", 0.5, 5.0)
    with pytest.raises(SourcesError, match=r"--sources has value 'no\.toml': cannot read this file"):
        mapping_of("no.toml", None, 0.5, 5.0)


def test_evaluate_takes_a_dump(tmp_path: Path) -> None:
    values = [{"u": n % 9, "i": n % 7, "type": "purchase", "ts": 1_700_000_000 + n} for n in range(80)]
    path = dumped(tmp_path / "dump.gz", *values)
    file = tmp_path / "sources.toml"
    file.write_text(CLICKS, "utf-8")
    options = ["--models", "popular", "--json", "-"]
    result = CliRunner().invoke(evaluate, [str(path), "--sources", str(file), "--source", "clicks", *options])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["ratings"] == 80
    assert CliRunner().invoke(evaluate, [str(path), "--source", "clicks", *options]).exit_code == 2
