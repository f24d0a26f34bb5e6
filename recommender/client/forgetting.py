"""Writes who is to be forgotten, without what asking takes: no topic of requests, and none of replies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kafka.errors import KafkaError

from recommender.client.errors import ClientError
from recommender.client.producer import open_producer
from recommender.client.ratings import Written, encode_forget


def write_forgotten(
    named: Iterable[tuple[str, str]],
    bootstrap_servers: str,
    topic: str,
    timeout: float = 10.0,
    security: Mapping[str, Any] | None = None,
) -> Iterator[Written]:
    """Write users and items to the ratings topic that are to be forgotten, one after the other.

    Parameters
    ----------
    named : iterable of (str, str)
        ``user`` or ``item``, and the id.
    bootstrap_servers, topic : str
    timeout : float
        How long Kafka may take for each, in seconds.
    security : mapping, optional
        kafka-python's own options.

    Yields
    ------
    Written
        The place of each, once Kafka has it.

    Raises
    ------
    TypeError, ValueError
        An id is not what it should be; nothing is written.
    BrokerUnreachableError, TopicsError
        There is no broker, or no such topic.
    ClientError
        Kafka did not take one of them.
    """
    values = [(kind, each, encode_forget(**{kind: each})) for kind, each in named]
    with open_producer(bootstrap_servers, topic, timeout, security) as producer:
        for kind, each, value in values:
            try:
                metadata = producer.send(topic, value, each.encode()).get(timeout)
            except KafkaError as error:
                wanted = f"that {kind} {each!r} is to be forgotten"
                raise ClientError(f"Kafka at {bootstrap_servers} did not take {wanted}: {error}") from error
            yield Written(metadata.partition, metadata.offset)
