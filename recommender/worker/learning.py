"""The learning side of the worker: batches of ratings into shards, and what they send elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from recommender.ingest.ingest import Ingest, Outcome, Outgoing, Record
from recommender.ingest.poison_records import Poisoned
from recommender.worker.continuity import Continuity, Seek
from recommender.worker.held import Held
from recommender.worker.pacing import Pace, clock, give_way
from recommender.worker.shards import Shards
from recommender.worker.transport.batch import Batch

logger = logging.getLogger(__name__)

#: At most so many records are applied between two looks at the clock. See also `forwarded.KEPT`.
CHUNK = 1024

#: Sends records to partitions of a topic; returns when the brokers have all of them.
SendAll = Callable[[str, Sequence[Outgoing]], Awaitable[None]]


class Learner:
    """Applies batches of ratings to the shards that the worker holds.

    Parameters
    ----------
    shards : Shards
    ingest : Ingest
    send_all : SendAll
    seek : Seek
    dead_letter_topic : str
    pace : Pace
        How long learning may keep the event loop.
    learned : function, optional
        Told of every run: the partition and its outcome.
    """

    def __init__(
        self,
        shards: Shards,
        ingest: Ingest,
        send_all: SendAll,
        seek: Seek,
        *,
        dead_letter_topic: str,
        pace: Pace,
        learned: Callable[[int, Outcome], None] = lambda partition, outcome: None,
    ) -> None:
        self._shards = shards
        self._ingest = ingest
        self._send_all = send_all
        self._seek = seek
        self._dead_letter_topic = dead_letter_topic
        self._pace = pace
        self._learned = learned
        self._continuity = Continuity(ingest.topic, seek, shards.accept_gap)

    async def take(self, batch: Batch) -> None:
        """Learn a partition's records; returns when all that they send elsewhere has arrived.

        Raises
        ------
        LogGap
            Kafka has deleted ratings before they were learned.
        Exception
            A dead letter or a forwarded rating could not be delivered. The worker must stop then: the shard
            has passed the record, and a checkpoint of it would lose the record.
        """
        held = self._shards.get(batch.partition)
        if held is None:
            return  # the partition moved away while the batch was on its way
        async with held.lock:
            if await self._continuity.follows(batch, held.shard.offset):
                await self._apply(held, batch)

    async def _apply(self, held: Held, batch: Batch) -> None:
        letters: list[Outgoing] = []
        spoiled = held.tainted
        held.tainted = True
        left = batch.records
        while left:
            count, started = self._pace.count(CHUNK), clock()
            records, left = left[:count], left[count:]
            outcome = self._learn(held, records)
            took = clock() - started
            if outcome is None:
                # What was passed before it comes again, and dead letters with it.
                await self._seek(batch.partition, held.shard.offset)
                held.tainted = False
                return
            letters += outcome.dead_letters
            if outcome.forwards:
                # The next run's must not overtake them, see `recommender.ingest.forwarded`.
                await self._send_all(self._ingest.topic, outcome.forwards)
            self._learned(batch.partition, outcome)
            if self._pace.is_over(len(records), took):
                held.tainted = spoiled or bool(letters)
                await give_way(self._pace.seconds)
                held.tainted = True
        held.shard.offset = max(held.shard.offset, batch.end)
        if letters:
            # All at once: while they are on their way nothing is learned.
            await self._send_all(self._dead_letter_topic, letters)
        held.tainted = spoiled

    def _learn(self, held: Held, records: Sequence[Record]) -> Outcome | None:
        """Learn a run; None if it raised, and the log has to be read again from where the shard now is.

        The shard is then in the middle of a record. It goes back to its last checkpoint and comes here again
        by the log, and the run is then learned around what raised: see `recommender.ingest.poison_records`.
        """
        try:
            held.shard, outcome = held.caution.learn(self._ingest, held.shard, records)
        except Poisoned as error:
            logger.exception("%s; learning again from the last checkpoint, without it", error)
            self._shards.reload(held)
            return None
        return outcome
