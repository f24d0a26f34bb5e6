"""Requests to a worker by a plain Kafka client: every field and header as the test wants it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from recommender.kafka.network import Network
from recommender.kafka.topics import Topics
from tests.support.kafka import Header
from tests.support.workers import PATIENCE

CORRELATION = "kafka_correlationId"


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for a request."""

    body: dict[str, Any]
    headers: dict[str, bytes]
    topic: str
    key: bytes | None
    partition: int

    @property
    def items(self) -> list[str]:
        """The items of a response, best first."""
        return [each["item"] for each in self.body["items"]]

    @property
    def error(self) -> dict[str, Any]:
        """The error of a failure, whose code the header must repeat."""
        assert self.body["ok"] is False, self.body
        error: dict[str, Any] = self.body["error"]
        assert self.headers["error-code"].decode() == error["code"]
        return error


class Asker:
    """Sends requests and collects replies by their correlation ids.

    Attributes
    ----------
    sent : list of bytes
        The correlation ids of all requests.
    partitions : dict
        The partition that each of them went to.
    """

    def __init__(self, kafka: str, topics: Topics, *reply_topics: str) -> None:
        self.topics = topics
        self.sent: list[bytes] = []
        self.partitions: dict[bytes, int] = {}
        self._producer = KafkaProducer(
            kafka_client=Network, bootstrap_servers=kafka, acks="all", max_request_size=2_000_000
        )
        self._consumer = KafkaConsumer(
            kafka_client=Network,
            bootstrap_servers=kafka,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        self._consumer.assign(
            [
                TopicPartition(topic, partition)
                for topic in (topics.responses, *reply_topics)
                for partition in self._consumer.partitions_for_topic(topic)
            ]
        )
        self._replies: dict[bytes, list[Reply]] = {}

    def send(
        self,
        value: dict[str, Any] | bytes | None,
        *headers: Header,
        key: bytes | None = None,
        partition: int | None = None,
        correlation: bytes | None = None,
        name: str = CORRELATION,
        timestamp_ms: int | None = None,
    ) -> bytes:
        """Send a request, by default keyed by its user; the correlation id to wait for."""
        correlation = uuid.uuid4().bytes if correlation is None else correlation
        if isinstance(value, dict):
            key = str(value.get("user")).encode() if key is None else key
            value = json.dumps(value).encode()
        written = self._producer.send(
            self.topics.requests,
            value,
            key=key,
            headers=[*headers, (name, correlation)],
            partition=partition,
            timestamp_ms=timestamp_ms,
        ).get(timeout=PATIENCE)
        self.sent.append(correlation)
        self.partitions[correlation] = written.partition
        return correlation

    def reply(self, correlation: bytes, seconds: float = PATIENCE) -> Reply:
        """Wait for the reply; that there is only one is for `replies` to say at the end."""
        deadline = time.monotonic() + seconds
        while correlation not in self._replies:
            assert time.monotonic() < deadline, f"no reply within {seconds:g} s"
            self._collect(100)
        return self._replies[correlation][0]

    def ask(self, value: dict[str, Any] | bytes | None, *headers: Header, **options: Any) -> Reply:
        """Send a request and wait for its reply."""
        return self.reply(self.send(value, *headers, **options))

    def has_reply(self, correlation: bytes) -> bool:
        """Whether a reply is there by now."""
        self._collect(0)
        return correlation in self._replies

    def replies(self) -> dict[bytes, list[Reply]]:
        """All replies that the topics have by now, by their correlation ids."""
        ends = self._consumer.end_offsets(list(self._consumer.assignment()))
        while any(self._consumer.position(partition) < end for partition, end in ends.items()):
            self._collect(100)
        return self._replies

    def assert_one_reply_each(self) -> None:
        """Every request has its reply, and none has two."""
        for correlation in self.sent:
            self.reply(correlation)
        counts = {correlation: len(replies) for correlation, replies in self.replies().items()}
        assert counts == dict.fromkeys(self.sent, 1)

    def close(self) -> None:
        """Close the connections."""
        self._producer.close(timeout=10)
        self._consumer.close()

    def _collect(self, milliseconds: int) -> None:
        for records in self._consumer.poll(timeout_ms=milliseconds).values():
            for record in records:
                headers = dict(record.headers)
                correlation = headers.get(CORRELATION) or headers.get("correlation_id") or b""
                place = record.topic, record.key, record.partition
                reply = Reply(json.loads(record.value), headers, *place)
                self._replies.setdefault(correlation, []).append(reply)


@contextmanager
def asking(kafka: str, topics: Topics, *reply_topics: str) -> Iterator[Asker]:
    """An asker that is closed at the end."""
    asker = Asker(kafka, topics, *reply_topics)
    try:
        yield asker
    finally:
        asker.close()


def answers(kafka: str, topics: Topics) -> bool:
    """Return True if a request is answered."""
    with asking(kafka, topics) as asker:
        return bool(asker.ask({"user": "u1", "n": 3}).body["ok"])
