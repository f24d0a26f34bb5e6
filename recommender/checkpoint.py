"""A shard's state and offset, saved and loaded.

A checkpoint is one ``.npz`` file: the shard's arrays and a header in JSON, without pickle, so that any
NumPy can open it. It is written under a temporary name, flushed to the disk and renamed, so that a file
with its final name is whole. The name is the offset that the state has reached; the last two are kept.

A state is a function of its partition's log. So it does no harm when a worker that has lost a partition
still saves it: what it saves is right, only older than what the new owner will save.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from recommender import __version__
from recommender.errors import RecommenderError
from recommender.shard import Arrays, digest

FORMAT = 1
KEPT = 2
#: A temporary file of this age, in seconds, was left by a process that died while it wrote.
ABANDONED = 600


class CheckpointError(RecommenderError):
    """A checkpoint cannot be used; the message says why and what to do."""


class CheckpointMismatch(CheckpointError):
    """A checkpoint was made from another topic or with other settings than the worker now has."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a checkpoint's state depends on besides its log.

    Attributes
    ----------
    topic, topic_id : str
        The ratings topic; its id tells a topic from one of the same name that was made later.
    partitions : int
        Their number decides which users belong to a partition.
    settings : dict
        Those settings that change what is learned.
    """

    topic: str
    topic_id: str
    partitions: int
    settings: dict[str, Any] = field(default_factory=dict)

    def differences(self, header: dict[str, Any]) -> list[str]:
        """In words, where a checkpoint's header is of something else."""
        mine = {**asdict(self), "format": FORMAT}
        mine.update({f"setting {name}": value for name, value in mine.pop("settings").items()})
        theirs = {name: header.get(name) for name in ("topic", "topic_id", "partitions", "format")}
        theirs.update({f"setting {name}": value for name, value in header.get("settings", {}).items()})
        return [
            f"{name.replace('_', ' ')} was {theirs.get(name)!r}, now {mine.get(name)!r}"
            for name in sorted({*mine, *theirs})
            if mine.get(name) != theirs.get(name)
        ]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A loaded checkpoint."""

    path: Path
    header: dict[str, Any]
    state: Arrays

    @property
    def offset(self) -> int:
        """The next offset to learn."""
        return int(self.header["offset"])


class CheckpointStore:
    """The checkpoints of one topic's partitions in a directory.

    Parameters
    ----------
    directory : str or Path
        Made if it does not exist.
    identity : Identity
    """

    def __init__(self, directory: str | Path, identity: Identity) -> None:
        self.directory = Path(directory)
        self.identity = identity

    def save(self, partition: int, offset: int, state: Arrays) -> Path:
        """Write a checkpoint durably and drop all but the newest ones.

        Raises
        ------
        OSError
            The directory cannot be written to; what was saved before is untouched.
        """
        folder = self._folder(partition)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{offset:020d}.npz"
        header = {
            "format": FORMAT,
            "version": __version__,
            "saved": datetime.now(UTC).isoformat(timespec="seconds"),
            **asdict(self.identity),
            "partition": partition,
            "offset": offset,
            "digest": digest(state),
        }
        temporary = folder / f"{uuid.uuid4().hex}.tmp"
        try:
            with temporary.open("wb") as file:
                np.savez(file, header=_pack(header), **state)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_directory(folder)
        # Files of larger offsets, damaged ones or another worker's, must not push the new one out.
        files = self._files(partition)
        for old in files[files.index(path) + KEPT :]:
            old.unlink(missing_ok=True)
        return path

    def load(self, partition: int, *, rebuild: bool = False) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint that is whole.

        Parameters
        ----------
        partition : int
        rebuild : bool
            Set checkpoints that do not match aside instead of raising, to learn anew from the log.

        Returns
        -------
        checkpoint : Checkpoint or None
            None if there is none that can be used.
        warnings : list of str
            What was wrong with newer ones.

        Raises
        ------
        CheckpointMismatch
            The newest whole checkpoint is of another topic or was made with other settings.
        """
        self._sweep(partition)
        warnings: list[str] = []
        for path in self._files(partition):
            try:
                checkpoint = read(path)
            except CheckpointError as error:
                warnings.append(str(error))
                continue
            differences = self.identity.differences(checkpoint.header)
            if checkpoint.header.get("partition") != partition:
                differences.append(f"partition was {checkpoint.header.get('partition')!r}, now {partition}")
            if not differences:
                return checkpoint, warnings
            if not rebuild:
                raise CheckpointMismatch(
                    f"{path} does not fit: {'; '.join(differences)}. Either learn anew from the log with "
                    f"`recommender worker --rebuild`, or set RECOMMENDER_CHECKPOINTS to another directory."
                )
            path.replace(path.with_suffix(".superseded"))
            warnings.append(f"{path} does not fit and was set aside: {'; '.join(differences)}")
        return None, warnings

    def _folder(self, partition: int) -> Path:
        return self.directory / f"{self.identity.topic}-{partition}"

    def _files(self, partition: int) -> list[Path]:
        """The partition's checkpoints, newest first."""
        return sorted(self._folder(partition).glob("*.npz"), reverse=True)

    def _sweep(self, partition: int) -> None:
        for path in self._folder(partition).glob("*.tmp"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()


def read(path: Path) -> Checkpoint:
    """Read one checkpoint and verify it.

    Raises
    ------
    CheckpointError
        The file is not a checkpoint, or it is damaged.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            state: Arrays = {name: arrays[name] for name in arrays.files}
        header = orjson.loads(state.pop("header").tobytes())
        expected = header["digest"]
    except Exception as error:  # a damaged archive raises whatever its bytes happen to ask for
        raise CheckpointError(f"{path} is not a whole checkpoint: {error or type(error).__name__}") from None
    found = digest(state)
    if found != expected:
        raise CheckpointError(f"{path} is damaged: its digest is {found}, expected {expected}")
    return Checkpoint(path, header, state)


def _pack(header: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(orjson.dumps(header), dtype=np.uint8)


def _sync_directory(folder: Path) -> None:
    """Make a rename durable; not every file system knows how."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
