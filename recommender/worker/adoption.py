"""A running worker's side of a hand-over: it takes over what `recommender retrain` made, and never pauses.

A new checkpoint is older than the shard that runs. So it is loaded next to it, and learns from the log what
came since, in a thread of its own, while the old shard learns and answers. Once it has nearly caught up,
learning waits for the last few records, and the two change places between two records, at the same offset.
What the new shard has learned is then what one pass over the log gives, as with every shard, and no record
is read twice or left out by the partition's own reader.

Should the worker die on the way, the old checkpoints are still there, and so is the hand-over: the worker
that holds the partition next takes it over again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from kafka.errors import KafkaError

from recommender.checkpoints import store
from recommender.errors import RecommenderError
from recommender.journal.identity import rule_of
from recommender.journal.replica import Poisoned, Replica
from recommender.kafka.topics import TopicInfo
from recommender.retraining import handover
from recommender.retraining.handover import Handover, Offer
from recommender.retraining.log_replay import JournalReplay, reading
from recommender.settings import Settings
from recommender.shard import warmup
from recommender.worker.handover_sources import HandoverSources
from recommender.worker.replicas import CheckpointSource, HeldReplica, Replicas, finish_despite_cancel

logger = logging.getLogger(__name__)

#: This few records are left to learn while learning of new ones waits.
NEAR = 2000
#: A log that grows faster than it can be read again is not chased for ever.
ROUNDS = 20

P = ParamSpec("P")
Result = TypeVar("Result")


class Adoption:
    """Takes over what is handed over.

    Parameters
    ----------
    config : Settings
        The worker's own.
    replicas : Replicas
    topic : TopicInfo
        The journal.
    sources : HandoverSources
    """

    def __init__(
        self, config: Settings, replicas: Replicas, topic: TopicInfo, sources: HandoverSources
    ) -> None:
        self._config, self._replicas, self._topic, self._sources = config, replicas, topic, sources
        self._thread = ThreadPoolExecutor(1, "adoption")

    async def adopt(self) -> None:
        """Take over what was handed over since it last looked, one partition after the other."""
        try:
            found = await self._run(self._sources.newest)
        except (OSError, RecommenderError) as error:
            self._sources.log_once(f"cannot look for a hand-over: {error}")
            return
        if found is None:
            return
        for held in self._replicas:
            place = str(held.replica)
            offer = found.offers.get(str(held.replica.partition))
            if offer is None or held.store.identity.handover == found.name:
                continue
            if held.replica.position < offer.offset:
                continue  # it still learns what the new checkpoint has learned already
            try:
                await self._adopt(held, found, offer)
            except (OSError, RecommenderError, KafkaError) as error:
                self._sources.log_once(f"{place}: hand-over {found.name} is not taken over: {error}")
            except Exception:
                # The shard that runs is as it was, so it continues.
                logger.exception("%s: hand-over %s is not taken over", place, found.name)

    async def _run(self, work: Callable[P, Result], *given: P.args, **named: P.kwargs) -> Result:
        bound = functools.partial(work, *given, **named)
        return await finish_despite_cancel(asyncio.get_running_loop().run_in_executor(self._thread, bound))

    async def _adopt(self, held: HeldReplica, found: Handover, offer: Offer) -> None:
        successor = _Successor(self._config, self._topic, found, offer)
        try:
            source = await self._run(self._sources.source, found.terms, found.name)
            await self._run(successor.load, held.replica.partition, source)
            for _ in range(ROUNDS):
                target = held.replica.position
                if target - successor.replica.position <= NEAR:
                    break
                await self._run(successor.follow, target)
            await self._run(self._replicas.prepare, successor.replica.shard)
            async with held.lock:  # between two records
                if held.replica.position < successor.replica.position:
                    return  # at the next look
                await self._run(successor.follow, held.replica.position)
                held.exchange(successor.replica, source.store)
        finally:
            await self._run(successor.close)
        logger.info(
            "%s: takes over hand-over %s at offset %d, with %s",
            held.replica,
            found.name,
            held.replica.position,
            found.terms.arms,
        )


class _Successor:
    """The new replica of a partition; all of it happens in one thread, which the reader needs."""

    def __init__(self, config: Settings, topic: TopicInfo, found: Handover, offer: Offer) -> None:
        self._config, self._topic = config, topic
        self._file = f"{handover.place(config.checkpoints, found.slot)}/{offer.file}" if offer.file else ""
        self._opened = contextlib.ExitStack()
        self._log: JournalReplay | None = None
        self._source: CheckpointSource
        self.replica: Replica

    def load(self, partition: int, source: CheckpointSource) -> None:
        """Load the replica from the new checkpoint; without one it begins at the start."""
        warmup.warm(source.options.arms.names)
        self._source = source
        self.replica = Replica(rule_of(self._topic, partition, source.options), source.options)
        if not self._file:
            return
        read = store.read(self._file)
        expected = source.store.identity
        if read.header.get("handover") != expected.handover or expected.differences(read.header):
            raise store.CheckpointMismatch(f"{self._file} is not what was handed over")
        self.replica.restore(read.state)

    def follow(self, stop: int) -> None:
        """Learn the journal up to an offset."""
        if self._log is None:
            reader = self._opened.enter_context(reading(self._config))
            self._log = JournalReplay(reader, self._topic, self._source.options)
        while True:
            try:
                self._log.follow(self.replica, stop)
                return
            except Poisoned as error:
                logger.warning("%s; learning again from the new checkpoint, without it", error)
                suspects = self.replica.suspects
                self.load(self.replica.partition, self._source)
                self.replica.suspects = suspects

    def close(self) -> None:
        """End its reading."""
        self._opened.close()
