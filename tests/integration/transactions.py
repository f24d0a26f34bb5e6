"""A producer with transactions, as services in other languages have, and what tools see of a group."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import Consumer, Producer, TopicPartition

from tests.support.workers import PATIENCE, Installation


class Transactions:
    """A producer whose records are in transactions."""

    def __init__(self, kafka: str) -> None:
        self._producer = Producer({"bootstrap.servers": kafka, "transactional.id": uuid.uuid4().hex})
        self._producer.init_transactions(PATIENCE)
        self.offsets: list[int] = []

    def begin(self) -> None:
        self._producer.begin_transaction()

    def send(self, topic: str, value: bytes | None, key: str, **more: Any) -> int:
        """Write a record; its offset."""
        self._producer.produce(
            topic, value, key.encode(), on_delivery=lambda _, sent: self.offsets.append(sent.offset()), **more
        )
        assert self._producer.flush(PATIENCE) == 0
        return self.offsets[-1]

    def commit(self) -> None:
        self._producer.commit_transaction(PATIENCE)

    def abort(self) -> None:
        self._producer.abort_transaction(PATIENCE)

    @contextmanager
    def open(self) -> Iterator[None]:
        """A transaction that is committed at the end, and aborted where that fails."""
        self.begin()
        try:
            yield
        except BaseException:
            self.abort()
            raise
        self.commit()


def lag_of(installation: Installation, topic: str) -> int:
    """What tools that watch a group see of a topic: the offsets behind what is committed."""
    consumer = Consumer({"bootstrap.servers": installation.kafka, "group.id": installation.group_of(topic)})
    try:
        partitions = consumer.list_topics(topic, PATIENCE).topics[topic].partitions
        places = [TopicPartition(topic, partition) for partition in partitions]
        ends = [consumer.get_watermark_offsets(each, PATIENCE)[1] for each in places]
        committed = [max(0, each.offset) for each in consumer.committed(places, PATIENCE)]
    finally:
        consumer.close()
    return sum(ends) - sum(committed)
