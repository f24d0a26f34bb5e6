"""Storage: a directory, a file URL and an object store keep the same promises."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, ClassVar

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from recommender.checkpoints.local_storage import LocalStorage
from recommender.checkpoints.open_storage import split, storage
from recommender.checkpoints.remote_storage import RemoteStorage
from recommender.checkpoints.storage import StorageError
from recommender.errors import RecommenderError


def content(text: bytes) -> Callable[[IO[bytes]], None]:
    def fill(file: IO[bytes]) -> None:
        file.write(text)

    return fill


def text_of(location: str | Path, name: str) -> bytes:
    with storage(location).fetch(name) as file:
        return file.read()


def test_a_local_place_is_a_directory_and_any_other_url_is_remote(tmp_path: Path) -> None:
    for text in (tmp_path, str(tmp_path), f"file://{tmp_path}", f"local://{tmp_path}"):
        found = storage(text)
        assert isinstance(found, LocalStorage)
        assert found.directory == tmp_path
    found = storage("memory://a/b/")
    assert isinstance(found, RemoteStorage)
    assert (found.directory, found.place("c/d")) == ("memory://a/b", "memory://a/b/c/d")


def test_the_storage_of_a_file(tmp_path: Path) -> None:
    for text in (tmp_path / "x.npz", str(tmp_path / "x.npz"), f"file://{tmp_path}/x.npz"):
        found, file = split(text)
        assert (found.directory, file) == (tmp_path, "x.npz")
    assert split("x.npz")[0].directory == Path()
    assert split("/x.npz")[0].directory == Path("/")
    found, file = split("memory://a/b/x.npz")
    assert (found.directory, file) == ("memory://a/b", "x.npz")


def test_what_is_written_is_listed_read_moved_and_deleted(location: str | Path) -> None:
    place = storage(location)
    assert (place.files("f"), place.files(""), place.folders()) == ([], [], [])
    place.write("f/b", content(b"bb"))
    place.write("f/a", content(b"a"))
    place.write("g/c", content(b""))
    place.write("f/a", content(b"again"))
    assert (place.files("f"), place.files("g"), place.files(""), place.folders()) == (
        ["a", "b"],
        ["c"],
        [],
        ["f", "g"],
    )
    assert text_of(location, "f/a") == b"again"
    assert (place.size("f/a"), place.size("g/c")) == (5, 0)
    with place.open("f/b") as file:
        file.seek(1)
        assert file.read() == b"b"
    place.move("f/a", "f/z")
    place.delete("f/b")
    place.delete("f/b")
    assert place.files("f") == ["z"]
    assert text_of(location, "f/z") == b"again"


def test_what_is_not_there_is_said_so(location: str | Path) -> None:
    place = storage(location)
    with pytest.raises(FileNotFoundError), place.open("f/a") as file:
        file.read()
    with pytest.raises(FileNotFoundError), place.fetch("f/a") as file:
        file.read()
    with pytest.raises(FileNotFoundError):
        place.size("f/a")


def test_a_write_that_fails_leaves_what_was_there(location: str | Path) -> None:
    def fails(file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError("no space")

    place = storage(location)
    place.write("f/a", content(b"old"))
    for file in ("f/a", "f/new"):
        with pytest.raises(OSError, match="no space"):
            place.write(file, fails)
    assert place.files("f") == ["a"]
    assert text_of(location, "f/a") == b"old"


def test_readers_never_see_half_a_file(tmp_path: Path) -> None:
    place = storage(tmp_path)
    texts = [bytes([65 + each]) * 300_000 for each in range(3)]
    place.write("f/a", content(texts[0]))
    stop = threading.Event()

    def write(text: bytes) -> None:
        while not stop.is_set():
            place.write("f/a", content(text))

    writers = [threading.Thread(target=write, args=(text,)) for text in texts]
    for each in writers:
        each.start()
    try:
        seen = {text_of(tmp_path, "f/a") for _ in range(200)}
    finally:
        stop.set()
        for each in writers:
            each.join()
    assert seen <= set(texts)
    assert place.files("f") == ["a"]


@pytest.mark.parametrize("package", ["s3fs", "gcsfs", "adlfs"])
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    url = {"s3fs": "s3://bucket/x", "gcsfs": "gs://bucket/x", "adlfs": "abfs://container/x"}[package]
    with pytest.raises(RecommenderError) as caught:
        storage(url)
    assert str(caught.value) == (
        f"cannot use {url!r}: the package {package} is missing; install it with `pip install {package}`"
    )


def test_an_unknown_kind_of_url_is_said_so() -> None:
    with pytest.raises(
        RecommenderError, match="'foo://bar' is not a place for checkpoints: 'foo' is unknown"
    ):
        storage("foo://bar")


class Buckets(MemoryFileSystem):
    """An object store in memory with one bucket, which lists what is missing as s3fs does."""

    protocol = "s3"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = ["", "/there"]


def test_a_bucket_that_does_not_exist_is_no_empty_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "recommender.checkpoints.remote_storage._file_system",
        lambda url: (Buckets(), url.partition("://")[2]),
    )
    assert storage("s3://there").files("ratings-0") == []
    assert storage("s3://there/prefix").files("ratings-0") == []
    with pytest.raises(
        StorageError, match="s3://ther/prefix: there is no bucket 'ther'; make it, or correct"
    ):
        storage("s3://ther/prefix").files("ratings-0")


def test_an_object_that_did_not_arrive_whole_is_an_error(
    remote: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(self: MemoryFileSystem, local: str, path: str, **options: Any) -> None:
        self.pipe_file(path, Path(local).read_bytes()[:-1])

    monkeypatch.setattr(MemoryFileSystem, "put_file", half)
    with pytest.raises(StorageError, match=f"{remote}/f/a has 4 bytes after writing, expected 5"):
        storage(remote).write("f/a", content(b"12345"))


@pytest.mark.parametrize("method", ["ls", "get_file", "put_file", "rm_file", "info"])
def test_whatever_a_package_raises_is_an_error_of_the_place(
    remote: str, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    place = storage(remote)
    place.write("f/a", content(b"a"))

    def fails(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("no route to host")

    monkeypatch.setattr(MemoryFileSystem, method, fails)
    calls: dict[str, Callable[[], object]] = {
        "ls": lambda: place.files("f"),
        "get_file": lambda: text_of(remote, "f/a"),
        "put_file": lambda: place.write("f/a", content(b"b")),
        "rm_file": lambda: place.delete("f/a"),
        "info": lambda: place.size("f/a"),
    }
    with pytest.raises(OSError, match=f"{remote}/f.*: RuntimeError: no route to host") as caught:
        calls[method]()
    assert isinstance(caught.value, RecommenderError)
