"""Answers: from whom, once what is asked for is known, and what is said where that does not come."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from recommender.journal.block import Source
from recommender.messages.requests import After, Request
from recommender.messages.responses import Failure, Response
from recommender.shard.options import ShardOptions
from recommender.worker.answers import HandedOver, NotHeld
from recommender.worker.together import Together
from tests.support.answering_setup import Desk
from tests.support.doubles import until, users_of
from tests.support.journals import SOURCE


async def ask(desk: Desk, seconds: float = 0.0, identity: bytes = b"", **fields: Any) -> Response:
    request = Request(**{"user": "rater", **fields})
    return await desk.answers.answer(request, identity, time.monotonic() + seconds)


def waiting(desk: Desk, **fields: Any) -> asyncio.Task[Response]:
    return asyncio.create_task(ask(desk, 600.0, **fields))


FORMS = {
    "of the user's partition": 4,
    "of a partition": After(partition=0, offset=4),
    "of the journal": After(journal=1),
}


@pytest.mark.parametrize("form", FORMS)
async def test_an_answer_waits_for_what_it_has_to_know(form: str) -> None:
    desk = Desk()
    asked = waiting(desk, after=FORMS[form], include_rated=True)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not asked.done()
    if form != "of the journal":
        desk.learn(1)
        await desk.answers.learned()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not asked.done()
    desk.learn(1)
    await desk.answers.learned()
    response = await asked
    assert (response.partition, response.offset) == (0, desk.rated - 1)
    assert response.journal == len(desk.journal.blocks) - 1
    assert f"i{desk.rated - 1}" in [each.item for each in response.items]
    # What is known already is not waited for.
    assert (await ask(desk, after=FORMS[form])).offset == desk.rated - 1


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (3, "after offset 3 of ratings partition 0, but this worker has learned up to offset 2 of it"),
        (
            After(partition=5, offset=1),
            "after offset 1 of ratings partition 5, but this worker has learned nothing of it",
        ),
        (After(journal=7), "after offset 7 of the journal, but it is followed up to offset 0"),
    ],
)
async def test_what_does_not_come_in_time_is_told(after: int | After, told: str) -> None:
    with pytest.raises(Failure) as caught:
        await ask(Desk(), after=after)
    assert (caught.value.code, caught.value.retriable) == ("not_caught_up", True)
    assert str(caught.value) == f"asked to answer {told}"


async def test_the_partition_of_a_user_follows_from_how_many_there_are_now() -> None:
    desk = Desk(partitions=2)
    user = users_of(1, 2)[0]
    desk.learn(6, partition=1)
    assert (await ask(desk, user=user, after=5)).partition == 1
    desk.partitions = 1
    assert (await ask(desk, user=user)).partition == 0
    with pytest.raises(Failure, match="after offset 5 of ratings partition 0"):
        await ask(desk, user=user, after=5)


async def test_offsets_of_another_topic_of_ratings_do_not_count() -> None:
    desk = Desk()
    desk.held.replica.applied[Source(bytes(16), 0)] = 1000
    with pytest.raises(Failure, match="up to offset 2"):
        await ask(desk, after=500)
    assert desk.held.replica.applied[SOURCE] == 3


async def test_while_its_replica_is_behind_all_wait() -> None:
    desk = Desk()
    desk.held.caught_up = False
    with pytest.raises(Failure, match="this worker still follows the journal to its end"):
        await ask(desk)
    asked = waiting(desk)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not asked.done()
    desk.held.caught_up = True
    await desk.answers.learned()
    assert (await asked).offset == 2


async def test_who_waits_gives_its_place_to_others_meanwhile() -> None:
    desk, seen = Desk(), list[str]()
    place = asyncio.Semaphore(0)

    async def take() -> None:
        await place.acquire()
        seen.append("resumed")

    def answer(**fields: Any) -> asyncio.Task[Response]:
        request = Request("rater", **fields)
        limit = time.monotonic() + 600
        work = desk.answers.answer(request, b"", limit, resting=lambda: seen.append("resting"), resumed=take)
        return asyncio.create_task(work)

    await answer()
    assert seen == []
    asked = answer(after=3)
    await until(lambda: seen)
    desk.learn(1)
    await desk.answers.learned()
    for _ in range(5):
        await asyncio.sleep(0)
    assert (seen, asked.done()) == (["resting"], False)
    place.release()
    await asked
    assert seen == ["resting", "resumed"]


async def test_too_many_that_wait_are_refused() -> None:
    desk = Desk(max_waiting=2)
    asked = [waiting(desk, after=3) for _ in range(2)]
    await until(lambda: desk.answers.waiting == 2)
    with pytest.raises(Failure, match="2 requests wait already") as caught:
        await ask(desk, 600.0, after=3)
    assert (caught.value.code, caught.value.retriable) == ("not_caught_up", True)
    assert (await ask(desk)).offset == 2
    desk.learn(1)
    await desk.answers.learned()
    await asyncio.gather(*asked)
    with pytest.raises(Failure, match="asked to answer after"):  # there is room again
        await ask(desk, after=100)


async def test_handing_over_ends_all_waiting_until_it_is_resumed() -> None:
    desk = Desk()
    asked = waiting(desk, after=3)
    await asyncio.sleep(0)
    await desk.answers.hand_over()
    with pytest.raises(HandedOver):
        await asked
    with pytest.raises(HandedOver):
        await ask(desk, 600.0, after=3)
    assert (await ask(desk)).offset == 2  # what waits for nothing is answered
    desk.answers.resume()
    again = waiting(desk, after=3)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not again.done()
    desk.learn(1)
    await desk.answers.learned()
    await again


async def test_of_several_replicas_the_users_answers_and_the_others_are_elsewhere() -> None:
    desk = Desk(replicas=3, options=ShardOptions("item-knn"))
    mine, other = users_of(0, 3)[0], users_of(2, 3)[0]
    assert (await ask(desk, user=mine)).user == mine
    with pytest.raises(NotHeld) as caught:
        await ask(desk, user=other)
    assert caught.value.partition == 2
    # Similar items are any replica's business.
    assert (await ask(desk, user=None, similar_to="i0")).user is None
    asked = waiting(desk, user=mine, after=50)
    await asyncio.sleep(0)
    desk.replicas.drop(0)
    await desk.answers.learned()
    with pytest.raises(HandedOver):
        await asked


async def test_similar_items_may_wait_for_the_journal_and_for_a_partition_but_are_nobodys() -> None:
    desk = Desk(options=ShardOptions("item-knn"))
    assert (await ask(desk, user=None, similar_to="i0", after=10**6)).offset == -1
    with pytest.raises(Failure, match="offset 5 of the journal"):
        await ask(desk, user=None, similar_to="i0", after=After(journal=5))
    with pytest.raises(Failure, match="ratings partition 0"):
        await ask(desk, user=None, similar_to="i0", after=After(partition=0, offset=5))


async def test_exploration_draws_by_the_identity() -> None:
    desk = Desk()
    desk.learn(200)
    asked: dict[str, Any] = {"user": "somebody", "explore": 0.5}
    one, again, other = [await ask(desk, identity=each, **asked) for each in (b"1", b"1", b"2")]
    assert one.items == again.items != other.items


async def test_a_replica_that_is_put_back_meanwhile_answers_nothing() -> None:
    desk = Desk()
    request = Request("rater", include_rated=True)
    asked = asyncio.create_task(desk.answers.answer(request, b"", time.monotonic(), together=Together()))
    await asyncio.sleep(0)
    held = desk.replicas.get(0)
    assert held is not None
    held.caught_up = False
    with pytest.raises(Failure) as caught:
        await asked
    assert (caught.value.code, caught.value.retriable) == ("not_caught_up", True)
    held.caught_up = True
    plain = await ask(desk, include_rated=True)
    assert await desk.answers.answer(request, b"", time.monotonic(), together=Together()) == plain
