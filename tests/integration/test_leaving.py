"""Who leaves a group is not held up by a member that does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
from aiokafka.structs import TopicPartition

from recommender.worker.request_consumer import RequestConsumer
from recommender.worker.transport.aiokafka_clients import leave
from tests.support.kafka import create_topics

#: Longer than the test may take.
NEVER_MILLISECONDS = 600_000


class Held(ConsumerRebalanceListener):
    """Gives its partitions up only when it is let go."""

    def __init__(self, changed: asyncio.Event) -> None:
        self.changed = changed
        self.assigned: set[TopicPartition] = set()
        self.asked, self.let_go = asyncio.Event(), asyncio.Event()

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        if revoked:
            self.asked.set()
            await self.let_go.wait()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        self.assigned = set(assigned)
        self.changed.set()


async def until(condition: Callable[[], bool], changed: asyncio.Event) -> None:
    while not condition():
        changed.clear()
        await changed.wait()


async def test_who_leaves_does_not_wait_for_a_rebalance(kafka: str, unique: str) -> None:
    create_topics(kafka, unique, partitions=3)

    def member(listener: Held) -> AIOKafkaConsumer:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=kafka,
            group_id=unique,
            enable_auto_commit=False,
            rebalance_timeout_ms=NEVER_MILLISECONDS,
            heartbeat_interval_ms=100,
        )
        consumer.subscribe([unique], listener=listener)
        return consumer

    changed = asyncio.Event()
    held, leaving, new = Held(changed), Held(changed), Held(changed)
    for listener in (held, leaving, new):
        listener.let_go.set()
    members = [member(held), member(leaving), member(new)]
    # An aiokafka consumer has started when it has partitions.
    starting = [asyncio.ensure_future(each.start()) for each in members[:2]]
    try:
        await until(lambda: bool(held.assigned) and bool(leaving.assigned), changed)
        held.asked.clear()
        leaving.asked.clear()
        held.let_go.clear()
        starting.append(asyncio.ensure_future(members[2].start()))
        await held.asked.wait()
        await leaving.asked.wait()
        await leave(members[1])
        assert not new.assigned, "the rebalance is over: the test has shown nothing"
        held.let_go.set()
        await until(lambda: len(held.assigned) + len(new.assigned) == 3, changed)
    finally:
        held.let_go.set()
        await asyncio.gather(*starting)
        for each in members:
            await each.stop()


async def test_a_worker_that_comes_during_a_rebalance_is_up_and_can_be_stopped(
    kafka: str, unique: str
) -> None:
    create_topics(kafka, unique, partitions=2)
    options = {
        "bootstrap_servers": kafka,
        "group_id": unique,
        "rebalance_timeout_ms": NEVER_MILLISECONDS,
        "heartbeat_interval_ms": 100,
    }
    assigned: list[set[int]] = []

    async def nothing(*_: object) -> None:
        return None

    changed = asyncio.Event()
    held = Held(changed)
    held.let_go.set()
    other = AIOKafkaConsumer(**options, enable_auto_commit=False)
    other.subscribe([unique], listener=held)
    await other.start()
    coming = RequestConsumer(
        options,
        unique,
        max_age=60.0,
        start_at=nothing,
        take=nothing,
        passed=lambda partition, offset: None,
        revoked=nothing,
        assigned=assigned.append,
    )
    try:
        held.asked.clear()
        held.let_go.clear()
        await asyncio.wait_for(coming.start(), 10.0)
        await held.asked.wait()
        assert coming.not_joined == "the worker has not joined the group of the requests yet"
        await asyncio.wait_for(coming.stop(), 10.0)
        assert assigned == [], "the rebalance is over: the test has shown nothing"
    finally:
        held.let_go.set()
        await other.stop()
