"""Ratings in Kafka's log: a broker for the benchmarks, topics filled once and read by every contestant."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from benchmarks.data import Log, Shape, encoded
from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.topics import Topics, ensure

#: The journal's topic, without the prefix.
JOURNAL = "ratings-journal"
#: Produced between two looks at the clock, where a rate is to be kept.
BURST = 50


@contextmanager
def broker() -> Iterator[str]:
    """The address of a broker of our own, which is gone afterwards."""
    with LocalBroker(heap="768m") as local:
        yield local.address


def make_topics(address: str, prefix: str, partitions: int) -> Topics:
    """The worker's topics under a prefix."""
    topics = Topics(prefix)
    ensure(address, topics, partitions)
    return topics


def renew(address: str, prefix: str, *names: str) -> None:
    """Make topics anew, and the journal where there is one: what is in them was for others.

    Raises
    ------
    RuntimeError
        The broker did not delete them.
    """
    admin = AdminClient({"bootstrap.servers": address})
    present = admin.list_topics(timeout=30).topics
    unwanted = {prefix + each for each in (*names, JOURNAL)} & present.keys()
    if not unwanted:
        return
    for deleted in admin.delete_topics(list(unwanted)).values():
        deleted.result(30)
    deadline = time.perf_counter() + 30
    while unwanted & admin.list_topics(timeout=30).topics.keys():
        if time.perf_counter() > deadline:
            raise RuntimeError(f"{', '.join(sorted(unwanted))} at {address}: not deleted within 30 s")
        time.sleep(0.05)
    ensure(address, Topics(prefix), len(present[Topics(prefix).ratings].partitions))


def messages(shape: Shape, count: int, seed: int = 0) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the first `count` ratings of a generated log.

    Raises
    ------
    ValueError
        The log has fewer.
    """
    left = count
    for chunk in Log(shape, seed):
        for each in encoded(chunk):
            if left == 0:
                return
            left -= 1
            yield each
    if left:
        raise ValueError(f"the log has {count - left} ratings, expected at least {count}")


def fill(
    address: str,
    topic: str,
    ratings: Iterable[tuple[bytes, bytes]],
    rate: float = 0.0,
    headers: Callable[[int], list[tuple[str, bytes]]] | None = None,
) -> int:
    """Write ratings to a topic, keyed by user; how many they were.

    Parameters
    ----------
    address, topic : str
    ratings : iterable of key and value
    rate : float
        Ratings for each second; 0: as fast as it goes.
    headers : function, optional
        Those of each record, by its number.

    Raises
    ------
    RuntimeError
        The broker did not take all of them.
    """
    producer = Producer(
        {
            "bootstrap.servers": address,
            "partitioner": "murmur2_random",  # Java's, which is what the worker expects
            "linger.ms": 5 if rate else 50,
            "queue.buffering.max.messages": 500_000,
        }
    )
    begin, sent = time.perf_counter(), 0
    for key, value in ratings:
        while True:
            try:
                producer.produce(topic, value, key, headers=headers(sent) if headers else None)
                break
            except BufferError:
                producer.poll(0.05)
        sent += 1
        if sent % BURST == 0:
            producer.poll(0)
            if rate:
                time.sleep(max(0.0, begin + sent / rate - time.perf_counter()))
    left = producer.flush(60)
    if left:
        raise RuntimeError(f"{left} of {sent} ratings did not reach {topic} at {address}")
    return sent
