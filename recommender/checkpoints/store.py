"""The checkpoints of a journal's partitions: saved, loaded, and dropped when there are newer ones.

A checkpoint has its final name only when all of it is durable, in a directory or in an object store. The name
is the offset that the state has reached; the last two are kept.

A state is a function of its partition's log. So it does no harm when a worker that has lost a partition
still saves it: what it saves is right, only older than what the new owner will save.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from recommender import __version__
from recommender.checkpoints import file_format
from recommender.checkpoints.checkpoint import (
    SUFFIX,
    Checkpoint,
    CheckpointError,
    CheckpointGone,
    CheckpointMismatch,
    checkpoints,
    new_header,
    read_from,
)
from recommender.checkpoints.identity import REWRITTEN, Identity, handover_of, origin_of
from recommender.checkpoints.open_storage import storage
from recommender.checkpoints.storage import Place, Storage, StorageError
from recommender.history.arrays import Arrays

logger = logging.getLogger(__name__)

KEPT = 2
#: Of a checkpoint that does not fit and was set aside.
ASIDE = ".superseded"
#: How often the list is taken again because a file in it was deleted before it was read.
LISTINGS = 3


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
        header = new_header(self.identity, partition, offset, state)

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
            origin = origin_of(asdict(self.identity))
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
                    checkpoint = read_from(self.storage, name)
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
