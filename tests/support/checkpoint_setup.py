"""What the tests of checkpoints share: a clock, journals of minutes, and what was saved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recommender.journal.replica import Replica
from tests.support.journals import FOUND, Journal, journal_of
from tests.support.learning_setup import MINUTE, LearningWorker


class Clock:
    """A clock that stands still between what a test says."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def saved(directory: Path) -> list[int]:
    """The offsets of all checkpoints."""
    return sorted(int(each.stem) for each in (directory / f"{FOUND.topic}-0").glob("*.npz"))


def file_id(directory: Path) -> tuple[int, int]:
    """What tells the only checkpoint from one that is written again."""
    (path,) = (directory / f"{FOUND.topic}-0").glob("*.npz")
    return path.stat().st_ino, path.stat().st_mtime_ns


def digest_at(worker: LearningWorker, offset: int) -> str:
    header = worker.held.store.header_at(0, offset)
    assert header is not None
    return str(header["digest"])


def minutes(count: int) -> Journal:
    """A journal with three blocks in each minute."""
    return journal_of([2] * (3 * count), [each * MINUTE // 3 for each in range(3 * count)])


def marks(blocks: Sequence[Any]) -> set[int]:
    """Before which blocks a replica may be saved: the first of a minute that is later than all before."""
    found, latest = set(), -1
    for block in blocks:
        minute = block.timestamp // MINUTE
        if minute > latest and block.offset:
            found.add(block.offset)
        latest = max(latest, minute)
    return found


def damaged(replica: Replica) -> Replica:
    """A replica whose state is not what the journal gives."""
    replica.shard.history.append([0], [0], [1.0], [1.0], [0.0])
    return replica
