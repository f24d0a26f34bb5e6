"""Requests while partitions move: what is under way, what waits, and what others may have answered."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from recommender.messages.request_headers import WAITED
from tests.support.answering_setup import REQUESTS, RESPONSES, Desk, request
from tests.support.doubles import until, users_of


async def test_when_partitions_move_waiting_requests_go_back_and_others_are_answered() -> None:
    desk = Desk()
    waiting = request(0, after=50, headers=[("correlation_id", b"\x00")])
    waiting.timestamp = int(time.time() * 1000)
    await desk.take(waiting, request(1))
    await desk.answerer.hand_over(600)
    (again,) = desk.sent.to(REQUESTS)
    assert (again.partition, again.key, again.value) == (0, waiting.key, waiting.value)
    assert (again.timestamp, again.headers[:-1]) == (waiting.timestamp, list(waiting.headers))
    name, waited = again.headers[-1]
    assert name == WAITED
    assert int(waited) < 60_000
    assert len(desk.sent.to(RESPONSES)) == 1
    assert sorted(desk.codes) == ["handed_over", "ok"]
    assert desk.done() == {0: 2}


async def test_a_request_whose_replica_leaves_while_it_waits_goes_back() -> None:
    desk = Desk(replicas=3)
    await desk.take(request(0, users_of(0, 3)[0], after=50))
    desk.replicas.drop(0)
    await desk.answers.learned()
    await until(lambda: desk.codes)
    assert desk.codes == ["handed_over"]
    assert len(desk.sent.to(REQUESTS)) == 1


async def test_handing_over_waits_for_replies_that_are_sent() -> None:
    desk = Desk(logs=True)
    answers = desk.sent.hold()
    await desk.take(request(0), request(1))
    handing_over = asyncio.create_task(desk.answerer.hand_over(600))
    for _ in range(2):  # the replies, and then their entries in the log
        await until(lambda: len(answers) == 2)
        assert (handing_over.done(), desk.done()) == (False, {0: 0})
        while answers:
            answers.pop().set_result(None)
    await handing_over
    assert (desk.codes, desk.logged, desk.done()) == (["ok", "ok"], [True, True], {0: 2})


async def test_handing_over_waits_only_so_long_and_then_requests_wait_again() -> None:
    desk = Desk()
    answers = desk.sent.hold()
    await desk.take(request(0))
    await until(lambda: answers)
    await desk.answerer.hand_over(0.01)
    assert desk.codes == []
    assert desk.done() == {0: 0}
    answers[0].set_result(None)
    await until(lambda: desk.codes)
    desk.keep_only({0})
    assert desk.start_at(0, 0) == 1
    waiting = request(1, after=3)
    waiting.timestamp = int(time.time() * 1000)
    await desk.take(waiting)
    await asyncio.sleep(0)
    assert desk.sent.to(REQUESTS) == []
    await desk.answerer.hand_over(0.01)
    answers[-1].set_result(None)


@pytest.mark.parametrize(("kept", "codes"), [({0}, ["ok", "ok", "ok"]), ({4}, ["ok"])])
async def test_while_partitions_move_no_request_is_begun(kept: set[int], codes: list[str]) -> None:
    desk = Desk()
    await desk.ask(request(0))
    await desk.answerer.hand_over(0.01)
    await desk.take(request(1), request(2))
    assert (desk.codes, desk.done()) == (["ok"], {0: 1})
    desk.keep_only(kept)
    await desk.take(request(1), request(2))
    assert desk.codes == ["ok"]
    if kept == {0}:
        assert desk.start_at(0, 1) == 1
    await desk.take(request(1), request(2))
    await until(lambda: len(desk.codes) == len(codes))
    assert desk.codes == codes


async def test_requests_of_a_partition_that_moved_away_are_left_to_its_owner() -> None:
    desk = Desk()
    desk.keep_only({4})
    await desk.take(request(0))
    assert (desk.sent.all, desk.done()) == ([], {})


async def begin_two(records: list[Any]) -> tuple[Desk, list[Any], asyncio.Task[None]]:
    """Hand a batch over, of which two requests are under way then and the rest waits for a place.

    The desk, the replies to be confirmed, and the handing over.
    """
    desk = Desk(under_way=2)
    answers = desk.sent.hold()
    taking = asyncio.create_task(desk.answerer.take(0, records))
    await until(lambda: len(answers) == 2)
    return desk, answers, taking


async def test_the_rest_of_a_batch_is_not_believed_when_its_partition_has_come_back() -> None:
    desk, answers, taking = await begin_two([request(each) for each in range(6)])
    desk.keep_only(set())
    desk.start_at(0, 1)  # whoever had it meanwhile has answered the first
    for each in answers:
        each.set_result(None)
    await taking
    assert desk.done() == {0: 1}


async def test_what_others_answered_while_this_worker_was_out_of_its_group_is_not_answered_again() -> None:
    stale: list[Any] = [request(each) for each in range(6)]
    desk, answers, taking = await begin_two(stale)
    await desk.answerer.hand_over(0.01)
    desk.keep_only({0})  # thrown out of its group, it is given back what it had
    for each in answers:
        each.set_result(None)
    await taking
    assert len(desk.sent.all) == 2
    await desk.answerer.take(0, stale)  # fetched before, and late
    assert desk.start_at(0, 5) == 5
    await desk.answerer.take(0, [*stale, request(6)])
    await until(lambda: len(answers) == 4)
    assert len(desk.sent.to(RESPONSES)) == 4
    assert desk.done() == {0: 5}
    for each in answers[2:]:
        each.set_result(None)
    await until(lambda: desk.done() == {0: 7})


async def test_what_is_under_way_holds_nothing_back_once_others_have_answered_it() -> None:
    desk = Desk()
    answers = desk.sent.hold()
    await desk.take(request(0), request(1))
    await until(lambda: len(answers) == 2)
    await desk.answerer.hand_over(0.01)
    desk.keep_only({0})
    assert desk.start_at(0, 1) == 2
    assert desk.done() == {0: 1}
    assert desk.start_at(0, 7) == 7
    assert desk.done() == {0: 7}
    for each in answers:
        each.set_result(None)
