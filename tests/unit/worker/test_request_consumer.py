"""The consumer of requests, as far as it needs no broker: what it has, and what it says of that."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from recommender.worker.request_consumer import RequestConsumer
from recommender.worker.transport.spans import Span


class Worker:
    """Who holds requests, and what it was told."""

    def __init__(self) -> None:
        self.told: list[Collection[int] | str] = []
        self.consumer = RequestConsumer(
            {"group_id": "group"},
            "requests",
            max_age=60.0,
            start_at=self._start_at,
            take=self._take,
            passed=self._passed,
            revoked=self._revoked,
            assigned=self.told.append,
        )

    async def _start_at(self, partition: int, span: Span) -> int | None:
        raise AssertionError("nobody has asked Kafka")

    async def _take(self, partition: int, records: list[Any]) -> None:
        raise AssertionError("nothing was fetched")

    def _passed(self, partition: int, position: int) -> None:
        raise AssertionError("nothing was fetched")

    async def _revoked(self) -> None:
        # What is under way is settled while nothing more is read.
        assert self.consumer.partitions == set()
        self.told.append("revoked")


async def test_it_says_why_it_answers_nothing_yet() -> None:
    worker = Worker()
    consumer = worker.consumer
    assert consumer.not_joined == "the worker has not joined the group of the requests yet"
    await consumer.on_partitions_assigned({TopicPartition("requests", each) for each in (1, 2)})
    assert worker.told == [{1, 2}]
    assert consumer.not_joined == "requests are not read yet"
    assert consumer.partitions == set()
    consumer.reading, consumer.waiting = consumer.waiting, set()
    assert [consumer.not_joined, consumer.partitions] == [None, {1, 2}]
    await consumer.on_partitions_revoked({TopicPartition("requests", 1)})
    assert worker.told == [{1, 2}, "revoked"]
    # Where other workers have all of them, it is ready all the same.
    await consumer.on_partitions_assigned(set())
    assert [consumer.not_joined, consumer.partitions] == [None, set()]


async def test_a_partition_whose_log_lacks_what_comes_next_is_begun_again() -> None:
    consumer = Worker().consumer
    one, two, three = (TopicPartition("requests", each) for each in range(3))
    consumer.reading = {one, two, three}
    consumer.begin_again(OffsetOutOfRangeError({one: 5}).args[0])
    consumer.begin_again(NoOffsetForPartitionError(two).args[0])
    consumer.begin_again(OffsetOutOfRangeError({TopicPartition("requests", 7): 5}).args[0])
    assert (consumer.reading, consumer.waiting) == ({three}, {one, two})
