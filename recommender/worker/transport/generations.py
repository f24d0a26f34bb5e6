"""Producers of aiokafka, one after the other: each is used until a batch of it fails.

A broker expects an idempotent producer's batches of a partition to be numbered without a gap. Whether a
broker has counted one that failed depends on what it said, and on what became of earlier attempts; a producer
that guesses wrong has all later batches of the partition refused as out of order, or dropped as duplicates.
Java's producer begins another epoch then (KIP-360). aiokafka's does not, so the partition continues with
another producer, whose numbers begin at zero.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata, TopicPartition
from faust.exceptions import NotReady

from recommender.kafka.refusals import ProducerEndedError
from recommender.worker.transport.known_topics import LOOK_SECONDS, KnownTopics

logger = logging.getLogger(__name__)

#: Batches of several partitions travel in one request. A broker hangs up, without a word, on a request of
#: more than `socket.request.max.bytes`, 100 MiB by default, and would do so again and again.
REQUEST_BYTES = 32 * 1024 * 1024
RENEW_SECONDS = 0.05


class Generation:
    """A producer of aiokafka, and what was sent with it.

    Parameters
    ----------
    producer : AIOKafkaProducer
    request_bytes : int
    look_seconds : float
        See `KnownTopics`.

    Attributes
    ----------
    topics : KnownTopics
    cluster : aiokafka.cluster.ClusterMetadata
    spoiled : set of TopicPartition
        Partitions of which a batch failed: nothing more of them may be sent with this producer.
    has_ended : bool
        Whether aiokafka has given up for good.
    """

    def __init__(self, producer: AIOKafkaProducer, request_bytes: int, look_seconds: float) -> None:
        self._producer = producer
        self.topics = KnownTopics(producer.client, look_seconds=look_seconds)
        self.cluster = producer.client.cluster
        self.spoiled: set[TopicPartition] = set()
        self.has_ended = False
        self._most, self._bytes = request_bytes, 0
        self._turn, self._less = asyncio.Lock(), asyncio.Event()
        self._users = 0
        self._retired = False
        self._closing: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()

    @property
    def is_closed(self) -> bool:
        """Return True if the producer is closed."""
        return self._closed.is_set()

    async def write(self, tp: TopicPartition, batch: BatchBuilder) -> RecordMetadata:
        """Send a batch, the only one of its partition that is in flight; returns when the brokers have it.

        Raises
        ------
        KafkaError
            It is not written, as far as is known. If it was sent, the partition is `spoiled`.
        """
        with self.in_use():
            await self.topics.require(tp.topic, tp.partition)
            await self._take_room(batch.size())
            try:
                return await self._send(tp, batch)
            finally:
                self._bytes -= batch.size()
                self._less.set()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the producer open meanwhile: waiting for one that was closed would last for ever."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            self._close_if_unused()

    async def _send(self, tp: TopicPartition, batch: BatchBuilder) -> RecordMetadata:
        sent = False
        try:
            answer = await self._producer.send_batch(batch, tp.topic, partition=tp.partition)
            sent = True
            return await answer
        except BaseException as error:
            if sent:
                self.spoiled.add(tp)
            if type(error) is KafkaError:  # aiokafka's task that sends has ended
                self.has_ended = True
                raise ProducerEndedError(f"the producer has failed: {error!r}") from error
            raise

    async def _take_room(self, size: int) -> None:
        """Wait until a batch may be in flight with the others, in turn."""
        async with self._turn:
            while self._bytes and self._bytes + size > self._most:
                self._less.clear()
                await self._less.wait()
            self._bytes += size

    def retire(self) -> None:
        """Close the producer as soon as all is answered that was sent with it."""
        self._retired = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._retired and not self._users and self._closing is None:
            self._closing = asyncio.create_task(self._close())

    async def _close(self) -> None:
        try:
            await self._producer.stop()
        except KafkaError as error:
            logger.debug("closing a producer: %r", error)
        finally:
            self._closed.set()

    async def wait_closed(self) -> None:
        """Return when the producer, which has retired, is closed."""
        await self._closed.wait()


class Generations:
    """Producers of aiokafka, of which the newest is used.

    Parameters
    ----------
    make : function
        Makes a producer.
    request_bytes : int
        How large the batches are together that one producer has in flight.
    renew_seconds : float
        From one new producer to the next, at least: a topic that refuses all that it is sent does not make a
        worker do nothing but connect.
    look_seconds : float
        See `KnownTopics`.

    Attributes
    ----------
    count : int
        The producers that there have been.
    """

    def __init__(
        self,
        make: Callable[[], AIOKafkaProducer],
        *,
        request_bytes: int = REQUEST_BYTES,
        renew_seconds: float = RENEW_SECONDS,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._make, self._request_bytes = make, request_bytes
        self._renew_seconds, self._look_seconds = renew_seconds, look_seconds
        self._newest: Generation | None = None
        self._older: list[Generation] = []
        self._opening: asyncio.Task[None] | None = None
        self._opened_at = 0.0
        self.count = 0

    @property
    def newest(self) -> Generation:
        """The newest producer.

        Raises
        ------
        NotReady
            There is none: this has not started, or has stopped.
        """
        if self._newest is None:
            raise NotReady("Producer service not yet started")
        return self._newest

    async def start(self) -> None:
        """Connect the first producer; returns when a broker answers."""
        await self._open()

    async def usable(self, tp: TopicPartition) -> Generation:
        """A producer with which a partition may continue: another than that of which its last batch failed.

        The other partitions continue with the one before until the next has connected.

        Raises
        ------
        ProducerEndedError
            The last one has failed for good: the worker has to be started again.
        """
        while tp in self.newest.spoiled:
            if self.newest.has_ended:
                raise ProducerEndedError("the producer has failed")
            if self._opening is None:
                self._opening = asyncio.create_task(self._open())
                self._opening.add_done_callback(self._opened)
            await asyncio.shield(self._opening)
        return self.newest

    async def _open(self) -> None:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, self._opened_at + self._renew_seconds - clock()))
        self._opened_at = clock()
        producer = self._make()
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        made = Generation(producer, self._request_bytes, self._look_seconds)
        before, self._newest = self._newest, made
        self.count += 1
        if before is not None:
            self._older = [each for each in self._older if not each.is_closed]
            self._older.append(before)
            before.retire()

    def _opened(self, opening: asyncio.Task[None]) -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # those that wait for it get it

    async def stop(self) -> None:
        """Close all producers, once all is answered that was sent with them."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        newest, self._newest = self._newest, None
        if newest is not None:
            newest.retire()
            await asyncio.gather(*(each.wait_closed() for each in [*self._older, newest]))
