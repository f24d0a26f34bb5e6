"""The recommendations log: what was shown is in it once, and it never costs a reply."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from recommender.experiments.log_writer import LogLimits, request_name
from recommender.messages.recommendations_log import MAX_NAME, decode
from recommender.messages.request_headers import FORWARDED, RETURNED, RequestHeaders, returned
from recommender.shard.arms import Arms
from recommender.shard.exploration import Exploration
from recommender.shard.options import ShardOptions
from tests.support.answering_setup import LOG, REQUESTS, RESPONSES, Desk, body, request
from tests.support.doubles import FakeRecord, until, users_of
from tests.unit.worker.test_replies import TryAgainError

ARMS = ShardOptions("cooc", experiment=Arms.parse("cooc:1,mf:1"), exploration=Exploration("epsilon", 0.5))


def logging_desk(**options: Any) -> Desk:
    return Desk(options=ARMS, logs=True, **options)


async def test_what_was_shown_is_logged() -> None:
    desk = logging_desk()
    asked = request(0, headers=[("correlation_id", b"abc")], include_rated=True, arm="mf")
    asked.timestamp, asked.key = 881250949500, b"whatever"
    (reply,) = await desk.ask(asked)
    await until(lambda: desk.logged)
    (entry,) = desk.sent.to(LOG)
    assert (entry.partition, entry.key, entry.timestamp) == (None, b"rater", 881250949500)
    shown = [
        {"item": each["item"], "source": each["source"], "position": place}
        for place, each in enumerate(body(reply)["items"])
    ]
    assert len(shown) == 3
    assert json.loads(entry.value or b"") == {
        "user": "rater",
        "request": "abc",
        "experiment": "default",
        "arm": "mf",
        "model": "mf",
        "timestamp": 881250949.5,
        "items": shown,
        "forced": True,
    }
    assert decode(entry.value).items[0].item == shown[0]["item"]
    assert [topic for topic, _ in desk.sent.all] == [RESPONSES, LOG]
    assert desk.logged == [True]
    assert desk.done() == {0: 1}


@pytest.mark.parametrize("fields", [{"n": 0}, {"arm": "other"}, {"explore": 2}])
async def test_failures_are_not_logged(fields: dict[str, Any]) -> None:
    desk = logging_desk()
    (reply,) = await desk.ask(request(**fields))
    assert body(reply)["error"]["code"] == "bad_request"
    assert desk.sent.to(LOG) == []
    assert desk.done() == {0: 1}


async def test_similar_items_and_replies_that_reach_nobody_are_not_logged() -> None:
    desk = logging_desk()
    await desk.ask(FakeRecord(0, b'{"similar_to":"new"}', topic=REQUESTS))
    desk.sent.fails = lambda topic: KeyError("no such topic") if topic == "gone-replies" else None
    await desk.ask(request(1, headers=[("reply_to", b"gone-replies")]))
    assert desk.codes == ["ok", "reply_topic_unavailable"]
    assert desk.sent.to(LOG) == []


async def test_a_request_is_done_with_both_its_reply_and_its_log() -> None:
    desk = logging_desk()
    answers = desk.sent.hold()
    await desk.take(request(0))
    await until(lambda: len(answers) == 1)
    assert desk.sent.to(LOG) == []
    answers[0].set_result(None)
    await until(lambda: len(answers) == 2)
    assert desk.codes == ["ok"]
    assert desk.done() == {0: 0}
    answers[1].set_result(None)
    await until(lambda: desk.logged)
    await until(lambda: desk.done() == {0: 1})


async def test_a_log_that_is_away_keeps_no_reply_back() -> None:
    """Neither its own nor those of others: more requests than may be under way at once are answered."""
    desk, away = logging_desk(under_way=2, log_limits=LogLimits(retry_seconds=0.0, waiting=4)), True
    desk.sent.fails = lambda topic: TryAgainError() if topic == LOG and away else None
    assert len(await desk.ask(*(request(each) for each in range(6)))) == 6
    await until(lambda: len(desk.logged) == 2)
    assert desk.logged == [False, False]  # those that found too many waiting
    assert desk.done() == {0: 0}
    away = False
    await until(lambda: desk.logged.count(True) == 4)
    await until(lambda: desk.done() == {0: 6})


@pytest.mark.parametrize("error", [ValueError("too large"), TryAgainError("still away")])
async def test_what_cannot_be_logged_is_said_once_until_it_can(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        desk = logging_desk(log_limits=LogLimits(retry_seconds=0.0, patience_seconds=0.0))
        desk.sent.fails = lambda topic: error if topic == LOG else None
        await desk.ask(request(0), request(1))
        await until(lambda: len(desk.logged) == 2)
        await until(lambda: desk.done() == {0: 2})
        desk.sent.fails = lambda topic: None
        await desk.ask(request(2))
        await until(lambda: len(desk.logged) == 3)
        assert desk.logged == [False, False, True]
    ours = [each for each in caplog.records if each.name == "recommender.experiments.log_writer"]
    failing, again = [each.getMessage() for each in ours]
    assert f"{REQUESTS}[0] offset 0 was answered, but cannot be logged to {LOG}: " in failing
    assert str(error) in failing
    assert again == "recommendations are logged again"


async def test_a_request_that_is_read_again_is_answered_and_logged_the_same() -> None:
    seen = []
    for _ in range(2):
        desk = logging_desk()
        desk.learn(200)
        (reply,) = await desk.ask(request(5, "somebody"))
        await until(lambda desk=desk: desk.logged)  # type: ignore[misc]
        seen.append((body(reply), *desk.sent.to(LOG)))
    assert seen[0] == seen[1]
    assert json.loads(seen[0][1].value)["request"] == "0:5"
    desk = logging_desk()
    desk.learn(200)
    (other,) = await desk.ask(request(6, "somebody"))
    assert body(other)["items"] != seen[0][0]["items"]


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ([], b"0:7"),
        ([("kafka_correlationId", b"")], b"0:7"),
        ([("kafka_correlationId", b"\xff")], b"\xff"),
        ([("correlation_id", b"id"), (FORWARDED, b"2:9")], b"id"),
        ([("x", b"y"), (FORWARDED, b"2:9")], b"2:9"),
        ([(RETURNED, b"0:3")], b"0:3"),
        ([(FORWARDED, b"2:9"), (RETURNED, b"0:3")], b"2:9"),
    ],
)
def test_a_request_is_the_same_wherever_it_went(headers: list[tuple[str, bytes]], told: bytes) -> None:
    record = FakeRecord(7, b"{}", headers=headers)
    assert RequestHeaders.of(record).identity == told
    for offset in (20, 30):
        again = returned(record)
        assert again.headers[: len(headers)] == headers
        record = FakeRecord(offset, again.value, headers=again.headers)
        assert RequestHeaders.of(record).identity == told
    assert len(record.headers) <= len(headers) + 1


async def test_a_forwarded_request_is_logged_by_its_first_place() -> None:
    user = users_of(2, 3)[0]
    first = logging_desk(replicas=3)
    await first.ask(request(7, user))
    (forward,) = first.sent.to(REQUESTS)
    owner = logging_desk(replicas=3)
    owner.replicas.hold(2, owner.held)
    owner.start_at(2, 0)
    await owner.ask(FakeRecord(0, forward.value, forward.key, 0, forward.headers, REQUESTS, 2))
    await until(lambda: owner.logged)
    (entry,) = owner.sent.to(LOG)
    assert entry.key == user.encode()
    assert json.loads(entry.value or b"")["request"] == "0:7"


def test_ids_are_told_as_text() -> None:
    assert request_name("\u00fc 1".encode()) == "\u00fc 1"
    assert request_name(b"\xff\x00") == "ff00"
    assert request_name(b"x" * MAX_NAME) == "x" * MAX_NAME
    long = {request_name(b"x" * (MAX_NAME + 1)), request_name(b"\xff" * MAX_NAME), request_name(b"y" * 2000)}
    assert len(long) == 3
    assert all(len(each) == 32 for each in long)
