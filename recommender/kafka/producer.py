"""The worker's Kafka producer: a topic that does not exist is said at once, and nothing is written twice."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import UnknownTopicOrPartitionError
from faust.exceptions import ProducerSendError
from faust.transport.drivers import aiokafka as driver
from faust.types import AppT

from recommender.ingest import Outgoing
from recommender.kafka.consumer_thread import FAUST_LOGGER

#: How often, and how many seconds apart, the brokers are asked for a topic before it counts as missing: one
#: that was made just now is not known to all of them.
LOOKS = 3
LOOK_SECONDS = 0.1


class Producer(driver.Producer):
    """Faust's producer. Sending to a missing topic fails soon, and not when aiokafka's patience ends."""

    logger = FAUST_LOGGER

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._looking: dict[str, asyncio.Task[bool]] = {}

    def _settings_extra(self) -> Mapping[str, Any]:
        # Else a record that is sent again because an answer was lost would be there twice.
        return {**super()._settings_extra(), "enable_idempotence": True}

    async def send(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        """Send a record.

        Raises
        ------
        UnknownTopicOrPartitionError
            There is no such topic.
        """
        known = self._ensure_producer().client.cluster.partitions_for_topic(topic)
        if known is None and await self._is_missing(topic):
            raise UnknownTopicOrPartitionError(topic)
        return await super().send(topic, *args, **kwargs)

    async def _is_missing(self, topic: str) -> bool:
        """Whether the brokers say that there is no such topic; all who ask at once ask together."""
        looking = self._looking.get(topic)
        if looking is None:
            looking = self._looking[topic] = asyncio.create_task(self._look(topic))
            looking.add_done_callback(lambda _: self._looking.pop(topic, None))
        return await asyncio.shield(looking)

    async def _look(self, topic: str) -> bool:
        client = self._ensure_producer().client
        for look in range(LOOKS):
            await asyncio.sleep(look * LOOK_SECONDS)
            # Metadata of their own: in the client's the name of a missing topic would be asked for for ever.
            found = ClusterMetadata()
            if not await client._metadata_update(found, [topic]):
                return False  # no broker answers: sending waits for one
            if found.partitions_for_topic(topic) or topic in found.unauthorized_topics:
                return False
        return True


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
