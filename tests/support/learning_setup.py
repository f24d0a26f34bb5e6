"""A worker's learning side without Kafka: replicas, their checkpoints, and a journal in memory to follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from recommender.checkpoints.identity import Identity
from recommender.checkpoints.store import CheckpointStore
from recommender.history.snapshot import SLICE
from recommender.journal.outcome import Followed
from recommender.journal.replica import Replica
from recommender.journal.rule import Rule
from recommender.shard.options import ShardOptions
from recommender.worker.checkpointing import Checkpointing
from recommender.worker.learning import Learner
from recommender.worker.pacing import Pace, RecentRequests
from recommender.worker.replicas import HeldReplica, Replicas
from tests.support.journals import FOUND, Journal
from tests.unit.journal.blocks import Block

#: Seconds between two marks.
INTERVAL = 60.0
MINUTE = 60_000


def rule(partition: int = 0) -> Rule:
    """The journal's, that has followed nothing."""
    return Rule(FOUND.topic, partition)


def store_in(directory: str | Path, topic_id: str = "id") -> CheckpointStore:
    """A store of the journal's checkpoints."""
    return CheckpointStore(directory, Identity(FOUND.topic, topic_id, 1))


def replicas_in(directory: str | Path, options: ShardOptions | None = None, **given: Any) -> Replicas:
    """The replicas of a worker whose checkpoints are in a directory."""
    return Replicas(options or ShardOptions(), store_in(directory), rule, **given)


def single_pass(
    blocks: Sequence[Block], options: ShardOptions | None = None, stop: int | None = None
) -> Replica:
    """What one pass over the journal up to an offset gives."""
    replica = Replica(rule(), options or ShardOptions())
    if blocks[:stop]:
        replica.apply(blocks[:stop])
    return replica


class LearningWorker:
    """A worker that follows a journal.

    Attributes
    ----------
    passes : list of (int, int)
        The position and the events after each pass over blocks.
    """

    def __init__(
        self,
        directory: str | Path,
        options: ShardOptions | None = None,
        learn_slice: float = 60.0,
        interval: float = INTERVAL,
        jitter: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
        slice_entries: int = SLICE,
        **limits: Any,
    ) -> None:
        self.replicas = replicas_in(directory, options)
        self.checkpointing = Checkpointing(interval, jitter, clock, slice_entries)
        self.passes: list[tuple[int, int]] = []
        pace = Pace(learn_slice, RecentRequests())
        self.learner = Learner(self.replicas, self.checkpointing, pace, self._learned, **limits)
        self.held: HeldReplica

    async def _learned(self, held: HeldReplica, followed: Followed) -> None:
        self.passes.append((held.replica.position, held.replica.shard.events))

    async def open(self) -> LearningWorker:
        """Load what there is; itself."""
        self.held = await self.replicas.open(0)
        self.held.caught_up = True
        return self

    @property
    def replica(self) -> Replica:
        """The one that it holds."""
        return self.held.replica

    async def take(self, blocks: Sequence[Block]) -> bool:
        """Learn blocks."""
        return await self.learner.take(self.held, blocks)

    async def follow(self, journal: Journal, sizes: Iterable[int] = (), stop: int | None = None) -> None:
        """Follow up to an offset, or to the end, in pieces of these sizes; what is left comes at once."""
        coming = iter(sizes)
        end = len(journal.blocks) if stop is None else stop
        while self.replica.position < end:
            size = next(coming, None)
            first = self.replica.position
            last = end if size is None else min(first + size, end)
            await self.take(journal.blocks[first:last])

    async def settle(self) -> None:
        """Wait until what is being written is there."""
        await self.checkpointing.settle(60.0)
