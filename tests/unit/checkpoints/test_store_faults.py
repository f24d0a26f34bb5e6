"""Checkpoints that are damaged: it is noticed, and something whole always stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.checkpoints import checkpoint
from recommender.checkpoints.checkpoint import CheckpointError
from recommender.checkpoints.store import CheckpointStore
from recommender.history.arrays import digest
from tests.support.doubles import few
from tests.unit.checkpoints.stores import IDENTITY, name, names, saved, shard_with


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def whole(scratch: Path) -> bytes:
    """The bytes of a checkpoint of four ratings."""
    return saved(scratch, 4).save(0, 4, shard_with(4).state()).read_bytes()


@few
@given(st.data())
def test_a_truncated_file_is_noticed(scratch: Path, whole: bytes, data: st.DataObject) -> None:
    path = scratch / "x.npz"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(CheckpointError, match=f"{path} is not a whole checkpoint: "):
        checkpoint.read(path)


@settings(few, max_examples=300)
@given(data=st.data())
def test_a_changed_byte_is_noticed_or_harmless(scratch: Path, whole: bytes, data: st.DataObject) -> None:
    path = scratch / "x.npz"
    place, mask = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(1, 255))
    path.write_bytes(whole[:place] + bytes([whole[place] ^ mask]) + whole[place + 1 :])
    try:
        loaded = checkpoint.read(path)
    except CheckpointError:
        pass
    else:
        assert digest(loaded.state) == shard_with(4).digest()
        assert loaded.offset == 4
        assert IDENTITY.differences(loaded.header) == []


@pytest.mark.parametrize("size", [1, 512, 4096])
def test_a_block_of_zeros_is_noticed(scratch: Path, whole: bytes, size: int) -> None:
    path = scratch / "x.npz"
    for start in range(0, len(whole) - size, 997):
        path.write_bytes(whole[:start] + bytes(size) + whole[start + size :])
        try:
            assert digest(checkpoint.read(path).state) == shard_with(4).digest()
        except CheckpointError:
            continue


def test_foreign_files_are_noticed(tmp_path: Path, whole: bytes) -> None:
    path, encrypted = tmp_path / "x.npz", whole.index(b"PK\x01\x02") + 8
    np.savez(tmp_path / "foreign.npz", a=np.arange(3))
    np.save(tmp_path / "one.npy", np.arange(3))
    np.savez(tmp_path / "pickled.npz", header=np.array([{"a": 1}], dtype=object))
    for content in (
        b"",
        b"hello, world",
        b"PK\x05\x06" + bytes(18),
        whole[:encrypted] + b"\x01" + whole[encrypted + 1 :],
        *(
            each.read_bytes()
            for each in (tmp_path / "foreign.npz", tmp_path / "one.npy", tmp_path / "pickled.npz")
        ),
    ):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="is not a whole checkpoint"):
            checkpoint.read(path)
    (tmp_path / "directory.npz").mkdir()
    with pytest.raises(CheckpointError, match="is not a whole checkpoint"):
        checkpoint.read(tmp_path / "directory.npz")


def test_a_state_that_is_not_what_was_saved_is_noticed(tmp_path: Path) -> None:
    path = saved(tmp_path, 4).directory / "ratings-0" / name(4)
    with np.load(path) as file:
        arrays = {each: file[each] for each in file.files}
    arrays["users/lengths"] = arrays["users/lengths"] + 1
    np.savez(path, **arrays)
    with pytest.raises(
        CheckpointError, match=r"is damaged: its digest is [0-9a-f]{32}, expected [0-9a-f]{32}"
    ):
        checkpoint.read(path)


def test_the_older_one_stands_in_for_a_damaged_one(tmp_path: Path) -> None:
    store = saved(tmp_path, 5, 9)
    (tmp_path / "ratings-0" / name(9)).write_bytes(b"damaged")
    loaded, warnings = store.load(0)
    assert loaded is not None
    assert loaded.offset == 5
    assert len(warnings) == 1
    assert name(9) in warnings[0]


def test_when_all_are_damaged_there_is_none(tmp_path: Path) -> None:
    store = saved(tmp_path, 5, 9)
    for offset in (5, 9):
        (tmp_path / "ratings-0" / name(offset)).write_bytes(b"")
    loaded, warnings = store.load(0)
    assert (loaded, len(warnings)) == (None, 2)


def test_a_damaged_file_does_not_push_the_last_whole_one_out(tmp_path: Path) -> None:
    saved(tmp_path, 5, 9)
    (tmp_path / "ratings-0" / name(9)).write_bytes(b"damaged")
    store = CheckpointStore(tmp_path, IDENTITY)
    store.load(0)
    store.save(0, 12, shard_with(12).state())
    assert names(tmp_path) == [name(5), name(12)]


def test_damaged_files_of_larger_offsets_do_not_push_a_new_one_out(tmp_path: Path) -> None:
    store = saved(tmp_path, 50, 60)
    for offset in (50, 60):
        (tmp_path / "ratings-0" / name(offset)).write_bytes(b"")
    for offset in (10, 20, 30):
        store.save(0, offset, shard_with(offset).state())
        loaded, _ = store.load(0)
        assert loaded is not None
        assert loaded.offset == offset
    assert names(tmp_path) == [name(each) for each in (20, 30, 50, 60)]
