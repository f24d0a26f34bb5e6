"""Each batch says from where it was fetched, whatever aiokafka skips, loses or finds gone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.errors import (
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from recommender.worker.transport import faust_transport
from recommender.worker.transport.batch import Batch
from recommender.worker.transport.consumer_thread import ConsumerThread
from tests.support.doubles import FakeRecord

HERE = TopicPartition("ratings", 0)


class Kafka:
    """aiokafka's consumer with one partition, whose log has a beginning and an end."""

    def __init__(self) -> None:
        self.begins, self.ends = 0, 1000
        self.error: Exception | None = None
        self._fetcher = SimpleNamespace(_records={})
        self.assign()

    def assign(self) -> None:
        """A new assignment: aiokafka's notes are new too."""
        notes = {HERE: TopicPartitionState(None)}
        self.notes = notes[HERE]
        assignment = SimpleNamespace(state_value=notes.get)
        self._subscription = SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))

    def seek(self, tp: TopicPartition, offset: int) -> None:
        if tp != HERE:
            raise IllegalStateError
        self.notes.seek(offset)

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.error:
            raise self.error
        return dict.fromkeys(partitions, self.begins)

    async def end_offsets(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(partitions, self.ends)


class Thread:
    """The thread under test, on such a consumer; what a fetch brings is said by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kafka: Any = Kafka()
        self.fetched: Mapping[Any, list[Any]] | Exception = {}
        self.again: list[TP] = []
        #: Of which partitions records were taken, and for how many seconds they were waited for.
        self.asked: list[tuple[set[TP], float]] = []
        #: Cleared while a fetch shall wait.
        self.arrives = asyncio.Event()
        self.arrives.set()

        async def fetch(thread: Any, consumer: Any, partitions: set[TP], **limits: Any) -> Any:
            self.asked.append((partitions, limits["timeout"]))
            await self.arrives.wait()
            if isinstance(self.fetched, Exception):
                raise self.fetched
            return self.fetched

        async def nothing(*arguments: Any) -> None:
            pass

        async def positions(partitions: Any) -> Any:
            return {}

        monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
        monkeypatch.setattr(ConsumerThread, "_ensure_consumer", lambda thread: self.kafka)
        app = faust.App("test", broker="kafka://nowhere:1", env_prefix="UNUSED_")
        faust_transport.set_transport(app, "nowhere:1", positions, bare=[HERE.topic])
        consumer: Any = app.transport.create_consumer(
            callback=nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing
        )
        monkeypatch.setattr(type(consumer), "begin_again", lambda _, tp: self.again.append(tp))
        self.thread: Any = consumer._thread

    async def fetch(self, *offsets: int) -> Batch | None:
        """What the agent gets of records with these offsets; aiokafka's own position moves on."""
        self.fetched = {HERE: [FakeRecord(each, b"") for each in offsets]} if offsets else {}
        if offsets:
            self.kafka.notes.seek(offsets[-1] + 1)
        return await self._fetch()

    async def fail(self, error: Exception) -> None:
        """A fetch that fails."""
        self.fetched = error
        assert await self._fetch() is None

    async def _fetch(self) -> Batch | None:
        found = await self.thread._fetch_records(self.kafka, {HERE}, timeout=1.0)
        batches = found.get(HERE, [None])
        assert len(batches) == 1
        batch: Batch | None = batches[0]
        return batch

    async def seek(self, offset: int) -> None:
        """As at the start of reading."""
        await self.thread._seek_wait(self.kafka, {TP(*HERE): offset})


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[Thread]:
    async def make() -> Thread:
        return Thread(monkeypatch)

    made = asyncio.run(make())
    yield made
    made.thread.thread_loop.close()


def place(batch: Batch | None) -> tuple[int, int, int]:
    assert batch is not None
    return batch.position, batch.first_offset, batch.begins


def test_a_batch_says_from_where_it_was_fetched(thread: Thread) -> None:
    async def scenario() -> None:
        await thread.seek(5)
        assert await thread.fetch() is None
        assert place(await thread.fetch(5, 6)) == (5, 5, 0)
        assert place(await thread.fetch(9, 10)) == (7, 9, 0)
        thread.kafka.notes.seek(20)  # passed over without a word: markers of transactions
        assert place(await thread.fetch(20, 21)) == (11, 20, 0)
        await thread.thread._read_again(HERE, 9)
        assert place(await thread.fetch(9)) == (9, 9, 0)

    asyncio.run(scenario())


def test_what_is_no_record_comes_as_a_batch_without_any(thread: Thread) -> None:
    """Marks of transactions, and what was taken back: none of it may look like lag."""

    async def scenario() -> None:
        await thread.seek(5)
        thread.kafka.notes.seek(8)
        batch = await thread.fetch()
        assert batch is not None
        assert (place(batch), batch.records, batch.end, batch.offset) == ((5, 8, 0), [], 8, 7)
        assert await thread.fetch() is None
        assert place(await thread.fetch(8)) == (8, 8, 0)
        # Behind the records of one fetch.
        thread.fetched = {HERE: [FakeRecord(9, b"")]}
        thread.kafka.notes.seek(12)
        batch = await thread._fetch()
        assert batch is not None
        assert (place(batch), batch.end) == ((9, 9, 0), 12)
        assert place(await thread.fetch(12)) == (12, 12, 0)
        # Nobody knows from where.
        thread.kafka.assign()
        thread.kafka.notes.seek(20)
        assert await thread.fetch() is None

    asyncio.run(scenario())


def test_what_comes_to_who_asked_before_a_seek_is_fetched_again(thread: Thread) -> None:
    async def scenario() -> None:
        await thread.seek(5)
        thread.arrives.clear()
        # Of two that wait, one is from before a rebalance, and nobody listens to it any more.
        gone = asyncio.create_task(thread.fetch(7, 8))
        await asyncio.sleep(0)
        await thread.seek(7)
        waits = asyncio.create_task(thread.fetch(7, 8))
        await asyncio.sleep(0)
        thread.arrives.set()
        assert await gone is None
        assert thread.kafka.notes.position == 7
        assert place(await waits) == (7, 7, 0)
        assert place(await thread.fetch(9)) == (9, 9, 0)

    asyncio.run(scenario())


def test_without_a_seek_nobody_knows(thread: Thread) -> None:
    async def scenario() -> None:
        assert place(await thread.fetch(3, 5)) == (3, 3, 0)
        await thread.seek(6)
        thread.kafka.assign()
        assert place(await thread.fetch(8)) == (8, 8, 0)

    asyncio.run(scenario())


def test_after_an_error_nobody_knows(thread: Thread) -> None:
    async def scenario() -> None:
        await thread.seek(6)
        with pytest.raises(KafkaError):
            await thread.fail(KafkaError("corrupt"))
        assert place(await thread.fetch(8)) == (8, 8, 0)

    asyncio.run(scenario())


def test_what_kafka_deleted_is_said(thread: Thread) -> None:
    async def scenario() -> None:
        await thread.seek(6)
        thread.kafka.begins = 30
        await thread.fail(OffsetOutOfRangeError({HERE: 6}))
        assert thread.kafka.notes.position == 30
        assert place(await thread.fetch(31)) == (6, 31, 30)
        assert place(await thread.fetch(32))[:2] == (32, 32)

    asyncio.run(scenario())


def test_what_was_sought_or_moved_away_meanwhile_is_left_alone(thread: Thread) -> None:
    async def scenario() -> None:
        await thread.seek(60)
        thread.kafka.begins = 30
        await thread.fail(OffsetOutOfRangeError({HERE: 6}))
        assert thread.kafka.notes.position == 60
        thread.kafka.assign()
        await thread.fail(OffsetOutOfRangeError({HERE: 6}))
        await thread.fail(NoOffsetForPartitionError(HERE))
        await thread.thread._read_again(TopicPartition("ratings", 1), 6)
        assert not thread.kafka.notes.has_valid_position
        await thread.seek(6)
        thread.kafka.error = KafkaConnectionError("away")
        await thread.fail(OffsetOutOfRangeError({HERE: 6}))
        assert thread.kafka.notes.position == 6

    asyncio.run(scenario())


def test_a_log_that_ends_earlier_is_begun_again(thread: Thread) -> None:
    async def scenario() -> None:
        await thread.seek(2000)
        await thread.fail(OffsetOutOfRangeError({HERE: 2000}))
        assert thread.again == [TP(*HERE)]

    thread.thread.parent_loop = SimpleNamespace(
        call_soon_threadsafe=lambda function, *given: function(*given)
    )
    asyncio.run(scenario())


def test_it_ends_without_a_word_while_a_fetch_waits_to_be_tried_again(
    thread: Thread, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = []

    async def stop() -> None:
        """As aiokafka's, which awaits the fetches that it has cancelled."""
        ended.append(True)
        fetch = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        fetch.cancel()
        await fetch

    async def scenario() -> None:
        thread.kafka.stop = stop
        thread.thread._consumer = thread.kafka
        await thread.thread.on_thread_stop()
        assert ended == [True]

    asyncio.run(scenario())


def test_requests_that_wait_are_taken_alone_every_other_time(thread: Thread) -> None:
    async def scenario() -> None:
        requests = TP("requests", 0)
        both: set[TP] = {TP(*HERE), requests}
        for there in ({}, {HERE: "records"}, {HERE: "records", requests: "more"}):
            thread.kafka._fetcher._records = there
            for _ in range(4):
                await thread.thread._fetch_records(thread.kafka, both, timeout=1.0)
        assert thread.asked == 8 * [(both, 1.0)] + 2 * [({requests}, 0.0), (both, 1.0)]

    asyncio.run(scenario())


def test_it_tells_that_requests_come(thread: Thread) -> None:
    async def scenario() -> None:
        await thread.fetch(1, 2)
        assert not thread.thread._demand.lately
        thread.fetched = {TopicPartition("requests", 0): [FakeRecord(1, b"")]}
        await thread.thread._fetch_records(thread.kafka, {TP("requests", 0)}, timeout=1.0)
        assert thread.thread._demand.lately

    asyncio.run(scenario())
