"""Checkpoints in a directory, at a file URL and in an object store; workers that write the same partition."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from recommender.checkpoints.checkpoint import CheckpointError, CheckpointMismatch, read
from recommender.checkpoints.identity import Identity
from recommender.checkpoints.open_storage import storage
from recommender.checkpoints.storage import StorageError
from recommender.checkpoints.store import CheckpointStore
from recommender.journal.rule import Rule
from recommender.messages.ratings import Rating
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.worker.replicas import Replicas

IDENTITY = Identity("ratings", "topic-id", 2, {"model": "popular"})


def shard_with(count: int) -> Shard:
    shard = Shard(ShardOptions())
    shard.learn(
        [Rating(f"u{each % 3}", f"i{each}", 5, None) for each in range(count)], map(float, range(count))
    )
    return shard


def saved(location: str | Path, *offsets: int, identity: Identity = IDENTITY) -> CheckpointStore:
    store = CheckpointStore(location, identity)
    for offset in offsets:
        store.save(0, offset, shard_with(offset).state())
    return store


def name(offset: int) -> str:
    return f"{offset:020d}.npz"


def names(location: str | Path) -> list[str]:
    return storage(location).files("ratings-0")


def test_a_checkpoint_comes_back_from_any_place(location: str | Path) -> None:
    path = saved(location, 5).save(0, 9, shard_with(9).state())
    assert str(path).endswith(f"/ratings-0/{name(9)}")
    loaded, warnings = CheckpointStore(location, IDENTITY).load(0)
    assert loaded is not None
    assert (loaded.offset, loaded.path, warnings) == (9, path, [])
    restored = Shard(ShardOptions())
    restored.restore(loaded.state)
    assert restored.digest() == shard_with(9).digest() == read(path).header["digest"]


def test_two_are_kept_at_any_place(location: str | Path) -> None:
    saved(location, 1, 9, 10, 100)
    assert names(location) == [name(10), name(100)]


def test_the_older_one_stands_in_at_any_place(location: str | Path) -> None:
    store = saved(location, 5, 9)
    store.storage.write(f"ratings-0/{name(9)}", lambda file: file.write(b"damaged"))
    loaded, warnings = store.load(0)
    assert loaded is not None
    assert loaded.offset == 5
    assert [name(9) in each for each in warnings] == [True]
    store.storage.write(f"ratings-0/{name(5)}", lambda file: file.write(b""))
    loaded, warnings = store.load(0)
    assert loaded is None
    assert len(warnings) == 2


def test_what_does_not_fit_names_both_ways_out_at_any_place(location: str | Path) -> None:
    saved(location, 5, 9)
    store = CheckpointStore(location, Identity("ratings", "topic-id", 2, {"model": "mf"}))
    with pytest.raises(CheckpointMismatch) as caught:
        store.load(0)
    for text in (name(9), "'popular', now 'mf'", "RECOMMENDER_MODEL", "--rebuild", "RECOMMENDER_CHECKPOINTS"):
        assert text in str(caught.value)
    assert store.load(0, rebuild=True)[0] is None
    assert names(location) == [name(each).replace(".npz", ".superseded") for each in (5, 9)]


def test_a_worker_that_lost_its_partition_does_no_harm(location: str | Path) -> None:
    owner, zombie = saved(location, 50), CheckpointStore(location, IDENTITY)
    for offset in (20, 30, 50):
        zombie.save(0, offset, shard_with(offset).state())
        loaded, warnings = owner.load(0)
        assert loaded is not None
        assert (loaded.offset, warnings) == (50, [])
    owner.save(0, 60, shard_with(60).state())
    owner.save(0, 70, shard_with(70).state())
    zombie.save(0, 40, shard_with(40).state())
    loaded, _ = owner.load(0)
    assert loaded is not None
    assert loaded.offset == 70
    owner.save(0, 80, shard_with(80).state())
    assert names(location) == [name(70), name(80)]


def test_workers_that_save_at_once_leave_the_newest(tmp_path: Path) -> None:
    states = {offset: shard_with(offset).state() for offset in range(1, 13)}
    errors: list[Exception] = []

    def work(offsets: range) -> None:
        store = CheckpointStore(tmp_path, IDENTITY)
        try:
            for offset in offsets:
                store.save(0, offset, states[offset])
                assert store.load(0)[0] is not None
        except Exception as error:
            errors.append(error)

    ranges = (range(1, 13), range(1, 13, 2), range(2, 13, 3))
    threads = [threading.Thread(target=work, args=(each,)) for each in ranges]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    loaded, warnings = CheckpointStore(tmp_path, IDENTITY).load(0)
    assert loaded is not None
    assert (loaded.offset, warnings) == (12, [])


def test_a_checkpoint_that_is_deleted_while_it_is_read_is_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = saved(tmp_path, 5, 9), CheckpointStore(tmp_path, IDENTITY)
    fetch = store.storage.fetch

    def late(file: str) -> Any:
        if file.endswith(name(9)):
            for offset in (20, 30):
                other.save(0, offset, shard_with(offset).state())
        return fetch(file)

    monkeypatch.setattr(store.storage, "fetch", late)
    loaded, warnings = store.load(0)
    assert loaded is not None
    assert (loaded.offset, warnings) == (30, [])


def test_old_checkpoints_that_cannot_be_deleted_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuses(file: str) -> None:
        raise PermissionError(f"{file}: not allowed")

    store = saved(tmp_path)
    monkeypatch.setattr(store.storage, "delete", refuses)
    for offset in range(1, 6):
        store.save(0, offset, shard_with(offset).state())
    assert len(names(tmp_path)) == 5
    assert [each.getMessage() for each in caplog.records] == [
        f"cannot delete old checkpoints: ratings-0/{name(1)}: not allowed"
    ]


async def test_a_place_that_cannot_be_reached_is_no_reason_to_learn_anew(
    remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = saved(remote, 5)

    def fails(*arguments: Any, **options: Any) -> None:
        raise ConnectionError("connection reset")

    for method in ("ls", "get_file"):
        with monkeypatch.context() as patch:
            patch.setattr(MemoryFileSystem, method, fails)
            with pytest.raises(StorageError, match="connection reset"):
                store.load(0)
            with pytest.raises(StorageError, match="connection reset"):
                await Replicas(ShardOptions(), store, lambda partition: Rule("journal", partition)).open(0)
    with pytest.raises(CheckpointError, match="there is no such file"):
        read(f"{remote}/ratings-0/{name(6)}")
