"""Batches say from where to where they were fetched, and nothing is committed but what we say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka.errors import IllegalStateError
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from recommender.worker.transport import faust_transport
from recommender.worker.transport.consumer_thread import Batch, ConsumerThread
from tests.support.doubles import FakeRecord

HERE = TopicPartition("ratings", 0)


class Client:
    """aiokafka's consumer of one partition."""

    def __init__(self) -> None:
        self.offset: int | None = None

    def seek(self, tp: TopicPartition, offset: int) -> None:
        if tp != HERE:
            raise IllegalStateError
        self.offset = offset

    async def position(self, tp: TopicPartition) -> int:
        if tp != HERE:
            raise IllegalStateError
        while self.offset is None:
            await asyncio.Event().wait()
        return self.offset


class Reader:
    """A thread of Faust's consumer on such notes; what a fetch brings is said by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.client: Any = Client()
        self.fetched: dict[Any, list[Any]] = {}

        async def fetch(thread: Any, consumer: Any, partitions: set[TP], **limits: Any) -> Any:
            return self.fetched

        async def nothing(*arguments: Any) -> None:
            pass

        monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
        app = faust.App("test", broker="kafka://nowhere:1", env_prefix="UNUSED_")
        faust_transport.set_transport(app, "nowhere:1", HERE.topic)
        self.consumer: Any = app.transport.create_consumer(
            callback=nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing
        )
        self.thread: Any = getattr(self.consumer, "_ours")  # noqa: B009
        self.thread._created = self.client

    async def fetch(self, *offsets: int, position: int = 0) -> Batch | None:
        """The batch of records with these offsets; aiokafka's own position moves on, at least behind them."""
        self.fetched = {HERE: [FakeRecord(each, b"") for each in offsets]} if offsets else {}
        self.client.seek(HERE, max([position, *(each + 1 for each in offsets)]))
        batches = (await self.thread._fetch_records(self.client, {HERE}, timeout=1.0)).get(HERE, [None])
        assert len(batches) == 1
        batch: Batch | None = batches[0]
        return batch


@pytest.fixture
async def reader(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reader]:
    made = Reader(monkeypatch)
    yield made
    made.thread.thread_loop.close()


def place(batch: Batch | None) -> tuple[int, int, list[int]]:
    assert batch is not None
    return batch.begin, batch.end, [record.offset for record in batch.records]


async def test_a_batch_says_from_where_to_where_it_was_fetched(reader: Reader) -> None:
    assert place(await reader.fetch(5, 6)) == (5, 7, [5, 6])
    # Behind the last record there are marks of transactions.
    assert place(await reader.fetch(9, 10, position=13)) == (7, 13, [9, 10])
    assert place(await reader.fetch(20)) == (13, 21, [20])
    await reader.thread._read_again(HERE, 9)
    assert place(await reader.fetch(9)) == (9, 10, [9])


async def test_what_is_no_record_comes_as_a_batch_without_any(reader: Reader) -> None:
    """Marks of transactions, and what was taken back: none of it may look like lag."""
    await reader.thread._read_again(HERE, 5)
    assert await reader.fetch(position=5) is None
    batch = await reader.fetch(position=8)
    assert place(batch) == (5, 8, [])
    assert batch is not None
    assert (batch.offset, batch.timestamp) == (7, -1)
    assert await reader.fetch(position=8) is None
    assert place(await reader.fetch(8)) == (8, 9, [8])


async def test_what_is_fetched_while_the_position_is_not_known(reader: Reader) -> None:
    """As when the log has lost what comes next, until the consumer knows where to go on."""
    reader.client.offset = None
    reader.fetched = {HERE: [FakeRecord(5, b"")]}
    batches = await reader.thread._fetch_records(reader.client, {HERE}, timeout=1.0)
    assert place(batches[HERE][0]) == (5, 6, [5])
    reader.fetched = {}
    assert await reader.thread._fetch_records(reader.client, {HERE}, timeout=1.0) == {}
    away = TP("ratings", 7)
    assert await reader.thread._fetch_records(reader.client, {away}, timeout=1.0) == {}


async def test_partitions_move_while_the_thread_fetches_from_them(reader: Reader) -> None:
    """Faust changes its set in the thread of the event loop."""
    partitions = {HERE, TP("ratings", 7)}

    async def call_thread(method: Any, consumer: Any, asked: set[TP], **limits: Any) -> Any:
        partitions.clear()
        return asked

    reader.client._max_poll_records = 1
    reader.thread._consumer, reader.thread.call_thread = reader.client, call_thread
    assert await reader.thread.getmany(partitions, 1.0) == {HERE, TP("ratings", 7)}


async def test_a_partition_that_moved_away_is_not_sought(reader: Reader) -> None:
    await reader.thread._read_again(TopicPartition("ratings", 7), 3)


async def test_it_ends_without_a_word_while_a_fetch_waits_to_be_tried_again(reader: Reader) -> None:
    ended = []

    async def stop() -> None:
        """As aiokafka's, which awaits the fetches that it has cancelled."""
        ended.append(True)
        fetch = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        fetch.cancel()
        await fetch

    reader.client.stop = stop
    reader.thread._consumer = reader.client
    await reader.thread.on_thread_stop()
    assert ended == [True]


async def test_faust_commits_nothing_and_remembers_nothing(reader: Reader) -> None:
    tp = TP("ratings", 0)
    reader.consumer._acked[tp] = [1, 2, 3]
    assert await reader.consumer.commit() is False
    # Faust drops a batch that lies before this note, which it takes after a seek back, too.
    reader.consumer._read_offset[tp] = 99
    assert reader.consumer._read_offset[tp] is None


async def test_a_thread_that_answers_nobody_has_not_committed() -> None:
    asked: Any = SimpleNamespace(
        call_thread=lambda method, offsets: asyncio.Event().wait(),
        _commit_offsets=None,
        crashed=False,
        commit_seconds=-0.99,
    )
    assert await ConsumerThread.commit_offsets(asked, {TP("ratings", 0): 1}) is False
