"""The worker's Kafka producer: a topic that does not exist is said at once, nothing is written twice, what is
sent while no broker answers is written when one does, and no record has to answer for its neighbours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from aiokafka import AIOKafkaProducer
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import (
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from faust.exceptions import ProducerSendError
from faust.transport.drivers import aiokafka as driver
from faust.types import AppT
from mode import Service

from recommender.kafka.refusals import KEYLESS, REFUSED, PartitionMissingError, ProducerEndedError
from recommender.messages.records import Outgoing
from recommender.worker.transport import FAUST_LOGGER, bootstrap_patch
from recommender.worker.transport.aiokafka_producer import keep_going
from recommender.worker.transport.batches import BATCH_BYTES, SURE_BYTES, Filled, Lesser, batches

#: How often, and how many seconds apart, the brokers are asked for a topic before it counts as missing: one
#: that was made just now is not known to all of them.
LOOKS = 3
LOOK_SECONDS = 0.1
#: How many seconds after no broker answered they are asked again.
AWAY_SECONDS = 0.5
#: Milliseconds from here on are no time of anybody's, and as a number of seconds they may not fit any more
#: into what Kafka writes: a record with such a time is sent with that of now.
EXACT_MILLISECONDS = 2**52


class Producer(driver.Producer):
    """Faust's producer. Sending to a missing topic fails soon, and sending while brokers are away never does.

    aiokafka takes its time to find out about a topic, and then says the same of one that does not exist and
    of an outage.
    """

    logger = FAUST_LOGGER

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._looking: dict[str, asyncio.Task[int]] = {}

    def _settings_extra(self) -> Mapping[str, Any]:
        # Else a record that is sent again because an answer was lost would be there twice.
        return {**super()._settings_extra(), "enable_idempotence": True}

    def _new_producer(self, transactional_id: str | None = None) -> AIOKafkaProducer:
        made = super()._new_producer(transactional_id)
        keep_going(made)
        bootstrap_patch.begin_with_brokers(made.client)
        return made

    @Service.task
    async def _watch_sender(self) -> None:
        """End with aiokafka's sending task: without it nothing is written any more, and nobody is told."""
        sending = self._ensure_producer()._sender.sender_task
        await asyncio.wait([sending])
        if not sending.cancelled() and sending.exception() is not None:
            raise ProducerEndedError("the producer has failed") from sending.exception()

    async def send(
        self, topic: str, key: Any, value: Any, partition: int | None, *args: Any, **kwargs: Any
    ) -> Any:
        """Send a record.

        Raises
        ------
        UnknownTopicOrPartitionError
            There is no such topic.
        PartitionMissingError
            The topic has no such partition.
        """
        await self._require(topic, partition)
        return await super().send(topic, key, value, partition, *args, **kwargs)

    async def send_all(
        self,
        topic: str,
        records: Sequence[Outgoing],
        batch_bytes: int = SURE_BYTES,
        lesser: Lesser = lambda record, error: None,
    ) -> None:
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
        await self._require(topic, None)
        runs: dict[int, list[Outgoing]] = {}
        for each in records:
            assert each.partition is not None
            runs.setdefault(each.partition, []).append(each)
        await asyncio.gather(*(self._send_run(topic, *run, batch_bytes, lesser) for run in runs.items()))

    async def _send_run(
        self, topic: str, partition: int, records: Sequence[Outgoing], batch_bytes: int, lesser: Lesser
    ) -> None:
        # aiokafka has one batch at a time on its way to a broker, so nothing is gained by not waiting.
        for filled in batches(records, batch_bytes):
            try:
                await self._send_batch(topic, partition, filled)
            except REFUSED as error:
                # Nothing of the batch is written.
                for left in self._instead(filled.records, error, lesser):
                    await self._send_run(topic, partition, left, batch_bytes, lesser)

    def _instead(
        self, refused: Sequence[Outgoing], error: Exception, lesser: Lesser
    ) -> Iterator[Sequence[Outgoing]]:
        """What to send instead of a batch, one after the other; raises the error if there is nothing."""
        if len(refused) == 1 or isinstance(error, KEYLESS):
            # A record without a key is refused in whatever company; of another error one is to blame.
            less = [lesser(each, error) for each in refused]
            if any(less):
                yield [new or old for new, old in zip(less, refused, strict=True)]
                return
        if len(refused) == 1:
            raise error
        middle = len(refused) // 2
        yield refused[:middle]
        yield refused[middle:]

    async def _send_batch(self, topic: str, partition: int, filled: Filled) -> None:
        if filled.batch.size() > self.max_request_size:
            raise MessageSizeTooLargeError(
                f"a record for {topic}[{partition}] takes {filled.batch.size()} bytes: expected at most "
                f"{self.max_request_size}"
            )
        await (await self._ensure_producer().send_batch(filled.batch, topic, partition=partition))

    async def _require(self, topic: str, partition: int | None) -> None:
        client = self._ensure_producer().client
        cluster = client.cluster
        while topic not in cluster.unauthorized_topics:
            known = cluster.partitions_for_topic(topic)
            if known is not None and (partition is None or partition in known):
                return
            count = await self._count(topic)
            if count == 0:
                raise UnknownTopicOrPartitionError(topic)
            if partition is not None and not 0 <= partition < count:
                raise PartitionMissingError(f"{topic} has {count} partitions, none with number {partition}")
            client.add_topic(topic)
            await client.force_metadata_update()

    async def _count(self, topic: str) -> int:
        """How many partitions the brokers say that a topic has; all who ask at once ask together."""
        looking = self._looking.get(topic)
        if looking is None:
            looking = self._looking[topic] = asyncio.create_task(self._look(topic))
            looking.add_done_callback(lambda _: self._looking.pop(topic, None))
        return await asyncio.shield(looking)

    async def _look(self, topic: str) -> int:
        client = self._ensure_producer().client
        looks = 0
        while True:
            # Metadata of their own: in the client's the name of a missing topic would be asked for for ever.
            found = ClusterMetadata()
            if not await client._metadata_update(found, [topic]):
                await asyncio.sleep(AWAY_SECONDS)
                continue
            partitions = found.partitions_for_topic(topic)
            if partitions:
                return len(partitions)
            if topic in found.unauthorized_topics:
                raise TopicAuthorizationFailedError(topic)
            looks += 1
            if looks == LOOKS:
                return 0
            await asyncio.sleep(looks * LOOK_SECONDS)


def sender(app: AppT) -> Callable[[str, Outgoing], Awaitable[Awaitable[object]]]:
    """Sends records by the app's producer; what it returns is awaited until the broker has the record."""

    async def send(topic: str, outgoing: Outgoing) -> Awaitable[object]:
        # Faust turns seconds into whole milliseconds by cutting off: the half keeps them as they were.
        known = 0 <= outgoing.timestamp < EXACT_MILLISECONDS
        timestamp = (outgoing.timestamp + 0.5) / 1000 if known else None
        producer: Any = app.producer
        try:
            sent = await producer.send(
                topic, outgoing.key, outgoing.value, outgoing.partition, timestamp, outgoing.headers
            )
        except ProducerSendError as error:
            raise error.__cause__ or error from None
        return cast("Awaitable[object]", sent)

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
