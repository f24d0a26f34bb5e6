"""Giving partitions up: replies are committed first, and a slow store holds nobody up for long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP

from recommender.kafka.topics import Topics
from recommender.worker.commits import Commits
from recommender.worker.saving import Saving
from recommender.worker.shards import Shards
from tests.unit.worker.test_shards import learn, opened, shards_in

TOPICS = Topics()
RATINGS, REQUESTS = TP(TOPICS.ratings, 0), TP(TOPICS.requests, 0)


class Answers:
    """Has answered up to an offset, and once more is asked for, up to the next."""

    def __init__(self) -> None:
        self.offset = 0

    async def hand_over(self, within: float) -> None:
        self.offset += 10

    def done(self) -> dict[int, int]:
        return {0: self.offset}


class Setup:
    """A worker with one shard that has learned, and what it commits."""

    def __init__(self, shards: Shards) -> None:
        self.shards = shards
        self.answers = Answers()
        self.took: list[dict[TP, int]] = []
        answerer: Any = self.answers
        self.saving = Saving(shards, answerer, Commits(self._commit), TOPICS)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        self.took.append(dict(offsets))
        return True


async def set_up(directory: Path) -> Setup:
    shards = shards_in(directory)
    learn((await opened(shards)).shard, 3)
    return Setup(shards)


def test_what_is_answered_and_learned_is_durable_in_the_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        worker = await set_up(tmp_path)
        await worker.saving.settle()
        assert worker.took == [{REQUESTS: 10}, {RATINGS: 3}]
        assert worker.shards.held[0].saved == 3

    asyncio.run(scenario())


def test_a_slow_store_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        worker = await set_up(tmp_path)
        goes_on, save = threading.Event(), worker.shards.store.save

        saves = []

        def slow(partition: int, offset: int, state: Any) -> Any:
            saves.append(offset)
            assert goes_on.wait(60)
            return save(partition, offset, state)

        monkeypatch.setattr(worker.shards.store, "save", slow)
        await asyncio.wait_for(worker.saving.settle(0.1), 30)
        assert worker.took == [{REQUESTS: 10}]
        assert worker.shards.held[0].saved == -1
        # The partition stays here after all: what was being written is, once.
        goes_on.set()
        await worker.saving.save()
        assert worker.took == [{REQUESTS: 10}, {RATINGS: 3}]
        assert saves == [3]

    asyncio.run(scenario())


def test_a_mistake_in_saving_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        worker = await set_up(tmp_path)
        monkeypatch.setattr(worker.shards.store, "save", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await worker.saving.settle()

    asyncio.run(scenario())
