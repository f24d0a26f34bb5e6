"""Durable storage of files: a local directory, or a place that fsspec knows, such as an object store.

Both give the same promise: a file with its final name is whole, and a reader that comes while another process
writes sees the old file or the new one. A local directory keeps it with a temporary name, a flush to the disk
and a rename. An object store keeps it by itself: an object is there once all of it has arrived.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Protocol

from recommender.errors import RecommenderError

#: A temporary file of this age, in seconds, was left by a process that died while it wrote.
ABANDONED = 600

#: Where a file is, as a person would say it: a `Path` in a local directory, else a URL as text.
Place = Any
#: Writes the content of a file.
Fill = Callable[[IO[bytes]], object]


class StorageError(RecommenderError, OSError):
    """A place cannot be reached, or it refuses; the message names it."""


class Storage(Protocol):
    """Files in folders under one root. Names are relative to it, with ``/`` between folder and file.

    Every method raises OSError where the place cannot be reached or refuses, `StorageError` if it is not a
    local one.
    """

    #: The root.
    directory: Place

    def place(self, name: str) -> Place:
        """The place of a file."""

    def files(self, folder: str) -> list[str]:
        """The names of a folder's files, ascending; none if there is no such folder. "" is the root."""

    def folders(self) -> list[str]:
        """The names of the root's folders, ascending."""

    def size(self, name: str) -> int:
        """A file's length in bytes."""

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Open a file to read parts of it; FileNotFoundError if there is none."""

    def fetch(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Open a file to read all of it. Only opening may fail for the sake of a network."""

    def write(self, name: str, fill: Fill) -> None:
        """Write a file: durably, and all of it or nothing."""

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""

    def move(self, name: str, to: str) -> None:
        """Give a file another name."""

    def sweep(self, folder: str) -> None:
        """Delete what processes that died left in a folder."""


def storage(location: str | Path) -> Storage:
    """The storage at a path or a URL.

    Raises
    ------
    StorageError
        The URL's kind is unknown, or the package for it is not installed.
    """
    if isinstance(location, Path) or "://" not in location:
        return LocalStorage(Path(location))
    if location.startswith(("file://", "local://")):
        return LocalStorage(Path(location.partition("://")[2]))
    from recommender.checkpoints.remote_storage import RemoteStorage  # which is for few, and stands on this

    return RemoteStorage(location)


def split(location: str | Path) -> tuple[Storage, str]:
    """The storage that holds a file, and the file's name in it."""
    if isinstance(location, Path):
        return LocalStorage(location.parent), location.name
    folder, slash, name = location.rpartition("/")
    return storage(folder or slash or "."), name


class LocalStorage:
    """A directory of this machine, made when it is first written to.

    Parameters
    ----------
    directory : Path
    """

    def __init__(self, directory: Path) -> None:
        self.directory: Place = directory
        self._root = directory

    def place(self, name: str) -> Place:
        """The file's path."""
        return self._root / name

    def files(self, folder: str) -> list[str]:
        """The names of a folder's files."""
        path = self._root / folder
        return sorted(each.name for each in path.iterdir() if each.is_file()) if path.is_dir() else []

    def folders(self) -> list[str]:
        """The names of the directories in this one."""
        found = self._root.iterdir() if self._root.is_dir() else iter(())
        return sorted(each.name for each in found if each.is_dir())

    def size(self, name: str) -> int:
        """A file's length in bytes."""
        return (self._root / name).stat().st_size

    def open(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Open a file to read it."""
        return (self._root / name).open("rb")

    def fetch(self, name: str) -> contextlib.AbstractContextManager[IO[bytes]]:
        """Open a file to read it."""
        return self.open(name)

    def write(self, name: str, fill: Fill) -> None:
        """Write under a temporary name, flush to the disk, rename, and flush the directory."""
        path = self._root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.parent / f"{uuid.uuid4().hex}.tmp"
        try:
            with temporary.open("wb") as file:
                fill(file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_directory(path.parent)

    def delete(self, name: str) -> None:
        """Delete a file, if it is there."""
        (self._root / name).unlink(missing_ok=True)

    def move(self, name: str, to: str) -> None:
        """Rename a file."""
        (self._root / name).replace(self._root / to)

    def sweep(self, folder: str) -> None:
        """Delete temporary files that nobody can be writing any more."""
        for path in (self._root / folder).glob("*.tmp"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()


def _sync_directory(folder: Path) -> None:
    """Make a rename durable; not every file system knows how."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
