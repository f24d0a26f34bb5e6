"""The worker's Kafka producer: a topic that does not exist is said at once, nothing is written twice, and
what is sent while no broker answers is written when one does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from aiokafka import AIOKafkaProducer
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import (
    InvalidTimestampError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from faust.exceptions import ProducerSendError
from faust.transport.drivers import aiokafka as driver
from faust.types import AppT

from recommender.messages.records import Outgoing
from recommender.worker.transport import bootstrap_patch
from recommender.worker.transport import FAUST_LOGGER

#: How often, and how many seconds apart, the brokers are asked for a topic before it counts as missing: one
#: that was made just now is not known to all of them.
LOOKS = 3
LOOK_SECONDS = 0.1
#: How many seconds after no broker answered they are asked again.
AWAY_SECONDS = 0.5
#: Records that are sent together are written in batches of so many bytes: several hundred dead letters, which
#: takes a millisecond.
BATCH_BYTES = 256 * 1024
#: A batch of so many bytes is taken to fit where it is not known what a topic takes. aiokafka's are as large.
SURE_BYTES = 16 * 1024
#: How long a record waits for the one before it, which waits for a broker: longer than any outage.
PATIENCE_SECONDS = 7 * 24 * 3600
_UNCOMPRESSED = 0
#: What a broker says of records that it has not written and never will.
REFUSED = (
    InvalidTimestampError,
    MessageSizeTooLargeError,
    PolicyViolationError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
)


class Producer(driver.Producer):
    """Faust's producer. Sending to a missing topic fails soon, and sending while brokers are away never does.

    aiokafka takes its time to find out about a topic, and then says the same of one that does not exist and
    of an outage.
    """

    logger = FAUST_LOGGER

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._looking: dict[str, asyncio.Task[bool]] = {}

    def _settings_extra(self) -> Mapping[str, Any]:
        # Else a record that is sent again because an answer was lost would be there twice.
        return {**super()._settings_extra(), "enable_idempotence": True}

    def _new_producer(self, transactional_id: str | None = None) -> AIOKafkaProducer:
        made = super()._new_producer(transactional_id)
        count_no_refused(made)
        wait_for_brokers(made)
        bootstrap_patch.begin_with_brokers(made.client)
        return made

    async def send(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        """Send a record.

        Raises
        ------
        UnknownTopicOrPartitionError
            There is no such topic.
        """
        await self._require(topic)
        return await super().send(topic, *args, **kwargs)

    async def send_all(self, topic: str, records: Sequence[Outgoing], batch_bytes: int = SURE_BYTES) -> None:
        """Send records in as few batches as they fit into; returns when the brokers have all of them.

        One by one each would cost several times as much, and the records of a partition would be written
        thirty at a time, each time after a round trip.

        Parameters
        ----------
        topic : str
        records : sequence of Outgoing
            Each names its partition. Those of one partition are written in their order.
        batch_bytes : int
            The size of a batch; a larger record has one of its own.

        Raises
        ------
        UnknownTopicOrPartitionError
            There is no such topic.
        MessageSizeTooLargeError
            A record is larger than the producer may send, or the topic takes.
        """
        await self._require(topic)
        runs: dict[int, list[Outgoing]] = {}
        for each in records:
            assert each.partition is not None
            runs.setdefault(each.partition, []).append(each)
        await asyncio.gather(*(self._send_run(topic, *run, batch_bytes) for run in runs.items()))

    async def _send_run(
        self, topic: str, partition: int, records: Sequence[Outgoing], batch_bytes: int
    ) -> None:
        producer = self._ensure_producer()
        for batch in batches(records, batch_bytes):
            if batch.size() > self.max_request_size:
                raise MessageSizeTooLargeError(
                    f"a record for {topic}[{partition}] takes {batch.size()} bytes: expected at most "
                    f"{self.max_request_size}"
                )
            # aiokafka has one batch at a time on its way to a broker, so nothing is gained by not waiting.
            await (await producer.send_batch(batch, topic, partition=partition))

    async def _require(self, topic: str) -> None:
        client = self._ensure_producer().client
        cluster = client.cluster
        while cluster.partitions_for_topic(topic) is None and topic not in cluster.unauthorized_topics:
            if await self._is_missing(topic):
                raise UnknownTopicOrPartitionError(topic)
            client.add_topic(topic)
            await client.force_metadata_update()

    async def _is_missing(self, topic: str) -> bool:
        """Whether the brokers say that there is no such topic; all who ask at once ask together."""
        looking = self._looking.get(topic)
        if looking is None:
            looking = self._looking[topic] = asyncio.create_task(self._look(topic))
            looking.add_done_callback(lambda _: self._looking.pop(topic, None))
        return await asyncio.shield(looking)

    async def _look(self, topic: str) -> bool:
        client = self._ensure_producer().client
        looks = 0
        while True:
            # Metadata of their own: in the client's the name of a missing topic would be asked for for ever.
            found = ClusterMetadata()
            if not await client._metadata_update(found, [topic]):
                await asyncio.sleep(AWAY_SECONDS)
                continue
            if found.partitions_for_topic(topic) or topic in found.unauthorized_topics:
                return False
            looks += 1
            if looks == LOOKS:
                return True
            await asyncio.sleep(looks * LOOK_SECONDS)


def wait_for_brokers(producer: AIOKafkaProducer) -> None:
    """Let a producer keep what it was given for as long as no broker takes it.

    aiokafka ends the waiting of a record behind another, and of one whose partition has no leader, after the
    timeout of a request.

    Parameters
    ----------
    producer : AIOKafkaProducer
        It still gives up records of a topic that the brokers no longer know.
    """
    # The client, which sends the requests, has its own.
    producer._request_timeout_ms = PATIENCE_SECONDS * 1000
    cluster = producer.client.cluster

    def wait(batch: Any) -> None:
        expired = batch.expired
        batch.expired = lambda: cluster.leader_for_partition(batch.tp) is None and expired()

    _change_batches(producer, wait)


def count_no_refused(producer: AIOKafkaProducer) -> None:
    """Let an idempotent producer go on after records that a broker refuses.

    A broker expects a producer's records numbered without a gap. aiokafka counts those that were refused, and
    every later record of the partition would be refused too, as out of order.

    Parameters
    ----------
    producer : AIOKafkaProducer
        It has one batch of a partition at a time on its way, so nothing behind a refused one has a number.
    """
    numbers = producer._txn_manager

    def count(batch: Any) -> None:
        fail = batch.failure

        def failure(exception: BaseException) -> None:
            if isinstance(exception, REFUSED):
                numbers.increment_sequence_number(batch.tp, -batch.record_count)
            fail(exception)

        batch.failure = failure

    _change_batches(producer, count)


def _change_batches(producer: AIOKafkaProducer, change: Callable[[Any], None]) -> None:
    """Let each batch that a producer begins be changed first."""
    accumulator = producer._message_accumulator
    append_batch = accumulator._append_batch

    def append(*args: Any, **kwargs: Any) -> Any:
        batch = append_batch(*args, **kwargs)
        change(batch)
        return batch

    accumulator._append_batch = append


def batches(records: Sequence[Outgoing], batch_bytes: int) -> Iterator[BatchBuilder]:
    """Records in batches of at most so many bytes, or of one record."""
    batch = BatchBuilder(batch_bytes, _UNCOMPRESSED)
    for each in records:
        record: Any = {
            "timestamp": None if each.timestamp < 0 else each.timestamp,
            "key": each.key,
            "value": each.value,
            "headers": each.headers,
        }
        if batch.append(**record) is None:  # it is full
            yield batch
            batch = BatchBuilder(batch_bytes, _UNCOMPRESSED)
            batch.append(**record)
    if batch.record_count():
        batch.close()  # else aiokafka would add to it
        yield batch


def sender(app: AppT) -> Callable[[str, Outgoing], Awaitable[asyncio.Future[Any]]]:
    """Sends records by the app's producer; what it returns is done when the broker has the record."""

    async def send(topic: str, outgoing: Outgoing) -> asyncio.Future[Any]:
        # Faust turns seconds into whole milliseconds by cutting off: the half keeps them as they were.
        timestamp = None if outgoing.timestamp < 0 else (outgoing.timestamp + 0.5) / 1000
        producer: Any = app.producer
        try:
            sent = await producer.send(
                topic, outgoing.key, outgoing.value, outgoing.partition, timestamp, outgoing.headers
            )
        except ProducerSendError as error:
            raise error.__cause__ or error from None
        return cast("asyncio.Future[Any]", sent)

    return send


def bulk_sender(
    app: AppT, largest: Mapping[str, int | None]
) -> Callable[[str, Sequence[Outgoing]], Awaitable[None]]:
    """Sends many records by the app's producer; returns when the broker has all of them.

    Parameters
    ----------
    app : faust.App
    largest : mapping of str to int or None
        How large a batch each topic takes, in bytes; None where that is not known.
    """

    async def send_all(topic: str, records: Sequence[Outgoing]) -> None:
        producer: Any = app.producer
        await producer.send_all(topic, records, min(BATCH_BYTES, largest[topic] or SURE_BYTES))

    return send_all
