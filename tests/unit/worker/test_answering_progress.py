"""Requests that wait for learning, and which requests count as answered."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.messages.request_headers import WAITED
from recommender.worker.progress import PartitionProgress
from tests.support.answering_setup import REQUESTS, RESPONSES, Desk, body, error_of, request
from tests.support.doubles import few, until


def now() -> int:
    return int(time.time() * 1000)


async def test_what_was_learned_already_is_not_waited_for() -> None:
    desk = Desk()
    (reply,) = await desk.ask(request(after=2))
    assert body(reply)["as_of"]["offset"] == 2


async def test_a_request_waits_for_what_it_wants_to_see() -> None:
    desk = Desk()
    waiting = request(0, after=5, include_rated=True)
    waiting.timestamp = now()
    await desk.take(waiting)
    await desk.ask(request(1))  # others do not wait for it
    assert desk.done() == {0: 0}
    desk.learn(2)
    await desk.answers.learned()
    assert len(await desk.ask(request(2))) == 2
    desk.learn(1)
    await desk.answers.learned()
    await until(lambda: len(desk.codes) == 3)
    told = body(desk.sent.to(RESPONSES)[-1])
    assert told["as_of"]["offset"] == 5
    assert "i5" in [each["item"] for each in told["items"]]
    assert desk.done() == {0: 3}


async def test_a_request_does_not_wait_for_ever() -> None:
    desk = Desk(request_wait=0.01)
    waiting = request(after=3)
    waiting.timestamp = now()
    (reply,) = await desk.ask(waiting)
    error = error_of(reply)
    assert (error["code"], error["retriable"]) == ("not_caught_up", True)
    assert error["message"] == (
        "asked to answer after offset 3 of ratings partition 0, but this worker has learned up to "
        "offset 2 of it"
    )


@pytest.mark.parametrize("behind", [601_000, -601_000, 10**12, -(10**12), None])
async def test_the_wait_is_by_our_own_clock_whatever_the_request_says(behind: int | None) -> None:
    waits, gives_up = Desk(request_wait=600.0), Desk(request_wait=0.01)
    for desk in waits, gives_up:
        waiting = request(after=3)
        waiting.timestamp = -1 if behind is None else now() - behind
        await desk.take(waiting)
    await until(lambda: gives_up.codes)
    assert gives_up.codes == ["not_caught_up"]
    assert waits.codes == []
    waits.learn(1)
    await waits.answers.learned()
    await until(lambda: waits.codes)
    assert waits.codes == ["ok"]


async def test_what_it_has_waited_before_it_went_back_counts() -> None:
    desk = Desk(request_wait=600.0)
    (reply,) = await desk.ask(request(after=3, headers=[(WAITED, b"600000")]))
    assert error_of(reply)["code"] == "not_caught_up"
    for nonsense in (b"", b"-1", b"soon", b"9" * 11):
        await desk.take(request(desk.answerer.progress[0].next, after=3, headers=[(WAITED, nonsense)]))
    assert len(desk.codes) == 1


async def test_the_deadline_ends_the_wait() -> None:
    desk = Desk(request_wait=600.0)
    waiting = request(after=3, headers=[("deadline-ms", str(now() + 50).encode())])
    waiting.timestamp = now()
    (reply,) = await desk.ask(waiting)
    assert error_of(reply)["code"] in ("not_caught_up", "deadline_exceeded")


async def test_an_absurd_offset_is_waited_for_like_any_other() -> None:
    (reply,) = await Desk(request_wait=0.0).ask(request(after=10**30))
    assert error_of(reply)["code"] == "not_caught_up"


async def test_only_what_is_answered_without_a_hole_may_be_committed() -> None:
    desk = Desk()
    answers = desk.sent.hold()
    await desk.take(*(request(each) for each in range(10, 13)))
    await until(lambda: len(answers) == 3)
    for place, done in ((2, 10), (0, 11), (1, 13)):
        desk.codes.clear()
        answers[place].set_result(None)
        await until(lambda: desk.codes)
        assert desk.done() == {0: done}


async def test_requests_that_come_again_are_not_answered_again() -> None:
    desk = Desk()
    await desk.ask(request(0), request(1))
    await desk.take(request(0), request(1))
    await desk.ask(request(2))
    assert len(desk.sent.all) == 3


async def test_reading_starts_where_this_worker_or_the_group_got_to() -> None:
    desk = Desk()
    assert desk.start_at(1, 70) == 70
    await desk.ask(request(0), request(1))
    assert desk.start_at(0, 1) == 2
    assert desk.start_at(0, 9) == 9
    desk.keep_only({0})
    assert desk.start_at(1, 5) == 5


@few
@given(st.permutations(range(8)))
def test_progress_equals_a_naive_search(order: list[int]) -> None:
    progress = PartitionProgress(8, set(range(8)))
    answered: set[int] = set()
    for offset in order:
        assert progress.done == min(set(range(8)) - answered)
        progress.open.discard(offset)
        answered.add(offset)
    assert progress.done == 8


async def test_answering_moves_past_what_is_no_record() -> None:
    """As the marks of transactions; but not past what is open."""
    desk = Desk()
    await desk.ask(request(0))
    desk.answerer.passed(0, 2)
    assert desk.done() == {0: 2}
    desk.answerer.passed(0, 1)
    desk.answerer.passed(7, 5)  # it moved away
    assert desk.done() == {0: 2}
    answers = desk.sent.hold()
    await desk.take(request(4))
    desk.answerer.passed(0, 9)
    await until(lambda: answers)
    assert desk.done() == {0: 4}
    answers[0].set_result(None)
    await until(lambda: desk.done() == {0: 9})
    # While partitions move, nobody knows who reads what.
    await desk.answerer.hand_over(0.01)
    desk.answerer.passed(0, 20)
    assert desk.done() == {0: 9}


def test_where_to_read_on(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(partitions=4)
    assert desk.start_at(1, 0, 5, 9) == 5  # never seen
    assert desk.start_at(2, 7, 5, 9) == 7
    assert desk.start_at(2, 6, 5, 9) == 7  # further than what is committed
    assert desk.start_at(2, 8, 5, 9) == 8  # another worker got further meanwhile
    assert caplog.messages == []
    assert [desk.start_at(partition, 3, 6, 9) for partition in (3, 3, 2)] == [6, 6, 8]
    (told,) = caplog.messages
    assert told.startswith(f"{REQUESTS}[3]: offsets 3 to 5 were deleted")


def test_a_request_topic_that_was_made_again_is_read_from_its_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk(partitions=2)
    assert desk.start_at(1, 50, 0, 60) == 50
    assert desk.start_at(1, 0, 0, 20) == 0
    assert desk.start_at(1, 0, 0, 20) == 0
    (told,) = caplog.messages
    assert told.startswith(f"{REQUESTS}[1] ends at offset 20, but was answered up to 50")


async def test_without_a_committed_offset_old_requests_are_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    desk = Desk(partitions=2)
    assert desk.start_at(1, None, 3, 900, 700) == 700
    assert desk.done() == {0: 0, 1: 700}
    # A rebalance that leaves it here asks again.
    assert desk.start_at(1, None, 3, 900, 800) == 700
    assert desk.start_at(1, 20, 3, 900, None) == 700
    (told,) = caplog.messages
    assert told == (
        f"{REQUESTS}[1]: the group has no committed offset here; offsets 3 to 699 are older than 60 s and "
        "are passed over"
    )


def test_where_all_is_young_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(partitions=2)
    assert desk.start_at(1, None, 3, 900, 3) == 3
    assert caplog.messages == []


async def test_a_time_from_the_future_shows_nothing(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.keep_only(set())
    desk.start_at(0, None, 0, 6, 0)
    times = [10**12, -1, 0, -600, 10**12, 10**12, -600]  # seconds from now; at the end one that is new
    records = [request(each) for each in range(len(times))]
    for record, seconds in zip(records, times, strict=True):
        record.timestamp = -1 if seconds == -1 else now() + 1000 * seconds
    await desk.take(*records)
    await until(lambda: len(desk.codes) == 5)
    assert desk.done() == {0: 7}
    (told,) = caplog.messages
    assert told.startswith(f"{REQUESTS}[0] offset 0 has a time that is not of now")


async def test_what_came_since_is_answered_whatever_its_time_is() -> None:
    desk = Desk()
    desk.keep_only(set())
    desk.start_at(0, None, 0, 1, 1)
    assert len(await desk.ask(request(1), request(2))) == 2
