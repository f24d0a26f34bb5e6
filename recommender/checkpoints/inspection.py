"""Checkpoints looked at from outside, without a worker: which there are, and what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recommender.checkpoints import file_format
from recommender.checkpoints.checkpoint import SUFFIX, CheckpointError, checkpoints
from recommender.checkpoints.open_storage import split, storage
from recommender.checkpoints.storage import Place, StorageError


@dataclass(frozen=True, slots=True)
class CheckpointSummary:
    """The contents of a checkpoint's header and its smallest arrays; the rest was not read."""

    topic: str
    partition: int
    offset: int
    saved: str
    version: str
    packages: dict[str, str]
    model: str
    users: int
    items: int
    events: int
    size: int
    digest: str


def find(location: str, *, newest: bool) -> list[Place]:
    """The checkpoints at a path or URL.

    Parameters
    ----------
    location : str
        One checkpoint, a partition's folder, or the folder of all partitions.
    newest : bool
        Of each folder the newest only.

    Returns
    -------
    list of Path or str
        Partition by partition, newest first.

    Raises
    ------
    CheckpointError
        There is none.
    StorageError
        The place cannot be reached.
    """
    if location.endswith(SUFFIX):
        place, name = split(location)
        return [place.place(name)]
    place = storage(location)
    found: list[Place] = []
    try:
        for folder in ["", *sorted(place.folders(), key=_partition)]:
            names = checkpoints(place, folder)
            found += [place.place(name) for name in (names[:1] if newest else names)]
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise CheckpointError(f"cannot look for checkpoints in {place.directory}: {error}") from None
    if not found:
        raise CheckpointError(f"there is no checkpoint in {place.directory}")
    return found


def _partition(folder: str) -> tuple[str, int, str]:
    topic, _, number = folder.rpartition("-")
    return topic, int(number) if number.isdecimal() else -1, folder


def summary(location: str | Path) -> CheckpointSummary:
    """Summarize one checkpoint. Its digest is not checked.

    Raises
    ------
    CheckpointError
        It is not a checkpoint, or so damaged that it cannot say.
    StorageError
        The place cannot be reached.
    """
    place, name = split(location)
    try:
        size = place.size(name)
        with place.open(name) as file, file_format.opened(file) as arrays:
            header = file_format.header_of(arrays)
            return CheckpointSummary(
                topic=str(header["topic"]),
                partition=int(header["partition"]),
                offset=int(header["offset"]),
                saved=str(header["saved"]),
                version=str(header["version"]),
                packages=dict(header.get("packages", {})),
                model=str(header["settings"].get("model", "")),
                users=int(np.count_nonzero(arrays["users/lengths"])),
                items=int(np.count_nonzero(arrays["items/lengths"])),
                events=int(arrays["history/counters"][0]),
                size=size,
                digest=str(header["digest"]),
            )
    except StorageError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"{place.place(name)} does not exist") from None
    except Exception as error:  # a damaged archive raises whatever its bytes happen to ask for
        reason = error if str(error) else type(error).__name__
        raise CheckpointError(f"{place.place(name)} is not a whole checkpoint: {reason}") from None
