"""Continuity: what was lost on the way is fetched again, what is gone from the log is told."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from recommender.continuity import SIGHTINGS, Continuity
from tests.unit.doubles import few


class Log:
    """A log of which some offsets are missing, and fetches that may lose what they read."""

    def __init__(self, offsets: list[int], begins: int | None = 0) -> None:
        self.offsets = offsets
        self.begins = begins
        self.position = 0
        self.sought: list[tuple[int, int]] = []

    async def seek(self, partition: int, offset: int) -> int | None:
        self.sought.append((partition, offset))
        self.position = offset
        return self.begins

    def fetch(self, count: int) -> list[int]:
        found = [each for each in self.offsets if each >= self.position][:count]
        if found:
            self.position = found[-1] + 1
        return found


def test_what_continues_or_comes_again_is_taken() -> None:
    async def scenario() -> None:
        log = Log([])
        continuity = Continuity("ratings", log.seek)
        assert await continuity.follows(0, 5, 5)
        assert await continuity.follows(0, 5, 3)
        assert log.sought == []

    asyncio.run(scenario())


def test_a_gap_is_taken_only_if_it_is_there_again() -> None:
    async def scenario() -> None:
        log = Log([])
        told: list[tuple[int, ...]] = []
        continuity = Continuity("ratings", log.seek, lambda *gap: told.append(gap))
        assert not await continuity.follows(0, 5, 8)
        assert not await continuity.follows(1, 5, 8)  # another partition
        assert not await continuity.follows(0, 5, 7)  # another gap
        assert not await continuity.follows(0, 5, 7)  # it may have been lost again
        assert await continuity.follows(0, 5, 7)
        assert not await continuity.follows(0, 5, 7)  # what was taken says nothing about later
        assert log.sought == [(0, 5), (1, 5), (0, 5), (0, 5), (0, 5)]
        assert told == []

    asyncio.run(scenario())


def test_what_the_log_no_longer_has_is_told() -> None:
    async def scenario() -> None:
        told: list[tuple[int, int, int]] = []
        continuity = Continuity("ratings", Log([], begins=9).seek, lambda *gap: told.append(gap))
        for _ in range(SIGHTINGS - 1):
            assert not await continuity.follows(2, 5, 9)
        assert told == []
        assert await continuity.follows(2, 5, 9)
        assert told == [(2, 5, 9)]

    asyncio.run(scenario())


@few
@given(
    offsets=st.sets(st.integers(0, 60)).map(sorted),
    steps=st.lists(st.tuples(st.integers(1, 7), st.booleans())),
)
def test_nothing_is_passed_over_whatever_is_lost(offsets: list[int], steps: list[tuple[int, bool]]) -> None:
    async def scenario() -> None:
        log = Log(offsets)
        taken: list[int] = []
        continuity = Continuity("ratings", log.seek)
        losses: Counter[int] = Counter()
        for count, lost in [*steps, *[(7, False)] * 3 * 60]:
            begin, batch = log.position, log.fetch(count)
            following = taken[-1] + 1 if taken else 0
            losses[begin] += lost
            # Losing the same again and again looks like a gap.
            arrives = batch and (not lost or losses[begin] >= SIGHTINGS)
            if arrives and await continuity.follows(0, following, batch[0]):
                taken += [each for each in batch if each >= following]
        # What was lost at the very end comes when something follows it.
        assert taken == offsets[: len(taken)]
        if not any(lost for _, lost in steps):
            assert taken == offsets

    asyncio.run(scenario())
