"""Follows the journal without Faust: a follower for each replica that the worker holds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from mode import Service

from recommender.errors import RecommenderError
from recommender.journal.errors import JournalError
from recommender.journal.follower import Follower
from recommender.kafka.topics import TopicInfo
from recommender.worker.learning import Learner, LearningTarget
from recommender.worker.replicas import HeldReplica, Replicas
from recommender.worker.transport import FAUST_LOGGER

logger = logging.getLogger(__name__)

#: So many blocks at most are written before they are learned. Writing takes less time than learning: without
#: a bound a worker writes a whole backlog first, and answers from old states meanwhile.
AHEAD = 32
#: How often a replica for which nothing comes is looked after.
REST_SECONDS = 1.0


@dataclass(slots=True)
class _Followed:
    held: HeldReplica
    follower: Follower
    running: asyncio.Task[None]
    at_end: float


class Following(Service):
    """Follows partitions of the journal.

    With one partition it is followed to its end before this has started, and Faust's consumer, which joins
    the group, starts after this.

    Parameters
    ----------
    replicas : Replicas
    learner : Learner
    options : mapping
        aiokafka's, see `recommender.kafka.plain_clients.client_options`.
    identify : function
        The journal's topic as it is now; called in a thread.
    refuse : function
        Called with an error that a person has to fix, before this ends.
    caught_up : function
        Called when a replica may answer again that had to go back to its checkpoint.
    allow_gap : bool
        Continue where the journal has lost blocks.
    """

    logger = FAUST_LOGGER

    def __init__(
        self,
        replicas: Replicas,
        learner: Learner,
        options: Mapping[str, Any],
        identify: Callable[[], TopicInfo],
        refuse: Callable[[RecommenderError], None],
        caught_up: Callable[[], Awaitable[None]],
        *,
        allow_gap: bool = False,
    ) -> None:
        super().__init__()
        self._replicas, self._learner = replicas, learner
        self._options, self._identify, self._refuse = options, identify, refuse
        self._caught_up, self._allow_gap = caught_up, allow_gap
        self._followed: dict[int, _Followed] = {}
        self._wanted: set[int] = {0} if replicas.partitions == 1 else set()
        self._change = asyncio.Event()

    async def on_start(self) -> None:
        """Follow to the end."""
        if self._wanted:
            await self.wait_for_stopped_or(self._hold(0))

    async def wait_for_stopped_or(self, work: Any) -> None:
        """Await work, unless this is stopped meanwhile; an error that a person has to fix is passed on."""
        try:
            await self.wait(work)
        except RecommenderError as error:
            self._refuse(error)
            raise

    async def on_stop(self) -> None:
        """Follow no more."""
        for partition in list(self._followed):
            await self._drop(partition)

    def assign(self, partitions: Collection[int]) -> None:
        """Hold the replicas of these partitions from now on, if the journal has several."""
        if self._replicas.partitions > 1:
            self._wanted = set(partitions)
            self._change.set()

    async def follow_to_end(self) -> None:
        """Return when all is followed that the journal has at this moment, in the partitions held."""
        await asyncio.gather(*map(self._catch_up, list(self._followed.items())))

    async def _catch_up(self, numbered: tuple[int, _Followed]) -> None:
        partition, followed = numbered
        try:
            await followed.follower.catch_up()
        except JournalError:
            if self._followed.get(partition) is followed:
                raise  # else it is held no more

    def acknowledged(self, partition: int, block: Any) -> None:
        """Follow a block that this worker has written before it is fetched."""
        followed = self._followed.get(partition)
        if followed is not None:
            followed.follower.acknowledged(block)

    async def keep_up(self) -> None:
        """Return when nearly all is learned that this worker has written."""
        for followed in list(self._followed.values()):
            await followed.follower.keep_up(AHEAD)

    def follower(self, partition: int) -> Follower | None:
        """The follower of a partition, if it is held."""
        followed = self._followed.get(partition)
        return None if followed is None else followed.follower

    def note(self, partition: int) -> None:
        """Take note of whether a replica is at the end of the journal, now that it has learned."""
        followed = self._followed.get(partition)
        if followed is not None and not followed.follower.lag:
            followed.at_end = time.monotonic()

    def behind(self, seconds: float) -> str | None:
        """Name the replica that has not been at the end of the journal for this many seconds, if any."""
        if not self._wanted <= set(self._followed):
            return "the journal is not followed yet"
        for followed in self._followed.values():
            replica, follower = followed.held.replica, followed.follower
            if not followed.held.caught_up:
                return f"{replica} is followed to its end first: {follower.lag} records are left"
            delay = time.monotonic() - followed.at_end
            if follower.lag and delay > seconds:
                left = f"{follower.lag} records are left"
                return f"{replica} has not been followed to its end for {delay:.0f} s: {left}"
        return None

    async def _hold(self, partition: int) -> None:
        held = await self._replicas.open(partition)
        target = LearningTarget(held, self._learner)
        follower = Follower(target, self._options, self._identify, allow_gap=self._allow_gap)
        running = asyncio.create_task(follower.run())
        self._followed[partition] = _Followed(held, follower, running, time.monotonic())
        catching_up = asyncio.create_task(follower.catch_up())
        await asyncio.wait([running, catching_up], return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            catching_up.cancel()
            running.result()
        held.caught_up = True
        logger.info(
            "%s: followed to offset %d: %d users, %d items",
            held.replica,
            held.replica.position,
            len(held.replica.shard.users),
            len(held.replica.shard.items),
        )

    async def _drop(self, partition: int) -> None:
        followed = self._followed.pop(partition)
        await followed.follower.stop()
        await asyncio.wait([followed.running])
        self._replicas.drop(partition)

    @Service.task
    async def _exchange(self) -> None:
        """Hold what is wanted, if the journal has several partitions."""
        while not self.should_stop:
            for partition in sorted(self._wanted - set(self._followed)):
                await self.wait_for_stopped_or(self._hold(partition))
            for partition in sorted(set(self._followed) - self._wanted):
                await self._drop(partition)
            if set(self._followed) == self._wanted:
                self._change.clear()
                await self.wait(self._change.wait())

    @Service.task
    async def _watch(self) -> None:
        """Save replicas that rest, and end with a follower that has."""
        while not self.should_stop:
            await self.sleep(REST_SECONDS)
            for followed in list(self._followed.values()):
                if followed.running.done() and not self.should_stop:
                    self._end(followed.running)
                await self._learner.rest(followed.held)
                self.note(followed.held.replica.partition)
                # Back to its checkpoint after a rating that could not be learned, and at the end again.
                if not followed.held.caught_up and not followed.follower.lag:
                    followed.held.caught_up = True
                    await self._caught_up()

    def _end(self, running: asyncio.Task[None]) -> None:
        try:
            running.result()
        except RecommenderError as error:
            self._refuse(error)
            raise
