"""Answering: each request gets one reply, or is passed on."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, ProducerClosed
from faust.exceptions import NotReady

from recommender.kafka.refusals import ProducerEndedError
from recommender.messages.request_headers import FORWARDED
from tests.support.answering_setup import REQUESTS, RESPONSES, Desk, body, error_of, request
from tests.support.doubles import FakeRecord, until, users_of


async def test_a_request_gets_its_answer() -> None:
    desk = Desk()
    (reply,) = await desk.ask(request(include_rated=True, n=2))
    told = body(reply)
    assert told["ok"] is True
    assert [each["item"] for each in told["items"]] == ["i0", "i1"]
    assert told["as_of"] == {"partition": 0, "offset": 2, "journal": 0}
    assert (reply.partition, reply.key, reply.headers) == (None, b"rater", [])
    assert abs(reply.timestamp / 1000 - time.time()) < 3600
    assert desk.codes == ["ok"]
    assert desk.done() == {0: 1}


@pytest.mark.parametrize("identifier", [bytes(range(256)), b"", b"\x00", b"\xff\xfe", "\u00fc".encode()])
@pytest.mark.parametrize("name", ["kafka_correlationId", "correlation_id"])
@pytest.mark.parametrize("fields", [{}, {"n": 0}])
async def test_correlation_ids_come_back_untouched(
    identifier: bytes, name: str, fields: dict[str, Any]
) -> None:
    headers = ((name, identifier), ("other", b"x"), ("content-type", b"application/json"))
    (reply,) = await Desk().ask(request(headers=headers, **fields))
    assert [each for each in reply.headers if each[0] != "error-code"] == [(name, identifier)]


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (request(n=0), "n must be between 1 and 1000, got 0"),
        (request(items=[1.5]), "`$.items[0]`"),
        (request(user=""), "`$.user`"),
        (request(after=-1), "`$.after`"),
        (request(arm="other"), "arm 'other' does not exist"),
        (
            FakeRecord(0, b"1,10", headers=[("content-type", b"text/csv")], topic=REQUESTS),
            "content-type is 'text/csv'",
        ),
        (request(headers=[("deadline-ms", b"soon")]), "header deadline-ms has value 'soon'"),
        (request(headers=[("deadline-ms", b"9" * 400)]), "header deadline-ms has value '9999"),
        (request(headers=[("deadline-ms", b"9" * 5000)]), "header deadline-ms has value '9999"),
        (FakeRecord(0, b"nonsense", topic=REQUESTS), "malformed"),
        (FakeRecord(0, None, topic=REQUESTS), "the value is null"),
        (FakeRecord(0, b"{}", topic=REQUESTS), "missing required field `user`"),
        (FakeRecord(0, b"[]", topic=REQUESTS), "Expected `object`, got `array`"),
        (FakeRecord(0, b"[" * 100_000, topic=REQUESTS), "the value is nested too deeply"),
        (FakeRecord(0, b'{"user":"' + b"x" * 1_000_000, topic=REQUESTS), "bytes: expected at most"),
    ],
)
async def test_a_bad_request_is_told_what_is_wrong(record: FakeRecord, told: str) -> None:
    desk = Desk()
    (reply,) = await desk.ask(record)
    error = error_of(reply)
    assert (error["code"], error["retriable"]) == ("bad_request", False)
    assert told in error["message"]
    assert len(error["message"]) < 300
    assert desk.codes == ["bad_request"]
    assert desk.done() == {0: 1}


@pytest.mark.parametrize(
    "error", [ProducerClosed(), NotReady(), ProducerEndedError("the producer has failed")]
)
async def test_a_request_that_a_worker_which_ends_cannot_answer_comes_again(error: Exception) -> None:
    desk = Desk()
    await desk.ask(request(0))
    desk.sent.fails = lambda topic: error
    await desk.take(request(1), request(2, n=0), request(3, headers=[("reply_to", b"a-replies")]))
    await desk.answerer.hand_over(60)
    assert desk.codes == ["ok"]
    assert desk.done() == {0: 1}


async def test_of_equal_headers_the_last_counts_and_a_null_one_hides_no_alias() -> None:
    desk = Desk()
    headers: Any = [
        ("kafka_replyTopic", b"first-replies"),
        ("reply_to", b"other-replies"),
        ("kafka_replyTopic", b"last-replies"),
        ("kafka_correlationId", b"1"),
        ("kafka_correlationId", b"2"),
    ]
    await desk.ask(request(0, headers=headers))
    (reply,) = desk.sent.to("last-replies")
    assert reply.headers == headers[3:]
    await desk.ask(request(1, headers=[*headers, ("kafka_replyTopic", None)]))
    assert len(desk.sent.to("other-replies")) == 1


@pytest.mark.parametrize("deadline", ["0", "1", "-5", "lately"])
async def test_after_its_deadline_a_request_is_not_answered(deadline: str) -> None:
    moment = str(int(time.time() * 1000) - 5000) if deadline == "lately" else deadline
    desk = Desk()
    (reply,) = await desk.ask(request(headers=[("deadline-ms", moment.encode())]))
    error = error_of(reply)
    assert (error["code"], error["retriable"]) == ("deadline_exceeded", True)


async def test_before_its_deadline_a_request_is_answered() -> None:
    moment = str(int(time.time() * 1000) + 600_000)
    (reply,) = await Desk().ask(request(headers=[("deadline-ms", moment.encode())]))
    assert body(reply)["ok"] is True


async def test_a_model_that_fails_is_told_as_an_internal_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk()

    def fail(*arguments: object) -> None:
        raise ZeroDivisionError("oh")

    with monkeypatch.context() as patch:
        patch.setattr(desk.shard.model, "score", fail)
        (reply,) = await desk.ask(request())
    error = error_of(reply)
    assert (error["code"], error["retriable"]) == ("internal_error", True)
    assert error["message"] == "ZeroDivisionError: oh"
    assert body((await desk.ask(request(1)))[1])["ok"] is True
    assert "offset 0 could not be answered" in caplog.text


async def test_a_request_whose_replica_is_on_another_worker_is_forwarded_once() -> None:
    desk, user = Desk(replicas=3), users_of(2, 3)[0]
    original = request(7, user, headers=[("correlation_id", b"\xff"), ("reply_to", b"a-replies")])
    original.key, original.timestamp = None, 12345
    assert await desk.ask(original) == []
    (forward,) = desk.sent.to(REQUESTS)
    # Its own key, which the reply must have.
    assert (forward.partition, forward.key, forward.value) == (2, None, original.value)
    assert forward.timestamp == 12345
    assert forward.headers == [*original.headers, (FORWARDED, b"0:7")]
    assert desk.codes == ["forwarded"]

    again = FakeRecord(8, forward.value, forward.key, 0, tuple(forward.headers), REQUESTS)
    await desk.ask(again)
    (reply,) = desk.sent.to("a-replies")
    error = error_of(reply)
    assert (error["code"], error["retriable"]) == ("internal_error", True)
    assert reply.key is None
    told = "partition 2 of the journal is not held here, although it was passed on once"
    assert error["message"] == told
    assert len(desk.sent.all) == 2
    assert desk.done() == {0: 9}


async def test_with_one_replica_any_user_is_answered_here() -> None:
    desk = Desk(partitions=12)
    replies = await desk.ask(*(request(each, user) for each, user in enumerate(users_of(7, 12))))
    assert [body(each)["as_of"] for each in replies] == [{"partition": 7, "offset": -1, "journal": 0}] * 3
    assert desk.sent.to(REQUESTS) == []


async def test_a_request_that_cannot_be_passed_on_is_told() -> None:
    desk = Desk(replicas=3)
    desk.sent.fails = lambda topic: ValueError("no") if topic == REQUESTS else None
    (reply,) = await desk.ask(request(0, users_of(2, 3)[0]))
    assert error_of(reply)["code"] == "internal_error"
    await desk.take(request(1, users_of(0, 3)[0], after=50))
    await desk.answerer.hand_over(60)
    assert [error_of(each)["code"] for each in desk.sent.to(RESPONSES)] == ["internal_error"] * 2
    assert desk.done() == {0: 2}


async def test_replies_come_in_the_order_of_their_requests() -> None:
    """Whether a request is answered where it is taken, or by a task of its own, as bad ones are."""
    desk, headers = Desk(), [[("correlation_id", b"%d" % each)] for each in range(30)]
    replies = await desk.ask(*(request(each, headers=headers[each], n=each % 3) for each in range(30)))
    assert [each.headers[0][1] for each in replies] == [each[0][1] for each in headers]


async def test_a_topic_that_is_not_known_yet_is_asked_for_first() -> None:
    desk = Desk(send_known=lambda topic, outgoing: None)
    (reply,) = await desk.ask(request(headers=[("reply_to", b"a-replies")]), request(1))
    assert body(reply)["ok"] is True
    assert [topic for topic, _ in desk.sent.all] == ["a-replies", RESPONSES]
    assert desk.done() == {0: 2}


async def test_a_list_that_kafka_did_not_take_is_not_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    desk, errors, made = Desk(retry_seconds=0.0), [KafkaConnectionError(), None], list[int]()
    score = desk.shard.model.score

    def counted(user: int, candidates: Any) -> Any:
        made.append(user)
        return score(user, candidates)

    monkeypatch.setattr(desk.shard.model, "score", counted)
    desk.sent.fails = lambda topic: errors.pop(0)
    (reply,) = await desk.ask(request())
    assert body(reply)["ok"] is True
    assert (len(made), desk.codes, desk.done()) == (1, ["ok"], {0: 1})


async def test_each_of_many_requests_gets_one_reply() -> None:
    desk = Desk(under_way=10)
    answers = desk.sent.hold()
    headers = [[("correlation_id", b"\xff%d" % each)] for each in range(500)]
    records = [request(each, headers=headers[each], n=each % 3) for each in range(500)]
    asking = asyncio.create_task(desk.ask(*records))
    most = 0
    while not asking.done():
        most = max(most, len(answers))
        if len(answers) == 10 or len(desk.sent.all) == len(records):
            for answer in reversed(answers):
                answer.set_result(None)
            answers.clear()
        await asyncio.sleep(0)
    replies = await asking
    assert sorted(each.headers[0][1] for each in replies) == sorted(each[0][1] for each in headers)
    assert most == 10
    assert desk.done() == {0: 500}


async def test_the_next_batch_waits_until_there_is_room() -> None:
    desk = Desk(under_way=2)
    answers = desk.sent.hold()
    taking = asyncio.create_task(desk.take(*(request(each) for each in range(3))))
    await until(lambda: len(answers) == 2)
    assert not taking.done()
    assert desk.answerer.progress[0].next == 2
    answers[0].set_result(None)
    await until(lambda: len(answers) == 3)
    await taking
