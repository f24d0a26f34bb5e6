"""The promise of every storage of files: a local directory, or a place that fsspec knows.

Both give the same promise: a file with its final name is whole, and a reader that comes while another process
writes sees the old file or the new one. A local directory keeps it with a temporary name, a flush to the disk
and a rename. An object store keeps it by itself: an object is there once all of it has arrived.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import IO, Any, Protocol

from recommender.errors import RecommenderError

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
