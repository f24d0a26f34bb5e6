"""Files in a place that fsspec knows by its URL, as an object store."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from recommender.checkpoints.storage import Fill, Place, StorageError

#: Kinds of URLs whose first part is a bucket, which is there or not.
BUCKETS = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss")


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
