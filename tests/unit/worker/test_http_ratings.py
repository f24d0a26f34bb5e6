"""Ratings over HTTP: checked all before one is written, and bounded while Kafka is away."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import pytest
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError

from recommender.messages.ratings import BadMessage, RatingDecoder
from recommender.messages.responses import Failure
from recommender.worker.http_ratings import RatingWriter, Written
from tests.support.doubles import Sent, rating_value, until


class Place(NamedTuple):
    """What Kafka says of a record."""

    partition: int
    offset: int


def writer(sent: Sent, seconds: float = 600.0) -> RatingWriter:
    return RatingWriter(sent, "ratings", RatingDecoder(0.5, 5), seconds, most=1000)


def a_list(count: int) -> bytes:
    return b"[" + b",".join([rating_value("u", f"i{number}") for number in range(count)]) + b"]"


async def test_each_rating_keeps_its_bytes_and_gets_its_users_key() -> None:
    sent = Sent()
    answers = sent.hold()
    odd = b'{"user": 7, "item": "\\u00e4", "rating":5.0, "future": [1]}'
    writing = asyncio.create_task(writer(sent).write(b" [" + odd + b" ,\n" + rating_value("u", "i") + b"]"))
    await until(lambda: len(answers) == 2)
    for offset, answer in enumerate(answers):
        answer.set_result(Place(3, offset))
    assert await writing == [Written(3, 0), Written(3, 1)]
    first, second = sent.to("ratings")
    assert (first.key, first.value) == (b"7", odd)
    assert (second.key, json.loads(second.value or b"")["item"]) == (b"u", "i")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (b"[" + rating_value("u", "i") + b', {"user": "v"}]', r"in \$\[1\]"),
        (rating_value("u", "i", 9), r"\$\.rating"),
        (b"[]", "0 ratings"),
        (b"", "truncated"),
        (b"nonsense", "JSON"),
        (b'[{"user": "\xff"}]', "UTF-8|utf-8"),
    ],
)
async def test_nothing_is_written_where_one_is_wrong(value: bytes, says: str) -> None:
    sent = Sent()
    with pytest.raises(BadMessage, match=says):
        await writer(sent).write(value)
    assert sent.all == []


async def test_kafka_that_is_away_is_not_waited_for_and_takes_only_so_much() -> None:
    sent = Sent()
    answers: list[Any] = sent.hold()
    away = writer(sent, seconds=0.0)
    for code in ("unconfirmed", "unconfirmed", "busy", "busy"):
        with pytest.raises(Failure) as caught:
            await away.write(a_list(400))
        assert (caught.value.code, caught.value.retriable) == (code, True)
        await until(lambda: len(answers) % 400 == 0)
    for offset, answer in enumerate(answers):
        answer.set_result(Place(0, offset))
    await until(lambda: not away.sending)
    with pytest.raises(Failure, match="did not confirm"):
        await away.write(a_list(1000))


@pytest.mark.parametrize(
    ("error", "retriable"), [(MessageSizeTooLargeError(), False), (KafkaConnectionError(), True)]
)
async def test_what_kafka_refuses(error: Exception, retriable: bool) -> None:
    with pytest.raises(Failure) as caught:
        await writer(Sent(fails=lambda topic: error)).write(a_list(2))
    assert (caught.value.code, caught.value.retriable) == ("rating_not_accepted", retriable)
