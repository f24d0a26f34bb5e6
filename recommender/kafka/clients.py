"""The client's producer and consumer: opened and closed without leaving a thread or a socket."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, codec
from kafka.errors import KafkaError, KafkaTimeoutError

from recommender.kafka import codecs
from recommender.kafka.addresses import split
from recommender.kafka.kafka_python_records import AsFetched
from recommender.kafka.network import Network, open_client

log = logging.getLogger(__name__)

REQUEST_MILLISECONDS = 10_000
#: What could not be written in this time is given up; a rating's caller got an error long before.
DELIVERY_MILLISECONDS = 30_000
#: How often partitions that were added to a topic are looked for.
METADATA_MILLISECONDS = 5_000
RECONNECT_MILLISECONDS = 500

COMMON = {
    "client_id": "recommender-client",
    "request_timeout_ms": REQUEST_MILLISECONDS,
    "reconnect_backoff_ms": 50,
    "reconnect_backoff_max_ms": RECONNECT_MILLISECONDS,
    "metrics_enabled": False,
}


class ClosableProducer(KafkaProducer):
    """A producer that can be closed while the broker is away.

    kafka-python's `close` writes first what is left; where that takes too long it ends there, and leaves its
    thread running.
    """

    has_given_up = False

    def flush(self, timeout: float | None = None) -> None:
        """Write what is left, unless that was given up."""
        if not self.has_given_up:
            super().flush(timeout)


def open_producer(servers: str, seconds: float, security: Mapping[str, Any]) -> ClosableProducer:
    """A producer that sends at once, and each record once."""
    return open_client(
        ClosableProducer,
        bootstrap_servers=split(servers),
        bootstrap_timeout_ms=int(seconds * 1000),
        linger_ms=0,
        acks="all",
        enable_idempotence=True,
        delivery_timeout_ms=DELIVERY_MILLISECONDS,
        max_block_ms=REQUEST_MILLISECONDS,
        **{**COMMON, **security},
    )[0]


def open_consumer(servers: str, seconds: float, security: Mapping[str, Any]) -> tuple[KafkaConsumer, Network]:
    """A consumer of replies, without a group, and its network.

    Raises
    ------
    CodecMissing
        Replies that are compressed could not be read.
    """
    codecs.require(codec, codecs.OF_KAFKA_PYTHON)
    consumer, network = open_client(
        KafkaConsumer,
        bootstrap_servers=split(servers),
        bootstrap_timeout_ms=int(seconds * 1000),
        group_id=None,
        enable_auto_commit=False,
        # Only met when a topic was created again: no reply in it is too old.
        auto_offset_reset="earliest",
        check_crcs=True,
        isolation_level="read_committed",
        value_deserializer=AsFetched(),  # it reads past what cannot be read
        **{"metadata_max_age_ms": METADATA_MILLISECONDS, **COMMON, **security},
    )
    return consumer, network


def close_producer(producer: ClosableProducer, seconds: float) -> None:
    """Close a producer, giving up after `seconds` what it could not write."""
    try:
        producer.flush(seconds)
    except KafkaTimeoutError:
        log.warning("Gave up what could not be written within %g s", seconds)
        producer.has_given_up = True
    producer.close(timeout=0 if producer.has_given_up else seconds)


def close_consumer(consumer: KafkaConsumer) -> None:
    """Close a consumer that has no group and so nothing to say to the broker."""
    try:
        consumer.close(autocommit=False, timeout_ms=1000)
    except KafkaError:
        log.warning("The consumer of replies could not be closed in an orderly way", exc_info=True)
