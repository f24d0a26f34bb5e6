"""Bounds the journal: what is older than a time, and in all kept checkpoints, is deleted.

The topic's own retention would delete what no checkpoint has. So a worker deletes it, below the oldest
checkpoint that is kept where it saves its own. Age goes by the broker's times of blocks: a journal to which
nobody writes does not lose anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from recommender.checkpoints.store import KEPT
from recommender.errors import RecommenderError
from recommender.kafka.log_cutting import delete_before
from recommender.kafka.plain_clients import client_options
from recommender.settings import Settings, SettingsError, variable
from recommender.shard.bounds import DAY
from recommender.worker.handover_sources import HandoverSources
from recommender.worker.replicas import HeldReplica, Replicas

logger = logging.getLogger(__name__)

#: In days: of less, there would be no time to look at what a worker has done.
LEAST_RETENTION = 1 / 24


class JournalRetention:
    """Deletes what is old of the partitions of the journal that a worker holds.

    Parameters
    ----------
    config : Settings
    journal : str
    replicas : Replicas
    sources : HandoverSources
        What was handed over and is not taken over yet has to be followed by.

    Raises
    ------
    SettingsError
        The time is too short.
    """

    def __init__(self, config: Settings, journal: str, replicas: Replicas, sources: HandoverSources) -> None:
        days = config.journal_retention
        if 0 < days < LEAST_RETENTION:
            raise SettingsError(
                f"{variable('journal_retention')} has value '{days:g}': must be 0, or at least "
                f"{LEAST_RETENTION:.3g} days"
            )
        self._config, self._journal, self._replicas, self._sources = config, journal, replicas, sources
        self._milliseconds = int(days * DAY * 1000)
        self._options: Mapping[str, Any] = client_options(config)

    async def apply(self) -> None:
        """Look once, partition by partition."""
        if not self._milliseconds:
            return
        for held in self._replicas:
            try:
                await self._bound(held)
            except (OSError, TimeoutError, KafkaError, RecommenderError) as error:
                self._sources.log_once(f"{held.replica} is not bounded: {error}")

    async def _bound(self, held: HeldReplica) -> None:
        partition, newest = held.replica.partition, held.replica.rule.timestamp
        oldest = await asyncio.to_thread(self._oldest_needed, held)
        if oldest is None or newest < 0:
            return
        begin, young = await self._places(partition, newest - self._milliseconds)
        end = oldest if young is None else min(oldest, young)
        if end > begin:
            await asyncio.to_thread(delete_before, self._config, self._journal, {partition: end})
            logger.info(
                "%s: offsets %d to %d are older than %g days and in all kept checkpoints: deleted",
                held.replica,
                begin,
                end - 1,
                self._config.journal_retention,
            )

    def _oldest_needed(self, held: HeldReplica) -> int | None:
        """The offset that the oldest kept checkpoint continues from; None where there is not one to spare."""
        partition = held.replica.partition
        offsets = held.store.offsets(partition)
        if len(offsets) < KEPT:
            return None
        found = self._sources.newest()
        offer = None if found is None else found.offers.get(str(partition))
        if found is not None and offer is not None and held.store.identity.handover != found.name:
            offsets.append(offer.offset)
        return min(offsets)

    async def _places(self, partition: int, milliseconds: int) -> tuple[int, int | None]:
        """The first offset of a partition, and of its first record that is not older than a time."""
        place = TopicPartition(self._journal, partition)
        consumer = AIOKafkaConsumer(**self._options, group_id=None, enable_auto_commit=False)
        await consumer.start()
        try:
            begin = (await consumer.beginning_offsets([place]))[place]
            found = (await consumer.offsets_for_times({place: max(0, milliseconds)}))[place]
        finally:
            await consumer.stop()
        return begin, None if found is None else found.offset
