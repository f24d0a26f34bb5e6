"""The journal on a real broker: each rating counts once, in order, whatever becomes of blocks and writers."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from typing import Any

import pytest

from recommender.journal.outbox import Send
from recommender.journal.outcome import Followed
from recommender.kafka.topics import Topics, ensure
from tests.integration.journal_nodes import Node, expected, of_source, row, run, running
from tests.support.doubles import until

SIZES = [700, 333, 40]


@pytest.fixture(params=[1, 2], ids=["K1", "K2"])
def partitions(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def journal(kafka: str, topic_prefix: str, partitions: int) -> str:
    topics = Topics(topic_prefix)
    ensure(kafka, topics, partitions, journal_partitions=partitions)
    return topics.journal


def assert_each_once(node: Node, sizes: list[int]) -> None:
    for partition, size in enumerate(sizes):
        mine = of_source(node.rated, partition)
        if node.partitions == 1:
            assert mine == expected(partition, size)
        assert sorted(mine, key=lambda each: each[3]) == expected(partition, size)
    assert sum(rule.counts.rows for rule in node.rules) == len(node.rated)


async def follow_all(kafka: str, journal: str, partitions: int, **options: Any) -> Node:
    """Another node's state, from the journal alone."""
    async with running(kafka, journal, partitions, **options) as node:
        await node.caught_up()
        return node


def same(one: Node, other: Node) -> bool:
    states = [[rule.state() for rule in node.rules] for node in (one, other)]
    return all(
        {name: array.tobytes() for name, array in a.items()}
        == {name: array.tobytes() for name, array in b.items()}
        for a, b in zip(*states, strict=True)
    )


@pytest.mark.parametrize("on_ack", [True, False], ids=["on-ack", "fetched"])
def test_what_is_written_is_followed(kafka: str, journal: str, partitions: int, on_ack: bool) -> None:
    async def scenario() -> None:
        async with running(kafka, journal, partitions, on_ack=on_ack) as node:
            await node.caught_up()
            await node.write(SIZES)
            await node.caught_up()
            assert_each_once(node, SIZES)
            # Where a fetch would have begun with an offset that has no record.
            assert all(row(*each) is None for each in node.reads)
            assert sorted(node.writer.committable().values()) == sorted(SIZES)
            assert [each.lag for each in node.followers] == [0] * partitions
        other = await follow_all(kafka, journal, partitions)
        assert_each_once(other, SIZES)
        assert same(node, other)

    run(scenario)


def test_who_writes_waits_until_it_is_learned(kafka: str, journal: str, partitions: int) -> None:
    async def scenario() -> None:
        async with running(kafka, journal, partitions) as node:
            await node.caught_up()
            learning, take = asyncio.Event(), node.take

            async def held(followed: Followed) -> None:
                await learning.wait()
                await take(followed)

            node.take = held  # type: ignore[method-assign]
            writing = asyncio.create_task(node.write(SIZES))
            followers = node.followers
            await until(lambda: min(each.ahead for each in followers) >= 3)
            waiting = [asyncio.create_task(each.keep_up(3)) for each in followers]
            assert not (await asyncio.wait(waiting, timeout=0.2))[0]
            learning.set()
            await asyncio.gather(*waiting)
            await writing
            await node.caught_up()
            assert [each.ahead for each in followers] == [0] * partitions
        # Nobody waits for what is not followed any more.
        assert await asyncio.gather(*(each.keep_up(0) for each in followers)) == [None] * partitions

    run(scenario)


class Losing:
    """Throws away some blocks and writes others twice; says of what it throws away that it is there."""

    def __init__(self, send: Send, seed: int, lost: float, doubled: float) -> None:
        self._send, self._random = send, random.Random(seed)
        self._lost, self._doubled = lost, doubled
        self._last: dict[int, asyncio.Future[Any]] = {}
        self.lost = self.doubled = 0

    async def __call__(self, partition: int, value: bytes, timestamp: int) -> asyncio.Future[Any]:
        draw = self._random.random()
        if draw < self._lost and partition in self._last:
            self.lost += 1
            answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            answer.set_result(await asyncio.shield(self._last[partition]))
            return answer
        if draw > 1 - self._doubled:
            self.doubled += 1
            await self._send(partition, value, timestamp)
        self._last[partition] = await self._send(partition, value, timestamp)
        return self._last[partition]


@pytest.mark.parametrize("on_ack", [True, False], ids=["on-ack", "fetched"])
def test_blocks_that_are_thrown_away_or_doubled(
    kafka: str, journal: str, partitions: int, on_ack: bool
) -> None:
    made: list[Losing] = []

    def losing(send: Send) -> Send:
        made.append(Losing(send, seed=partitions, lost=0.08, doubled=0.1))
        return made[-1]

    async def scenario() -> None:
        async with running(kafka, journal, partitions, send=losing, on_ack=on_ack) as node:
            await node.caught_up()
            await node.write(SIZES)
            await node.caught_up()
            assert_each_once(node, SIZES)
        assert made[0].lost > 0
        assert made[0].doubled > 0
        assert len(node.reads) > 0
        other = await follow_all(kafka, journal, partitions)
        assert_each_once(other, SIZES)
        assert same(node, other)

    run(scenario)


@pytest.mark.parametrize("partitions", [1], indirect=True)
def test_writers_that_are_killed_in_the_middle(kafka: str, journal: str) -> None:
    sizes = [5000, 3000]
    command = [sys.executable, "-m", "tests.integration.journal_nodes", kafka, journal, *map(str, sizes)]

    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(8):
                assert process.stdout.readline() not in ("", "done\n")
            process.kill()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        told, _ = process.communicate(timeout=60)
    assert told.splitlines()[-1] == "done"
    assert process.returncode == 0

    async def scenario() -> None:
        assert_each_once(await follow_all(kafka, journal, 1), sizes)

    run(scenario)


@pytest.mark.parametrize("partitions", [1], indirect=True)
def test_two_owners_at_once(kafka: str, journal: str) -> None:
    async def scenario() -> None:
        async with running(kafka, journal) as one, running(kafka, journal) as other:
            await asyncio.gather(one.caught_up(), other.caught_up())
            await asyncio.gather(one.write(SIZES, 0.001), other.write(SIZES, 0.002))
            await asyncio.gather(one.caught_up(), other.caught_up())
            assert_each_once(one, SIZES)
            assert same(one, other)
            assert one.rules[0].counts.duplicate > 0

    run(scenario)
