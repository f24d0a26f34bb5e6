"""The producer: a missing topic fails soon, whatever else is sent; and many records in few batches."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import MessageSizeTooLargeError, UnknownTopicOrPartitionError
from aiokafka.producer.message_accumulator import BatchBuilder
from faust.transport.drivers import aiokafka as driver
from hypothesis import given
from hypothesis import strategies as st
from kafka.record import MemoryRecords

from recommender.messages.records import Outgoing
from recommender.worker.transport import faust_transport, producer
from recommender.worker.transport.batches import BATCH_BYTES, SURE_BYTES, batches
from recommender.worker.transport.producer import LOOKS, Producer, bulk_sender, sender
from tests.support.doubles import few, until


class Client:
    """aiokafka's, as far as topics are looked for."""

    def __init__(self, *topics: str) -> None:
        self.cluster = Cluster()
        self.topics = set(topics)
        self.wanted: set[str] = set()
        self.answers = True
        self.looks: list[str] = []

    async def _metadata_update(self, found: ClusterMetadata, topics: list[str]) -> bool:
        self.looks += topics
        await asyncio.sleep(0)
        found._partitions = {topic: {0: None} for topic in self.topics}
        return self.answers

    def add_topic(self, topic: str) -> None:
        self.wanted.add(topic)

    async def force_metadata_update(self) -> bool:
        if self.answers:
            self.cluster.known |= self.wanted & self.topics
        return self.answers


class Cluster:
    """What the client knows already."""

    unauthorized_topics: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        return {0} if topic in self.known else None


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The topics of what reached Faust's producer."""
    sent: list[str] = []

    async def send(self: Any, topic: str, *arguments: Any, **options: Any) -> None:
        sent.append(topic)

    monkeypatch.setattr(driver.Producer, "send", send)
    monkeypatch.setattr(producer, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(producer, "AWAY_SECONDS", 0.0)
    return sent


def producer_of(client: Client, monkeypatch: pytest.MonkeyPatch) -> Any:
    app = faust.App("test", broker="kafka://nowhere:1", env_prefix="UNUSED_")

    faust_transport.set_transport(app, "nowhere:1", "ratings")
    made = app.transport.create_producer()
    assert isinstance(made, Producer)
    holder = type("Inner", (), {"client": client})()
    monkeypatch.setattr(made, "_ensure_producer", lambda: holder)
    return made


def test_a_missing_topic_is_said_without_sending(monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    async def scenario() -> None:
        client = Client("there")
        made = producer_of(client, monkeypatch)
        with pytest.raises(UnknownTopicOrPartitionError):
            await made.send("gone", b"key", b"value", None, None, [])
        assert (sent, client.looks) == ([], ["gone"] * LOOKS)
        await made.send("there", b"key", b"value", None, None, [])
        assert sent == ["there"]

    asyncio.run(scenario())


def test_a_burst_to_a_missing_topic_asks_once(monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    async def scenario() -> None:
        client = Client()
        made = producer_of(client, monkeypatch)
        attempts = [made.send("gone", b"", b"", None, None, []) for _ in range(500)]
        errors = await asyncio.gather(*attempts, return_exceptions=True)
        assert {type(each) for each in errors} == {UnknownTopicOrPartitionError}
        assert client.looks == ["gone"] * LOOKS

    asyncio.run(scenario())


def test_a_topic_that_was_made_just_now_is_found(monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    async def scenario() -> None:
        client = Client()
        made = producer_of(client, monkeypatch)
        sending = asyncio.create_task(made.send("new", b"", b"", None, None, []))
        while not client.looks:  # noqa: ASYNC110
            await asyncio.sleep(0)
        client.topics.add("new")
        await sending
        assert sent == ["new"]

    asyncio.run(scenario())


def test_a_known_topic_is_not_looked_for(monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    async def scenario() -> None:
        client = Client()
        client.cluster.known = frozenset({"known"})
        await producer_of(client, monkeypatch).send("known", b"", b"", None, None, [])
        assert (sent, client.looks) == (["known"], [])

    asyncio.run(scenario())


def test_while_no_broker_answers_nothing_is_missing(monkeypatch: pytest.MonkeyPatch, sent: list[str]) -> None:
    async def scenario() -> None:
        client = Client("some")
        client.answers = False
        made = producer_of(client, monkeypatch)
        sending = asyncio.create_task(made.send("some", b"", b"", None, None, []))
        gone = asyncio.create_task(made.send("gone", b"", b"", None, None, []))
        await until(lambda: len(client.looks) > 10 * LOOKS)
        assert (sent, sending.done(), gone.done()) == ([], False, False)
        client.answers = True
        await sending
        assert sent == ["some"]
        with pytest.raises(UnknownTopicOrPartitionError):
            await gone

    asyncio.run(scenario())


def outgoing(number: int, size: int = 20, partition: int = 0) -> Outgoing:
    return Outgoing(partition, b"%d" % number, b"v" * size, number, [("number", b"%d" % number), ("", b"")])


def read(batch: BatchBuilder) -> list[Outgoing]:
    """The records of a batch as kafka-python finds them in it."""
    found = MemoryRecords(bytes(batch._build())).next_batch()
    assert found is not None
    return [Outgoing(0, each.key, each.value, each.timestamp, list(each.headers)) for each in found]


headers = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=3)
records = st.lists(
    st.builds(
        Outgoing,
        st.just(0),
        st.none() | st.binary(max_size=10),
        st.binary(max_size=300),
        st.integers(0, 2**45),
        headers,
    ),
    max_size=30,
)


@few
@given(records, st.integers(1, 1000))
def test_batches_hold_all_records_in_order_and_untouched(records: list[Outgoing], limit: int) -> None:
    filled = list(batches(records, limit))
    made = [each.batch for each in filled]
    assert [each for part in filled for each in part.records] == records
    assert all(batch.size() <= limit or batch.record_count() == 1 for batch in made)
    assert all(batch.closed() for batch in made)
    assert [each for batch in made for each in read(batch)] == records


def test_batches_are_well_filled() -> None:
    *full, last = (each.batch for each in batches([outgoing(1)] * 1000, 2000))
    assert all(batch.size() > 1900 for batch in full)
    assert sum(batch.record_count() for batch in [*full, last]) == 1000


def test_a_record_that_does_not_say_when_is_written_now() -> None:
    before = time.time() * 1000 - 1
    ((batch, _),) = batches([outgoing(1)._replace(timestamp=-1)], 1000)
    assert before <= read(batch)[0].timestamp <= time.time() * 1000 + 1


class Inner:
    """aiokafka's producer, as far as batches are concerned: the broker answers when the test lets it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.taken: list[tuple[int, list[bytes | None]]] = []
        self.answers: list[asyncio.Future[None]] = []

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[None]:
        self.taken.append((partition, [each.key for each in read(batch)]))
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    def waits(self) -> bool:
        return bool(self.answers)


def bulk_producer(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Inner]:
    inner = Inner(Client("there"))
    made = producer_of(inner.client, monkeypatch)
    monkeypatch.setattr(made, "_ensure_producer", lambda: inner)
    return made, inner


def test_many_are_sent_by_partition_and_all_are_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        made, inner = bulk_producer(monkeypatch)
        sending = asyncio.create_task(
            made.send_all("there", [outgoing(each, 400, each % 2) for each in range(6)], 1000)
        )
        # Two fit into a batch.
        for number in range(4):
            await until(inner.waits)
            assert not sending.done(), number
            inner.answers.pop(0).set_result(None)
        await sending
        assert sorted(inner.taken) == [(0, [b"0", b"2"]), (0, [b"4"]), (1, [b"1", b"3"]), (1, [b"5"])]

    asyncio.run(scenario())


async def refuse(inner: Inner, sending: asyncio.Task[None], too_large: int) -> None:
    """Answer all batches; those of a topic that takes fewer records, or shorter keys, are refused."""
    while not sending.done():
        if inner.answers:
            _, keys = inner.taken[-1]
            if len(keys) > too_large or b"9" in keys:
                inner.answers.pop(0).set_exception(MessageSizeTooLargeError("refused"))
            else:
                inner.answers.pop(0).set_result(None)
        await asyncio.sleep(0)


def test_a_batch_that_is_refused_is_sent_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        made, inner = bulk_producer(monkeypatch)
        sending = asyncio.create_task(made.send_all("there", [outgoing(each) for each in range(7)]))
        await refuse(inner, sending, 2)
        await sending
        written = [keys for _, keys in inner.taken if len(keys) <= 2]
        assert written == [[b"0"], [b"1", b"2"], [b"3", b"4"], [b"5", b"6"]]

    asyncio.run(scenario())


def test_a_record_that_is_refused_is_told_or_written_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    def shorter(record: Outgoing, error: Exception) -> Outgoing | None:
        return record._replace(key=b"8") if record.key == b"9" else None

    async def scenario() -> None:
        for lesser in (None, shorter):
            made, inner = bulk_producer(monkeypatch)
            options = {"lesser": lesser} if lesser else {}
            records = [outgoing(1), outgoing(9), outgoing(2)]
            sending = asyncio.create_task(made.send_all("there", records, **options))
            await refuse(inner, sending, 3)
            if lesser is None:
                with pytest.raises(MessageSizeTooLargeError, match="refused"):
                    await sending
            else:
                await sending
                assert [keys for _, keys in inner.taken if b"9" not in keys] == [[b"1"], [b"8"], [b"2"]]

    asyncio.run(scenario())


def test_what_cannot_be_sent_is_told_without_sending(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        made, inner = bulk_producer(monkeypatch)
        with pytest.raises(UnknownTopicOrPartitionError):
            await made.send_all("gone", [outgoing(1)])
        made.max_request_size = 1000
        with pytest.raises(
            MessageSizeTooLargeError, match=r"for there\[0\] takes 1\d\d\d bytes: expected at"
        ):
            await made.send_all("there", [outgoing(1, 1000)])
        assert inner.taken == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("largest", "expected"), [(None, SURE_BYTES), (500, 500), (BATCH_BYTES * 2, BATCH_BYTES)]
)
def test_batches_are_as_large_as_the_topic_takes(
    monkeypatch: pytest.MonkeyPatch, largest: int | None, expected: int
) -> None:
    asked: list[int] = []

    async def send_all(topic: str, records: object, batch_bytes: int) -> None:
        asked.append(batch_bytes)

    app: Any = SimpleNamespace(producer=SimpleNamespace(send_all=send_all))
    asyncio.run(bulk_sender(app, {"there": largest})("there", []))  # type: ignore[arg-type]
    assert asked == [expected]


@pytest.mark.parametrize(
    ("timestamp", "sent"),
    [(-1, None), (0, 0), (1_700_000_000_123, 1_700_000_000_123), (2**52 - 1, 2**52 - 1), (2**63 - 1, None)],
)
def test_a_record_keeps_its_time_as_far_as_it_has_one(timestamp: int, sent: int | None) -> None:
    told: list[int | None] = []

    async def send(
        topic: str, key: Any, value: Any, partition: int, seconds: float | None, headers: Any
    ) -> None:
        # As Faust does.
        told.append(None if seconds is None else int(seconds * 1000.0))

    app: Any = SimpleNamespace(producer=SimpleNamespace(send=send))
    asyncio.run(sender(app)("there", Outgoing(0, b"k", b"v", timestamp, [])))  # type: ignore[arg-type]
    assert told == [sent]
