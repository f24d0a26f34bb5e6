"""Fetches of some topics over a connection of their own.

Kafka answers the requests of one connection one after the other, and aiokafka asks a broker again only when
all that it fetched from it was taken. So what comes rarely would wait behind what comes in masses. To
aiokafka's fetcher a broker looks here like two: one for the topics that go ahead, one for all others.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

#: The client keeps its connections by broker and by the name of a group; these are of this one.
GROUP = "ahead"


class Lane:
    """A broker, as those who fetch the topics that go ahead know it.

    Parameters
    ----------
    node : int
        The broker's number. A lane is not equal to it.
    """

    __slots__ = ("node",)

    def __init__(self, node: int) -> None:
        self.node = node

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lane) and other.node == self.node

    def __hash__(self) -> int:
        return hash((Lane, self.node))

    def __repr__(self) -> str:
        return f"Lane({self.node})"


class Leaders:
    """The cluster as the fetcher sees it.

    Parameters
    ----------
    cluster : ClusterMetadata
        aiokafka's own, which is asked for all the rest.
    topics : collection of str
        Those that go ahead.
    """

    def __init__(self, cluster: Any, topics: Collection[str]) -> None:
        self._cluster = cluster
        self._topics = frozenset(topics)

    def leader_for_partition(self, tp: TopicPartition) -> int | Lane | None:
        """The broker that leads a partition; as a lane where its topic goes ahead. As aiokafka's own."""
        node: int | None = self._cluster.leader_for_partition(tp)
        known = node is not None and node != -1
        return Lane(node) if known and tp.topic in self._topics else node  # type: ignore[arg-type]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cluster, name)


class Lanes:
    """The client as the fetcher sees it: what is sent to a lane goes over a connection of its own.

    Parameters
    ----------
    client : AIOKafkaClient
        aiokafka's own, which is asked for all the rest.
    topics : collection of str
        Those that go ahead.
    """

    def __init__(self, client: Any, topics: Collection[str]) -> None:
        self._client = client
        self.cluster = Leaders(client.cluster, topics)

    async def send(self, node: int | Lane, request: Any, **options: Any) -> Any:
        """Send a request to a broker; its answer. As aiokafka's own."""
        if isinstance(node, Lane):
            return await self._client.send(node.node, request, group=GROUP)
        return await self._client.send(node, request, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def open_lanes(consumer: AIOKafkaConsumer, topics: Collection[str]) -> None:
    """Let a consumer that has started fetch some topics ahead of all others."""
    consumer._fetcher._client = Lanes(consumer._fetcher._client, topics)
