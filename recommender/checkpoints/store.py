"""A shard's state and offset, saved and loaded.

A checkpoint is one ``.npz`` file: the shard's arrays and a header in JSON, without pickle, so that any
NumPy can open it. It has its final name only when all of it is durable, in a directory or in an object
store. The name is the offset that the state has reached; the last two are kept.

A state is a function of its partition's log. So it does no harm when a worker that has lost a partition
still saves it: what it saves is right, only older than what the new owner will save.
"""

from __future__ import annotations

import logging
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import numba
import numpy as np

from recommender import __version__
from recommender.checkpoints import file_format
from recommender.checkpoints.identity import FORMAT
from recommender.checkpoints.identity import Identity as Identity
from recommender.checkpoints.open_storage import split, storage
from recommender.checkpoints.storage import Place, Storage, StorageError
from recommender.errors import RecommenderError
from recommender.shard.state import Arrays, digest

logger = logging.getLogger(__name__)

KEPT = 2
SUFFIX = ".npz"
#: Of a checkpoint that does not fit and was set aside.
ASIDE = ".superseded"
#: In a header, between the name of the hand-over and the place where the journal was rewritten.
REWRITTEN = "@"
#: How often the list is taken again because a file in it was deleted before it was read.
LISTINGS = 3


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


class CheckpointStore:
    """The checkpoints of one topic's partitions.

    Parameters
    ----------
    directory : str or Path
        A directory, made if it does not exist, or a URL such as ``s3://bucket/prefix``.
    identity : Identity

    Raises
    ------
    StorageError
        The URL's kind is unknown, or the package for it is not installed.
    """

    def __init__(self, directory: str | Path, identity: Identity) -> None:
        self.storage: Storage = storage(directory)
        self.directory: Place = self.storage.directory
        self.identity = identity
        self._cannot_delete = False
        #: Names of files that were seen to be damaged.
        self._damaged: set[str] = set()
        self._others: dict[str, CheckpointStore] = {}

    def of_handover(self, name: str) -> CheckpointStore:
        """The same store for states that go back to a hand-over, see `recommender.retraining.handover`."""
        if self.identity.handover == name:
            return self
        if name not in self._others:
            made = self._others[name] = CheckpointStore(self.directory, replace(self.identity, handover=name))
            made._damaged = self._damaged
        return self._others[name]

    def of_origin(self, origin: int) -> CheckpointStore:
        """The same store for states that were followed from where the journal was rewritten; -1: it was not.

        What goes back to before that place is deleted once a state is saved that does not.
        """
        base = handover_of(asdict(self.identity))
        return self.of_handover(base if origin < 0 else f"{base}{REWRITTEN}{origin}")

    def names(self, partition: int) -> list[str]:
        """The names of a partition's checkpoints, newest first."""
        return checkpoints(self.storage, self._folder(partition))

    def offsets(self, partition: int) -> list[int]:
        """The offsets of a partition's checkpoints, newest first."""
        names = (name.rpartition("/")[2].removesuffix(SUFFIX) for name in self.names(partition))
        return [int(name) for name in names if name.isdecimal()]

    def save(self, partition: int, offset: int, state: Arrays) -> Place:
        """Write a checkpoint durably and drop all but the newest ones.

        Returns
        -------
        Path or str
            Its path, or its URL.

        Raises
        ------
        OSError
            The place cannot be written to; what was saved before is untouched.
        """
        name = self._name(partition, offset)
        header = {
            "format": FORMAT,
            "version": __version__,
            "saved": datetime.now(UTC).isoformat(timespec="seconds"),
            **asdict(self.identity),
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

        def fill(file: IO[bytes]) -> None:
            file_format.write(file, header, state)

        self.storage.write(name, fill)
        self._damaged.discard(name)
        self._prune(partition, name)
        return self.storage.place(name)

    def header_at(self, partition: int, offset: int) -> dict[str, Any] | None:
        """The header of the checkpoint at an offset; None if there is none, or it is known to be damaged.

        Raises
        ------
        OSError
            The place cannot be reached.
        """
        name = self._name(partition, offset)
        if name in self._damaged or name not in self.names(partition):
            return None
        try:
            with self.storage.open(name) as file, file_format.opened(file) as arrays:
                return file_format.header_of(arrays)
        except StorageError:
            raise
        except Exception as error:  # a damaged archive raises whatever its bytes happen to ask for
            logger.debug("%s cannot be read: %r", name, error)
            return None

    def has_newer(self, partition: int, offset: int) -> bool:
        """Return True if there is a checkpoint of a larger offset."""
        return self.names(partition)[:1] > [self._name(partition, offset)]

    def is_comparable(self, header: Mapping[str, Any]) -> bool:
        """Return True if a checkpoint of this header has to be equal to this worker's at the same offset."""
        same = header.get("version") == __version__ and header.get("handover") == self.identity.handover
        return same and not self.identity.differences(header)

    def supersedes(self, header: Mapping[str, Any]) -> bool:
        """Return True if a checkpoint of this header goes back to before the hand-over of this store's."""
        same = header.get("version") == __version__
        own, theirs = self.identity.handover, header.get("handover", "")
        return same and own not in ("", theirs) and not theirs.startswith(own + REWRITTEN)

    def place(self, partition: int, offset: int) -> Place:
        """The path or URL of the checkpoint at an offset."""
        return self.storage.place(self._name(partition, offset))

    def _name(self, partition: int, offset: int) -> str:
        return f"{self._folder(partition)}/{max(offset, 0):020d}{SUFFIX}"

    def _prune(self, partition: int, newest: str) -> None:
        """Delete what is older than a new checkpoint, but for the last whole one before it.

        Files of larger offsets stay: if they are another worker's they are its business, and if they are
        damaged they must not push the new one out.
        """
        folder = self._folder(partition)
        try:
            older = [name for name in self.names(partition) if name < newest]
            origin = _origin(self.identity.handover)
            first = self._name(partition, origin)
            kept = [name for name in older if name not in self._damaged and name >= first][: KEPT - 1]
            if origin >= 0:  # of what goes back to before that nothing stays
                files = [f"{folder}/{name}" for name in self.storage.files(folder)]
                older += [name for name in files if name.endswith(ASIDE) and name < first]
            for name in older:
                if name not in kept:
                    self.storage.delete(name)
                    self._damaged.discard(name)
            self.storage.sweep(folder)
        except OSError as error:
            if not self._cannot_delete:
                logger.warning("cannot delete old checkpoints: %s", error)
            self._cannot_delete = True

    def load(self, partition: int, *, rebuild: bool = False) -> tuple[Checkpoint | None, list[str]]:
        """The newest checkpoint that is whole.

        Parameters
        ----------
        partition : int
        rebuild : bool
            Set checkpoints that do not match aside instead of raising, to learn again from the log.

        Returns
        -------
        checkpoint : Checkpoint or None
            None if there is none that can be used.
        warnings : list of str
            What was wrong with newer ones.

        Raises
        ------
        CheckpointMismatch
            The newest whole checkpoint is of another topic or was made with different settings.
        StorageError
            The URL's place cannot be reached. That is no reason to learn from the start.
        """
        folder = self._folder(partition)
        self.storage.sweep(folder)
        if not rebuild:
            self._refuse_first_edition()
        outdated = [f"{folder}/{name}" for name in self.storage.files(folder) if name.endswith(ASIDE)]
        for _ in range(LISTINGS):
            warnings: list[str] = []
            vanished = False
            for name in self.names(partition):
                try:
                    checkpoint = _read(self.storage, name)
                except CheckpointGone as error:
                    # Another worker saved newer ones meanwhile, and deleted this one.
                    vanished = True
                    warnings.append(str(error))
                    continue
                except CheckpointError as error:
                    self._damaged.add(name)
                    warnings.append(str(error))
                    continue
                differences = self._differences(partition, checkpoint)
                if not differences:
                    return checkpoint, warnings
                warnings.append(self._set_aside(name, differences, rebuild))
                while outdated:  # what an earlier rebuild has set aside
                    self.storage.delete(outdated.pop())
            if not vanished:
                break
        return None, warnings

    def _refuse_first_edition(self) -> None:
        """Refuse a place with checkpoints that were made before there was a journal, and none made since."""
        former = f"{self.identity.topic.removesuffix('-journal')}-"
        folders = self.storage.folders()
        old = [each for each in folders if each.removeprefix(former).isdecimal() and each.startswith(former)]
        if old and not any(each.startswith(f"{self.identity.topic}-") for each in folders):
            raise CheckpointMismatch(
                f"{self.storage.place(old[0])} holds checkpoints of the first edition, which had no journal: "
                "`recommender worker --rebuild` learns everything again from the ratings topic, or set "
                "RECOMMENDER_CHECKPOINTS to another directory or URL"
            )

    def _differences(self, partition: int, checkpoint: Checkpoint) -> list[str]:
        differences = self.identity.differences(checkpoint.header)
        if checkpoint.header.get("partition") != partition:
            differences.append(f"partition was {checkpoint.header.get('partition')!r}, now {partition}")
        return differences

    def _set_aside(self, name: str, differences: list[str], rebuild: bool) -> str:
        place, why = self.storage.place(name), "; ".join(differences)
        if not rebuild:
            raise CheckpointMismatch(
                f"{place} was made with different settings and was not loaded: {why}. Restore those "
                "settings, or learn again from the log with `recommender worker --rebuild`, or set "
                "RECOMMENDER_CHECKPOINTS to another directory or URL."
            )
        self.storage.move(name, name.removesuffix(SUFFIX) + ASIDE)
        return f"{place} was made with different settings and was set aside: {why}"

    def _folder(self, partition: int) -> str:
        return f"{self.identity.topic}-{partition}"


def handover_of(header: Mapping[str, Any]) -> str:
    """The name of the hand-over that a checkpoint goes back to, by its header; empty where there was none."""
    return str(header.get("handover", "")).partition(REWRITTEN)[0]


def origin_of(header: Mapping[str, Any]) -> int:
    """The offset where the journal was rewritten that a checkpoint was followed from; -1 where it was not."""
    return _origin(str(header.get("handover", "")))


def _origin(handover: str) -> int:
    _, rewritten, origin = handover.partition(REWRITTEN)
    return int(origin) if rewritten else -1


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
    return _read(*split(location))


def _read(place: Storage, name: str) -> Checkpoint:
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
