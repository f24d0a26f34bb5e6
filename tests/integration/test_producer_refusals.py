"""The worker's producer after a batch that a broker refuses: what comes after it is written, once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidTimestampError, KafkaError, MessageSizeTooLargeError, ProducerClosed

from recommender.ingest.dead_letters import LesserLetters
from recommender.kafka.admin import open_admin
from recommender.kafka.refusals import InvalidRecord, PartitionMissingError, ProducerEndedError
from recommender.messages.records import Outgoing, Send
from recommender.worker.transport.producer import Producer, sender
from tests.integration.test_producer_outage import producer_of
from tests.support.kafka import consume_all, create_topics

HOUR_MS = 3_600_000
#: What a topic is set to, a record that it refuses then, and how.
REFUSALS: dict[str, tuple[dict[str, str], Outgoing, type[KafkaError]]] = {
    "no key in a compacted topic": (
        {"cleanup.policy": "compact"},
        Outgoing(0, None, b"bad", -1, []),
        InvalidRecord,
    ),
    "too large": (
        {"max.message.bytes": "300"},
        Outgoing(0, b"key", b"bad" * 200, -1, []),
        MessageSizeTooLargeError,
    ),
    "from the future": (
        {"message.timestamp.after.max.ms": str(HOUR_MS)},
        Outgoing(0, b"key", b"bad", int(time.time() * 1000) + 24 * HOUR_MS, []),
        InvalidTimestampError,
    ),
}


def good(number: int, partition: int = 0) -> Outgoing:
    return Outgoing(partition, b"key", b"%d" % number, -1, [("number", b"%d" % number)])


@pytest.fixture
def make_topic(kafka: str, unique: str) -> Callable[..., str]:
    """A topic of two partitions with these settings."""

    def make(**configs: str) -> str:
        create_topics(kafka, unique, partitions=2, configs=configs)
        return unique

    return make


@asynccontextmanager
async def started(
    kafka: str, made: list[AIOKafkaProducer] | None = None
) -> AsyncIterator[tuple[Producer, Send]]:
    """A worker's producer; aiokafka's are added to a list as they are made."""
    producer = producer_of(kafka)
    if made is not None:
        _note(producer, made)
    app: Any = SimpleNamespace(producer=producer)
    await producer.start()
    try:
        yield producer, sender(app)
    finally:
        await producer.stop()


def _note(producer: Producer, made: list[AIOKafkaProducer]) -> None:
    new_producer = producer.new_producer

    def make() -> AIOKafkaProducer:
        made.append(new_producer())
        return made[-1]

    producer.new_producer = make  # type: ignore[method-assign]


async def acknowledged(sending: Awaitable[Awaitable[object]]) -> None:
    await (await sending)


def written(kafka: str, topic: str) -> dict[int, list[bytes]]:
    """The values of each partition, in the order of its log."""
    found: dict[int, list[bytes]] = {0: [], 1: []}
    for each in consume_all(kafka, topic):
        found[each.partition].append(each.value)
    return found


@pytest.mark.parametrize("why", REFUSALS)
async def test_those_after_a_refused_one_are_written(kafka: str, make_topic: Any, why: str) -> None:
    configs, bad, error = REFUSALS[why]
    topic = make_topic(**configs)
    async with started(kafka) as (producer, send):
        for turn in range(3):
            for partition in (0, 1):
                await acknowledged(send(topic, good(2 * turn, partition)))
            with pytest.raises(error):
                await acknowledged(send(topic, bad))
            with pytest.raises(error):
                await producer.send_all(topic, [bad])
            for partition in (1, 0):
                await acknowledged(send(topic, good(2 * turn + 1, partition)))
    expected = [b"%d" % each for each in range(6)]
    assert written(kafka, topic) == {0: expected, 1: expected}


@pytest.mark.parametrize("why", REFUSALS)
async def test_its_neighbours_in_a_batch_are_written_once(kafka: str, make_topic: Any, why: str) -> None:
    configs, bad, error = REFUSALS[why]
    topic = make_topic(**configs)
    async with started(kafka) as (_, send):
        mixed = [bad if each % 10 == 3 else good(each, each % 2) for each in range(100)]
        sent = await asyncio.gather(
            *(acknowledged(send(topic, each)) for each in mixed), return_exceptions=True
        )
        for each, told in zip(mixed, sent, strict=True):
            assert isinstance(told, error) if each is bad else told is None
        # Those that are sent while others are refused.
        await asyncio.gather(*(acknowledged(send(topic, good(each, 1))) for each in range(100, 120)))
    found = written(kafka, topic)
    assert sorted(map(int, found[0])) == list(range(0, 100, 2))
    odd = [each for each in range(1, 100, 2) if each % 10 != 3]
    assert sorted(map(int, found[1])) == [*odd, *range(100, 120)]


async def test_small_records_do_not_become_a_batch_that_is_too_large(kafka: str, make_topic: Any) -> None:
    topic = make_topic(**{"max.message.bytes": "1000"})
    async with started(kafka) as (_, send):
        records = [Outgoing(0, b"key", b"%03d" % each * 200, -1, []) for each in range(20)]
        await asyncio.gather(*(acknowledged(send(topic, each)) for each in records))
    assert sorted(each[:3] for each in written(kafka, topic)[0]) == [b"%03d" % each for each in range(20)]


@pytest.mark.parametrize("why", REFUSALS)
async def test_a_dead_letter_is_written_all_the_same(kafka: str, make_topic: Any, why: str) -> None:
    configs, bad, _ = REFUSALS[why]
    topic = make_topic(**configs)
    ours = [("topic", b"t"), ("partition", b"0"), ("offset", b"7")]
    bad = bad._replace(headers=[(f"__connect.errors.{name}", value) for name, value in ours])
    async with started(kafka) as (producer, _):
        records = [bad if each == 5 else good(each) for each in range(10)]
        await producer.send_all(topic, records, 4096, LesserLetters())
    found = consume_all(kafka, topic)
    assert [each.value for each in found if each.value not in (None, b"bad")] == [
        b"%d" % each for each in range(10) if each != 5
    ]
    letter = found[5]
    assert letter.key == (bad.key or b"0:7")
    assert (letter.value is None) == (why == "too large")
    assert dict(letter.headers)["__connect.errors.offset"] == b"7"


async def test_what_is_refused_with_others_is_not_held_up_by_those_that_keep_coming(
    kafka: str, make_topic: Any
) -> None:
    topic = make_topic(**{"cleanup.policy": "compact"})
    keyless = Outgoing(0, None, b"bad", -1, [])
    async with started(kafka) as (_, send):
        sending: set[asyncio.Task[None]] = set()

        async def keep_coming() -> None:
            for number in range(100_000):
                sending.add(asyncio.create_task(acknowledged(send(topic, good(number)))))
                await asyncio.sleep(0)
                if len(sending) > 500:
                    done, _ = await asyncio.wait(sending, return_when=asyncio.FIRST_COMPLETED)
                    sending.difference_update(done)
                    for each in done:
                        each.result()

        coming = asyncio.create_task(keep_coming())
        await asyncio.sleep(0.1)
        for _ in range(20):
            started_at = time.monotonic()
            with pytest.raises(InvalidRecord):
                await acknowledged(send(topic, keyless))
            assert time.monotonic() - started_at < 5
            assert not coming.done()
        coming.cancel()
        await asyncio.gather(*sending)
    values = written(kafka, topic)[0]
    assert len(values) == len(set(values)) > 500


async def test_a_refused_record_holds_up_its_partition_only(kafka: str, make_topic: Any) -> None:
    """The others go on with the same producer, and their batches in flight are not sent twice."""
    topic = make_topic(**{"max.message.bytes": "300"})
    too_large = good(0)._replace(value=b"x" * 1000)
    async with started(kafka) as (_, send):
        await acknowledged(send(topic, good(-1, 1)))
        refused = [asyncio.create_task(acknowledged(send(topic, too_large))) for _ in range(5)]
        taken = 0
        while not all(each.done() for each in refused):
            await acknowledged(send(topic, good(taken, 1)))
            taken += 1
        assert taken > 5
        for each in refused:
            assert isinstance(each.exception(), MessageSizeTooLargeError)
        await acknowledged(send(topic, good(taken, 1)))
        await acknowledged(send(topic, good(taken, 0)))
    found = written(kafka, topic)
    assert [int(each) for each in found[1]] == list(range(-1, len(found[1]) - 1))
    assert found[0] == [found[1][-1]]


async def test_producers_that_are_not_used_any_more_are_closed(kafka: str, make_topic: Any) -> None:
    topic = make_topic(**{"max.message.bytes": "300"})
    made: list[AIOKafkaProducer] = []
    async with started(kafka, made) as (_, send):
        for number in range(5):
            with pytest.raises(MessageSizeTooLargeError):
                await acknowledged(send(topic, good(0)._replace(value=b"x" * 1000)))
            await acknowledged(send(topic, good(number)))
        assert len(made) == 6
        for each in made[:-1]:
            with pytest.raises(ProducerClosed):
                await each.send(topic, b"late", partition=0)
    with pytest.raises(ProducerClosed):
        await made[-1].send(topic, b"late", partition=0)
    assert written(kafka, topic)[0] == [b"%d" % each for each in range(5)]


async def test_a_partition_that_does_not_exist(kafka: str, make_topic: Any) -> None:
    topic = make_topic()
    async with started(kafka) as (_, send):
        for partition in (2, 7, -1):
            with pytest.raises(PartitionMissingError, match=f"none with number {partition}"):
                await acknowledged(send(topic, good(0, partition)))
        await acknowledged(send(topic, good(0, 1)))
        with open_admin(kafka, 10) as admin:
            admin.create_partitions({topic: 3})
        # Partitions that were added just now are found.
        await acknowledged(send(topic, good(1, 2)))
    assert [(each.partition, each.value) for each in consume_all(kafka, topic)] == [(1, b"0"), (2, b"1")]


async def test_a_producer_that_fails_for_good_says_so_and_ends(kafka: str, make_topic: Any) -> None:
    topic = make_topic()
    producer = producer_of(kafka)
    made: list[AIOKafkaProducer] = []
    _note(producer, made)
    app: Any = SimpleNamespace(producer=producer)
    send = sender(app)
    await producer.start()
    await acknowledged(send(topic, good(0)))

    async def fail(*arguments: Any, **options: Any) -> None:
        raise ValueError("oh")

    made[0].client.send = fail
    for _ in range(2):
        with pytest.raises(ProducerEndedError):
            await acknowledged(send(topic, good(1)))
    while producer.crash_reason is None:  # noqa: ASYNC110 - it sets no event
        await asyncio.sleep(0.01)
    assert isinstance(producer.crash_reason, ProducerEndedError)
    await producer.stop()
