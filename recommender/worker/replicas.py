"""The replicas that a worker holds: loaded from their checkpoints, and put back to them.

With a journal of one partition every worker holds its one replica, always.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from recommender.checkpoints.checkpoint import Checkpoint, CheckpointMismatch
from recommender.checkpoints.identity import handover_of
from recommender.checkpoints.store import CheckpointStore
from recommender.journal.replica import Replica
from recommender.journal.rule import Rule
from recommender.messages.partitioning import partition_of
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

#: How often all sources are tried, since what is newest may change between two of them.
LOOKS = 2


class CheckpointSource(NamedTuple):
    """A way to read and write checkpoints: the options they are learned with, and a store that knows them."""

    options: ShardOptions
    store: CheckpointStore


@dataclass(frozen=True, slots=True)
class Successor:
    """A replica that is to take the place of another, while it learns alongside.

    Attributes
    ----------
    name : str
        What it is: a hand-over, or the rewritten journal.
    begin : int
        The offset of the journal from which it learns.
    position : function
        Its next offset; called from another thread than it learns in.
    """

    name: str
    begin: int
    position: Callable[[], int]

    def left(self, target: int) -> int:
        """The number of records that it is behind an offset."""
        return max(0, target - self.position())

    def status(self, target: int) -> dict[str, object]:
        """The part of the status page about it; it takes over at an offset or later."""
        return {"name": self.name, "from": self.begin, "at": self.position(), "of": target}


@dataclass(slots=True)
class HeldReplica:
    """A replica that this worker holds, and where it is saved.

    Attributes
    ----------
    replica : Replica
    store : CheckpointStore
    saved : int
        The position of its newest checkpoint that is known; -1 if there is none.
    saved_at : float
        When that was saved, in seconds since 1970; NaN if there is none.
    saved_bytes : int or None
        Its size, where this worker wrote or loaded it.
    lock : asyncio.Lock
        Held while records are learned and while the replica is exchanged.
    caught_up : bool
        It has been at the end of the journal once, so it may answer.
    successor : Successor or None
        What learns alongside to take its place.
    """

    replica: Replica
    store: CheckpointStore
    saved: int = -1
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    caught_up: bool = False
    saved_at: float = math.nan
    saved_bytes: int | None = None
    successor: Successor | None = None

    def note_saved(self, position: int, size: int) -> None:
        """Take note of a checkpoint that was saved just now, or found to be there."""
        self.saved, self.saved_at, self.saved_bytes = position, time.time(), size

    def exchange(self, replica: Replica, store: CheckpointStore) -> None:
        """Put another replica in its place, which has followed the journal as far; the lock is held."""
        self.replica, self.store, self.saved = replica, store, -1
        self.saved_at, self.saved_bytes = math.nan, None


class Replicas:
    """The replicas of this worker.

    Parameters
    ----------
    options : ShardOptions
    store : CheckpointStore
        Of the worker's own settings.
    make_rule : function
        A new `Rule` for a partition of the journal.
    partitions : int
        Of the journal.
    rebuild : bool
        Set checkpoints that do not match aside and learn again from the journal.
    sources : function, optional
        How checkpoints may be read, the best way first; called in a thread. By default as the worker's own.
    prepare : function
        Called with a shard that was loaded, in a thread, before anything is answered from it.
    """

    def __init__(
        self,
        options: ShardOptions,
        store: CheckpointStore,
        make_rule: Callable[[int], Rule],
        partitions: int = 1,
        *,
        rebuild: bool = False,
        sources: Callable[[], Sequence[CheckpointSource]] | None = None,
        prepare: Callable[[Shard], None] = lambda shard: None,
    ) -> None:
        self.options = options
        self.store = store
        self.partitions = partitions
        self.prepare = prepare
        self._make_rule = make_rule
        self._rebuild = rebuild
        self._held: dict[int, HeldReplica] = {}
        self._sources = sources or (lambda: [CheckpointSource(options, store)])

    def __iter__(self) -> Iterator[HeldReplica]:
        return iter(list(self._held.values()))

    def get(self, partition: int) -> HeldReplica | None:
        """The replica of a partition of the journal, if this worker holds it and it may answer."""
        held = self._held.get(partition)
        return held if held is not None and held.caught_up else None

    def holds(self, partition: int) -> bool:
        """Return True if this worker holds the replica of a partition, or is about to."""
        return self.partitions == 1 or partition in self._held

    def partition_of(self, user: str) -> int:
        """The partition of the journal that a user's ratings go to."""
        return partition_of(user, self.partitions)

    async def open(self, partition: int) -> HeldReplica:
        """Hold a replica: from its newest checkpoint that fits, else a new one.

        Raises
        ------
        CheckpointError
            The checkpoint is of another journal or other settings.
        """
        held = self._held.get(partition)
        if held is None:
            held = await finish_despite_cancel(asyncio.to_thread(self._load, partition))
            self.hold(partition, held)
        return held

    def hold(self, partition: int, held: HeldReplica) -> None:
        """Hold a replica of a partition that is there already."""
        self._held[partition] = held

    def drop(self, partition: int) -> None:
        """Let go of a replica."""
        self._held.pop(partition, None)

    async def reload(self, held: HeldReplica) -> None:
        """Put a replica that is in the middle of a rating back to its checkpoint, or to the start.

        Nothing is answered from it meanwhile.
        """
        partition, suspects = held.replica.partition, held.replica.suspects
        held.caught_up = False
        loaded = await finish_despite_cancel(asyncio.to_thread(self._load, partition))
        held.replica, held.store, held.saved = loaded.replica, loaded.store, loaded.saved
        held.saved_at, held.saved_bytes = loaded.saved_at, loaded.saved_bytes
        held.replica.suspects = suspects

    def begin_again(self, held: HeldReplica, offset: int) -> None:
        """Put a replica in its place that follows the journal from an offset, where everything begins again.

        Nothing is answered from it before it has followed to the end.
        """
        replica = Replica(self._make_rule(held.replica.partition), held.replica.shard.options)
        replica.skip_to(offset)
        held.caught_up = False
        held.exchange(replica, held.store)

    def _load(self, partition: int) -> HeldReplica:
        started = time.perf_counter()
        checkpoint, warnings, (options, store) = self._newest(partition)
        replica = Replica(self._make_rule(partition), options)
        for warning in warnings:
            logger.warning("%s: %s", replica, warning)
        if checkpoint is None:
            logger.info("%s: no checkpoint, learning from the start of the journal", replica)
            return HeldReplica(replica, store)
        replica.restore(checkpoint.state)
        self.prepare(replica.shard)
        logger.info(
            "%s: continues at offset %d from %s (%d users, %d items, %.2f s)",
            replica,
            replica.position,
            checkpoint.path.name,
            len(replica.shard.users),
            len(replica.shard.items),
            time.perf_counter() - started,
        )
        return HeldReplica(
            replica, store, replica.position, saved_at=checkpoint.saved_at, saved_bytes=checkpoint.size
        )

    def _newest(self, partition: int) -> tuple[Checkpoint | None, list[str], CheckpointSource]:
        """The newest whole checkpoint, by the first source that it fits; what was wrong with newer ones."""
        sources = self._sources()
        refused = None
        # Twice: a worker that takes a hand-over over may save in between, so that at first none fits.
        for options, store in [*sources] * LOOKS:
            try:
                checkpoint, warnings = store.load(partition)
            except CheckpointMismatch as error:
                refused = refused or error
                continue
            handover = handover_of(checkpoint.header) if checkpoint else ""
            return checkpoint, warnings, CheckpointSource(options, store.of_handover(handover))
        if not self._rebuild and refused is not None:
            raise refused
        return *sources[0].store.load(partition, rebuild=True), sources[0]


async def finish_despite_cancel(step: Awaitable[Result]) -> Result:
    """Await work in a thread, even if this task is cancelled, so that nothing else runs at the same time."""
    work = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
