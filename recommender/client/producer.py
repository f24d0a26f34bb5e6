"""A producer that writes each record exactly once, in the order given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from recommender.kafka.addresses import split
from recommender.kafka.admin import BrokerUnreachableError, open_admin
from recommender.kafka.clients import ClosableProducer, close_producer
from recommender.kafka.network import open_client
from recommender.kafka.topic_configs import read_configs
from recommender.kafka.topics import TopicsError

#: How long the broker may be away before its ratings count as failed.
DELIVERY_SECONDS = 120.0
_LINGER_MS = 20
_BATCH_BYTES = 65_536
_REQUEST_BYTES = 1 << 20


@contextmanager
def open_producer(
    bootstrap_servers: str,
    topic: str,
    delivery_seconds: float = DELIVERY_SECONDS,
    security: Mapping[str, Any] | None = None,
) -> Iterator[KafkaProducer]:
    """An idempotent producer for a topic that exists, which waits for all replicas.

    Raises
    ------
    BrokerUnreachableError, TopicsError
        There is no broker, or no such topic.
    """
    with open_admin(bootstrap_servers, security=security) as admin:
        try:
            missing = topic not in admin.list_topics()
        except KafkaError as error:
            raise BrokerUnreachableError(
                f"The broker at {bootstrap_servers} lists no topics: {error}"
            ) from error
        if missing:
            raise TopicsError(
                f"There is no topic {topic} at {bootstrap_servers}, or it is hidden from this user; "
                "`recommender topics` creates the topics"
            )
        limit = int(read_configs(admin, [topic])[topic].get("max.message.bytes", _REQUEST_BYTES))
    delivery_ms = max(int(delivery_seconds * 1000), 1000)
    try:
        producer, _ = open_client(
            ClosableProducer,
            bootstrap_servers=split(bootstrap_servers),
            client_id="recommender-replay",
            acks="all",
            enable_idempotence=True,
            linger_ms=_LINGER_MS,
            # One record that the broker finds too large would end an idempotent producer for all that
            # follow, so it has to be found here.
            batch_size=min(_BATCH_BYTES, limit),
            max_request_size=min(_REQUEST_BYTES, limit),
            delivery_timeout_ms=delivery_ms,
            request_timeout_ms=min(30_000, delivery_ms - _LINGER_MS),
            reconnect_backoff_max_ms=1000,
            max_block_ms=min(60_000, delivery_ms),
            metrics_enabled=False,
            **(security or {}),
        )
    except KafkaError as error:
        raise BrokerUnreachableError(
            f"The broker at {bootstrap_servers} takes no ratings: {error}"
        ) from error
    try:
        yield producer
    finally:
        close_producer(producer, 1.0)
