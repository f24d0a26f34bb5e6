"""Long work gives way to all that is ready, but not for ever; and knows how much fits into a stretch."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.worker.pacing import IDLE_FACTOR, MIN_RECORDS, Pace, RecentRequests, give_way
from tests.support.doubles import few


def chain(length: int, done: list[int]) -> None:
    """Work of so many turns of the event loop, each made ready by the one before."""
    if length:
        asyncio.get_running_loop().call_soon(chain, length - 1, done)
    else:
        done.append(length)


async def test_all_that_is_ready_is_done_first_and_what_that_makes_ready() -> None:
    done: list[int] = []
    for length in (1, 7, 40):
        chain(length, done)
    await give_way(60.0)
    assert len(done) == 3


async def test_what_waits_holds_nobody_up() -> None:
    waiting = asyncio.create_task(asyncio.Event().wait())
    await give_way(60.0)
    assert not waiting.done()
    waiting.cancel()


async def test_tasks_that_give_way_do_not_wait_for_each_other() -> None:
    done: list[int] = []
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return looks

    chain(20, done)
    await asyncio.gather(*(give_way(1000.0, clock) for _ in range(3)))
    assert done
    assert looks < 100


async def test_where_something_is_always_ready_it_goes_on_after_a_while() -> None:
    ticks = 0
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await give_way(10.0, clock)
    assert 9 <= ticks <= 11
    await give_way(0.0, clock)
    assert ticks <= 12
    ticking.cancel()


async def test_an_event_loop_that_does_not_say_what_is_ready_gets_one_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[int] = []
    loop: Any = asyncio.get_running_loop()
    loop.call_soon(done.append, 1)
    chain(2, done)
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "get_running_loop", object)
        await give_way(60.0)
    assert done == [1]


@few
@given(
    each=st.floats(1e-7, 1e-2),
    seconds=st.floats(1e-3, 0.1),
    most=st.integers(1, 5000),
    asked=st.booleans(),
)
def test_a_stretch_is_as_long_as_it_may_be_and_no_longer(
    each: float, seconds: float, most: int, asked: bool
) -> None:
    recent = RecentRequests()
    if asked:
        recent.note()
    pace, spent, stretches = Pace(seconds if asked else seconds / IDLE_FACTOR, recent), 0.0, []
    for _ in range(50):
        count = pace.count(most)
        assert 1 <= count <= most
        spent += count * each
        if pace.is_over(count, count * each):
            stretches.append((spent, count))
            spent = 0.0
    # The first finds out how long one takes; a run of the least number is never parted.
    for took, count in stretches[1:]:
        assert took <= max(seconds, min(most, MIN_RECORDS) * each) * 1.0001
        assert took + count * each > seconds * 0.9999


def test_it_follows_a_speed_that_changes() -> None:
    pace = Pace(0.01 / IDLE_FACTOR, RecentRequests())
    for each, expected in ((1e-5, 1000), (1e-4, MIN_RECORDS), (2e-6, 2048)):
        for _ in range(60):
            count = pace.count(2048)
            pace.is_over(count, count * each)
        assert pace.count(2048) == pytest.approx(expected, rel=0.01)
