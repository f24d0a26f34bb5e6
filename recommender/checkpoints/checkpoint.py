"""One checkpoint: a state with a header that says what it is of, in one file.

A file is an ``.npz``: the state's arrays and a header in JSON, without pickle, so that any NumPy can open it.
The header has a digest of the state, so that damage shows.
"""

from __future__ import annotations

import math
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numba
import numpy as np

from recommender import __version__
from recommender.checkpoints import file_format
from recommender.checkpoints.identity import FORMAT, Identity
from recommender.checkpoints.open_storage import split
from recommender.checkpoints.storage import Place, Storage, StorageError
from recommender.errors import RecommenderError
from recommender.history.arrays import Arrays, digest

SUFFIX = ".npz"


class CheckpointError(RecommenderError):
    """A checkpoint cannot be used; the message says why and what to do."""


class CheckpointGone(CheckpointError):
    """A checkpoint is not there, or not any more."""


class CheckpointMismatch(CheckpointError):
    """A checkpoint was made from another topic or with other settings than the worker now has."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded checkpoint."""

    path: Place
    header: dict[str, Any]
    state: Arrays

    @property
    def offset(self) -> int:
        """The next offset to learn."""
        return int(self.header["offset"])

    @property
    def size(self) -> int:
        """Bytes of its arrays; the file is a little larger."""
        return sum(each.nbytes for each in self.state.values())

    @property
    def saved_at(self) -> float:
        """The time when it was saved, in seconds since 1970; NaN where it does not say."""
        try:
            return datetime.fromisoformat(str(self.header.get("saved"))).timestamp()
        except ValueError:
            return math.nan


def new_header(identity: Identity, partition: int, offset: int, state: Arrays) -> dict[str, Any]:
    """The header of a state that is saved now."""
    return {
        "format": FORMAT,
        "version": __version__,
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        **asdict(identity),
        "partition": partition,
        "offset": offset,
        "digest": digest(state),
        # To compare two machines by; not part of what must fit.
        "packages": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
        },
    }


def checkpoints(place: Storage, folder: str) -> list[str]:
    """The names of a folder's checkpoints, newest first."""
    files = (name for name in place.files(folder) if name.endswith(SUFFIX))
    return sorted((f"{folder}/{name}" if folder else name for name in files), reverse=True)


def read(location: str | Path) -> Checkpoint:
    """Read one checkpoint and verify it.

    Raises
    ------
    CheckpointError
        The file is not a checkpoint, or it is damaged.
    StorageError
        The URL's place cannot be reached.
    """
    return read_from(*split(location))


def read_from(place: Storage, name: str) -> Checkpoint:
    """Read the checkpoint of a name in a place and verify it; raises as `read` does."""
    path = place.place(name)
    try:
        with place.fetch(name) as file, file_format.opened(file) as arrays:
            header = file_format.header_of(arrays)
            state: Arrays = {name: arrays[name] for name in arrays.files if name != file_format.HEADER}
        expected = header["digest"]
    except StorageError:
        raise
    except FileNotFoundError:
        raise CheckpointGone(f"{path} is not a whole checkpoint: there is no such file") from None
    except Exception as error:  # a damaged archive raises whatever its bytes happen to ask for
        raise CheckpointError(f"{path} is not a whole checkpoint: {error or type(error).__name__}") from None
    found = digest(state)
    if found != expected:
        raise CheckpointError(f"{path} is damaged: its digest is {found}, expected {expected}")
    return Checkpoint(path, header, state)
