"""Stands where the worker stands, and answers requests as a test says: late, twice, wrongly or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from recommender.kafka.network import Network
from recommender.kafka.topics import Topics
from recommender.messages.responses import Recommended, Response


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it arrived."""

    value: dict[str, Any]
    key: bytes
    headers: dict[str, bytes]
    partition: int

    @property
    def correlation(self) -> bytes:
        """The id that a reply must carry."""
        return self.headers["kafka_correlationId"]


class Responder:
    """What a script answers with.

    Attributes
    ----------
    asked : list of Asked
        All requests so far.
    """

    def __init__(self, producer: KafkaProducer) -> None:
        self.asked: list[Asked] = []
        self._producer = producer

    def reply(
        self,
        asked: Asked,
        value: bytes | None = None,
        *,
        correlation: bytes | None = None,
        header: str = "kafka_correlationId",
        partition: int | None = None,
    ) -> None:
        """Answer a request; by default with `answer_for` its user, and as the contract says."""
        self._producer.send(
            asked.headers["kafka_replyTopic"].decode(),
            answer_for(asked.value["user"]).encode() if value is None else value,
            asked.key,
            [("other", b"1"), (header, asked.correlation if correlation is None else correlation)],
            partition=partition,
        )
        self._producer.flush(timeout=10)

    def partitions(self, topic: str) -> int:
        """How many partitions the responder knows of."""
        return len(self._producer.partitions_for(topic))

    def noise(self, topic: str, value: bytes = b"noise") -> None:
        """A record without an id on the reply topic."""
        self._producer.send(topic, value).get(10)


Script = Callable[[Responder, Asked], None]


def answer_for(user: str) -> Response:
    """A response that says whose it is."""
    items = [Recommended(f"for-{user}", 0.5, neighbours=3), Recommended("2", 0.25, "explore")]
    return Response(user, items, "popular", "main", False, 0, 7, 3)


@contextmanager
def responding(kafka: str, topics: Topics, script: Script, **options: Any) -> Iterator[Responder]:
    """Run a script on every request from now on. What it raises is raised here at the end.

    Options are the producer's.
    """
    consumer = KafkaConsumer(
        kafka_client=Network, bootstrap_servers=kafka, group_id=None, enable_auto_commit=False
    )
    producer = KafkaProducer(
        kafka_client=Network, bootstrap_servers=kafka, metadata_max_age_ms=500, **options
    )
    responder = Responder(producer)
    stop = threading.Event()
    failed: list[BaseException] = []

    def run() -> None:
        try:
            while not stop.is_set():
                for records in consumer.poll(timeout_ms=100).values():
                    for record in records:
                        headers = dict(record.headers)
                        value = json.loads(record.value)
                        responder.asked.append(Asked(value, record.key, headers, record.partition))
                        script(responder, responder.asked[-1])
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    try:
        partitions = [
            TopicPartition(topics.requests, each) for each in consumer.partitions_for_topic(topics.requests)
        ]
        consumer.assign(partitions)
        for partition, offset in consumer.end_offsets(partitions).items():
            consumer.seek(partition, offset)
        thread.start()
        yield responder
    finally:
        stop.set()
        if thread.ident is not None:
            thread.join(30)
        consumer.close()
        producer.close(timeout=10)
    if failed:
        raise failed[0]


def answer(responder: Responder, asked: Asked) -> None:
    """What a worker does."""
    responder.reply(asked)


def ignore(responder: Responder, asked: Asked) -> None:
    """What no worker does."""
