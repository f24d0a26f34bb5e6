"""What tests against a broker share: records in, records out, and waiting for something to come true."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from recommender.kafka.admin import open_admin
from recommender.kafka.network import Network

Header = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class Record:
    """A record to be written."""

    value: bytes | None
    key: bytes | None = None
    headers: Sequence[Header] = ()
    partition: int | None = None
    timestamp_ms: int | None = None


def wait_until(
    condition: Callable[[], Any], seconds: float = 30.0, message: str | Callable[[], str] = ""
) -> Any:
    """The first true value of `condition`; an `AssertionError` with the message if there is none in time.

    Looks less often the longer it waits: looking takes processor time from what is waited for.
    """
    deadline = time.monotonic() + seconds
    pause = 0.05
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            told = message() if callable(message) else message
            raise AssertionError(f"not within {seconds:g} s: {told or condition}")
        time.sleep(pause)
        pause = min(1.2 * pause, 0.25)


def create_topics(
    kafka: str, *names: str, partitions: int = 1, configs: Mapping[str, str] | None = None
) -> None:
    """Create topics with these settings, and return when they are there."""
    with open_admin(kafka, 10) as admin:
        size = {"num_partitions": partitions, "replication_factor": 1}
        admin.create_topics({name: {**size, "configs": dict(configs or {})} for name in names})
        admin.wait_for_topics(list(names))


def delete_topics(kafka: str, *names: str) -> None:
    """Delete topics, and return when they are gone: a broker lists them for a moment after it said yes."""
    with open_admin(kafka, 10) as admin:
        admin.delete_topics(list(names))
        wait_until(lambda: not set(names) & set(admin.list_topics()))


def produce(kafka: str, topic: str, records: Iterable[Record | bytes]) -> list[tuple[int, int]]:
    """Write records and wait until the broker has them.

    Parameters
    ----------
    kafka : str
        Bootstrap servers.
    topic : str
    records : iterable of Record or bytes
        Bytes stand for a record with only a value.

    Returns
    -------
    list of (int, int)
        Partition and offset of each.
    """
    producer = KafkaProducer(kafka_client=Network, bootstrap_servers=kafka, acks="all", linger_ms=5)
    try:
        sent = []
        for each in records:
            record = Record(each) if isinstance(each, bytes) else each
            sent.append(
                producer.send(
                    topic,
                    value=record.value,
                    key=record.key,
                    headers=list(record.headers),
                    partition=record.partition,
                    timestamp_ms=record.timestamp_ms,
                )
            )
        producer.flush(timeout=30)
        written = [each.get(timeout=30) for each in sent]
        return [(each.partition, each.offset) for each in written]
    finally:
        producer.close(timeout=10)


def consume(kafka: str, topic: str, count: int, seconds: float = 30.0) -> list[Any]:
    """The first `count` records of a topic, in the order of their partitions' logs.

    Each has ``topic``, ``partition``, ``offset``, ``key``, ``value``, ``headers`` and ``timestamp``. An
    `AssertionError` says how many there were when none came for so many seconds.
    """
    return _read(kafka, topic, seconds, lambda records, consumer: len(records) >= count, f"{count} records")[
        :count
    ]


def consume_all(kafka: str, topic: str, seconds: float = 30.0) -> list[Any]:
    """All records that the topic has at this moment."""
    ends: dict[Any, int] = {}

    def at_end(records: list[Any], consumer: Any) -> bool:
        if not ends:  # whoever goes on writing must not move them
            ends.update(consumer.end_offsets(list(consumer.assignment())))
        return all(consumer.position(partition) >= end for partition, end in ends.items())

    return _read(kafka, topic, seconds, at_end, "the end of the log")


def _read(
    kafka: str, topic: str, seconds: float, enough: Callable[[list[Any], Any], bool], goal: str
) -> list[Any]:
    consumer = KafkaConsumer(
        kafka_client=Network,
        bootstrap_servers=kafka,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    records: list[Any] = []
    deadline = time.monotonic() + seconds
    try:
        partitions = wait_until(
            lambda: consumer.partitions_for_topic(topic), seconds, f"topic {topic} does not exist"
        )
        consumer.assign([TopicPartition(topic, partition) for partition in sorted(partitions)])
        while not enough(records, consumer):
            if time.monotonic() >= deadline:
                raise AssertionError(
                    f"{topic}: {len(records)} records and {seconds:g} s without more, expected {goal}"
                )
            for batch in consumer.poll(timeout_ms=200).values():
                records.extend(batch)
                deadline = time.monotonic() + seconds
    finally:
        consumer.close()
    return records
