"""aiokafka's clients, as they are used here: patient at the start, and not held up when they leave a group.

A broker that has just started, or hung for a while, answers but names none, not even itself, until the
controller counts on it. aiokafka begins all the same: its consumer then gives up joining its group without
ending, and once that connection is closed it never asks anybody again. So a client begins once a broker has
told it which brokers there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5
#: How long a consumer may take to stop before it is looked whether a rebalance holds it up, in seconds.
PATIENCE = 0.5


def begin_with_brokers(client: AIOKafkaClient, *, retry_seconds: float = RETRY_SECONDS) -> None:
    """Let a client begin as soon as it knows a broker, however long that takes.

    Parameters
    ----------
    client : aiokafka.client.AIOKafkaClient
        It has not begun yet.
    retry_seconds : float
        Between two attempts.
    """
    bootstrap = client.bootstrap

    async def patiently() -> None:
        waiting = False
        while not await _try(client, bootstrap):
            if not waiting:
                logger.warning("no broker answers yet; this continues when one does")
                waiting = True
            await asyncio.sleep(retry_seconds)

    client.bootstrap = patiently


def patient(consumer: AIOKafkaConsumer) -> AIOKafkaConsumer:
    """The same consumer, which has not begun yet and does as soon as it knows a broker."""
    begin_with_brokers(consumer._client)
    return consumer


def check_group(consumer: AIOKafkaConsumer) -> None:
    """Raise the error of a consumer's group, if it cannot be joined: aiokafka raises it to readers only."""
    consumer._coordinator.check_errors()


async def _try(client: AIOKafkaClient, bootstrap: Any) -> bool:
    """Return True if a broker has said which brokers there are."""
    try:
        await bootstrap()
    except KafkaConnectionError:
        return False
    if client.cluster.brokers():
        return True
    await client.close()
    return False


async def leave(consumer: AIOKafkaConsumer) -> None:
    """Stop a consumer, without waiting for a rebalance.

    A member that asked to join is answered when all members of the group have asked, or the session of those
    that died is over; and a broker reads nothing more from a connection before it has answered. aiokafka
    says on that connection that it leaves, so stopping would take as long as a dead member's session. Said on
    another one, the broker answers the join at once.
    """
    stopping = asyncio.ensure_future(consumer.stop())
    done, _ = await asyncio.wait({stopping}, timeout=PATIENCE)
    if not done:
        await _leave_the_group(consumer)
    await stopping


async def _leave_the_group(consumer: AIOKafkaConsumer) -> None:
    coordinator = consumer._coordinator
    if coordinator.coordinator_id is None or not coordinator.member_id:
        return
    with contextlib.suppress(KafkaError):
        request = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
        await consumer._client.send(coordinator.coordinator_id, request)


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
