"""A topic that does not exist is told from one that nobody has been asked for yet, and from an outage."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from recommender.kafka.refusals import PartitionMissingError
from recommender.worker.transport.known_topics import LOOKS, KnownTopics
from tests.support.doubles import until

FORBIDDEN = 29


class Client:
    """aiokafka's client of a broker that has topics of one partition."""

    def __init__(self, *topics: str) -> None:
        self.cluster = self
        self.topics = set(topics)
        self.forbidden: set[str] = set()
        self.unauthorized_topics: set[str] = set()
        self.known: set[str] = set()
        self.wanted: set[str] = set()
        self.answers = True
        self.looks: list[str] = []

    def brokers(self) -> list[Any]:
        return [SimpleNamespace(nodeId=1)]

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0} if topic in self.known else None

    async def send(self, node: int, request: Any) -> Any:
        (topic,) = request.topics if hasattr(request, "topics") else request._topics
        self.looks.append(topic)
        await asyncio.sleep(0)
        if not self.answers:
            raise KafkaConnectionError("away")
        code = FORBIDDEN if topic in self.forbidden else 0 if topic in self.topics else 3
        partitions = [(0, 0, 1, [1], [1])] if not code else []
        return SimpleNamespace(
            API_VERSION=1,
            brokers=[(1, "localhost", 9092, None)],
            controller_id=1,
            topics=[(code, topic, False, partitions)],
        )

    def add_topic(self, topic: str) -> None:
        self.wanted.add(topic)

    async def force_metadata_update(self) -> bool:
        await asyncio.sleep(0)
        if self.answers:
            self.known |= self.wanted & self.topics - self.forbidden
            self.unauthorized_topics = self.wanted & self.forbidden
        return self.answers


def known_by(client: Client) -> KnownTopics:
    double: Any = client
    return KnownTopics(double, look_seconds=0.0, away_seconds=0.0)


async def test_a_missing_topic_is_told_from_one_that_is_there() -> None:
    client = Client("there")
    with pytest.raises(UnknownTopicOrPartitionError):
        await known_by(client).require("gone", None)
    assert client.looks == ["gone"] * LOOKS
    await known_by(client).require("there", 0)
    with pytest.raises(PartitionMissingError, match="there has 1 partitions, none with number 1"):
        await known_by(client).require("there", 1)


async def test_a_burst_to_a_missing_topic_asks_once() -> None:
    client = Client()
    topics = known_by(client)
    attempts = [topics.require("gone", None) for _ in range(500)]
    errors = await asyncio.gather(*attempts, return_exceptions=True)
    assert {type(each) for each in errors} == {UnknownTopicOrPartitionError}
    assert client.looks == ["gone"] * LOOKS


async def test_a_topic_that_was_made_just_now_is_found() -> None:
    client = Client()
    asking = asyncio.create_task(known_by(client).require("new", None))
    await until(lambda: bool(client.looks))
    client.topics.add("new")
    await asking


async def test_a_known_topic_is_not_asked_for() -> None:
    client = Client()
    client.known = {"known"}
    await known_by(client).require("known", 0)
    assert client.looks == []


async def test_while_no_broker_answers_nothing_is_missing() -> None:
    client = Client("some")
    client.answers = False
    topics = known_by(client)
    some = asyncio.create_task(topics.require("some", None))
    gone = asyncio.create_task(topics.require("gone", None))
    await until(lambda: len(client.looks) > 10 * LOOKS)
    assert (some.done(), gone.done()) == (False, False)
    client.answers = True
    await some
    with pytest.raises(UnknownTopicOrPartitionError):
        await gone


async def test_a_forbidden_topic_is_told_until_it_is_opened() -> None:
    client = Client("closed")
    client.forbidden.add("closed")
    topics = known_by(client)
    for _ in range(2):
        with pytest.raises(TopicAuthorizationFailedError):
            await topics.require("closed", None)
        client.add_topic("closed")
        await client.force_metadata_update()
    client.forbidden.clear()
    await topics.require("closed", None)
