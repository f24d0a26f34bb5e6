"""Records to send, and what a batch of them holds."""

from __future__ import annotations

from aiokafka.producer.message_accumulator import BatchBuilder
from kafka.record import MemoryRecords

from recommender.messages.records import Outgoing


def outgoing(number: int, size: int = 20, partition: int = 0) -> Outgoing:
    return Outgoing(partition, b"%d" % number, b"v" * size, number, [("number", b"%d" % number), ("", b"")])


def read(batch: BatchBuilder) -> list[Outgoing]:
    """The records of a batch as kafka-python finds them in it."""
    found = MemoryRecords(bytes(batch._build())).next_batch()
    assert found is not None
    return [Outgoing(0, each.key, each.value, each.timestamp, list(each.headers)) for each in found]
