"""The producer: a missing topic fails soon, whatever else is sent."""

from __future__ import annotations

import asyncio
from typing import Any

import faust
import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import UnknownTopicOrPartitionError
from faust.transport.drivers import aiokafka as driver

from recommender import bulk
from recommender.kafka import producer
from recommender.kafka.producer import LOOKS, Producer


class Client:
    """aiokafka's, as far as topics are looked for."""

    def __init__(self, *topics: str) -> None:
        self.cluster = Cluster()
        self.topics = set(topics)
        self.answers = True
        self.looks: list[str] = []

    async def _metadata_update(self, found: ClusterMetadata, topics: list[str]) -> bool:
        self.looks += topics
        await asyncio.sleep(0)
        found._partitions = {topic: {0: None} for topic in self.topics}
        return self.answers


class Cluster:
    """What the client knows already."""

    known: frozenset[str] = frozenset()

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0} if topic in self.known else None


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The topics of what reached Faust's producer."""
    sent: list[str] = []

    async def send(self: Any, topic: str, *arguments: Any, **options: Any) -> None:
        sent.append(topic)

    monkeypatch.setattr(driver.Producer, "send", send)
    monkeypatch.setattr(producer, "LOOK_SECONDS", 0.0)
    return sent


def producer_of(client: Client, monkeypatch: pytest.MonkeyPatch) -> Any:
    app = faust.App("test", broker="kafka://nowhere:1", env_prefix="UNUSED_")

    async def positions(assigned: Any) -> Any:
        return {}

    bulk.set_transport(app, "nowhere:1", positions)
    made = app.transport.create_producer()
    assert isinstance(made, Producer)
    holder = type("Inner", (), {"client": client})()
    monkeypatch.setattr(made, "_ensure_producer", lambda: holder)
    return made


def test_a_missing_topic_is_said_without_sending(monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    async def scenario() -> None:
        client = Client("there")
        made = producer_of(client, monkeypatch)
        with pytest.raises(UnknownTopicOrPartitionError):
            await made.send("gone", b"key", b"value", None, None, [])
        assert (sent, client.looks) == ([], ["gone"] * LOOKS)
        await made.send("there", b"key", b"value", None, None, [])
        assert sent == ["there"]

    asyncio.run(scenario())


def test_a_burst_to_a_missing_topic_asks_once(monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    async def scenario() -> None:
        client = Client()
        made = producer_of(client, monkeypatch)
        attempts = [made.send("gone", b"", b"", None, None, []) for _ in range(500)]
        errors = await asyncio.gather(*attempts, return_exceptions=True)
        assert {type(each) for each in errors} == {UnknownTopicOrPartitionError}
        assert client.looks == ["gone"] * LOOKS

    asyncio.run(scenario())


def test_a_topic_that_was_made_just_now_is_found(monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    async def scenario() -> None:
        client = Client()
        made = producer_of(client, monkeypatch)
        sending = asyncio.create_task(made.send("new", b"", b"", None, None, []))
        while not client.looks:  # noqa: ASYNC110
            await asyncio.sleep(0)
        client.topics.add("new")
        await sending
        assert sent == ["new"]

    asyncio.run(scenario())


def test_a_known_topic_is_not_looked_for(monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    async def scenario() -> None:
        client = Client()
        client.cluster.known = frozenset({"known"})
        await producer_of(client, monkeypatch).send("known", b"", b"", None, None, [])
        assert (sent, client.looks) == (["known"], [])

    asyncio.run(scenario())


def test_while_no_broker_answers_nothing_is_missing(monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    async def scenario() -> None:
        client = Client()
        client.answers = False
        await producer_of(client, monkeypatch).send("some", b"", b"", None, None, [])
        assert sent == ["some"]

    asyncio.run(scenario())
