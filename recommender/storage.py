"""Where files are kept durably: a local directory, or a place that fsspec knows, as an object store.

Both give the same promise: a file with its final name is whole, and whoever reads while another writes
sees the old file or the new one. A local directory keeps it with a temporary name, a flush to the disk and a
rename. An object store keeps it by itself: an object is there once all of it has arrived.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from recommender.errors import RecommenderError

#: A temporary file of this age, in seconds, was left by a process that died while it wrote.
ABANDONED = 600

#: Kinds of URLs whose first part is a bucket, which is there or not.
BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss")

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
        """Where a file is."""

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


class RemoteStorage:
    """A place that fsspec knows by its URL. Credentials are the business of the package behind it.

    Parameters
    ----------
    url : str
        As ``s3://bucket/prefix``.
    """

    def __init__(self, url: str) -> None:
        self.directory: Place = url.rstrip("/")
        self._fs, root = _file_system(url)
        self._root = root.rstrip("/")

    def place(self, name: str) -> Place:
        """The file's URL."""
        return f"{self.directory}/{name}"

    def files(self, folder: str) -> list[str]:
        """The names of the objects in a folder."""
        return self._names(folder, "file")

    def folders(self) -> list[str]:
        """The names of the folders in this one."""
        return self._names("", "directory")

    def _names(self, folder: str, kind: str) -> list[str]:
        path = self._path(folder)
        with self._named(folder):
            self._fs.invalidate_cache()  # another worker may have written
            try:
                found = self._fs.ls(path, detail=True)
            except FileNotFoundError:
                self._require_bucket()
                return []
        names = (each["name"].rstrip("/").rpartition("/")[2] for each in found if each["type"] == kind)
        return sorted(name for name in names if name)

    def _require_bucket(self) -> None:
        """A folder need not be there yet; a bucket is made by a person."""
        bucket = self._root.lstrip("/").partition("/")[0]
        if self.directory.partition("://")[0] in BUCKETS:
            try:
                self._fs.ls(bucket)
            except FileNotFoundError as error:
                raise StorageError(
                    f"{self.directory}: there is no bucket {bucket!r}; make it, or correct the URL"
                ) from error

    def size(self, name: str) -> int:
        """An object's length in bytes."""
        with self._named(name):
            self._fs.invalidate_cache()
            return int(self._fs.info(self._path(name))["size"])

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """Open an object; what is read of it is asked for as it is needed."""
        with self._named(name):
            file = self._fs.open(self._path(name), "rb")
        with file:
            yield file

    @contextlib.contextmanager
    def fetch(self, name: str) -> Iterator[IO[bytes]]:
        """Copy an object to a temporary file and open that."""
        with tempfile.NamedTemporaryFile() as file:
            with self._named(name):
                self._fs.get_file(self._path(name), file.name)
            yield file

    def write(self, name: str, fill: Fill) -> None:
        """Write to a temporary file here, put that under the final name, and see that all of it arrived."""
        with tempfile.NamedTemporaryFile() as file:
            fill(file)
            file.flush()
            written = file.tell()
            with self._named(name, passes=StorageError):
                self._fs.put_file(file.name, self._path(name))
        found = self.size(name)
        if found != written:
            raise StorageError(f"{self.place(name)} has {found} bytes after writing, expected {written}")

    def delete(self, name: str) -> None:
        """Delete an object, if it is there."""
        with self._named(name), contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    def move(self, name: str, to: str) -> None:
        """Copy an object to another name and delete it."""
        with self._named(name):
            self._fs.mv(self._path(name), self._path(to))

    def sweep(self, folder: str) -> None:
        """Nothing: an object that did not arrive is not there."""

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextlib.contextmanager
    def _named(self, name: str, passes: type[OSError] = FileNotFoundError) -> Iterator[None]:
        """Packages behind fsspec raise what they like: make it one kind of error, which names the place."""
        try:
            yield
        except (passes, StorageError):
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise StorageError(f"{self.place(name)}: {reason}") from error


def _file_system(url: str) -> tuple[Any, str]:
    # Imported here, because a worker with a local directory does not need it.
    from fsspec.core import url_to_fs
    from fsspec.registry import known_implementations

    protocol = url.partition("://")[0].rpartition("::")[2]
    if protocol not in known_implementations:
        raise StorageError(
            f"{url!r} is not a place for checkpoints: {protocol!r} is unknown; expected a directory, or "
            f"a URL such as s3://bucket/prefix or gs://bucket/prefix"
        )
    try:
        file_system, root = url_to_fs(url)
    except ImportError as error:
        package = known_implementations[protocol]["class"].partition(".")[0]
        needed = f"the package {package} is missing; install it with `pip install {package}`"
        raise StorageError(f"cannot use {url!r}: {error if package == 'fsspec' else needed}") from error
    except Exception as error:
        raise StorageError(f"{url!r} is not a place for checkpoints: {error}") from error
    return file_system, root


def _sync_directory(folder: Path) -> None:
    """Make a rename durable; not every file system knows how."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
