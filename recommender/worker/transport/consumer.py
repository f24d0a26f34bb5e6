"""The worker's Kafka consumer: it reads each partition from where we say, and commits only what we say.

Faust's own keeps notes of what it has read and what was acked, and seeks and commits by them. Here shards and
answers know how far they are, so none of these notes is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, cast

from aiokafka.errors import IllegalStateError, KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from recommender.worker.demand import Demand
from recommender.worker.transport.consumer_thread import FAUST_LOGGER, ConsumerThread
from recommender.worker.transport.spans import Span

logger = logging.getLogger(__name__)

#: Partitions whose state is there within so many seconds begin together; slower ones hold up no others. It
#: must be less than Faust's patience, `broker_request_timeout`: after that it would stop reading for good.
TOGETHER_SECONDS = 1.0
#: Between two attempts to find out where to begin, while the broker is away.
RETRY_SECONDS = 0.5

#: Asked for the offsets to read on from, of all partitions of one number.
Positions = Callable[[Mapping[TP, Span]], Awaitable[Mapping[TP, int]]]


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
    """Faust's consumer, without its notes.

    Attributes
    ----------
    positions : function
        Where to read on; asked each time reading starts or restarts.
    bare : collection of str
        Topics whose records come as `recommender.worker.transport.unwrapped_records` describes.
    demand : Demand
        Told of the records of all others.
    max_age : float
        How old these may be where nothing is committed, in seconds.
    """

    logger = FAUST_LOGGER
    positions: Positions
    bare: Collection[str] = ()
    demand: Demand
    max_age: float = 60.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._read_offset = NotKept()
        self._starting: asyncio.Future[Any] | None = None

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    @property
    def _ours(self) -> ConsumerThread:
        return cast(ConsumerThread, self._thread)

    async def commit(self, topics: Any = None, start_new_transaction: bool = True) -> bool:
        """Nothing: this is Faust's commit of what was acked."""
        return False

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commit next offsets of what is durable; False where Kafka would not."""
        return await self._ours.commit_offsets(offsets)

    async def read_again(self, tp: TP, offset: int) -> None:
        """Fetch a partition again from an offset, unless it is moving away: then we are asked anew."""
        await self._ours.read_again(tp, offset)

    def begin_again(self, tp: TP) -> None:
        """Ask anew where to read a partition on: its log ends before the place where we are."""
        if tp not in self._paused_partitions:
            self.pause_partitions({tp})
            self.add_future(self._begin({tp}))

    def on_buffer_full(self, tp: TP) -> None:
        """Read no more of a topic whose batches pile up: the next, of any partition, would hold up all."""
        for each in [each for each in self._get_active_partitions() if each.topic == tp.topic]:
            super().on_buffer_full(each)

    def on_buffer_drop(self, tp: TP) -> None:
        """Go on reading a topic whose batches were piling up."""
        waiting = [each for each in self._buffered_partitions if each.topic == tp.topic]
        if not waiting:
            return
        for each in waiting:
            super().on_buffer_drop(each)
        # Of those that are being sought meanwhile nothing may be read yet.
        self._get_active_partitions().difference_update(self._paused_partitions)
        # Faust would notice when its wait for other partitions' records ends, up to a second later.
        self._ours.look_again()

    async def perform_seek(self) -> None:
        """Ask where to read on, and read from there.

        The partitions of one number begin together, as soon as their state is there.
        """
        self._forget_start()
        assigned = set(self.assignment())
        if assigned:
            self.pause_partitions(assigned)
            self._starting = self.add_future(self._begin(assigned))
            await asyncio.wait([self._starting], timeout=TOGETHER_SECONDS)

    async def _begin(self, partitions: set[TP]) -> None:
        while partitions <= self.assignment():
            try:
                spans = await self._ours.spans(partitions)
                break
            except (KafkaError, TimeoutError) as error:
                logger.debug("cannot find out where to begin: %r", error)
                await asyncio.sleep(RETRY_SECONDS)
        else:
            return  # they are moving away
        numbers: dict[int, dict[TP, Span]] = {}
        for tp, span in spans.items():
            numbers.setdefault(tp.partition, {})[tp] = span
        await asyncio.gather(*map(self._read, numbers.values()))

    async def _read(self, partitions: Mapping[TP, Span]) -> None:
        """Read the partitions of one number from where they are to be read."""
        wanted = await self.positions(partitions)
        try:
            await self.seek_wait(wanted)
        except IllegalStateError:
            return  # they are moving away
        self.resume_partitions(set(partitions))

    def _forget_start(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let go of partitions, also of those that have not begun yet."""
        self._forget_start()
        await super().on_partitions_revoked(revoked)

    async def on_stop(self) -> None:
        """Begin nothing more."""
        self._forget_start()
        await super().on_stop()
