"""A running worker's side of a hand-over: it takes over what `recommender retrain` made, and never pauses.

A new checkpoint is older than the shard that runs. So it is loaded next to it, and learns from the log what
came since, in a thread of its own, while the old shard learns and answers. Once it has nearly caught up,
learning waits for the last few records, and the two change places between two records, at the same offset.
What the new shard has learned is then what one pass over the log gives, as with every shard, and no record
is read twice or left out by the partition's own reader.

A journal that was rewritten is taken over in the same way, only that all of it is learned again here: see
`recommender.journal.rewriting`.

Should the worker die on the way, the old checkpoints are still there, and so is the hand-over: the worker
that holds the partition next takes it over again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import ParamSpec, TypeVar

from kafka.errors import KafkaError

from recommender.checkpoints.checkpoint import CheckpointMismatch, read
from recommender.errors import RecommenderError
from recommender.journal.identity import rule_of
from recommender.journal.replica import Poisoned, Replica
from recommender.kafka.log_reader import LogReader
from recommender.kafka.topics import TopicInfo
from recommender.retraining import handover
from recommender.retraining.handover import Handover
from recommender.retraining.log_replay import JournalReplay, reading
from recommender.settings import Settings
from recommender.shard import warmup
from recommender.worker.handover_sources import HandoverSources
from recommender.worker.replicas import (
    CheckpointSource,
    HeldReplica,
    Replicas,
    Successor,
    finish_despite_cancel,
)

logger = logging.getLogger(__name__)

#: This few records are left to learn while learning of new ones waits.
NEAR = 2000
#: A log that grows faster than it can be read again is not chased for ever.
ROUNDS = 20
#: After this many ratings the threads that answer may run.
CHUNK = 1000

P = ParamSpec("P")
Opened = AbstractContextManager[LogReader]
Result = TypeVar("Result")


class Adoption:
    """Takes over what is handed over, and a journal that was rewritten.

    Parameters
    ----------
    config : Settings
        The worker's own.
    replicas : Replicas
    topic : TopicInfo
        The journal.
    sources : HandoverSources
    read : function
        Opens the journal, see `recommender.retraining.log_replay.reading`.
    """

    def __init__(
        self,
        config: Settings,
        replicas: Replicas,
        topic: TopicInfo,
        sources: HandoverSources,
        read: Callable[[Settings], Opened] = reading,
    ) -> None:
        self._config, self._replicas, self._topic, self._sources = config, replicas, topic, sources
        self._read = read
        self._thread = ThreadPoolExecutor(1, "adoption")

    async def adopt(self) -> None:
        """Take over what was handed over or rewritten since it last looked, partition by partition."""
        try:
            found = await self._run(self._sources.newest)
        except (OSError, RecommenderError) as error:
            self._sources.log_once(f"cannot look for a hand-over: {error}")
            found = None
        for held in self._replicas:
            if found is not None:
                await self._guarded(held, f"hand-over {found.name}", self._take_over(held, found))
            if held.replica.rule.is_outdated:
                await self._guarded(held, "the rewritten journal", self._follow_again(held))

    async def _guarded(self, held: HeldReplica, what: str, work: Awaitable[None]) -> None:
        place = str(held.replica)
        try:
            await work
        except (OSError, RecommenderError, KafkaError) as error:
            self._sources.log_once(f"{place}: {what} is not taken over: {error}")
        except Exception:
            # The shard that runs is as it was, so it continues.
            logger.exception("%s: %s is not taken over", place, what)

    async def _take_over(self, held: HeldReplica, found: Handover) -> None:
        offer = found.offers.get(str(held.replica.partition))
        if offer is None or held.store.identity.handover == found.name:
            return
        if held.replica.position < offer.offset:
            return  # it still learns what the new checkpoint has learned already
        source = await self._run(self._sources.source, found.terms, found.name)
        file = f"{handover.place(self._config.checkpoints, found.slot)}/{offer.file}" if offer.file else ""
        successor = _Successor(lambda: self._read(self._config), self._topic, source, file, offer.offset)
        if await self._adopt(held, successor, f"hand-over {found.name}"):
            logger.info(
                "%s: takes over hand-over %s at offset %d, with %s",
                held.replica,
                found.name,
                held.replica.position,
                found.terms.arms,
            )

    async def _follow_again(self, held: HeldReplica) -> None:
        """Learn what a rewritten journal says: what this replica goes back to is deleted."""
        source, begin = CheckpointSource(held.replica.shard.options, held.store), held.replica.rule.rewritten
        logger.info("%s was rewritten: it is learned again from offset %d", held.replica, begin)
        successor = _Successor(lambda: self._read(self._config), self._topic, source, "", begin)
        if await self._adopt(held, successor, "the rewritten journal"):
            position = held.replica.position
            logger.info("%s: takes over the rewritten journal at offset %d", held.replica, position)

    async def _run(self, work: Callable[P, Result], *given: P.args, **named: P.kwargs) -> Result:
        bound = functools.partial(work, *given, **named)
        return await finish_despite_cancel(asyncio.get_running_loop().run_in_executor(self._thread, bound))

    async def _adopt(self, held: HeldReplica, successor: _Successor, name: str) -> bool:
        """Let a successor learn and put it in the place of a replica; False if it is to be tried again."""
        try:
            await self._run(successor.load, held.replica.partition)
            begin = successor.replica.position
            held.successor = Successor(name, begin, lambda: successor.replica.position)
            logger.info(
                "%s: %s is taken over: learning offsets %d to %d first",
                *(held.replica, name, begin, held.replica.position),
            )
            for _ in range(ROUNDS):
                target = held.replica.position
                if target - successor.replica.position <= NEAR:
                    break
                await self._run(successor.follow, target)
            await self._run(self._replicas.prepare, successor.replica.shard)
            async with held.lock:  # between two records
                if held.replica.position < successor.replica.position:
                    return False  # at the next look
                await self._run(successor.follow, held.replica.position)
                successor.forget_counts()
                held.exchange(successor.replica, successor.source.store)
        finally:
            held.successor = None
            await self._run(successor.close)
        return True


class _Successor:
    """The new replica of a partition; all of it happens in one thread, which the reader needs.

    Parameters
    ----------
    read : function
        Opens the journal.
    topic : TopicInfo
        The journal.
    source : CheckpointSource
    file : str
        Its checkpoint; where there is none it learns all from an offset on.
    begin : int
        That offset.
    """

    def __init__(
        self,
        read: Callable[[], Opened],
        topic: TopicInfo,
        source: CheckpointSource,
        file: str,
        begin: int,
    ) -> None:
        self._read, self._topic = read, topic
        self.source, self._file, self._begin = source, file, begin
        self._opened = contextlib.ExitStack()
        self._log: JournalReplay | None = None
        self.replica: Replica

    def load(self, partition: int) -> None:
        """Load the replica from its new checkpoint; without one it begins at the start."""
        options = self.source.options
        warmup.warm(options.arms.names)
        self.replica = Replica(rule_of(self._topic, partition, options), options)
        if not self._file:
            if self._begin:
                self.replica.skip_to(self._begin)
            return
        found = read(self._file)
        expected = self.source.store.identity
        if found.header.get("handover") != expected.handover or expected.differences(found.header):
            raise CheckpointMismatch(f"{self._file} is not what was handed over")
        self.replica.restore(found.state)

    def follow(self, stop: int) -> None:
        """Learn the journal up to an offset."""
        if self._log is None:
            reader = self._opened.enter_context(self._read())
            self._log = JournalReplay(reader, self._topic, self.source.options, chunk=CHUNK)
        while True:
            try:
                self._log.follow(self.replica, stop)
                return
            except Poisoned as error:
                logger.warning("%s; learning again from its beginning, without it", error)
                suspects = self.replica.suspects
                self.load(self.replica.partition)
                self.replica.suspects = suspects

    def forget_counts(self) -> None:
        """Drop what it has counted: its predecessor has counted the same rows of the journal."""
        self.replica.shard.forgetting.take_counts()
        self.replica.shard.bounds.take_left()

    def close(self) -> None:
        """End its reading."""
        self._opened.close()
