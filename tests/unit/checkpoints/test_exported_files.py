"""What is exported comes back as it was, whatever the ids hold: through our reader and through Python's."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from recommender.checkpoints.identity import Identity
from recommender.checkpoints.store import CheckpointStore
from recommender.cli.main import recommender
from recommender.evaluation.datasets.formats import read
from recommender.messages.ratings import Rating
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from tests.support.doubles import few

#: What ends lines and fields somewhere, among all the rest.
PARTS = ["a", "é", "\r", "\n", '"', ",", ";", "\t", " ", "\x00", "\x0b", "\x85", "\u2028", "'", ":", "{"]
ids = st.text(st.sampled_from(PARTS), min_size=1, max_size=8) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8
)
WORST = {("a\rb", "a\n\nb"): 5.0, (" a ", '"'): 2.5, ("\r", "\n"): 1.0, ("\r\n", "a,b"): 1.0}


def exported(directory: Path, ratings: list[Rating], form: str) -> Path:
    shard = Shard(ShardOptions())
    shard.learn(ratings, [float(each) for each in range(len(ratings))])
    CheckpointStore(directory / "in", Identity("ratings", "id", 1)).save(0, 1, shard.state())
    arguments = ["checkpoint", "export", directory / "in", "--to", directory / "out", "--format", form]
    result = CliRunner().invoke(recommender, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    return directory / "out"


def table(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_bytes().splitlines()]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("form", ["csv", "jsonl"])
@few
@given(st.dictionaries(st.tuples(ids, ids), st.sampled_from([1.0, 2.5, 5.0]), min_size=1, max_size=6))
@example(WORST)
@example({("user", "item"): 5.0})
def test_what_is_exported_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, form: str, standing: dict[tuple[str, str], float]
) -> None:
    ratings = [Rating(user, item, value, None) for (user, item), value in standing.items()]
    directory = exported(tmp_path_factory.mktemp("export"), ratings, form)
    path = directory / f"ratings.{form}"
    assert sorted(read(path, scale=(1, 5)), key=str) == sorted(ratings, key=str)
    rows = [(row["user"], row["item"], float(row["rating"])) for row in table(path)]
    assert sorted(rows) == sorted(each[:3] for each in ratings)
    for name, column in (("users", "user"), ("items", "item")):
        listed = [row[column] for row in table(directory / f"{name}.{form}")]
        assert sorted(listed) == sorted({getattr(each, column) for each in ratings})


def test_plain_ids_are_written_without_quotes(tmp_path: Path) -> None:
    path = exported(tmp_path, [Rating("42", "50", 5.0, None), Rating("a b", "é", 2.5, None)], "csv")
    assert (path / "ratings.csv").read_text("utf-8") == "user,item,rating\n42,50,5\na b,é,2.5\n"
