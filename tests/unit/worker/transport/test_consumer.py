"""The consumer: reads from where we say, forgets Faust's notes, and lets no partition hold up another."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import faust
import mode
import pytest
from aiokafka.errors import IllegalStateError, KafkaConnectionError
from faust.types import TP

from recommender.worker.transport import consumer, consumer_thread, faust_transport
from recommender.worker.transport.consumer import Consumer
from recommender.worker.transport.spans import Span
from tests.support.doubles import until

SPAN = Span(3, 900, 7)
PARTITIONS = {TP(topic, number) for topic in ("ratings", "requests") for number in range(3)}


class Positions:
    """Gives each partition a position of its own; what is asked for waits where a test says so."""

    def __init__(self) -> None:
        self.asked: list[Mapping[TP, Span]] = []
        self.waits: dict[int, asyncio.Event] = {}
        self.errors: list[Exception] = []

    async def __call__(self, partitions: Mapping[TP, Span]) -> Mapping[TP, int]:
        self.asked.append(partitions)
        (number,) = {tp.partition for tp in partitions}
        if number in self.waits:
            await self.waits[number].wait()
        if self.errors:
            raise self.errors.pop()
        return dict.fromkeys(partitions, 100 + number)


class Thread(mode.Service):
    """Stands in for the thread with aiokafka's consumer: six partitions are assigned."""

    def __init__(self) -> None:
        super().__init__()
        self.assigned = set(PARTITIONS)
        self.sought: dict[TP, int] = {}
        self.commits: list[Mapping[TP, int]] = []
        self.errors: list[Exception] = []

    def assignment(self) -> set[TP]:
        return set(self.assigned)

    async def spans(self, partitions: set[TP]) -> dict[TP, Span]:
        if self.errors:
            raise self.errors.pop()
        return dict.fromkeys(partitions, SPAN)

    async def seek_wait(self, offsets: Mapping[TP, int]) -> None:
        if not offsets.keys() <= self.assigned:
            raise IllegalStateError
        self.sought.update(offsets)

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        self.commits.append(offsets)
        return True


class Reader:
    """A consumer on such a thread."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.positions = Positions()
        self.thread = Thread()
        self.crashes: list[BaseException] = []
        app = faust.App("test", broker="kafka://nowhere:1", env_prefix="UNUSED_")
        faust_transport.set_transport(app, "nowhere:1", self.positions)

        async def nothing(*arguments: Any) -> None:
            pass

        async def crash(service: Any, reason: BaseException) -> None:
            self.crashes.append(reason)

        monkeypatch.setattr(Consumer, "_new_consumer_thread", lambda consumer: self.thread)
        monkeypatch.setattr(Consumer, "crash", crash)
        self.consumer: Any = app.transport.create_consumer(
            callback=nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing
        )

    @property
    def active(self) -> set[TP]:
        """The partitions that are fetched from."""
        return set(self.consumer._get_active_partitions())


def numbers(partitions: set[TP]) -> set[int]:
    return {tp.partition for tp in partitions}


def test_every_partition_is_read_from_where_we_say(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        reader = Reader(monkeypatch)
        await reader.consumer.perform_seek()
        assert reader.thread.sought == {tp: 100 + tp.partition for tp in PARTITIONS}
        assert reader.active == PARTITIONS
        assert [len(each) for each in reader.positions.asked] == [2, 2, 2]
        assert {span for each in reader.positions.asked for span in each.values()} == {SPAN}

    asyncio.run(scenario())


def test_a_partition_that_loads_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "TOGETHER_SECONDS", 0.01)

    async def scenario() -> None:
        reader = Reader(monkeypatch)
        reader.positions.waits[1] = asyncio.Event()
        await reader.consumer.perform_seek()
        assert numbers(reader.active) == {0, 2}
        reader.positions.waits[1].set()
        await until(lambda: reader.active == PARTITIONS)
        assert reader.thread.sought[TP("ratings", 1)] == 101

    asyncio.run(scenario())


def test_a_broker_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "RETRY_SECONDS", 0.0)

    async def scenario() -> None:
        reader = Reader(monkeypatch)
        reader.thread.errors = [KafkaConnectionError("away"), TimeoutError(), KafkaConnectionError("away")]
        await reader.consumer.perform_seek()
        await until(lambda: reader.active == PARTITIONS)
        assert reader.crashes == []

    asyncio.run(scenario())


def test_what_a_person_has_to_mend_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        reader = Reader(monkeypatch)
        error = ValueError("the log has a gap")
        reader.positions.errors = [error]
        await reader.consumer.perform_seek()
        assert reader.crashes == [error]

    asyncio.run(scenario())


def test_partitions_that_leave_are_not_begun_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "TOGETHER_SECONDS", 0.01)

    async def scenario() -> None:
        reader = Reader(monkeypatch)
        reader.positions.waits[1] = asyncio.Event()
        await reader.consumer.perform_seek()
        await reader.consumer.on_partitions_revoked({tp for tp in PARTITIONS if tp.partition == 1})
        reader.positions.waits[1].set()
        reader.thread.assigned = {tp for tp in PARTITIONS if tp.partition != 1}
        await reader.consumer.perform_seek()
        assert numbers(reader.active) == {0, 2}
        assert TP("ratings", 1) not in reader.thread.sought

    asyncio.run(scenario())


def test_partitions_that_left_meanwhile_are_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        reader = Reader(monkeypatch)
        asked = reader.positions.__call__

        async def late(partitions: Mapping[TP, Span]) -> Mapping[TP, int]:
            reader.thread.assigned = set()
            return await asked(partitions)

        monkeypatch.setattr(reader.consumer, "positions", late)
        await reader.consumer.perform_seek()
        assert (reader.thread.sought, reader.crashes, reader.active) == ({}, [], set())

    asyncio.run(scenario())


def test_faust_commits_nothing_and_remembers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        reader = Reader(monkeypatch)
        tp = TP("ratings", 0)
        reader.consumer._acked[tp] = [1, 2, 3]
        assert not await reader.consumer.commit()
        await reader.consumer.commit_and_end_transactions()
        await reader.consumer.on_task_error(ValueError())
        assert reader.thread.commits == []
        # Faust drops a batch that lies before this note, which it takes after a seek back, too.
        reader.consumer._read_offset[tp] = 99
        assert reader.consumer._read_offset[tp] is None

    asyncio.run(scenario())


def test_a_thread_that_answers_nobody_has_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        asked: Any = SimpleNamespace(
            call_thread=lambda method, offsets: asyncio.Event().wait(), _commit_offsets=None, crashed=False
        )
        assert await consumer_thread.ConsumerThread.commit_offsets(asked, {TP("ratings", 0): 1}) is False

    monkeypatch.setattr(consumer_thread, "COMMIT_SECONDS", -0.99)
    asyncio.run(run())


RATINGS = {tp for tp in PARTITIONS if tp.topic == "ratings"}


def test_a_topic_whose_batches_piled_up_is_read_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        reader = Reader(monkeypatch)
        loop = asyncio.get_running_loop()
        waiting, answered = loop.create_future(), loop.create_future()
        answered.set_result(None)
        asked: Any = SimpleNamespace(
            thread_loop=loop,
            _consumer=SimpleNamespace(_fetcher=SimpleNamespace(_fetch_waiters={waiting, answered})),
        )
        asked._look_again = lambda: consumer_thread.ConsumerThread._look_again(asked)
        monkeypatch.setattr(
            reader.thread,
            "look_again",
            lambda: consumer_thread.ConsumerThread.look_again(asked),
            raising=False,
        )
        reader.consumer._set_active_tps(PARTITIONS)
        # The batches of its partitions wait in one queue: when it is full, none of them may be added.
        reader.consumer.on_buffer_full(TP("ratings", 1))
        assert reader.active == PARTITIONS - RATINGS
        reader.consumer.on_buffer_drop(TP("requests", 1))
        assert reader.active == PARTITIONS - RATINGS
        assert not waiting.done()
        reader.consumer.on_buffer_drop(TP("ratings", 1))
        assert reader.active == PARTITIONS
        await asyncio.wait_for(waiting, 10)

    asyncio.run(scenario())


def test_what_is_being_sought_is_not_read_when_the_queue_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        reader = Reader(monkeypatch)
        monkeypatch.setattr(reader.thread, "look_again", lambda: None, raising=False)
        reader.consumer._set_active_tps(PARTITIONS)
        reader.consumer.on_buffer_full(TP("ratings", 0))
        reader.consumer.pause_partitions({TP("ratings", 2)})
        reader.consumer.on_buffer_drop(TP("ratings", 0))
        assert reader.active == PARTITIONS - {TP("ratings", 2)}
        reader.consumer.resume_partitions({TP("ratings", 2)})
        assert reader.active == PARTITIONS

    asyncio.run(scenario())
