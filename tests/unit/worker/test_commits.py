"""Offsets are committed upwards, each once, and not while the group shares its partitions anew."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from recommender.worker.commits import Commits


class Kafka:
    """Takes commits, or refuses them."""

    def __init__(self) -> None:
        self.took: list[dict[int, int]] = []
        self.refuses = False
        self.busy = asyncio.Event()
        self.busy.set()

    async def commit(self, offsets: Mapping[int, int]) -> bool:
        await self.busy.wait()
        if not self.refuses:
            self.took.append(dict(offsets))
        return not self.refuses


async def test_only_what_is_further_is_committed() -> None:
    kafka = Kafka()
    commits = Commits(kafka.commit)
    await commits.advance({0: 5, 1: 0})
    await commits.advance({0: 5, 1: 3})
    await commits.advance({0: 4, 1: 3})
    assert kafka.took == [{0: 5}, {1: 3}]


async def test_what_was_refused_is_committed_again() -> None:
    kafka = Kafka()
    commits = Commits(kafka.commit)
    kafka.refuses = True
    await commits.advance({0: 5})
    kafka.refuses = False
    await commits.advance({0: 5})
    assert kafka.took == [{0: 5}]


async def test_nothing_is_committed_between_stop_and_resume() -> None:
    kafka = Kafka()
    commits = Commits(kafka.commit)
    kafka.busy.clear()
    begun = asyncio.create_task(commits.advance({0: 5}))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(commits.stop())
    await asyncio.sleep(0)
    assert not stopping.done()
    kafka.busy.set()
    await asyncio.gather(begun, stopping)
    await commits.advance({0: 9})
    assert kafka.took == [{0: 5}]
    commits.resume()
    # Whoever gets the partition now may have to be told again how far it is.
    await commits.advance({0: 5})
    assert kafka.took == [{0: 5}] * 2


async def test_where_offset_0_says_something_it_is_committed() -> None:
    kafka = Kafka()
    commits = Commits(kafka.commit, least=-1)
    await commits.advance({0: 0})
    await commits.advance({0: 0})
    assert kafka.took == [{0: 0}]
