"""Records as aiokafka's parser makes them say what aiokafka's own say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import Assignment
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from recommender.worker.transport.unwrapped_records import leave_bare

TP = TopicPartition("ratings", 2)
HEADERS = [("source", b"3:7"), ("empty", None)]


def fetched(tp: TopicPartition, position: int) -> FetchResult:
    """What a fetch from an offset brought: three records at 10, 11 and 12, in one batch."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1 << 16)
    builder.append(0, 1000, b"key", b"value", [])
    builder.append(1, 2000, None, b"", HEADERS)
    builder.append(2, 3000, b"", None, [])
    batch = builder.build()
    batch[:8] = (10).to_bytes(8, "big")
    assignment = Assignment([tp])
    assignment.state_value(tp).seek(position)
    records = PartitionRecords(tp, MemoryRecords(bytes(batch)), None, position, None, None, True, 0)
    return FetchResult(tp, assignment=assignment, partition_records=records, backoff=0.0)


def consumer(kept: dict[TopicPartition, Any]) -> Any:
    return SimpleNamespace(_fetcher=SimpleNamespace(_records=dict(kept)))


def told(records: list[Any]) -> Iterator[tuple[Any, ...]]:
    for each in records:
        yield each.offset, each.timestamp, each.key, each.value, list(each.headers)


def test_they_say_what_aiokafkas_own_say() -> None:
    async def check() -> None:
        for position in (10, 11, 12):
            own, bare = fetched(TP, position), fetched(TP, position)
            client = consumer({})
            leave_bare(client, ["ratings"])
            client._fetcher._records[TP] = bare
            assert client._fetcher._records[TP] is bare
            mine, theirs = bare.getall(2), own.getall(2)
            assert list(told(mine)) == list(told(theirs))
            assert not hasattr(mine[0], "topic")
            assert bare._assignment.state_value(TP).position == own._assignment.state_value(TP).position
            assert bare.has_more() == own.has_more()
            if bare.has_more():
                assert list(told(bare.getall())) == list(told(own.getall()))

    asyncio.run(check())


def test_what_was_fetched_before_and_other_topics() -> None:
    async def check() -> None:
        other = TopicPartition("requests", 2)
        client = consumer({TP: fetched(TP, 10), other: fetched(other, 10)})
        leave_bare(client, ["ratings"])
        records = client._fetcher._records
        leave_bare(client, ["ratings"])
        assert client._fetcher._records is records
        assert list(records) == [TP, other]
        assert [each.partition for each in records[other].getall()] == [2, 2, 2]
        assert not hasattr(records[TP].getall()[0], "partition")
        error = object()
        records[TP] = error  # what else aiokafka keeps there
        assert records[TP] is error

    asyncio.run(check())
