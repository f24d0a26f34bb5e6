"""`recommender checkpoint`: what it shows, that it notices damage, and that what it exports is the data."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from recommender import settings
from recommender.checkpoints.checkpoint import CheckpointMismatch
from recommender.checkpoints.identity import Identity
from recommender.checkpoints.open_storage import storage
from recommender.checkpoints.store import CheckpointStore
from recommender.cli.main import recommender
from recommender.errors import RecommenderError
from recommender.messages.ratings import Rating, RatingDecoder
from recommender.shard.options import ShardOptions, learned_settings
from recommender.shard.shard import Shard

RATINGS = [
    Rating("ann, the first", "é", 5, None),
    Rating("bob", "x", 3.7, None),
    Rating("bob", "é", 1, None),
    Rating('"q"', "x", 2, None),
    Rating("bob", "x", 4.5, None),
    Rating('"q"', "x", None, None),
]
STANDING = [("ann, the first", "é", 5), ("bob", "é", 1), ("bob", "x", 4.5)]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for each in settings.describe():
        monkeypatch.delenv(each.variable, raising=False)


def save(location: str | Path, partition: int = 0, offsets: tuple[int, ...] = (3, 6)) -> list[str]:
    """Checkpoints after so many of the ratings; their digests."""
    store = CheckpointStore(location, Identity("ratings", "id", 2, {"model": "popular"}))
    digests = []
    for offset in offsets:
        shard = Shard(ShardOptions())
        shard.learn(RATINGS[:offset], map(float, range(offset)))
        store.save(partition, offset, shard.state())
        digests.append(shard.digest())
    return digests


def run(*arguments: object) -> Result:
    return CliRunner().invoke(recommender, ["checkpoint", *map(str, arguments)])


def damage(location: str | Path, file: str) -> None:
    place = storage(location)
    with place.fetch(file) as opened:
        whole = opened.read()
    middle = len(whole) // 3
    broken = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    place.write(file, lambda target: target.write(broken))


def name(offset: int, partition: int = 0) -> str:
    return f"ratings-{partition}/{offset:020d}.npz"


def test_inspect_shows_the_newest_of_each_partition(location: str | Path) -> None:
    digests = {partition: save(location, partition) for partition in (10, 2)}
    found = run("inspect", location)
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    assert found.exit_code == 0
    assert [(row[0], row[1], *row[3:7]) for row in rows] == [
        (f"ratings[{partition}]", "6", "popular", "3", "2", "6") for partition in (2, 10)
    ]
    assert [row[8] for row in rows] == [digests[2][1], digests[10][1]]
    for text in (f"{location}/ratings-2", f"{location}/{name(6, 2)}"):
        assert run("inspect", text).stdout.splitlines() == found.stdout.splitlines()[:1]
    assert run("inspect", f"{location}/{name(3, 2)}").stdout.split("\t")[1] == "3"


def test_the_place_is_the_setting_if_none_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "here")
    monkeypatch.setenv("RECOMMENDER_CHECKPOINTS", str(tmp_path / "here"))
    assert run("inspect").stdout.startswith("ratings[0]\t6\t")
    assert run("verify").exit_code == 0


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_no_checkpoint_is_an_error(tmp_path: Path, command: str) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        error = run(command, place).exception
        assert isinstance(error, RecommenderError)
        assert str(error) == f"there is no checkpoint in {place}"
    found = run(command, tmp_path / "x.npz")
    assert found.exit_code == 1
    assert str(tmp_path / "x.npz") in found.output


def test_verify_reads_all_and_finds_what_is_damaged(location: str | Path) -> None:
    digests = {partition: save(location, partition) for partition in (0, 1)}
    found = run("verify", location)
    assert found.exit_code == 0
    for partition, (old, new) in digests.items():
        assert f"{name(3, partition)} is whole: offset 3, digest {old}" in found.stdout
        assert f"{name(6, partition)} is whole: offset 6, digest {new}" in found.stdout
    damage(location, name(3, 1))
    found = run("verify", location)
    assert found.exit_code == 1
    assert found.stdout.count(" is whole: offset") == 3
    assert f"{name(3, 1)} is " in found.stdout
    assert "1 damaged" in found.stderr


def test_inspect_tells_what_it_cannot_read(location: str | Path) -> None:
    save(location)
    save(location, 1)
    storage(location).write(name(6, 1), lambda file: file.write(b"foreign"))
    found = run("inspect", location)
    assert found.exit_code == 1
    assert [line.split("\t")[0] for line in found.stdout.splitlines()] == ["ratings[0]"]
    assert f"{name(6, 1)} is not a whole checkpoint: it is not an .npz file" in found.stderr


def read_table(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_bytes().splitlines()]
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_export_to_a_directory(location: str | Path, tmp_path: Path, form: str) -> None:
    save(location)
    to = tmp_path / "out" / "data"
    found = run("export", location, "--to", to, "--format", form)
    assert found.exit_code == 0, found.output
    assert sorted(each.name for each in to.iterdir()) == [
        f"{each}.{form}" for each in ("items", "ratings", "users")
    ]
    rows = [(row["user"], row["item"], float(row["rating"])) for row in read_table(to / f"ratings.{form}")]
    assert rows == STANDING
    users = [
        (row["user"], int(row["ratings"]), float(row["last_time"]))
        for row in read_table(to / f"users.{form}")
    ]
    assert users == [("ann, the first", 1, 0.0), ("bob", 2, 4.0), ('"q"', 0, 3.0)]
    items = [(row["item"], int(row["ratings"])) for row in read_table(to / f"items.{form}")]
    assert items == [("é", 2), ("x", 1)]
    assert f"{to / f'ratings.{form}'}: 3 rows" in found.stdout


def test_the_exported_ratings_are_what_the_topic_takes(tmp_path: Path) -> None:
    save(tmp_path / "in")
    assert run("export", tmp_path / "in" / name(6), "--to", tmp_path / "out.jsonl").exit_code == 0
    decode = RatingDecoder(0.5, 5).decode
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    decoded = [decode(line) for line in lines]
    assert [(each.user, each.item, each.rating) for each in decoded] == STANDING


def test_export_takes_all_partitions_and_the_older_one_for_a_damaged_one(tmp_path: Path) -> None:
    for partition in (0, 1):
        save(tmp_path / "in", partition)
    damage(tmp_path / "in", name(6, 1))
    found = run("export", tmp_path / "in", "--to", tmp_path / "out.csv")
    assert found.exit_code == 0
    assert name(6, 1) in found.stderr
    rows = [(row["user"], row["item"], float(row["rating"])) for row in read_table(tmp_path / "out.csv")]
    first_three = [(each.user, each.item, each.rating) for each in RATINGS[:3]]
    assert rows == STANDING + first_three


def test_an_export_that_fails_leaves_nothing(tmp_path: Path) -> None:
    for partition in (0, 1):
        save(tmp_path / "in", partition)
    for offset in (3, 6):
        damage(tmp_path / "in", name(offset, 1))
    error = run("export", tmp_path / "in", "--to", tmp_path / "out").exception
    assert isinstance(error, RecommenderError)
    assert "is whole" in str(error)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_export_never_overwrites(tmp_path: Path) -> None:
    save(tmp_path / "in")
    (tmp_path / "out.csv").write_text("mine")
    error = run("export", tmp_path / "in", "--to", tmp_path / "out.csv").exception
    assert isinstance(error, RecommenderError)
    assert str(tmp_path / "out.csv") in str(error)
    assert (tmp_path / "out.csv").read_text() == "mine"


def another(value: Any) -> Any:
    return value + "x" if isinstance(value, str) else 1 if value != value else value + 1


def test_every_setting_that_changes_what_is_learned_must_fit(tmp_path: Path) -> None:
    marked = [each.name for each in dataclasses.fields(settings.Settings) if each.metadata["learned"]]
    config = settings.Settings()
    # Of arms, the models count; they are told as the model is.
    assert list(learned_settings(config)) == [each for each in marked if each != "arms"]
    assert {"model", "feedback", "seed", "rating_min", "rating_max", "test_every"} <= set(marked)
    shard = Shard(ShardOptions())
    CheckpointStore(tmp_path, Identity("r", "id", 1, learned_settings(config))).save(0, 1, shard.state())
    for each in marked:
        value = "popular:1,mf:1" if each == "arms" else another(getattr(config, each))
        values: dict[str, Any] = {each: value}
        changed = dataclasses.replace(config, **values)
        with pytest.raises(CheckpointMismatch) as caught:
            CheckpointStore(tmp_path, Identity("r", "id", 1, learned_settings(changed))).load(0)
        assert settings.variable("model" if each == "arms" else each) in str(caught.value)
    kept = dataclasses.replace(config, checkpoint_interval=1.0, web_port=0, learn_slice=1.0)
    loaded, _ = CheckpointStore(tmp_path, Identity("r", "id", 1, learned_settings(kept))).load(0)
    assert loaded is not None
    assert set(loaded.header["packages"]) == {"python", "numpy", "numba"}
