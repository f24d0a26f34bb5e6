"""`recommender replay` of what `recommender journal export` wrote where somebody was forgotten or merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from recommender.cli.main import recommender
from recommender.errors import RecommenderError
from tests.integration.topic_admin import create
from tests.support.kafka import consume_all

LINES: list[dict[str, Any]] = [
    {"user": "guest", "forget": True, "timestamp": 1.5},
    {"user": "guest", "item": "i1", "rating": 4.0, "timestamp": 2.0},
    {"user": "ann", "item": "i2", "rating": None, "timestamp": 3.0},
    {"user": "ann", "merge": "guest", "timestamp": 4.0},
    {"item": "i2", "forget": True, "timestamp": None},
    {"user": "ann", "item": "i1", "rating": 5.0, "timestamp": 1.0},
]


def run(kafka: str, path: Path, *arguments: str) -> Result:
    environment = {"RECOMMENDER_BROKER": kafka}
    return CliRunner(env=environment).invoke(recommender, ["replay", str(path), *arguments])


def written(path: Path, *lines: object) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    return path


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_all_lines_come_in_their_order(kafka: str, unique: str, tmp_path: Path, form: str) -> None:
    create(kafka, {unique: 1})
    path = written(tmp_path / "export.jsonl", *LINES)
    told = run(kafka, path, "--topic", unique, "--order", "file", "--format", form)
    assert told.exit_code == 0, told.output
    assert "6 delivered" in told.output
    found = consume_all(kafka, unique)
    assert [each.key for each in found] == [b"guest", b"guest", b"ann", b"ann", b"i2", b"ann"]
    if form == "json":
        sent = [{name: value for name, value in each.items() if name == "rating" or value is not None}
                for each in LINES]  # fmt: skip
        assert [json.loads(each.value or b"") for each in found] == sent


def test_by_time_they_are_refused(kafka: str, unique: str, tmp_path: Path) -> None:
    create(kafka, {unique: 1})
    told = run(kafka, written(tmp_path / "export.jsonl", *LINES[1:]), "--topic", unique)
    assert isinstance(told.exception, RecommenderError)
    assert "Rating 3 says whom to merge" in str(told.exception)
    assert "--order file" in str(told.exception)
    assert consume_all(kafka, unique) == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ({"user": "u", "item": "i", "forget": True}, "line 2: `forget` is about a user or an item, got both"),
        ({"user": "u", "merge": "u"}, "line 2: user 'u' cannot be merged with himself"),
        ({"user": "u" * 257, "forget": True}, "line 2: Expected `str` of length <= 256 - at `$.user`"),
    ],
)
def test_what_a_worker_would_refuse_is_named(
    kafka: str, unique: str, tmp_path: Path, line: object, fault: str
) -> None:
    create(kafka, {unique: 1})
    path = written(tmp_path / "export.jsonl", LINES[1], line)
    told = run(kafka, path, "--topic", unique, "--order", "file")
    assert isinstance(told.exception, RecommenderError)
    assert fault in str(told.exception)
