"""Answers requests from the replicas that the worker holds, whether they come over Kafka or HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from recommender.items.store import NO_ITEMS, ItemStore
from recommender.journal.block import Source
from recommender.messages.partitioning import partition_of
from recommender.messages.requests import After, Request
from recommender.messages.responses import Failure, Response
from recommender.models.base import FloatArray
from recommender.shard.query import Hidden
from recommender.worker.replicas import HeldReplica, Replicas
from recommender.worker.together import Together

MAX_WAITING = 10_000


class NotHeld(Exception):
    """The replica that knows the user is not on this worker."""

    def __init__(self, partition: int) -> None:
        super().__init__(f"partition {partition} of the journal is not held here")
        self.partition = partition


class HandedOver(Exception):
    """The request waits for learning, and the worker is about to give its partition away."""


class Answers:
    """Answers requests.

    Parameters
    ----------
    replicas : Replicas
    topic_id : bytes
        Kafka's id of the ratings topic.
    partitions : function
        How many partitions the ratings topic has now: the partition of a user's key follows from that.
    items : ItemStore
        What the items topic says.
    answered : function
        Called with every answer.
    sums : function
        How popular each item is in the window of time that a request asks for.
    hidden : function
        What the user of a request was shown before, if that is to be left out.
    max_waiting : int
        Requests that wait for learning at once; more fail.

    Attributes
    ----------
    waiting : int
        Requests that wait for learning now.
    """

    def __init__(
        self,
        replicas: Replicas,
        topic_id: bytes,
        partitions: Callable[[], int],
        items: ItemStore = NO_ITEMS,
        answered: Callable[[Response], None] = lambda response: None,
        sums: Callable[[HeldReplica, Request], FloatArray | None] = lambda held, request: None,
        hidden: Callable[[Request, bytes], Hidden | None] = lambda request, identity: None,
        max_waiting: int = MAX_WAITING,
    ) -> None:
        self._items, self._sums, self._hidden = items, sums, hidden
        self._replicas, self._topic_id, self._partitions = replicas, topic_id, partitions
        self._learned = asyncio.Condition()
        self._handing_over = False
        self.waiting, self._max_waiting = 0, max_waiting
        self._answered = answered

    async def answer(
        self,
        request: Request,
        identity: bytes,
        limit: float,
        *,
        resting: Callable[[], None] = lambda: None,
        resumed: Callable[[], object] = lambda: None,
        together: Together | None = None,
    ) -> Response:
        """The answer to a request.

        Parameters
        ----------
        request : Request
        identity : bytes
            What tells the request from others, and is the same when it is asked again.
        limit : float
            How long it may wait for learning: until then by the monotonic clock.
        resting, resumed : function
            Called before it waits, and after.
        together : Together, optional
            What makes the list next to those of other requests that are asked at the same time.

        Raises
        ------
        Failure
            It cannot be answered.
        NotHeld
            Another worker has to answer it.
        HandedOver
            It waits, and `hand_over` was called.
        """
        partition = self._partition_of(request)
        held = self._ready(partition, request)
        while held is None:
            resting()
            try:
                await self._wait_for(partition, request, limit)
            finally:
                await asyncio.shield(_awaited(resumed()))
            # Meanwhile the replica may have been put back to where it knew less.
            held = self._ready(partition, request)
        if together is None:
            return self._answer_from(held, request, identity)
        return await together.run(
            lambda: self._answer_from(self._still_ready(partition, request), request, identity)
        )

    def answer_now(self, request: Request, identity: bytes) -> Response | None:
        """The answer to a request that needs to wait for nothing; else None.

        Raises
        ------
        Failure
            It cannot be answered.
        NotHeld
            Another worker has to answer it.
        """
        held = self._ready(self._partition_of(request), request)
        return None if held is None else self._answer_from(held, request, identity)

    def _still_ready(self, partition: int, request: Request) -> HeldReplica:
        """The replica, which may have been put back a moment ago, in the middle of a rating."""
        held = self._ready(partition, request)
        if held is None:
            raise Failure("not_caught_up", self._behind(partition, request), retriable=True)
        return held

    def _answer_from(self, held: HeldReplica, request: Request, identity: bytes) -> Response:
        as_of = held.replica.as_of(self._source_of(request))
        sums, hidden = self._sums(held, request), self._hidden(request, identity)
        response = held.replica.shard.recommend(request, identity, as_of, self._items, sums, hidden)
        self._answered(response)
        return response

    def may_answer(self, request: Request) -> bool:
        """Return False if the replica that answers is here, but still follows the journal to its end."""
        try:
            return self._replicas.get(self._partition_of(request)) is not None
        except NotHeld:
            return True

    def _partition_of(self, request: Request) -> int:
        """The partition of the journal whose replica answers; one that is here where any can."""
        if request.user is not None:
            partition = self._replicas.partition_of(str(request.user))
        else:
            partition = next((held.replica.partition for held in self._replicas), 0)
        if not self._replicas.holds(partition):
            raise NotHeld(partition)
        return partition

    def _source_of(self, request: Request) -> Source | None:
        if request.user is None:
            return None
        return Source(self._topic_id, partition_of(str(request.user), self._partitions()))

    def _ready(self, partition: int, request: Request) -> HeldReplica | None:
        """The replica, once it knows what the request wants it to know."""
        held = self._replicas.get(partition)
        if held is None or request.after is None or self._knows(held, request, request.after):
            return held
        return None

    def _knows(self, held: HeldReplica, request: Request, after: int | After) -> bool:
        replica = held.replica
        if isinstance(after, After) and after.journal is not None:
            return replica.position > after.journal
        if isinstance(after, After):
            source = Source(self._topic_id, after.partition or 0)
            return replica.applied.get(source, 0) > (after.offset or 0)
        asked = self._source_of(request)
        return asked is None or replica.applied.get(asked, 0) > after

    async def _wait_for(self, partition: int, request: Request, limit: float) -> None:
        if self.waiting >= self._max_waiting:
            raise Failure(
                "not_caught_up", f"{self._max_waiting} requests wait already, try again", retriable=True
            )
        self.waiting += 1
        try:
            async with asyncio.timeout(max(0.0, limit - time.monotonic())), self._learned:
                await self._learned.wait_for(
                    lambda: (
                        self._handing_over
                        or not self._replicas.holds(partition)
                        or self._ready(partition, request) is not None
                    )
                )
        except TimeoutError:
            raise Failure("not_caught_up", self._behind(partition, request), retriable=True) from None
        finally:
            self.waiting -= 1
        if self._ready(partition, request) is None:
            raise HandedOver

    def _behind(self, partition: int, request: Request) -> str:
        """Describe what the replica does not know yet."""
        held = self._replicas.get(partition)
        if held is None:
            return "this worker still follows the journal to its end"
        after = request.after
        if isinstance(after, After) and after.journal is not None:
            return (
                f"asked to answer after offset {after.journal} of the journal, but it is followed up to "
                f"offset {held.replica.position - 1}"
            )
        source = self._source_of(request)
        if isinstance(after, After):
            source, after = Source(self._topic_id, after.partition or 0), after.offset
        reached = 0 if source is None else held.replica.applied.get(source, 0)
        learned = f"up to offset {reached - 1}" if reached else "nothing"
        place = 0 if source is None else source.partition
        return (
            f"asked to answer after offset {after} of ratings partition {place}, but this worker has learned "
            f"{learned} of it"
        )

    async def learned(self) -> None:
        """Wake the requests that wait for learning."""
        if self.waiting:
            async with self._learned:
                self._learned.notify_all()

    async def hand_over(self) -> None:
        """Let no request wait for learning any more, until `resume`."""
        self._handing_over = True
        await self.learned()

    def resume(self) -> None:
        """Let requests wait again."""
        self._handing_over = False


async def _awaited(result: object) -> None:
    if asyncio.iscoroutine(result) or isinstance(result, asyncio.Future):
        await result
