"""Writes what is known of items to the items topic."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson
from kafka.errors import KafkaError

from recommender.client.errors import ClientError
from recommender.client.producer import DELIVERY_SECONDS, open_producer


def write_items(
    items: Iterable[tuple[str, Mapping[str, Any] | None]],
    bootstrap_servers: str,
    topic: str,
    delivery_seconds: float = DELIVERY_SECONDS,
    security: Mapping[str, Any] | None = None,
) -> int:
    """Write a record for each item, and wait until Kafka has all; how many.

    Parameters
    ----------
    items : iterable of (str, mapping or None)
        An item's id and its fields, such as ``title``, ``available`` and ``categories``; None: it is gone.
    bootstrap_servers, topic : str
    delivery_seconds : float
        How long the broker may be away.
    security : mapping, optional
        kafka-python's own options.

    Raises
    ------
    BrokerUnreachableError, TopicsError
        There is no broker, or no such topic.
    ClientError
        Kafka did not take one of them.
    """
    with open_producer(bootstrap_servers, topic, delivery_seconds, security) as producer:
        sent = [
            producer.send(
                topic, None if fields is None else orjson.dumps({"item": item, **fields}), item.encode()
            )
            for item, fields in items
        ]
        try:
            for each in sent:
                each.get(delivery_seconds)
        except KafkaError as error:
            raise ClientError(f"Kafka at {bootstrap_servers} did not take an item: {error}") from error
    return len(sent)
