"""Files in a directory of this machine."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from pathlib import Path
from typing import IO

from recommender.checkpoints.storage import Fill, Place

#: A temporary file of this age, in seconds, was left by a process that died while it wrote.
ABANDONED = 600


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
        """Delete temporary files that are too old to be in use."""
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
