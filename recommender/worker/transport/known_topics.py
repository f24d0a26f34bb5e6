"""The topics that exist: looked up before anything is sent to one.

aiokafka takes its time to find out about a topic, and then says the same of one that does not exist and of an
outage.
"""

from __future__ import annotations

import asyncio
import random

from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import (
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.protocol.metadata import MetadataRequest

from recommender.kafka.refusals import PartitionMissingError

#: How often the brokers are asked for a topic before it counts as missing: one that was made just now is not
#: known to all of them.
LOOKS = 3
LOOK_SECONDS, AWAY_SECONDS = 0.1, 0.5


class KnownTopics:
    """The topics that a client knows, and how it gets to know others.

    Parameters
    ----------
    client : AIOKafkaClient
    look_seconds : float
        How far apart the brokers are asked.
    away_seconds : float
        How long after no broker answered they are asked again.
    """

    def __init__(
        self,
        client: AIOKafkaClient,
        *,
        look_seconds: float = LOOK_SECONDS,
        away_seconds: float = AWAY_SECONDS,
    ) -> None:
        self._client = client
        self._look_seconds, self._away_seconds = look_seconds, away_seconds
        self._looking: dict[str, asyncio.Task[int]] = {}

    def knows(self, topic: str, partition: int | None) -> bool:
        """Return True if the client knows a topic and its partition."""
        known = self._client.cluster.partitions_for_topic(topic)
        return known is not None and (partition is None or partition in known)

    async def require(self, topic: str, partition: int | None) -> None:
        """Return once the client knows a topic and its partition, and while no broker answers wait for one.

        Raises
        ------
        UnknownTopicOrPartitionError
            There is no such topic.
        PartitionMissingError
            The topic has no such partition.
        TopicAuthorizationFailedError
            The topic is closed to us.
        """
        cluster = self._client.cluster
        while not self.knows(topic, partition):
            if topic in cluster.unauthorized_topics:
                await self._learn(topic)  # it may have been opened since
                if topic in cluster.unauthorized_topics:
                    raise TopicAuthorizationFailedError(topic)
                continue
            count = await self._count(topic)
            if count == 0:
                raise UnknownTopicOrPartitionError(topic)
            if partition is not None and not 0 <= partition < count:
                raise PartitionMissingError(f"{topic} has {count} partitions, none with number {partition}")
            await self._learn(topic)

    async def _learn(self, topic: str) -> None:
        """Let the client ask for a topic from now on, and now."""
        self._client.add_topic(topic)
        await self._client.force_metadata_update()

    async def _count(self, topic: str) -> int:
        """The number of a topic's partitions, as the brokers say; all that ask at once share one request."""
        looking = self._looking.get(topic)
        if looking is None:
            looking = self._looking[topic] = asyncio.create_task(self._look(topic))
            looking.add_done_callback(lambda _: self._looking.pop(topic, None))
        return await asyncio.shield(looking)

    async def _look(self, topic: str) -> int:
        looks = 0
        while True:
            found = await self._ask(topic)
            if found is None:
                await asyncio.sleep(self._away_seconds)
                continue
            partitions = found.partitions_for_topic(topic)
            if partitions:
                return len(partitions)
            if topic in found.unauthorized_topics:
                raise TopicAuthorizationFailedError(topic)
            looks += 1
            if looks == LOOKS:
                return 0
            await asyncio.sleep(looks * self._look_seconds)

    async def _ask(self, topic: str) -> ClusterMetadata | None:
        """A broker's answer about a topic; None if none answers.

        The answer is not the client's: that would ask for the name of a missing topic for ever.
        """
        nodes = [broker.nodeId for broker in self._client.cluster.brokers()]
        for node in random.sample(nodes, len(nodes)):
            try:
                answer = await self._client.send(node, MetadataRequest([topic]))
            except (KafkaError, TimeoutError):
                continue
            if answer.brokers:
                found = ClusterMetadata()
                found.update_metadata(answer)
                return found
        # The client may have to learn first which brokers there are now.
        await self._client.force_metadata_update()
        return None
