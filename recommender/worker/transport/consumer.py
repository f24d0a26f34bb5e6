"""The worker's Kafka consumer: Faust's, which reads from what is committed, and commits only what we say."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from recommender.worker.transport import FAUST_LOGGER
from recommender.worker.transport.consumer_thread import ConsumerThread
from recommender.worker.transport.spans import Span

#: How long is waited where all partitions have enough waiting.
FULL_SECONDS = 0.01


class NotKept(dict[TP, int | None]):
    """Faust's notes of what it has read, not kept.

    Faust drops what lies before its notes, and takes them while a batch is on its way: after a seek back, a
    batch that is read again would be dropped in silence.
    """

    def __missing__(self, tp: TP) -> None:
        return None

    def __setitem__(self, tp: TP, offset: int | None) -> None:
        pass


class Consumer(driver.Consumer):
    """Faust's consumer, without its notes and its commits."""

    logger = FAUST_LOGGER

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = NotKept()

    def _new_consumer_thread(self) -> ConsumerThread:
        self._ours = ConsumerThread(self, loop=self.loop, beacon=self.beacon)
        return self._ours

    async def _wait_next_records(self, *seconds: float) -> Any:
        """Records, or none after a moment where all partitions have enough waiting: Faust sleeps a second."""
        if self.flow_active and not self._get_active_partitions():
            await asyncio.sleep(FULL_SECONDS)
            return {}, set()
        return await super()._wait_next_records(*seconds)

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Nothing: this is Faust's commit of what was acked."""
        return False

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commit next offsets of what is durable; False where Kafka would not."""
        return await self._ours.commit_offsets(offsets)

    async def perform_seek(self) -> None:
        """Nothing: after each assignment we say ourselves where each partition is read from.

        Faust would seek to what is committed, in the middle of that or after it. Where the journal has less
        than what is committed, as one that was created again, what lies between would never be read.
        """

    def ends(self) -> dict[TP, int]:
        """The offset after the last record that may be read of each partition, as of its last fetch."""
        return self._ours.ends()

    async def spans(self, partitions: Collection[TP]) -> dict[TP, Span]:
        """The spans of partitions in Kafka; asked all at once."""
        return await self._ours.spans(partitions)

    async def read_again(self, tp: TP, offset: int) -> None:
        """Fetch a partition again from an offset, unless it is moving away."""
        await self._ours.read_again(tp, offset)

    async def offsets_at(self, times: Mapping[TP, float]) -> dict[TP, int | None]:
        """The first offsets of partitions from a time on, in seconds; None where there is none yet."""
        return await self._ours.offsets_at(times)
