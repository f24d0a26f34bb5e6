"""The producer: many records go in few batches, as large as the topic takes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.structs import TopicPartition
from faust.exceptions import NotReady

from recommender.messages.records import Outgoing
from recommender.worker.transport.generations import Generations
from recommender.worker.transport.partition_queue import BATCH_BYTES, SURE_BYTES, fill
from recommender.worker.transport.producer import bulk_sender, known_sender, sender
from tests.support.doubles import until
from tests.unit.worker.transport.producers import WRITTEN, Brokers, started
from tests.unit.worker.transport.support import outgoing


async def test_many_are_sent_by_partition_and_all_are_awaited() -> None:
    brokers = Brokers("there")
    made = await started(brokers)
    (inner,) = brokers.made
    inner.client.cluster.partitions_for_topic = lambda topic: {0, 1}  # type: ignore[method-assign]
    sending = asyncio.create_task(
        made.send_all("there", [outgoing(each, 400, each % 2) for each in range(6)], 1000)
    )
    # Two fit into a batch.
    for number in range(4):
        await until(inner.waits)
        assert not sending.done(), number
        inner.answers.pop(0).set_result(WRITTEN)
    await sending
    assert sorted(inner.taken) == [(0, [b"0", b"2"]), (0, [b"4"]), (1, [b"1", b"3"]), (1, [b"5"])]


async def test_what_is_in_flight_together_is_no_larger_than_a_request() -> None:
    brokers = Brokers("there")
    producers = Generations(brokers.make, request_bytes=1000, renew_seconds=0.0, look_seconds=0.0)
    await producers.start()
    (inner,) = brokers.made
    inner.client.cluster.partitions_for_topic = lambda topic: set(range(9))  # type: ignore[method-assign]
    sizes = [400, 400, 5000, 100, 100]

    async def write(partition: int) -> None:
        batch = fill([outgoing(partition, sizes[partition])], 1000).batch
        await producers.newest.write(TopicPartition("there", partition), batch)

    writing = [asyncio.create_task(write(each)) for each in range(5)]
    together = []
    while not all(each.done() for each in writing):
        for _ in range(20):
            await asyncio.sleep(0)
        together.append([partition for partition, _ in inner.taken])
        inner.taken.clear()
        for answer in inner.answers:
            answer.set_result(WRITTEN)
        inner.answers.clear()
        await asyncio.sleep(0)
    # In turn: small ones that come later do not hold up a large one for ever.
    assert [each for each in together if each] == [[0, 1], [2], [3, 4]]


async def test_without_waiting_only_topics_that_are_known_are_written() -> None:
    brokers = Brokers("there")
    made = await started(brokers)
    (inner,) = brokers.made
    send = known_sender(SimpleNamespace(producer=made))  # type: ignore[arg-type]
    assert send("there", outgoing(1)) is None
    await made.put("there", outgoing(1))
    await until(inner.waits)
    assert send("there", outgoing(2, partition=5)) is None
    waiting = [send("there", outgoing(each, partition=0)) for each in (2, 3)]
    inner.answers.pop().set_result(WRITTEN)
    await until(inner.waits)
    inner.answers.pop().set_result(WRITTEN)
    assert [each and (await each).offset for each in waiting] == [100, 101]
    # Those that come while a batch is under way travel together.
    assert inner.taken == [(0, [b"1"]), (0, [b"2", b"3"])]


async def test_what_is_left_is_written_before_it_stops() -> None:
    brokers = Brokers("there")
    made = await started(brokers)
    sent = await made.put("there", outgoing(1))
    (inner,) = brokers.made
    stopping = asyncio.create_task(made.on_stop())
    await until(inner.waits)
    assert not inner.stopped
    inner.answers.pop().set_result(WRITTEN)
    await stopping
    assert (sent.done(), inner.stopped) == (True, True)
    with pytest.raises(NotReady):
        await made.put("there", outgoing(2))


@pytest.mark.parametrize(
    ("largest", "expected"), [(None, SURE_BYTES), (500, 500), (BATCH_BYTES * 2, BATCH_BYTES)]
)
async def test_batches_are_as_large_as_the_topic_takes(largest: int | None, expected: int) -> None:
    asked: list[int] = []

    async def send_all(topic: str, records: object, batch_bytes: int) -> None:
        asked.append(batch_bytes)

    app: Any = SimpleNamespace(producer=SimpleNamespace(send_all=send_all))
    await bulk_sender(app, {"there": largest})("there", [])
    assert asked == [expected]


@pytest.mark.parametrize(
    ("timestamp", "sent"),
    [
        (-1, -1),
        (0, 0),
        (1_700_000_000_123, 1_700_000_000_123),
        (2**52 - 1, 2**52 - 1),
        (2**52, -1),
        (2**63 - 1, -1),
    ],
)
async def test_a_record_keeps_its_time_as_far_as_it_has_one(timestamp: int, sent: int) -> None:
    told: list[Outgoing] = []

    async def put(topic: str, record: Outgoing) -> None:
        told.append(record)

    app: Any = SimpleNamespace(producer=SimpleNamespace(put=put))
    await sender(app)("there", Outgoing(0, b"k", b"v", timestamp, []))
    assert [each.timestamp for each in told] == [sent]


async def test_a_producer_that_waits_for_a_topic_is_not_closed() -> None:
    brokers = Brokers("there")
    made = await started(brokers)
    (inner,) = brokers.made
    generation, known = made._generations.newest, asyncio.Event()

    async def require(topic: str, partition: int | None) -> None:
        await known.wait()

    generation.topics.require = require
    sending = asyncio.create_task(made.send_all("there", [outgoing(1)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    generation.retire()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not inner.stopped
    known.set()
    await until(lambda: inner.stopped or inner.waits())
    inner.answers.pop().set_result(WRITTEN)
    await sending
    await until(lambda: inner.stopped)
