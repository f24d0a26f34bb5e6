"""Ingestion of partitions that come, go and come back, or begin somewhere else."""

from __future__ import annotations

import asyncio
import logging

import pytest

from recommender.journal.errors import SourceShorter
from tests.support.doubles import until
from tests.support.ingesting_setup import bad, batch, begun, rating


async def test_what_moved_away_is_left_alone_and_its_answers_are_waited_for() -> None:
    worker = await begun()
    await worker.ingestor.take(batch([rating(0)]))
    await worker.ingestor.take(batch([rating(1)]))
    revoking = asyncio.create_task(worker.ingestor.revoke([3]))
    await asyncio.sleep(0)
    assert worker.ingestor.committable() == {}
    await worker.ingestor.take(batch([bad(2)]))
    assert (len(worker.ranges()), worker.letters()) == (2, [])
    await worker.answer(0, 1)
    assert await revoking == {3: 2}
    assert await worker.ingestor.revoke() == {}


async def test_who_comes_back_forgets_what_it_passed() -> None:
    worker = await begun()
    await worker.ingestor.take(batch([rating(0)], end=9))
    await worker.answer(0)
    await worker.ingestor.revoke()
    worker.applied = 1
    assert await worker.begin() == 1
    assert worker.ingestor.committable() == {3: 1}


async def test_what_is_refused_is_read_again_and_counted_again_only_then() -> None:
    worker = await begun()
    await worker.ingestor.take(batch([rating(0)]))
    await worker.ingestor.take(batch([rating(1)]))
    worker.journal.refuse(0)
    await asyncio.sleep(0)
    await worker.ingestor.take(batch([rating(2)]))  # fetched before it was refused
    assert len(worker.ranges()) == 2
    await worker.answer(1)
    assert worker.ingestor.committable() == {3: 0}
    await until(lambda: worker.reads)
    assert worker.reads == [0]
    await worker.ingestor.take(batch([rating(0), rating(1), rating(2)]))
    assert worker.ranges()[-1] == (0, 3, 3)
    await worker.answer(2)
    assert worker.ingestor.committable() == {3: 3}


@pytest.mark.parametrize(
    ("applied", "committed", "expected"),
    [(40, 30, 40), (40, 50, 40), (0, None, 0), (None, 30, 30), (None, None, 0)],
)
async def test_it_begins_where_the_source_is_applied_or_else_where_the_group_is(
    applied: int | None, committed: int | None, expected: int
) -> None:
    worker = await begun()
    worker.applied = applied
    followed = worker.followed
    assert await worker.begin(committed=committed) == expected
    assert worker.followed == followed + 1
    assert worker.ingestor.committable() == {3: expected}


async def test_a_source_that_ends_before_what_is_applied_is_refused() -> None:
    worker = await begun()
    worker.applied = 40
    with pytest.raises(SourceShorter, match=r"ratings\[3\] ends at offset 39, but offset 40 comes next"):
        await worker.begin(ends=39)


@pytest.mark.parametrize(("applied", "level"), [(40, logging.WARNING), (0, logging.INFO)])
async def test_what_expired_before_it_was_read_is_told(
    applied: int, level: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        worker = await begun()
        worker.applied = applied
        assert await worker.begin(begins=60) == 60
        # The first block accounts for what is gone, else nothing behind it would count.
        for _ in range(2):
            await worker.ingestor.take(batch([rating(60)]))
        assert worker.ranges() == [(applied, 61, 1)]
    (told,) = [each for each in caplog.records if each.name == "recommender.worker.ingestor"]
    assert told.levelno == level
    assert told.getMessage() == f"ratings[3] begins at offset 60, and offset {applied} comes next"
