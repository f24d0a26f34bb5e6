"""A partition of the journal as it is read: from a position on, with no record lost on the way unnoticed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaConnectionError

logger = logging.getLogger(__name__)

#: How much is fetched at once, at most.
FETCH_BYTES = 4 << 20
#: How long a broker waits for something new. Nothing waits behind that: this client asks for nothing else.
WAIT_MILLISECONDS = 500
#: How long a question may take before the broker counts as gone.
ANSWER_SECONDS = 5.0
#: In this many turns of the event loop a consumer from which its partition was taken has ended its fetches.
TURNS = 10


class Bounds(NamedTuple):
    """The first offset of a partition and the one after its last."""

    begin: int
    end: int


class JournalLog:
    """Reads one partition of the journal.

    A client may lose records between two fetches: after a damaged batch aiokafka continues behind what it had
    parsed. So where a fetch begins beyond what was read, it is fetched again, and believed if it is the same.

    Parameters
    ----------
    topic : str
    partition : int
    options : mapping
        See `recommender.kafka.plain_clients.client_options`.
    lost : function
        Called with the first offset that comes next and is not there any more, and where the partition begins
        now. It may raise.

    Attributes
    ----------
    position : int
        All below it was read, also what is no record, such as the marks of transactions.
    """

    def __init__(
        self, topic: str, partition: int, options: Mapping[str, Any], lost: Callable[[int, int], None]
    ) -> None:
        self._lost = lost
        self.partition = TopicPartition(topic, partition)
        self._options = {
            **options,
            "group_id": None,
            "enable_auto_commit": False,
            "auto_offset_reset": "none",
            "check_crcs": True,
            "fetch_min_bytes": 1,
            "fetch_max_wait_ms": WAIT_MILLISECONDS,
            "fetch_max_bytes": FETCH_BYTES,
            "max_partition_fetch_bytes": FETCH_BYTES,
        }
        self._consumer: AIOKafkaConsumer | None = None
        # A broker answers the requests of a connection in their order: a question would wait for the fetch.
        self._asker: AIOKafkaConsumer | None = None
        self._is_open = False
        self._fetching: asyncio.Task[Any] | None = None
        self._again = (-1, -1)
        self._end = 0
        self.position = 0

    async def open(self) -> Bounds:
        """Connect; where the partition begins and ends.

        Raises
        ------
        KafkaError, TimeoutError
            No broker answers.
        """
        self._consumer, self._asker = AIOKafkaConsumer(**self._options), AIOKafkaConsumer(**self._options)
        async with asyncio.timeout(ANSWER_SECONDS):
            await self._consumer.start()
            await self._asker.start()
        self._is_open = True
        return await self.bounds()

    def seek(self, position: int) -> None:
        """Read from a position on."""
        assert self._consumer is not None
        self.position = position
        self._consumer.assign([self.partition])
        self._consumer.seek(self.partition, position)

    async def first(self, begin: int) -> ConsumerRecord | None:
        """The record at the first offset that the partition has; None if it does not come."""
        self.seek(begin)
        until = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < until:
            records = await self.fetch(WAIT_MILLISECONDS)
            if await self.taken(begin) and records:
                return records[0]
        return None

    async def bounds(self) -> Bounds:
        """Ask where the partition begins and ends now.

        Raises
        ------
        KafkaError, TimeoutError
            No broker answers.
        """
        asker = self._asker
        if asker is None or not self._is_open:
            raise KafkaConnectionError(f"{self.partition} is not open")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                begins = await asker.beginning_offsets([self.partition])
                ends = await asker.end_offsets([self.partition])
        except Exception:
            if self._asker is not asker:  # what a client fails with that was closed meanwhile says nothing
                raise KafkaConnectionError(f"{self.partition} was closed meanwhile") from None
            raise
        self._end = ends[self.partition]
        return Bounds(begins[self.partition], self._end)

    @property
    def highwater(self) -> int:
        """The end of the partition when records were fetched last, or before that when it was asked for."""
        consumer = self._consumer
        if consumer is None or self.partition not in consumer.assignment():
            return 0
        return consumer.highwater(self.partition) or self._end

    def fetch(self, wait_milliseconds: int) -> asyncio.Task[list[ConsumerRecord]]:
        """A task that gives the records that come next, or none after a while; the same until `taken`."""
        assert self._consumer is not None
        if self._fetching is None:
            fetched = self._consumer.getmany(self.partition, timeout_ms=wait_milliseconds)
            self._fetching = asyncio.create_task(_records_of(fetched, self.partition))
        return self._fetching

    async def taken(self, skip: int) -> bool:
        """Take note of what `fetch` gave, before it asks for more; whether it continues what was read.

        If not, it is fetched again.

        Parameters
        ----------
        skip : int
            All below it is known, whether it was read or not.
        """
        assert self._fetching is not None
        assert self._consumer is not None
        records = self._fetching.result()
        self._fetching = None
        expected = max(self.position, skip)
        if records and records[0].offset > expected:
            gap = expected, records[0].offset
            if self._again != gap:
                logger.debug("%s: fetched from %d, expected %d; fetching again", self.partition, *gap[::-1])
                self._again = gap
                self.seek(expected)
                return False
            begin = (await self.bounds()).begin
            if begin > expected:
                self._lost(expected, begin)
        # As nothing else asks this consumer, its position is behind these records, and they are all there is.
        self.position = await self._consumer.position(self.partition)
        return True

    async def read_to(self) -> int:
        """The position, with what was read since that is no record, while nothing else was fetched."""
        if self._consumer is not None and (self._fetching is None or not self._fetching.done()):
            self.position = await self._consumer.position(self.partition)
        return self.position

    async def close(self) -> None:
        """Close the connections."""
        self._is_open = False
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
            self._fetching = None
        consumer, asker, self._consumer, self._asker = self._consumer, self._asker, None, None
        if consumer is not None:
            # A fetch that fails waits a moment before the next, and aiokafka's `stop` is cancelled with it.
            # Not `unsubscribe`: a consumer that has only just been assigned something breaks.
            consumer.assign([])
            for _ in range(TURNS):
                await asyncio.sleep(0)
        stopping = [asyncio.create_task(each.stop()) for each in (consumer, asker) if each is not None]
        if stopping:
            await asyncio.wait(stopping)
        for each in stopping:
            if each.cancelled() or each.exception() is not None:
                logger.warning("%s: a consumer was not closed in an orderly way", self.partition)


async def _records_of(fetched: Any, partition: TopicPartition) -> list[ConsumerRecord]:
    found: list[ConsumerRecord] = (await fetched).get(partition, [])
    return found
