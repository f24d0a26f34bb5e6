"""aiokafka's idempotent producer, as it is used here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaProducer

from recommender.worker.transport.bootstrap_patch import begin_with_brokers


def patient_producer(options: Mapping[str, Any]) -> AIOKafkaProducer:
    """Make a producer that keeps what it was given for as long as no broker takes it.

    Parameters
    ----------
    options : mapping
        aiokafka's.

    Returns
    -------
    AIOKafkaProducer
        It is idempotent, and has not started.
    """
    # Else a record that is sent again because an answer was lost would be there twice.
    producer = AIOKafkaProducer(**options, acks="all", enable_idempotence=True)
    begin_with_brokers(producer.client)
    _keep_without_leader(producer)
    return producer


def _keep_without_leader(producer: AIOKafkaProducer) -> None:
    """Let a batch expire only where its partition is unknown, and not where it has no leader at the moment.

    aiokafka gives up a batch whose partition has no leader after the timeout of a request, also one that was
    sent before and may have been written: sending it again would write it twice.
    """
    accumulator, cluster = producer._message_accumulator, producer.client.cluster
    append_batch = accumulator._append_batch

    def append(*arguments: Any) -> Any:
        batch = append_batch(*arguments)
        expired = batch.expired
        batch.expired = lambda: cluster.leader_for_partition(batch.tp) is None and expired()
        return batch

    accumulator._append_batch = append
