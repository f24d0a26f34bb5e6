"""What several tasks wait for is done in one go, in their order, and no longer than a turn may take."""

from __future__ import annotations

import asyncio
import contextlib
import time

import pytest

from recommender.worker.together import Together


async def test_all_that_wait_are_done_in_one_turn_in_order() -> None:
    together, steps = Together(), list[str]()

    def done(number: int) -> int:
        steps.append(f"does {number}")
        return number

    async def ask(number: int) -> int:
        steps.append(f"asks {number}")
        found = await together.run(lambda: done(number))
        steps.append(f"has {number}")
        return found

    assert await asyncio.gather(*map(ask, range(3))) == [0, 1, 2]
    assert steps == [f"{what} {number}" for what in ("asks", "does", "has") for number in range(3)]
    assert await ask(7) == 7


async def test_errors_are_of_whom_they_concern() -> None:
    together = Together()
    failing = asyncio.create_task(together.run(lambda: 1 // 0))
    assert await together.run(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        await failing


async def test_whoever_waits_no_more_is_passed_over() -> None:
    together, done = Together(), list[int]()
    task = asyncio.create_task(together.run(lambda: done.append(1)))
    await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await together.run(lambda: done.append(2))
    assert done == [2]


async def test_a_turn_ends_where_it_takes_too_long() -> None:
    together, turns = Together(seconds=0.001), 0
    tasks = [asyncio.create_task(together.run(lambda: time.sleep(0.002))) for _ in range(5)]
    while not all(task.done() for task in tasks):
        turns += 1
        await asyncio.sleep(0)
    assert turns >= 5
