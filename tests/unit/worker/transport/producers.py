"""A producer whose brokers are played by the test."""

from __future__ import annotations

import asyncio
from typing import Any

import faust
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata, TopicPartition

from recommender.worker.transport import faust_transport
from recommender.worker.transport.producer import Producer
from tests.unit.worker.transport.support import read
from tests.unit.worker.transport.test_known_topics import Client

#: What aiokafka says of a batch that was written.
WRITTEN = RecordMetadata("t", 0, TopicPartition("t", 0), 100, -1, 0, 0)


class Inner:
    """aiokafka's producer, as far as batches are concerned: the broker answers when the test lets it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.taken: list[tuple[int, list[bytes | None]]] = []
        self.answers: list[asyncio.Future[Any]] = []
        self.stopped = False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.stopped = True

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[Any]:
        self.taken.append((partition, [each.key for each in read(batch)]))
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    def waits(self) -> bool:
        return bool(self.answers)


class Brokers:
    """The producers that a worker's has made, one after the other."""

    def __init__(self, *topics: str) -> None:
        self.made: list[Inner] = []
        self.topics = topics

    def make(self) -> Any:
        self.made.append(Inner(Client(*self.topics)))
        return self.made[-1]

    @property
    def taken(self) -> list[tuple[int, list[bytes | None]]]:
        return [each for inner in self.made for each in inner.taken]


class Impatient(Producer):
    renew_seconds = look_seconds = 0.0


async def started(brokers: Brokers) -> Any:
    app = faust.App("test", broker="kafka://nowhere:1", env_prefix="UNUSED_")
    faust_transport.set_transport(app, "nowhere:1", "ratings")
    transport: Any = app.transport
    assert transport.Producer is Producer
    made: Any = Impatient(transport)
    made.new_producer = brokers.make
    await made.on_start()
    return made
