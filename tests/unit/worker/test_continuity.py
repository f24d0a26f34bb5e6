"""Continuity: what was lost on the way is fetched again, what is gone from the log is told."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from recommender.worker.continuity import Continuity
from recommender.worker.transport.batch import Batch
from tests.support.doubles import FakeRecord, few


def batch_of(offsets: list[int], position: int | None = None, begins: int = 0) -> Batch:
    records: list[Any] = [FakeRecord(offset, b"") for offset in offsets]
    return Batch("ratings", 0, records, position, begins)


class Log:
    """A log of which some offsets are missing, and of which the beginning may be deleted."""

    def __init__(self, offsets: list[int]) -> None:
        self.offsets = offsets
        self.begins = 0
        self.position = 0
        self.told_begins = 0
        self.asked = 0
        self.sought: list[int] = []
        self.deleted: list[tuple[int, int]] = []
        self.continuity = Continuity("ratings", self.seek, lambda _, *gap: self.deleted.append(gap))

    async def seek(self, partition: int, offset: int) -> None:
        self.sought.append(offset)
        self.position = self.asked = offset
        self.told_begins = 0

    def fetch(self, count: int) -> Batch | None:
        if self.asked < self.begins:
            self.asked = self.told_begins = self.begins
        found = [each for each in self.offsets if each >= self.asked][:count]
        if not found:
            return None
        batch = batch_of(found, self.position, self.told_begins)
        self.position = self.asked = found[-1] + 1
        return batch


def test_what_continues_or_comes_again_is_taken() -> None:
    async def scenario() -> None:
        log = Log([])
        for offsets, position in (([5], 5), ([3], 3), ([3], 0), ([5], None)):
            assert await log.continuity.follows(batch_of(offsets, position), 5)
        assert (log.sought, log.deleted) == ([], [])

    asyncio.run(scenario())


def test_what_kafka_does_not_have_is_not_waited_for() -> None:
    async def scenario() -> None:
        log = Log([])
        assert await log.continuity.follows(batch_of([8], 5), 5)
        assert await log.continuity.follows(batch_of([8], 4), 5)
        assert (log.sought, log.deleted) == ([], [])

    asyncio.run(scenario())


def test_what_was_lost_is_read_again_however_often() -> None:
    async def scenario() -> None:
        log = Log([])
        for _ in range(50):
            assert not await log.continuity.follows(batch_of([8], 6), 5)
            assert not await log.continuity.follows(batch_of([8]), 5)  # nobody knows from where
        assert log.sought == [5] * 100

    asyncio.run(scenario())


def test_what_kafka_deleted_is_told() -> None:
    async def scenario() -> None:
        log = Log([])
        assert await log.continuity.follows(batch_of([9], 5, begins=9), 5)
        assert await log.continuity.follows(batch_of([9], 5, begins=7), 5)
        assert await log.continuity.follows(batch_of([9], 5, begins=20), 5)  # more is deleted since
        assert log.deleted == [(5, 9), (5, 7), (5, 9)]
        assert await log.continuity.follows(batch_of([9], 5, begins=3), 5)
        assert not await log.continuity.follows(batch_of([9], 7, begins=9), 5)
        assert len(log.deleted) == 3

    asyncio.run(scenario())


STEPS = ["fetch", "fetch", "lose", "delay", "delete"]


@few
@given(
    offsets=st.sets(st.integers(0, 60)).map(sorted),
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.integers(1, 7)), max_size=60),
)
def test_each_record_is_taken_or_was_deleted(offsets: list[int], steps: list[tuple[str, int]]) -> None:
    """Whatever is lost, and how often; also while other batches are still on their way."""

    async def scenario() -> None:
        log = Log(offsets)
        under_way: list[Batch] = []
        taken: list[int] = []
        following = 0
        # One more record tells of what was lost before it.
        log.offsets = [*offsets, 100]
        for kind, count in [*steps, *[("fetch", 7)] * 30]:
            if kind == "delete":
                log.begins = min(100, log.begins + count)
                log.offsets = [each for each in log.offsets if each >= log.begins]
                continue
            batch = log.fetch(count)
            if batch is not None and kind != "lose":
                under_way.append(batch)
            if batch is not None and kind == "lose" and batch.offset == 100:
                log.position = log.asked = 100  # nothing would tell of it
            while under_way and kind == "fetch":
                batch = under_way.pop(0)
                if await log.continuity.follows(batch, following):
                    new = [each.offset for each in batch.records if each.offset >= following]
                    taken += new
                    following = max(following, batch.offset + 1)
        gone = {each for first, stop in log.deleted for each in range(first, stop)}
        assert taken == sorted(set(taken))
        assert taken[-1] == 100
        assert set(taken).isdisjoint(gone)
        assert set(offsets) <= set(taken) | gone
        if not any(kind == "delete" for kind, _ in steps):
            assert (taken, log.deleted) == ([*offsets, 100], [])

    asyncio.run(scenario())
