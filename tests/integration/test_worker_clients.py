"""Clients of three libraries send a thousand requests each, without waiting, and get one reply for each."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from aiokafka import AIOKafkaProducer
from confluent_kafka import Producer
from kafka import KafkaProducer

from recommender.kafka.network import Network
from tests.support.kafka import consume, consume_all, wait_until
from tests.support.worker_logs import Running, generated, running_worker
from tests.support.workers import PATIENCE

COUNT = 1000
USERS = 50

#: Key, value and correlation id of one request.
Requests = list[tuple[bytes, bytes, bytes]]
Send = Callable[[str, str, Requests], None]


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker on two partitions that knows most of the users."""
    ratings = generated(2000, users=USERS - 5, items=200)
    with running_worker(kafka, tmp_path_factory.mktemp("clients"), "clients", 2, ratings) as running:
        yield running


def by_aiokafka(kafka: str, topic: str, requests: Requests) -> None:
    """As a program without Faust would."""

    async def send() -> None:
        async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
            sent = [
                await producer.send(topic, value, key, headers=[("kafka_correlationId", correlation)])
                for key, value, correlation in requests
            ]
            await asyncio.gather(*sent)

    asyncio.run(send())


def by_kafka_python(kafka: str, topic: str, requests: Requests) -> None:
    producer = KafkaProducer(kafka_client=Network, bootstrap_servers=kafka)
    try:
        sent = [
            producer.send(topic, value, key, headers=[("kafka_correlationId", correlation)])
            for key, value, correlation in requests
        ]
        for each in sent:
            each.get(timeout=PATIENCE)
    finally:
        producer.close()


def by_confluent_kafka(kafka: str, topic: str, requests: Requests) -> None:
    # Its own default partitioner is another hash than Kafka's, which makes no difference.
    producer = Producer({"bootstrap.servers": kafka})
    for key, value, correlation in requests:
        producer.produce(topic, value, key, headers=[("kafka_correlationId", correlation)])
    assert producer.flush(PATIENCE) == 0


@pytest.mark.parametrize("send", [by_aiokafka, by_kafka_python, by_confluent_kafka])
def test_each_request_has_one_reply(running: Running, send: Send) -> None:
    draw = random.Random(send.__name__)
    users = {}
    requests = []
    for number in range(COUNT):
        user = f"u{number % USERS}"
        # Starting with the number they differ; with zero and high bytes they are no text.
        correlation = number.to_bytes(2, "big") + b"\x00\xff" + send.__name__.encode() + draw.randbytes(12)
        users[correlation] = user
        requests.append((user.encode(), json.dumps({"user": user, "n": 5}).encode(), correlation))
    before = len(consume_all(running.kafka, running.topics.responses))
    send(running.kafka, running.topics.requests, requests)
    replies = consume(running.kafka, running.topics.responses, before + COUNT, PATIENCE)
    mine = [reply for reply in replies if dict(reply.headers)["kafka_correlationId"] in users]
    seen = Counter(dict(reply.headers)["kafka_correlationId"] for reply in mine)
    assert seen == Counter(list(users))
    for reply in mine:
        body = json.loads(reply.value)
        assert body["ok"], body
        assert body["user"] == users[dict(reply.headers)["kafka_correlationId"]] == reply.key.decode()
        assert len(body["items"]) == 5
    assert len(consume_all(running.kafka, running.topics.responses)) == before + COUNT
    # A reply is counted when the broker has told the worker that it has it.
    ok = partial(running.worker.metric, "recommender_replies_total", code="ok")
    wait_until(lambda: ok() >= before + COUNT, PATIENCE)
    assert ok() == before + COUNT
