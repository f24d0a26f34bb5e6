"""Opens the storage at a path or a URL."""

from __future__ import annotations

from pathlib import Path

from recommender.checkpoints.local_storage import LocalStorage
from recommender.checkpoints.remote_storage import RemoteStorage
from recommender.checkpoints.storage import Storage


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
