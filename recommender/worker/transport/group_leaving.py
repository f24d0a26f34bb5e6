"""Leaves the consumer groups of a worker without waiting for a rebalance."""

from __future__ import annotations

import asyncio
import contextlib

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import LeaveGroupRequest

#: How long a consumer may take to stop before it is looked whether a rebalance holds it up, in seconds.
PATIENCE = 0.5


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
