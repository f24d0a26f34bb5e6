"""Faust's consumer, as far as the topics that are ingested are concerned."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Any

from aiokafka.errors import KafkaError
from faust.types import TP, AppT

from recommender.worker.transport.spans import Span

logger = logging.getLogger(__name__)

#: Between two attempts to find out where to begin, while the broker is away, in seconds.
RETRY_SECONDS = 0.5


class SourceConsumer:
    """Asks for and moves the places at which topics are read.

    Parameters
    ----------
    app : faust.App
        Its consumer is made when the app starts.
    """

    def __init__(self, app: AppT) -> None:
        self._app = app

    @property
    def _consumer(self) -> Any:
        return self._app.consumer

    def ends(self, topic: str) -> dict[int, int]:
        """The offset after the last record that may be read of each partition, as of its last fetch."""
        return {tp.partition: end for tp, end in self._consumer.ends().items() if tp.topic == topic}

    async def spans(self, tps: Collection[TP]) -> dict[TP, Span]:
        """The spans of partitions in Kafka, once a broker answers."""
        while True:
            try:
                return dict(await self._consumer.spans(sorted(tps)))
            except (KafkaError, TimeoutError) as error:
                logger.debug("cannot find out where to begin: %r", error)
                await asyncio.sleep(RETRY_SECONDS)

    async def offset_at(self, tp: TP, time: float) -> int | None:
        """The first offset of a partition from a time on, in seconds; None where there is none yet."""
        found: int | None = (await self._consumer.offsets_at({tp: time}))[tp]
        return found

    async def read_from(self, tp: TP, offset: int) -> None:
        """Fetch a partition from an offset on, unless it is moving away."""
        await self._consumer.read_again(tp, offset)

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commit next offsets by partition; False where Kafka would not."""
        return bool(await self._consumer.commit_offsets(offsets))

    async def log_lost(self, tp: TP, first: int, end: int) -> None:
        """Warn where ratings expired before they were read; transactions' marks are no loss."""
        try:
            begins = (await self._consumer.spans([tp]))[tp].begins
        except (KafkaError, TimeoutError) as error:
            logger.debug("cannot find out why %s[%d] has a gap: %r", tp.topic, tp.partition, error)
            return
        if begins > first:
            logger.warning(
                "%s[%d]: offsets %d to %d expired before they were read; they are not learned",
                tp.topic,
                tp.partition,
                first,
                min(begins, end) - 1,
            )
