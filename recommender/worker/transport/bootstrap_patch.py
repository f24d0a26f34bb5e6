"""Lets aiokafka's clients begin once a broker has told them which brokers there are.

A broker that has just started, or hung for a while, answers but names none, not even itself, until the
controller counts on it. aiokafka begins all the same: its consumer then gives up joining its group without
ending, and once that connection is closed it never asks anybody again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaConnectionError

logger = logging.getLogger(__name__)

RETRY_SECONDS = 0.5


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
