"""Each batch says from where it was fetched and up to where, whatever aiokafka passes over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka.consumer.subscription_state import TopicPartitionState
from aiokafka.errors import IllegalStateError
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from recommender.worker.transport import faust_transport
from recommender.worker.transport.batch import Batch
from recommender.worker.transport.consumer_thread import ConsumerThread
from tests.support.doubles import FakeRecord

HERE = TopicPartition("ratings", 0)


class Notes:
    """aiokafka's notes of one partition that is assigned, as its consumer holds them."""

    def __init__(self) -> None:
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


class Thread:
    """The thread under test; what a fetch brings is said by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kafka: Any = Notes()
        self.fetched: Mapping[Any, list[Any]] = {}

        async def fetch(thread: Any, consumer: Any, partitions: set[TP], **limits: Any) -> Any:
            return self.fetched

        async def nothing(*arguments: Any) -> None:
            pass

        monkeypatch.setattr(driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
        monkeypatch.setattr(ConsumerThread, "_ensure_consumer", lambda thread: self.kafka)
        app = faust.App("test", broker="kafka://nowhere:1", env_prefix="UNUSED_")
        faust_transport.set_transport(app, "nowhere:1")
        consumer: Any = app.transport.create_consumer(
            callback=nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing
        )
        self.thread: Any = consumer._thread

    async def fetch(self, *offsets: int, position: int | None = None) -> Batch | None:
        """What the agent gets of records with these offsets; aiokafka's own position moves on."""
        self.fetched = {HERE: [FakeRecord(each, b"") for each in offsets]} if offsets else {}
        if offsets:
            self.kafka.notes.seek(offsets[-1] + 1)
        if position is not None:
            self.kafka.notes.seek(position)
        found = await self.thread._fetch_records(self.kafka, {TP(*HERE)}, timeout=1.0)
        batches = found.get(HERE, [None])
        assert len(batches) == 1
        batch: Batch | None = batches[0]
        return batch

    async def read_again(self, offset: int) -> None:
        """As at the start of reading, and where something was lost."""
        await self.thread._read_again(HERE, offset)


@pytest.fixture
def thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[Thread]:
    async def make() -> Thread:
        return Thread(monkeypatch)

    made = asyncio.run(make())
    yield made
    made.thread.thread_loop.close()


def span(batch: Batch | None) -> tuple[int, int]:
    assert batch is not None
    assert batch.offset == batch.end - 1
    return batch.begin, batch.end


def test_a_batch_begins_where_the_one_before_has_ended(thread: Thread) -> None:
    async def scenario() -> None:
        await thread.read_again(5)
        assert await thread.fetch() is None
        assert span(await thread.fetch(5, 6)) == (5, 7)
        assert span(await thread.fetch(9, 10)) == (7, 11)
        assert span(await thread.fetch(20, 21)) == (11, 22)
        await thread.read_again(9)
        assert span(await thread.fetch(9)) == (9, 10)

    asyncio.run(scenario())


def test_what_is_no_record_comes_as_a_batch_without_any(thread: Thread) -> None:
    """Marks of transactions, and what was taken back: none of it may look like lag."""

    async def scenario() -> None:
        await thread.read_again(5)
        batch = await thread.fetch(position=8)
        assert batch is not None
        assert (span(batch), batch.records, batch.timestamp) == ((5, 8), [], -1)
        assert await thread.fetch() is None
        assert span(await thread.fetch(8)) == (8, 9)
        # Behind the records of one fetch.
        assert span(await thread.fetch(9, position=12)) == (9, 12)
        assert span(await thread.fetch(12)) == (12, 13)

    asyncio.run(scenario())


def test_where_nobody_has_said_where_to_read_it_begins_with_the_first_record(thread: Thread) -> None:
    async def scenario() -> None:
        assert await thread.fetch(position=3) is None
        assert span(await thread.fetch(3, 5)) == (3, 6)

    asyncio.run(scenario())


def test_what_moves_away_is_no_error(thread: Thread) -> None:
    async def scenario() -> None:
        await thread.thread._read_again(TopicPartition("ratings", 1), 6)
        assert not thread.kafka.notes.has_valid_position
        await thread.read_again(6)
        thread.kafka.assign()
        assert await thread.fetch() is None

    asyncio.run(scenario())


def test_it_ends_without_a_word_while_a_fetch_waits_to_be_tried_again(thread: Thread) -> None:
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
