"""Replies: to which topic, partition and key they go, and what is said where one cannot be written."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from aiokafka.errors import (
    InvalidTimestampError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from recommender.kafka.refusals import InvalidRecord
from recommender.worker.answering import NO_REPLY
from tests.support.answering_setup import REQUESTS, RESPONSES, Desk, body, error_of, request


class TryAgainError(Exception):
    """As Kafka's client marks an error that may pass."""

    retriable = True


@pytest.mark.parametrize("name", ["kafka_replyTopic", "reply_to"])
@pytest.mark.parametrize("topic", ["shop-replies", RESPONSES])
async def test_a_request_may_name_its_reply_topic(name: str, topic: str) -> None:
    desk = Desk()
    await desk.ask(
        request(headers=[(name, topic.encode())]), request(1, n=0, headers=[(name, topic.encode())])
    )
    assert [each for each, _ in desk.sent.all] == [topic, topic]
    assert [body(each)["ok"] for each in desk.sent.to(topic)] == [True, False]


@pytest.mark.parametrize(
    "topic", [b"ratings", b"shop-replies-2", b"SHOP-REPLIES", b"", b"\xff\xfe", b"x" * 5000]
)
async def test_other_reply_topics_are_refused(topic: bytes) -> None:
    desk = Desk()
    (reply,) = await desk.ask(request(headers=[("kafka_replyTopic", topic), ("correlation_id", b"7")]))
    error = error_of(reply)
    assert (error["code"], error["retriable"]) == ("reply_topic_not_allowed", False)
    assert "*-replies" in error["message"]
    assert reply.headers[0] == ("correlation_id", b"7")
    assert len(desk.sent.all) == 1


@pytest.mark.parametrize("fields", [{}, {"n": 0}])
async def test_a_reply_topic_that_fails_is_told_on_the_usual_one(fields: dict[str, Any]) -> None:
    desk = Desk()
    desk.sent.fails = lambda topic: KeyError("no such topic") if topic == "gone-replies" else None
    headers = [("reply_to", b"gone-replies"), ("correlation_id", b"7")]
    (reply,) = await desk.ask(request(headers=headers, **fields))
    error = error_of(reply)
    assert error["code"] == "reply_topic_unavailable"
    assert "'gone-replies'" in error["message"]
    assert reply.headers[0] == ("correlation_id", b"7")
    assert len(desk.sent.all) == 1
    assert desk.codes == ["reply_topic_unavailable"]


async def test_a_reply_that_kafka_does_not_take_now_is_sent_again() -> None:
    desk, errors = Desk(retry_seconds=0.0), [TryAgainError(), TryAgainError(), None]
    desk.sent.fails = lambda topic: errors.pop(0)
    (reply,) = await desk.ask(request())
    assert body(reply)["ok"] is True


async def test_a_reply_that_kafka_never_takes_is_replaced_by_a_failure() -> None:
    desk, errors = Desk(), [ValueError("too large"), None]
    desk.sent.fails = lambda topic: errors.pop(0)
    (reply,) = await desk.ask(request())
    assert error_of(reply)["code"] == "reply_not_accepted"
    assert "too large" in error_of(reply)["message"]


async def test_a_request_that_can_have_no_reply_is_told_and_holds_nothing_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.ERROR):
        desk = Desk()
        await desk.ask(request(0))
        desk.sent.fails = lambda topic: ValueError("no")
        await desk.ask(request(1), request(2, headers=[("reply_to", b"a-replies")]))
        desk.sent.fails = lambda topic: None
        await desk.ask(request(3))
        assert desk.codes == ["ok", NO_REPLY, NO_REPLY, "ok"]
        assert desk.done() == {0: 4}
    for offset in 1, 2:
        (told,) = (each for each in caplog.messages if f"offset {offset} can have no reply" in each)
        assert told == f"{REQUESTS}[0] offset {offset} can have no reply: ValueError: no"


@pytest.mark.parametrize("error", [TopicAuthorizationFailedError(), UnknownTopicOrPartitionError()])
async def test_a_topic_of_ours_that_is_closed_is_waited_for(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        desk, tries = Desk(retry_seconds=0.0), []

        def fails(topic: str) -> Exception | None:
            tries.append(topic)
            return error if len(tries) < 10 else None

        desk.sent.fails = fails
        replies = await desk.ask(request(0), request(1))
        assert [body(each)["ok"] for each in replies] == [True, True]
        assert desk.codes == ["ok", "ok"]
    closed, again = caplog.messages
    assert closed.startswith(f"{RESPONSES} cannot be written: ")
    assert again == f"{RESPONSES} can be written again"


async def test_a_reply_topic_that_takes_no_list_may_take_a_failure() -> None:
    desk, errors = Desk(), [MessageSizeTooLargeError("1 MB"), None]
    desk.sent.fails = lambda topic: errors.pop(0)
    await desk.ask(request(headers=[("reply_to", b"a-replies"), ("kafka_replyPartition", b"\0\0\0\2")]))
    (reply,) = desk.sent.to("a-replies")
    assert (error_of(reply)["code"], reply.partition) == ("reply_not_accepted", 2)


async def test_a_reply_topic_that_takes_neither_is_told_on_the_usual_one() -> None:
    desk, refused = Desk(), MessageSizeTooLargeError("1 MB")
    desk.sent.fails = lambda topic: None if topic == RESPONSES else refused
    (reply,) = await desk.ask(request(headers=[("reply_to", b"a-replies")]))
    assert error_of(reply)["code"] == "reply_topic_unavailable"


async def test_a_request_without_a_key_has_a_reply_without_one_where_that_is_taken() -> None:
    desk = Desk()
    asked = [request(each, headers=[("correlation_id", b"id")]) for each in range(2)]
    for each in asked:
        each.key = None
    await desk.ask(asked[0])
    errors = [InvalidRecord(), None]
    desk.sent.fails = lambda topic: errors.pop(0)
    replies = await desk.ask(asked[1])
    assert [each.key for each in replies] == [None, b"id"]
    assert [body(each)["ok"] for each in replies] == [True, True]


@pytest.mark.parametrize("timestamp", [12_345, -1])
async def test_a_reply_whose_time_is_refused_has_the_requests(timestamp: int) -> None:
    """Where that is known: our clock may be another than the broker's, which took the request."""
    desk = Desk()
    asked = request(headers=[("reply_to", b"a-replies")])
    asked.timestamp = timestamp
    errors = [InvalidTimestampError(), None, None]
    desk.sent.fails = lambda topic: errors.pop(0)
    await desk.ask(asked)
    replies = desk.sent.to("a-replies")
    if timestamp >= 0:
        assert [(each.timestamp, body(each)["ok"]) for each in replies] == [(timestamp, True)]
    else:
        assert [error_of(each)["code"] for each in replies] == ["reply_not_accepted"]


@pytest.mark.parametrize(
    ("value", "partition"),
    [
        (b"\0\0\0\0", 0),
        (b"\0\0\0\7", 7),
        (b"\0\1\0\0", 65536),
        (b"0", 0),
        (b"12", 12),
        (b"1234", 1234),
        (b"\xff\xff\xff\xff", -1),
    ],
)
async def test_the_partition_of_the_reply(value: bytes, partition: int) -> None:
    headers = [("kafka_replyPartition", value), ("kafka_replyTopic", b"a-replies")]
    desk = Desk()
    await desk.ask(request(0, headers=headers), request(1, n=0, headers=headers))
    assert [each.partition for each in desk.sent.to("a-replies")] == [partition, partition]


@pytest.mark.parametrize("value", [b"", b"first", b"\0\1", b"\0" * 8, b"9" * 11, b"-1"])
async def test_a_partition_that_is_none(value: bytes) -> None:
    desk = Desk()
    await desk.ask(request(headers=[("kafka_replyPartition", value), ("reply_to", b"a-replies")]))
    (reply,) = desk.sent.to("a-replies")
    assert "header kafka_replyPartition has value" in error_of(reply)["message"]
    assert reply.partition is None
