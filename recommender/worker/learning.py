"""The learning side of the worker: records of the journal into its replicas, a slice at a time."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from recommender.journal.outcome import Followed
from recommender.journal.records import Record
from recommender.journal.replica import Poisoned
from recommender.journal.rule import Rule
from recommender.worker.checkpointing import Checkpointing
from recommender.worker.pacing import Pace, clock, give_way
from recommender.worker.replicas import HeldReplica, Replicas

logger = logging.getLogger(__name__)

CHUNK, BLOCKS = 1024, 2000


class Learner:
    """Learns records of the journal.

    Parameters
    ----------
    replicas : Replicas
    checkpointing : Checkpointing
    pace : Pace
        How long learning may keep the event loop.
    learned : function
        Called after each pass over records, once they are in the state.
    chunk : int
        At most this many ratings are learned between two looks at the clock.
    blocks : int
        At most this many blocks are followed in one pass.
    """

    def __init__(
        self,
        replicas: Replicas,
        checkpointing: Checkpointing,
        pace: Pace,
        learned: Callable[[HeldReplica, Followed], Awaitable[None]],
        *,
        chunk: int = CHUNK,
        blocks: int = BLOCKS,
    ) -> None:
        self._replicas, self._checkpointing = replicas, checkpointing
        self._pace, self._learned = pace, learned
        self._chunk, self._blocks = chunk, blocks

    async def take(self, held: HeldReplica, records: Sequence[Record]) -> bool:
        """Learn consecutive records, those below the position are passed over.

        Returns
        -------
        bool
            False if the journal has to be read again from where the replica is now.

        Raises
        ------
        BlockError
            A record is not a block that this version can read. What comes before it is learned.
        """
        async with held.lock:
            await self._checkpointing.prepare(held)
            left = records[: len(records)]
            while left:
                count = min(self._checkpointing.cut(held, left), self._blocks)
                if count == 0:
                    self._checkpointing.save(held)
                    continue
                run, left = left[:count], left[count:]
                try:
                    await self._learn(held, run)
                except Poisoned:
                    logger.exception("%s: learning again from the last checkpoint", held.replica)
                    await self._replicas.reload(held)
                    return False
        return True

    async def _learn(self, held: HeldReplica, records: Sequence[Record]) -> None:
        replica = held.replica
        followed = replica.follow(records)
        first, count = 0, len(followed.rows.ratings)
        while first < count:
            last, started = min(first + self._pace.count(self._chunk), count), clock()
            replica.learn(followed, first, last)
            if self._pace.is_over(last - first, clock() - started):
                await give_way(self._pace.seconds)
            first = last
        replica.finish(followed)
        await self._learned(held, followed)
        if followed.error is not None:
            raise followed.error

    def begin_again(self, held: HeldReplica, offset: int) -> None:
        """Put a replica in the place of another that has followed nothing yet."""
        self._replicas.begin_again(held, offset)

    async def rest(self, held: HeldReplica) -> None:
        """Save a replica for which nothing has come for a while."""
        async with held.lock:
            await self._checkpointing.prepare(held)
            if self._checkpointing.is_quiet(held):
                self._checkpointing.save(held)


class LearningTarget:
    """Gives a held replica what a follower of the journal reads.

    Parameters
    ----------
    held : HeldReplica
    learner : Learner
    """

    def __init__(self, held: HeldReplica, learner: Learner) -> None:
        self._held, self._learner = held, learner

    @property
    def rule(self) -> Rule:
        """The rule: how far the replica has followed."""
        return self._held.replica.rule

    async def take(self, records: Sequence[Record]) -> bool:
        """See `Learner.take`."""
        return await self._learner.take(self._held, records)

    def skip_to(self, offset: int) -> None:
        """See `Replica.skip_to`."""
        self._held.replica.skip_to(offset)

    def begin_again(self, offset: int) -> None:
        """Follow a journal that was rewritten from its beginning; nothing is answered from it meanwhile."""
        self._learner.begin_again(self._held, offset)
