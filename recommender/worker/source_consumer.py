"""Faust's consumer, as far as the ratings topic is concerned."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP, AppT

from recommender.journal.block import Source
from recommender.worker.transport.spans import Span

logger = logging.getLogger(__name__)

#: Between two attempts to find out where to begin, while the broker is away, in seconds.
RETRY_SECONDS = 0.5


class SourceConsumer:
    """Asks for and moves the places at which the ratings topic is read.

    Parameters
    ----------
    app : faust.App
        Its consumer is made when the app starts.
    topic : str
    """

    def __init__(self, app: AppT, topic: str) -> None:
        self._app, self._topic = app, topic

    @property
    def _consumer(self) -> Any:
        return self._app.consumer

    def _tp(self, partition: int) -> TP:
        return TP(self._topic, partition)

    def ends(self) -> dict[int, int]:
        """The offset after the last record that may be read of each partition, as of its last fetch."""
        return {tp.partition: end for tp, end in self._consumer.ends().items() if tp.topic == self._topic}

    async def spans(self, partitions: Collection[int]) -> dict[int, Span]:
        """What Kafka has of partitions, once a broker answers."""
        tps = [self._tp(each) for each in sorted(partitions)]
        while True:
            try:
                return {tp.partition: span for tp, span in (await self._consumer.spans(tps)).items()}
            except (KafkaError, TimeoutError) as error:
                logger.debug("cannot find out where to begin: %r", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def read_from(self, partition: int, offset: int) -> None:
        """Fetch a partition from an offset on, unless it is moving away."""
        await self._consumer.read_again(self._tp(partition), offset)

    async def read_again(self, source: Source, offset: int) -> None:
        """Fetch a source from an offset on."""
        await self.read_from(source.partition, offset)

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        """Commit next offsets by partition; False where Kafka would not."""
        tps = {self._tp(partition): offset for partition, offset in offsets.items()}
        return bool(await self._consumer.commit_offsets(tps))

    async def tell_lost(self, source: Source, first: int, end: int) -> None:
        """Say so where ratings expired that nobody had read; transactions' marks are no loss."""
        tp = self._tp(source.partition)
        try:
            begins = (await self._consumer.spans([tp]))[tp].begins
        except (KafkaError, TimeoutError) as error:
            logger.debug("cannot find out why %s[%d] has a gap: %r", *tp, error)
            return
        if begins > first:
            logger.warning(
                "%s[%d]: offsets %d to %d expired before they were read; they are not learned",
                *(*tp, first, min(begins, end) - 1),
            )
