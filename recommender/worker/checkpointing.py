"""Saves the replicas that a worker holds, without an election among workers.

A state is a function of the journal, so any worker that saves it at a position saves the same bytes. Workers
save at marks: the first block that the broker got after a full minute (of the setting) has passed by its own
clock. All who follow the journal come by the same marks, so one that finds the checkpoint of a mark already
there compares its digest with its own state's. A worker whose state differs is wrong, or the one that saved
was: it says so, is not ready any more, and saves nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recommender.checkpoints.store import CheckpointStore
from recommender.history.arrays import Arrays, digest
from recommender.history.snapshot import SLICE
from recommender.journal.records import Record
from recommender.journal.replica import Replica
from recommender.shard.snapshot import Snapshot
from recommender.worker.replicas import HeldReplica, finish_despite_cancel

logger = logging.getLogger(__name__)

#: Between two saves lies at least this many times what writing took: large states do not keep the disk busy.
PACE = 4
#: How long a worker waits before it writes, in seconds, each its own part of it: mostly one writes for all.
JITTER_SECONDS = 5.0


@dataclass(slots=True)
class Saving:
    """The work that is under way for one replica."""

    snapshot: Snapshot | None = None
    ready: bool = False
    task: asyncio.Task[None] | None = None
    last: float = -1e9
    heard: float = 0.0


class Checkpointing:
    """Saves replicas.

    Parameters
    ----------
    interval : float
        Seconds between two marks.
    jitter : float
        This worker's part of `JITTER_SECONDS`, from 0 to 1.
    clock : function
        Seconds of a clock that never goes back.
    slice_entries : int
        Entries of a history that are copied at a stretch.

    Attributes
    ----------
    differs : dict of int to str
        By partition of the journal, in words, where this worker's state is not what another one saved.
    errors : dict of int to OSError
        By partition of the journal, why it could not be saved when that was last tried.
    writing_took : float
        Seconds that the last write took.
    """

    def __init__(
        self,
        interval: float,
        jitter: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        slice_entries: int = SLICE,
    ) -> None:
        self._interval, self._clock, self._slice_entries = interval, clock, slice_entries
        self._milliseconds = max(1, int(interval * 1000))
        self._jitter = jitter * min(JITTER_SECONDS, interval / 4)
        self._saving: dict[int, Saving] = {}
        self.writing_took = 0.0
        self.differs: dict[int, str] = {}
        self.errors: dict[int, OSError] = {}

    async def prepare(self, held: HeldReplica) -> None:
        """Copy a slice of a replica's state, if a mark may come soon; nothing is learned meanwhile."""
        saving = self.saving_of(held)
        if saving.ready or not self._is_due(saving, held):
            return
        if saving.snapshot is None or saving.snapshot.shard is not held.replica.shard:
            saving.snapshot = Snapshot(held.replica.shard, self._slice_entries)
        saving.ready = not await finish_despite_cancel(asyncio.to_thread(saving.snapshot.advance))

    def _is_due(self, saving: Saving, held: HeldReplica) -> bool:
        if held.replica.partition in self.differs or not held.caught_up:
            return False
        if saving.task is not None and not saving.task.done():
            return False
        pause = max(self._interval / 2, PACE * self.writing_took)
        return held.replica.position > max(held.saved, 0) and self._clock() - saving.last >= pause

    def cut(self, held: HeldReplica, records: Sequence[Record]) -> int:
        """The number of the records that lie before the next mark, if the replica is to be saved there."""
        saving = self.saving_of(held)
        saving.heard = self._clock()
        if not saving.ready:
            return len(records)
        newest = held.replica.rule.timestamp
        mark = newest // self._milliseconds
        for number, record in enumerate(records):
            if record.timestamp // self._milliseconds > mark and held.replica.position + number > 0:
                return number
        return len(records)

    def is_quiet(self, held: HeldReplica) -> bool:
        """Return True if nothing has come for long enough that the replica is to be saved where it is."""
        saving = self.saving_of(held)
        return saving.ready and self._clock() - saving.heard >= self._interval

    def save(self, held: HeldReplica) -> None:
        """Save a replica as it is now; the lock of the replica is held."""
        saving = self.saving_of(held)
        snapshot = saving.snapshot
        saving.snapshot, saving.ready, saving.last = None, False, self._clock()
        if snapshot is None or snapshot.shard is not held.replica.shard:
            return  # another replica has taken its place
        snapshot.finish()
        replica = held.replica
        work = self._write(held, replica, snapshot, replica.own_state(), replica.position)
        saving.task = asyncio.create_task(work)

    async def _write(
        self, held: HeldReplica, replica: Replica, snapshot: Snapshot, own: Arrays, position: int
    ) -> None:
        partition, store = replica.partition, held.store
        place = store.of_origin(replica.rule.origin)
        try:
            await asyncio.sleep(self._jitter)
            started = time.perf_counter()
            differs, size = await finish_despite_cancel(
                asyncio.to_thread(_write, place, partition, position, snapshot, own)
            )
            self.writing_took = time.perf_counter() - started
        except OSError as error:
            logger.error(
                "%s: cannot write checkpoints to %s: %s; learning and answering continue",
                replica,
                store.directory,
                error,
            )
            self.errors[partition] = error
            return
        if self.errors.pop(partition, None) is not None:
            logger.warning("%s: checkpoints can be written again", replica)
        if differs:
            self.differs[partition] = differs
            logger.error("%s; this worker is not ready any more and saves nothing: restart it", differs)
        elif held.store is store:
            held.note_saved(position, size)

    def saving_of(self, held: HeldReplica) -> Saving:
        """The work that is under way for a replica."""
        if held.replica.partition not in self._saving:
            self._saving[held.replica.partition] = Saving(heard=self._clock())
        return self._saving[held.replica.partition]

    def drop(self, partition: int) -> None:
        """Forget a replica that is not held any more."""
        self._saving.pop(partition, None)
        self.differs.pop(partition, None)
        self.errors.pop(partition, None)

    async def settle(self, within: float) -> None:
        """Wait for what is being written, but not longer than `within` seconds."""
        tasks = [each.task for each in self._saving.values() if each.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=within)


def _write(
    store: CheckpointStore, partition: int, position: int, snapshot: Snapshot, own: Arrays
) -> tuple[str, int]:
    """Write a checkpoint unless a worker has; what `_write_state` says, and how many bytes the state has."""
    state = snapshot.state() | own
    return _write_state(store, partition, position, state), sum(each.nbytes for each in state.values())


def _write_state(store: CheckpointStore, partition: int, position: int, state: Arrays) -> str:
    """Write a state unless a worker has; in words, where what that one wrote is something else."""
    found = store.header_at(partition, position)
    if found is None or store.supersedes(found):
        # At a hand-over the journal may stand where it was saved before, in the state that gave way.
        if not store.has_newer(partition, position):
            store.save(partition, position, state)
        return ""
    expected, actual = str(found["digest"]), digest(state)
    if expected == actual or not store.is_comparable(found):
        return ""
    return (
        f"{store.place(partition, position)} was saved by another worker and its digest is {expected}, but "
        f"the state of this one at that offset has {actual}"
    )
