"""Many records go in few batches, refused ones alone, and after a failure with another producer."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    UnknownTopicOrPartitionError,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata, TopicPartition
from faust.exceptions import NotReady

from recommender.kafka.refusals import InvalidRecord, ProducerEndedError
from recommender.messages.records import Outgoing
from recommender.worker.transport import faust_transport
from recommender.worker.transport.batches import BATCH_BYTES, SURE_BYTES, fill
from recommender.worker.transport.generations import Generations
from recommender.worker.transport.producer import Producer, bulk_sender, sender
from tests.support.doubles import until
from tests.unit.worker.transport.support import outgoing, read
from tests.unit.worker.transport.test_known_topics import Client

BAD_HEADERS: Any = [("name", 7)]


#: What aiokafka says of a batch that was written.
WRITTEN = RecordMetadata("t", 0, TopicPartition("t", 0), 100, -1, 0, 0)


class Inner:
    """aiokafka's producer, as far as batches are concerned: the broker answers when the test lets it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.taken: list[tuple[int, list[bytes | None]]] = []
        self.answers: list[asyncio.Future[Any]] = []
        self.stopped = False

    async def start(self) -> None:
        pass

    async def stop(self) -> None:
        self.stopped = True

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[Any]:
        self.taken.append((partition, [each.key for each in read(batch)]))
        self.answers.append(asyncio.get_running_loop().create_future())
        return self.answers[-1]

    def waits(self) -> bool:
        return bool(self.answers)


class Brokers:
    """The producers that a worker's has made, one after the other."""

    def __init__(self, *topics: str) -> None:
        self.made: list[Inner] = []
        self.topics = topics

    def make(self) -> Any:
        self.made.append(Inner(Client(*self.topics)))
        return self.made[-1]

    @property
    def taken(self) -> list[tuple[int, list[bytes | None]]]:
        return [each for inner in self.made for each in inner.taken]


class Impatient(Producer):
    renew_seconds = look_seconds = 0.0


async def started(brokers: Brokers) -> Any:
    app = faust.App("test", broker="kafka://nowhere:1", env_prefix="UNUSED_")
    faust_transport.set_transport(app, "nowhere:1", "ratings")
    transport: Any = app.transport
    assert transport.Producer is Producer
    made: Any = Impatient(transport)
    made.new_producer = brokers.make
    await made.on_start()
    return made


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


async def refuse(brokers: Brokers, sending: asyncio.Task[None], most: int) -> None:
    """Answer all batches; those of more than so many records, or with a record 9, are refused."""
    while not sending.done():
        for inner in brokers.made:
            if inner.answers:
                _, keys = inner.taken[-1]
                if len(keys) > most or b"9" in keys:
                    inner.answers.pop(0).set_exception(MessageSizeTooLargeError("refused"))
                else:
                    inner.answers.pop(0).set_result(WRITTEN)
        await asyncio.sleep(0)


async def test_a_batch_that_is_refused_is_sent_in_halves() -> None:
    brokers = Brokers("there")
    made = await started(brokers)
    sending = asyncio.create_task(made.send_all("there", [outgoing(each) for each in range(7)]))
    await refuse(brokers, sending, 2)
    await sending
    written = [keys for _, keys in brokers.taken if len(keys) <= 2]
    assert written == [[b"0"], [b"1", b"2"], [b"3", b"4"], [b"5", b"6"]]


async def test_a_record_that_is_refused_is_told_or_written_otherwise() -> None:
    def shorter(record: Outgoing, error: Exception) -> Outgoing | None:
        return record._replace(key=b"8") if record.key == b"9" else None

    for lesser in (None, shorter):
        brokers = Brokers("there")
        made = await started(brokers)
        options = {"lesser": lesser} if lesser else {}
        records = [outgoing(1), outgoing(9), outgoing(2)]
        sending = asyncio.create_task(made.send_all("there", records, **options))
        await refuse(brokers, sending, 3)
        if lesser is None:
            with pytest.raises(MessageSizeTooLargeError, match="refused"):
                await sending
        else:
            await sending
            assert [keys for _, keys in brokers.taken if b"9" not in keys] == [[b"1"], [b"8"], [b"2"]]


async def test_records_without_a_key_are_told_together() -> None:
    """Each needs a new producer, so those that are all to blame are not tried one by one."""
    brokers = Brokers("there")
    made = await started(brokers)
    keyless = [outgoing(each)._replace(key=None) for each in range(50)]
    records = [each for pair in zip(map(outgoing, range(50)), keyless, strict=True) for each in pair]
    sent = [await made.put("there", each) for each in records]
    answered = 0
    while not all(each.done() for each in sent):
        for inner in brokers.made:
            if inner.answers:
                _, keys = inner.taken[-1]
                answered += 1
                error = InvalidRecord() if None in keys else None
                answer = inner.answers.pop(0)
                answer.set_exception(error) if error else answer.set_result(WRITTEN)
        await asyncio.sleep(0)
    assert [each.exception() is not None for each in sent] == [False, True] * 50
    assert answered == 3
    assert len(brokers.made) <= 3


@pytest.mark.parametrize("error", [MessageSizeTooLargeError(), OutOfOrderSequenceNumber()])
async def test_only_the_partition_of_a_batch_that_failed_changes_the_producer(error: KafkaError) -> None:
    brokers = Brokers("there")
    made = await started(brokers)
    first = brokers.made[0]
    first.client.cluster.partitions_for_topic = lambda topic: {0, 1}  # type: ignore[method-assign]
    other = await made.put("there", outgoing(0, partition=1))
    failed = await made.put("there", outgoing(0))
    await until(lambda: len(first.answers) == 2)
    by_partition = {partition: first.answers[n] for n, (partition, _) in enumerate(first.taken)}
    by_partition[0].set_exception(error)
    with pytest.raises(type(error)):
        await failed
    first.answers.clear()
    # In the new producer, while the old one is still used.
    again = await made.put("there", outgoing(1))
    await until(lambda: len(brokers.made) == 2 and brokers.made[1].waits())
    assert not first.stopped
    brokers.made[1].answers.pop().set_result(WRITTEN)
    await again
    by_partition[1].set_result(WRITTEN)
    await other
    await until(lambda: first.stopped)


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


async def test_what_cannot_be_sent_is_told_without_sending() -> None:
    brokers = Brokers("there")
    made = await started(brokers)
    with pytest.raises(UnknownTopicOrPartitionError):
        await made.send_all("gone", [outgoing(1)])
    with pytest.raises(TypeError):
        await (await made.put("there", outgoing(1)._replace(headers=BAD_HEADERS)))
    made.max_request_size = 1000
    with pytest.raises(MessageSizeTooLargeError, match=r"for there\[0\] takes 1\d\d\d bytes: expected at"):
        await made.send_all("there", [outgoing(1, 1000)])
    assert brokers.taken == []


async def test_a_producer_that_has_failed_for_good_ends_the_worker() -> None:
    brokers = Brokers("there")
    made = await started(brokers)
    sent = await made.put("there", outgoing(1))
    (inner,) = brokers.made
    await until(inner.waits)
    inner.answers.pop().set_exception(KafkaError("Unexpected error during batch delivery"))
    with pytest.raises(ProducerEndedError):
        await sent
    await until(lambda: made.crash_reason is not None)
    with pytest.raises(ProducerEndedError):
        await (await made.put("there", outgoing(2)))
    assert len(brokers.made) == 1


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
