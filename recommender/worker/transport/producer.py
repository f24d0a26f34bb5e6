"""The worker's Kafka producer: a topic that does not exist is said at once, nothing is written twice, what is
sent while no broker answers is written when one does, and no record has to answer for its neighbours.

Everything here is said to aiokafka's producer through its documented batches; what a failure means is decided
here (`recommender.worker.transport.partition_queue` and `recommender.worker.transport.generations`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import ProducerClosed
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import TopicPartition
from faust.transport import base
from faust.transport.drivers import aiokafka as driver
from faust.types import AppT

from recommender.kafka.refusals import ProducerEndedError
from recommender.messages.records import Location, Outgoing, SendKnown
from recommender.worker.transport import FAUST_LOGGER
from recommender.worker.transport.aiokafka_clients import patient_producer
from recommender.worker.transport.generations import RENEW_SECONDS, Generations
from recommender.worker.transport.known_topics import LOOK_SECONDS
from recommender.worker.transport.partition_queue import BATCH_BYTES, SURE_BYTES, Lesser, PartitionQueue

#: Milliseconds from here on are no time of anybody's, and may not fit into what Kafka writes: a record with
#: such a time is sent with that of now.
EXACT_MILLISECONDS = 2**52


def _nothing(record: Outgoing, error: Exception) -> None:
    """Write nothing instead of a record that is refused."""


class Producer(base.Producer):
    """A Faust app's producer. Sending to a missing topic fails soon, and while brokers are away never.

    Faust makes it, so how patient it is stands in its class.
    """

    logger = FAUST_LOGGER
    renew_seconds, look_seconds = RENEW_SECONDS, LOOK_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._partitioner = DefaultPartitioner()
        self._queues: dict[TopicPartition, PartitionQueue] = {}
        self._generations = Generations(
            lambda: self.new_producer(), renew_seconds=self.renew_seconds, look_seconds=self.look_seconds
        )
        self._stopping = False

    def new_producer(self) -> AIOKafkaProducer:
        """Make a producer of aiokafka; it has not started."""
        transport: Any = self.transport
        return patient_producer(
            {
                "bootstrap_servers": driver.server_list(transport.url, transport.default_port),
                "client_id": self.client_id,
                "linger_ms": 0,
                "max_request_size": self.max_request_size,
                "request_timeout_ms": int(self.request_timeout * 1000),
                "metadata_max_age_ms": self.app.conf.producer_metadata_max_age_ms,
                "connections_max_idle_ms": self.app.conf.producer_connections_max_idle_ms,
                "security_protocol": "SSL" if self.ssl_context else "PLAINTEXT",
                **driver.credentials_to_aiokafka_auth(self.credentials, self.ssl_context),
            }
        )

    async def on_start(self) -> None:
        """Connect."""
        await super().on_start()
        await self._generations.start()

    async def on_stop(self) -> None:
        """Write what is left, and disconnect."""
        await super().on_stop()
        self._stopping = True
        while self._queues:
            await asyncio.gather(*(each.wait_idle() for each in list(self._queues.values())))
        await self._generations.stop()

    async def put(
        self,
        topic: str,
        record: Outgoing,
        batch_bytes: int = SURE_BYTES,
        lesser: Lesser = _nothing,
    ) -> asyncio.Future[Location]:
        """Send a record; what it returns is done when the brokers have the record, and tells where.

        Parameters
        ----------
        topic : str
        record : Outgoing
        batch_bytes : int
            The size of the batches in which it goes with others.
        lesser : function
            What to write instead of a record that is refused.

        Raises
        ------
        UnknownTopicOrPartitionError
            There is no such topic.
        PartitionMissingError
            The topic has no such partition.
        TopicAuthorizationFailedError
            The topic is closed to us.
        """
        cluster = await self._require(topic, record.partition)
        return self._queue(topic, self._chosen(cluster, topic, record)).put([record], batch_bytes, lesser)

    def put_known(self, topic: str, record: Outgoing) -> asyncio.Future[Location] | None:
        """Send a record as `put` does, but only to a topic and partition that are known; else None."""
        generation = self._generations.newest
        if not generation.topics.knows(topic, record.partition):
            return None
        partition = self._chosen(generation.cluster, topic, record)
        return self._queue(topic, partition).put([record], SURE_BYTES, _nothing)

    async def _require(self, topic: str, partition: int | None) -> ClusterMetadata:
        """The metadata of the brokers, once a topic and its partition are known."""
        generation = self._generations.newest
        with generation.in_use():
            await generation.topics.require(topic, partition)
        return generation.cluster

    def _chosen(self, cluster: ClusterMetadata, topic: str, record: Outgoing) -> int:
        """The partition that a record goes to."""
        if record.partition is not None:
            return record.partition
        every = sorted(cluster.partitions_for_topic(topic))
        available = sorted(cluster.available_partitions_for_topic(topic))
        return int(self._partitioner(record.key, every, available))

    def _queue(self, topic: str, partition: int) -> PartitionQueue:
        if self._stopping:
            raise ProducerClosed
        tp = TopicPartition(topic, partition)
        queue = self._queues.get(tp)
        if queue is None:
            queue = self._queues[tp] = PartitionQueue(
                tp,
                self._generations,
                most_bytes=self.max_request_size,
                on_idle=self._forget,
                on_end=self._end,
            )
        return queue

    def _forget(self, tp: TopicPartition) -> None:
        del self._queues[tp]

    def _end(self, error: ProducerEndedError) -> None:
        """End the worker: without aiokafka's sending task nothing is written any more."""
        self.add_future(self.crash(error))

    async def send_all(
        self,
        topic: str,
        records: Sequence[Outgoing],
        batch_bytes: int = SURE_BYTES,
        lesser: Lesser = _nothing,
    ) -> None:
        """Send records in as few batches as they fit into; returns when the brokers have all of them.

        Parameters
        ----------
        topic : str
        records : sequence of Outgoing
            Each names its partition. Those of one partition are written in their order.
        batch_bytes : int
            The size of a batch; a larger record has one of its own.
        lesser : function
            What to write instead of a record that is refused.

        Raises
        ------
        UnknownTopicOrPartitionError
            There is no such topic.
        MessageSizeTooLargeError
            A record is larger than the producer may send, or the topic takes.
        KafkaError
            A record was refused for another reason, or the topic is closed to us.
        """
        runs: dict[int, list[Outgoing]] = {}
        for each in records:
            assert each.partition is not None
            runs.setdefault(each.partition, []).append(each)
        await asyncio.gather(*(self._send_run(topic, *run, batch_bytes, lesser) for run in runs.items()))

    async def _send_run(
        self, topic: str, partition: int, records: Sequence[Outgoing], batch_bytes: int, lesser: Lesser
    ) -> None:
        await self._require(topic, partition)
        await self._queue(topic, partition).put(records, batch_bytes, lesser)


def sender(app: AppT) -> Callable[[str, Outgoing], Awaitable[Awaitable[object]]]:
    """Sends records by the app's producer; what it returns is awaited until the broker has the record."""

    async def send(topic: str, outgoing: Outgoing) -> Awaitable[object]:
        producer: Any = app.producer
        known = 0 <= outgoing.timestamp < EXACT_MILLISECONDS
        sent: Awaitable[object] = await producer.put(
            topic, outgoing if known else outgoing._replace(timestamp=-1)
        )
        return sent

    return send


def known_sender(app: AppT) -> SendKnown:
    """Sends records by the app's producer to topics that it knows already."""

    def send(topic: str, outgoing: Outgoing) -> asyncio.Future[Location] | None:
        producer: Any = app.producer
        known = 0 <= outgoing.timestamp < EXACT_MILLISECONDS
        sent: asyncio.Future[Location] | None = producer.put_known(
            topic, outgoing if known else outgoing._replace(timestamp=-1)
        )
        return sent

    return send


def bulk_sender(
    app: AppT, largest: Mapping[str, int | None], lesser: Mapping[str, Lesser] | None = None
) -> Callable[[str, Sequence[Outgoing]], Awaitable[None]]:
    """Sends many records by the app's producer; returns when the broker has all of them.

    Parameters
    ----------
    app : faust.App
    largest : mapping of str to int or None
        How large a batch each topic takes, in bytes; None where that is not known.
    lesser : mapping of str to function, optional
        For topics of which a record may be written otherwise than it is, if it is refused: how.
    """

    async def send_all(topic: str, records: Sequence[Outgoing]) -> None:
        producer: Any = app.producer
        options = {"lesser": lesser[topic]} if lesser and topic in lesser else {}
        await producer.send_all(topic, records, min(BATCH_BYTES, largest[topic] or SURE_BYTES), **options)

    return send_all
