"""Checkpoints: what was saved is loaded, what does not fit is said, and a full disk harms nothing."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recommender.checkpoints import identity
from recommender.checkpoints.checkpoint import CheckpointMismatch
from recommender.checkpoints.identity import Identity, handover_of, origin_of
from recommender.checkpoints.store import CheckpointStore
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from tests.unit.checkpoints.stores import IDENTITY, name, names, saved, shard_with


@pytest.mark.parametrize("count", [0, 1, 20])
def test_what_was_saved_is_loaded(tmp_path: Path, count: int) -> None:
    store = saved(tmp_path, count)
    loaded, warnings = store.load(0)
    assert loaded is not None
    assert (loaded.offset, warnings) == (count, [])
    restored = Shard(ShardOptions())
    restored.restore(loaded.state)
    assert restored.digest() == shard_with(count).digest()
    assert names(tmp_path) == [name(count)]


def test_the_header_can_be_read_by_any_numpy(tmp_path: Path) -> None:
    path = saved(tmp_path, 5).directory / "ratings-0" / name(5)
    with np.load(path, allow_pickle=False) as file:
        header = json.loads(file["header"].tobytes())
    assert header["offset"] == 5
    assert header["settings"] == IDENTITY.settings
    assert {"topic", "topic_id", "partitions", "partition", "version", "saved", "digest", "format"} <= set(
        header
    )


def test_nothing_saved_is_nothing_loaded(tmp_path: Path) -> None:
    assert CheckpointStore(tmp_path / "never", IDENTITY).load(0) == (None, [])


def test_partitions_and_topics_do_not_meet(tmp_path: Path) -> None:
    store = saved(tmp_path, 5)
    assert store.load(1) == (None, [])
    other = Identity("other", "topic-id-1", 2, IDENTITY.settings)
    assert CheckpointStore(tmp_path, other).load(0) == (None, [])


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    store = saved(tmp_path, 1, 9, 10, 100)
    assert names(tmp_path) == [name(10), name(100)]
    store.save(0, 100, shard_with(100).state())
    assert names(tmp_path) == [name(10), name(100)]


def test_what_a_crash_left_behind_is_deleted_by_the_next_save(tmp_path: Path) -> None:
    folder = tmp_path / "ratings-0"
    store = saved(tmp_path, 1, 2)
    for offset in (3, 4, 5):  # each was written, and then its writer died before it deleted the older ones
        (folder / name(offset)).write_bytes((folder / name(2)).read_bytes())
    (folder / "old.tmp").write_bytes(b"half")
    (folder / "new.tmp").write_bytes(b"another worker is writing this")
    os.utime(folder / "old.tmp", (1, 1))
    store.save(0, 6, shard_with(6).state())
    assert names(tmp_path) == [name(5), name(6), "new.tmp"]


def test_a_second_rebuild_deletes_what_the_first_has_set_aside(tmp_path: Path) -> None:
    saved(tmp_path, 5, 9)
    CheckpointStore(tmp_path, replace(IDENTITY, topic_id="2")).load(0, rebuild=True)
    saved(tmp_path, 3, 7, identity=replace(IDENTITY, topic_id="2"))
    CheckpointStore(tmp_path, replace(IDENTITY, topic_id="3")).load(0, rebuild=True)
    assert names(tmp_path) == [name(each).replace(".npz", ".superseded") for each in (3, 7)]


def test_a_place_that_cannot_be_listed_after_a_save_does_not_undo_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(folder: str) -> list[str]:
        raise OSError("input/output error")

    store = saved(tmp_path, 5)
    with monkeypatch.context() as patch:
        patch.setattr(store.storage, "files", fails)
        store.save(0, 9, shard_with(9).state())
    assert names(tmp_path) == [name(5), name(9)]
    assert "cannot delete old checkpoints: input/output error" in caplog.text


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"topic_id": "topic-id-2"},
            "topic 'ratings' was deleted and made again (its id was 'topic-id-1', now 'topic-id-2')",
        ),
        ({"partitions": 3}, "partitions was 2, now 3"),
        ({"settings": {"model": "mf", "seed": "0"}}, "RECOMMENDER_MODEL was 'popular', now 'mf'"),
        ({"settings": {"model": "popular", "seed": "1"}}, "RECOMMENDER_SEED was '0', now '1'"),
        ({"settings": {"model": "popular"}}, "RECOMMENDER_SEED was '0', now not known"),
        ({"settings": {**IDENTITY.settings, "new": "x"}}, "RECOMMENDER_NEW was not known, now 'x'"),
    ],
)
def test_what_does_not_fit_is_told_and_can_be_set_aside(
    tmp_path: Path, changed: dict[str, Any], told: str
) -> None:
    saved(tmp_path, 5, 9)
    values = {"topic": "ratings", "topic_id": "topic-id-1", "partitions": 2, "settings": IDENTITY.settings}
    store = CheckpointStore(tmp_path, Identity(**{**values, **changed}))
    with pytest.raises(CheckpointMismatch) as caught:
        store.load(0)
    assert told in str(caught.value)
    assert name(9) in str(caught.value)
    assert "recommender worker --rebuild" in str(caught.value)
    assert "RECOMMENDER_CHECKPOINTS" in str(caught.value)

    loaded, warnings = store.load(0, rebuild=True)
    assert loaded is None
    assert len(warnings) == 2
    assert told in warnings[0]
    assert names(tmp_path) == [name(each).replace(".npz", ".superseded") for each in (5, 9)]
    assert store.load(0) == (None, [])


def test_what_was_handed_over_supersedes_what_was_before(tmp_path: Path) -> None:
    before = saved(tmp_path, 5)
    after = before.of_handover("second")
    header = before.header_at(0, 5)
    assert header is not None
    assert (before.supersedes(header), after.supersedes(header)) == (False, True)
    assert not after.supersedes({**header, "handover": "second"})
    assert not after.supersedes({**header, "version": "another"})


def test_of_what_goes_back_to_before_a_rewriting_nothing_is_kept(tmp_path: Path) -> None:
    before = saved(tmp_path, 1, 5)
    folder = tmp_path / "ratings-0"
    (folder / name(3)).with_suffix(".superseded").write_bytes(b"set aside")
    after = before.of_origin(4)
    assert (after.of_origin(4), after.of_origin(-1).identity) == (after, before.identity)
    old = before.header_at(0, 5)
    assert old is not None
    assert (after.supersedes(old), after.is_comparable(old)) == (True, False)
    after.save(0, 9, shard_with(9).state())
    assert names(tmp_path) == [name(5), name(9)]  # the first one was saved after it
    new = before.header_at(0, 9)
    assert new is not None
    assert (before.supersedes(new), before.is_comparable(new), after.is_comparable(new)) == (False,) * 2 + (
        True,
    )
    assert (handover_of(new), origin_of(new), origin_of(old)) == ("", 4, -1)
    again = after.of_handover("one").of_origin(7)
    again.save(0, 10, shard_with(10).state())
    assert names(tmp_path) == [name(9), name(10)]
    found = again.header_at(0, 10)
    assert found is not None
    assert (handover_of(found), origin_of(found)) == ("one", 7)
    assert not before.of_handover("one").supersedes(found)


def test_another_format_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = saved(tmp_path, 5)
    monkeypatch.setattr(identity, "FORMAT", identity.FORMAT + 1)
    with pytest.raises(CheckpointMismatch, match=f"format was {identity.FORMAT - 1}, now {identity.FORMAT}"):
        store.load(0)


def test_another_partitions_file_does_not_fit(tmp_path: Path) -> None:
    store = saved(tmp_path, 5)
    (tmp_path / "ratings-0").rename(tmp_path / "ratings-1")
    with pytest.raises(CheckpointMismatch, match="partition was 0, now 1"):
        store.load(1)


def test_a_place_that_cannot_be_written_raises(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError):
        saved(tmp_path / "file", 5)
    (tmp_path / "ratings-0").write_text("in the way")
    with pytest.raises(OSError):
        saved(tmp_path, 5)


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_one_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    store = saved(tmp_path, 5)

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync", full) if fails == "fsync" else (Path, "replace", full)))
        with pytest.raises(OSError, match="No space left"):
            store.save(0, 9, shard_with(9).state())
    assert names(tmp_path) == [name(5)]
    loaded, warnings = store.load(0)
    assert loaded is not None
    assert (loaded.offset, warnings) == (5, [])


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append("fsync")
        fsync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        steps.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    saved(tmp_path, 5)
    assert steps == ["fsync", "rename", "fsync"]


def test_only_old_temporary_files_are_swept_away(tmp_path: Path) -> None:
    store = saved(tmp_path, 5)
    for file in ("old.tmp", "new.tmp"):
        (tmp_path / "ratings-0" / file).write_bytes(b"half")
    os.utime(tmp_path / "ratings-0" / "old.tmp", (1, 1))
    store.load(0)
    assert names(tmp_path) == [name(5), "new.tmp"]
