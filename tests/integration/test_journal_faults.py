"""When something is wrong with the journal: a follower says what, and does not go on as if nothing were."""

from __future__ import annotations

import asyncio
import functools
import logging
import struct
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from kafka import TopicPartition

from recommender.journal.errors import BlockError, JournalError, JournalGap, JournalReplaced, JournalShorter
from recommender.journal.rule import UNKNOWN
from recommender.kafka.admin import open_admin
from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.topics import Topics, TopicsError, ensure
from tests.integration.journal_nodes import Node, expected, run, running, source
from tests.support.brokers import TEST_PROPERTIES
from tests.support.kafka import delete_topics, produce
from tests.unit.journal.blocks import Row, packed

SIZE = 300


@pytest.fixture
def journal(make_topics: Callable[..., Topics]) -> str:
    return make_topics().journal


def blocks(first: int, last: int) -> list[bytes]:
    """Blocks of one rating each."""
    return [
        packed([Row(each, f"u0-{each}", "x", 1.0, float(each))], each, each + 1, source(0))
        for each in range(first, last)
    ]


def users(node: Node) -> list[str]:
    return [user for user, *_ in node.rated]


def fails(kafka: str, journal: str, error: type[Exception], said: str, **options: Any) -> Node:
    """Follow to the end; it fails."""
    made: list[Node] = []

    async def scenario() -> None:
        async with running(kafka, journal, **options) as node:
            made.append(node)
            with pytest.raises(error, match=said):
                await node.caught_up()
            with pytest.raises(JournalError, match=r"\[0\] is not followed any more"):
                await node.followers[0].catch_up()

    run(scenario)
    return made[0]


def saved(kafka: str, journal: str) -> dict[str, Any]:
    """A state at the journal's end."""

    async def scenario() -> dict[str, Any]:
        async with running(kafka, journal) as node:
            await node.caught_up()
            return node.rules[0].state()

    found: dict[str, Any] = run(scenario)
    return found


def delete_before(kafka: str, journal: str, offset: int) -> None:
    """Delete the records below an offset."""
    with open_admin(kafka, 10) as admin:
        admin.delete_records({TopicPartition(journal, 0): offset})


def test_what_is_no_block(kafka: str, journal: str) -> None:
    produce(kafka, journal, [*blocks(0, 3), b'{"user": "ann"}' + b" " * 60, *blocks(3, 4)])
    node = fails(kafka, journal, BlockError, rf"{journal}\[0\] offset 3: the record begins with b'\{{\"us'")
    assert users(node) == ["u0-0", "u0-1", "u0-2"]
    assert node.rules[0].position == 3


def test_a_block_of_a_newer_version(kafka: str, journal: str) -> None:
    (newer,) = blocks(0, 1)
    produce(kafka, journal, [newer[:4] + struct.pack("<H", 8) + newer[6:]])
    fails(kafka, journal, BlockError, r"offset 0: the block has flags 0x8 .* A newer version has written it")


def test_a_journal_that_has_lost_its_beginning(kafka: str, journal: str) -> None:
    produce(kafka, journal, blocks(0, 5))
    state = saved(kafka, journal)
    produce(kafka, journal, blocks(5, 20))
    delete_before(kafka, journal, 5)

    async def at_the_beginning() -> None:
        async with running(kafka, journal, state=[state]) as node:
            await node.caught_up()
            assert users(node) == [f"u0-{each}" for each in range(5, 20)]

    run(at_the_beginning)
    delete_before(kafka, journal, 7)
    said = (
        rf"{journal}\[0\] begins at offset 7, but offset 5 comes next: blocks are lost. --allow-gap follows"
    )
    fails(kafka, journal, JournalGap, said, state=[state])
    fails(kafka, journal, JournalGap, "begins at offset 7, but offset 0 comes next")

    async def allowed(state: list[dict[str, Any]]) -> None:
        async with running(kafka, journal, state=state, allow_gap=True) as node:
            await node.caught_up()
            assert users(node) == [f"u0-{each}" for each in range(7, 20)]
            assert node.rules[0].applied(source(0)) == 20

    states: list[list[dict[str, Any]]] = [[], [state]]
    for each in states:
        run(functools.partial(allowed, each))


def test_blocks_that_are_deleted_while_they_are_to_be_followed(kafka: str, journal: str) -> None:
    async def scenario() -> None:
        produce(kafka, journal, blocks(0, 3))
        async with running(kafka, journal) as node:
            await node.caught_up()
            held = asyncio.Event()

            async def hold(followed: Any) -> None:
                await Node.take(node, followed)
                await held.wait()

            node.take = hold  # type: ignore[method-assign]
            await asyncio.to_thread(produce, kafka, journal, blocks(3, 4))
            while len(node.rated) < 4:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            # It may have fetched what comes next, but not what comes after it is deleted.
            await asyncio.sleep(0.2)
            await asyncio.to_thread(produce, kafka, journal, blocks(4, 9))
            await asyncio.sleep(1.0)
            await asyncio.to_thread(produce, kafka, journal, blocks(9, 12))
            await asyncio.to_thread(delete_before, kafka, journal, 11)
            held.set()
            with pytest.raises(JournalGap, match=r"begins at offset 11, but offset \d+ comes next"):
                await node.caught_up()

    run(scenario)


def test_a_journal_that_is_created_again(kafka: str, topic_prefix: str, journal: str) -> None:
    produce(kafka, journal, blocks(0, 5))
    state = saved(kafka, journal)

    async def under_it() -> None:
        async with running(kafka, journal, identity_seconds=0.3) as node:
            await node.caught_up()
            await asyncio.to_thread(delete_topics, kafka, journal)
            await asyncio.to_thread(ensure, kafka, Topics(topic_prefix))
            await asyncio.to_thread(produce, kafka, journal, blocks(0, 9))
            with pytest.raises(
                JournalReplaced, match=f"'{journal}' was deleted and created again: its id is"
            ):
                await asyncio.gather(*node.running)

    run(under_it)
    fails(kafka, journal, JournalReplaced, "was deleted and created again", state=[state])
    state["journal"] = state["journal"] * 0
    assert state["journal"].tobytes() == UNKNOWN
    delete_topics(kafka, journal)
    ensure(kafka, Topics(topic_prefix))
    produce(kafka, journal, blocks(0, 4))
    said = rf"{journal}\[0\] ends at offset 4, but was followed up to 5: it was truncated"
    fails(kafka, journal, JournalShorter, said, state=[state])


def test_another_number_of_partitions(kafka: str, topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    ensure(kafka, topics, 2, journal_partitions=2)
    fails(kafka, topics.journal, JournalReplaced, f"'{topics.journal}' has 2 partitions, expected 1: where")


def test_no_journal(kafka: str, topic_prefix: str) -> None:
    fails(kafka, topic_prefix + "none", TopicsError, f"Missing at {kafka}: topic {topic_prefix}none")


def test_marks_of_transactions_are_no_blocks(kafka: str, journal: str) -> None:
    async def transaction(values: list[bytes]) -> None:
        async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=journal) as producer:
            for each in values:
                async with producer.transaction():
                    await producer.send_and_wait(journal, each, partition=0)

    async def scenario() -> None:
        await transaction(blocks(0, 6))
        async with running(kafka, journal) as node:
            await node.caught_up()
            assert users(node) == [f"u0-{each}" for each in range(6)]
            assert (node.rules[0].position, node.followers[0].reached) == (11, 12)
            assert node.followers[0].lag == 0
            await transaction(blocks(6, 9))
            await node.caught_up()
            await transaction(blocks(9, 12))
            await node.caught_up()
            assert users(node) == [f"u0-{each}" for each in range(12)]
        async with running(kafka, journal) as other:
            await other.caught_up()
            assert other.rules[0].hash == node.rules[0].hash

    run(scenario)


def test_it_goes_on_from_a_saved_state(kafka: str, journal: str) -> None:
    async def scenario() -> None:
        async with running(kafka, journal) as node:
            await node.caught_up()
            await node.write([SIZE])
            state = node.rules[0].state()
        async with running(kafka, journal, state=[state]) as node:
            await node.caught_up()
            await node.write([SIZE, 2 * SIZE])
            assert node.rated == expected(1, 2 * SIZE)

    run(scenario)


def test_lag(kafka: str, journal: str) -> None:
    async def scenario() -> None:
        async with running(kafka, journal, piece_bytes=1) as node:
            follower = node.followers[0]
            await node.caught_up()
            assert (follower.lag, follower.lag_seconds) == (0, 0.0)
            held = asyncio.Event()

            async def hold(followed: Any) -> None:
                await held.wait()
                await Node.take(node, followed)

            node.take = hold  # type: ignore[method-assign]
            await asyncio.to_thread(produce, kafka, journal, blocks(0, 8))
            while not follower.lag:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            assert 0 < follower.lag < 8
            assert 0.1 < follower.lag_seconds < 30
            held.set()
            await node.caught_up()
            assert (follower.lag, follower.lag_seconds) == (0, 0.0)
            assert len(node.rated) == 8

    run(scenario)


def test_a_broker_that_goes_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "recommender")
    with LocalBroker(properties=TEST_PROPERTIES) as broker:
        topics = Topics()
        ensure(broker.address, topics)

        async def scenario() -> None:
            async with running(broker.address, topics.journal, request_seconds=3.0) as node:
                await node.caught_up()
                writing = asyncio.create_task(node.write([2000], pause=0.01))
                while len(node.rated) < 300:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                broker.kill()
                while "cannot be read" not in caplog.text:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
                late = asyncio.create_task(node.followers[0].catch_up())
                await asyncio.sleep(4)  # a block is given up after three
                assert node.writer.error is not None
                assert not any(each.done() for each in (late, *node.running)), (late, node.running)
                await asyncio.to_thread(broker.restart)
                await asyncio.gather(writing, late)
                await node.caught_up()
                assert node.rated == expected(0, 2000)
                assert node.writer.error is None

        run(scenario, 120)
    said = [record.getMessage() for record in caplog.records if record.name.startswith("recommender.journal")]
    for each in ("cannot be read", "is read again after", "takes no blocks", "takes blocks again after"):
        assert sum(each in line for line in said) == 1, said
    assert len(said) < 10, said
