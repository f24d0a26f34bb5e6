"""The client against a real broker, and a responder that is not always a good worker."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from recommender.client.client import (
    BadReply,
    Client,
    RecommendTimeout,
    RequestFailed,
)
from recommender.kafka.admin import open_admin
from recommender.kafka.topics import Topics
from recommender.messages.responses import Failure
from tests.support.kafka import consume_all, wait_until
from tests.support.responder import Asked, Responder, answer, answer_for, responding

MakeTopics = Callable[..., Topics]


def test_request_and_response_are_those_of_the_contract(kafka: str, make_topics: MakeTopics) -> None:
    topics = make_topics()
    with responding(kafka, topics, answer) as responder, Client(kafka, topics.prefix) as client:
        before = time.time()
        assert client.recommend("42", timeout=20) == answer_for("42")
        plain = responder.asked[0]
        assert plain.value == {"user": "42", "n": 10}
        assert plain.key == b"42"
        assert plain.headers["kafka_replyTopic"].decode() == topics.responses
        assert len(plain.correlation) == 16
        assert before + 20 <= int(plain.headers["deadline-ms"]) / 1000 + 0.001 <= time.time() + 20

        client.recommend(
            7, 3, items=[1, "b"], exclude=["c"], include_rated=True, after=99, arm="knn", timeout=20
        )
        assert responder.asked[1].value == {
            "user": "7",
            "n": 3,
            "items": ["1", "b"],
            "exclude": ["c"],
            "include_rated": True,
            "after": 99,
            "arm": "knn",
        }
        assert responder.asked[1].correlation != plain.correlation


def test_many_threads_each_get_their_own_answer_out_of_order(kafka: str, make_topics: MakeTopics) -> None:
    topics = make_topics(partitions=3)
    threads, rounds = 16, 10
    held: list[Asked] = []
    order = random.Random(3)

    def answer_when_all_wait(responder: Responder, asked: Asked) -> None:
        held.append(asked)
        if len(held) == threads:
            order.shuffle(held)
            while held:
                responder.reply(held.pop(), partition=order.randrange(3))

    with (
        responding(kafka, topics, answer_when_all_wait),
        Client(kafka, topics.prefix) as client,
        ThreadPoolExecutor(threads) as pool,
    ):

        def ask(thread: int) -> list[str]:
            users = [f"{thread}-{each}" for each in range(rounds)]
            return [client.recommend(user, timeout=60).items[0].item for user in users]

        for thread, items in enumerate(pool.map(ask, range(threads))):
            assert items == [f"for-{thread}-{each}" for each in range(rounds)]


def test_two_clients_share_the_reply_topic(kafka: str, make_topics: MakeTopics) -> None:
    topics = make_topics()
    with (
        responding(kafka, topics, answer),
        Client(kafka, topics.prefix) as one,
        Client(kafka, topics.prefix) as other,
    ):
        for client, user in ((one, "1"), (other, "2"), (one, "3")):
            assert client.recommend(user, timeout=20).user == user


def test_silence_is_a_timeout_and_a_late_reply_is_nobodys(kafka: str, make_topics: MakeTopics) -> None:
    topics = make_topics()

    def answer_late(responder: Responder, asked: Asked) -> None:
        if asked.value["user"] == "next":
            responder.reply(responder.asked[1])
        if asked.value["user"] != "late":
            responder.reply(asked)

    with responding(kafka, topics, answer_late) as responder, Client(kafka, topics.prefix) as client:
        assert client.recommend("first", timeout=20).user == "first"
        begun = time.monotonic()
        with pytest.raises(RecommendTimeout, match=r"within 1 s.*no worker answered") as caught:
            client.recommend("late", timeout=1)
        assert time.monotonic() - begun >= 1
        assert isinstance(caught.value, TimeoutError)
        wait_until(lambda: len(responder.asked) == 2)
        assert client.recommend("next", timeout=20).user == "next"
        assert "0 awaited" in repr(client)


def test_what_is_not_for_the_caller_is_ignored(kafka: str, make_topics: MakeTopics) -> None:
    topics = make_topics()

    def answer_among_noise(responder: Responder, asked: Asked) -> None:
        responder.noise(topics.responses)
        responder.reply(asked, b"not ours", correlation=b"\x00\xff" * 8)
        responder.reply(asked, b"not ours", correlation=b"")
        responder.reply(asked, b"not ours", header="another-header")
        responder.reply(asked)
        responder.reply(asked, b"the second one")

    with responding(kafka, topics, answer_among_noise), Client(kafka, topics.prefix) as client:
        for user in ("1", "2", "3"):
            assert client.recommend(user, timeout=20) == answer_for(user)
        assert "0 awaited" in repr(client)


def test_the_alias_of_the_correlation_header_is_understood(kafka: str, make_topics: MakeTopics) -> None:
    topics = make_topics()

    def answer_with_alias(responder: Responder, asked: Asked) -> None:
        responder.reply(asked, header="correlation_id")

    with responding(kafka, topics, answer_with_alias), Client(kafka, topics.prefix) as client:
        assert client.recommend("1", timeout=20).user == "1"


def test_a_failure_and_garbage_are_errors_of_their_own(kafka: str, make_topics: MakeTopics) -> None:
    topics = make_topics()
    replies = {
        "fails": Failure("not_caught_up", "not learned up to offset 9 yet", retriable=True).encode(),
        "garbage": b"<html>",
        "empty": b"",
        "list": b"[]",
    }

    def answer_badly(responder: Responder, asked: Asked) -> None:
        responder.reply(asked, replies.get(asked.value["user"]))

    with responding(kafka, topics, answer_badly), Client(kafka, topics.prefix) as client:
        with pytest.raises(RequestFailed, match="not learned up to offset 9 yet") as caught:
            client.recommend("fails", timeout=20)
        assert (caught.value.code, caught.value.retriable) == ("not_caught_up", True)
        for user in ("garbage", "empty", "list"):
            with pytest.raises(BadReply):
                client.recommend(user, timeout=20)
        assert client.request("list", b'{"user": "list"}', timeout=20) == b"[]"
        assert client.recommend("good", timeout=20).user == "good"


def test_a_reply_topic_of_its_own_and_partitions_that_are_added(kafka: str, make_topics: MakeTopics) -> None:
    topics = make_topics()
    own = topics.prefix + "own-replies"
    with open_admin(kafka) as admin:
        admin.create_topics({own: {"num_partitions": 1, "replication_factor": 1}})

        def answer_on_a_new_partition(responder: Responder, asked: Asked) -> None:
            if asked.value["user"] == "2":
                admin.create_partitions({own: 3})
                wait_until(lambda: responder.partitions(own) == 3)
                responder.reply(asked, partition=2)
            else:
                responder.reply(asked)

        with (
            responding(kafka, topics, answer_on_a_new_partition),
            Client(kafka, topics.prefix, reply_topic=own, security={"metadata_max_age_ms": 200}) as client,
        ):
            for user in ("1", "2", "3"):
                assert client.recommend(user, timeout=30).user == user
    assert not consume_all(kafka, topics.responses)


def test_ratings_are_written_and_their_offsets_returned(kafka: str, make_topics: MakeTopics) -> None:
    topics = make_topics(partitions=4)
    with Client([kafka], topics.prefix) as client:
        written = [
            client.rate("42", "50", 5),
            client.rate("42", 51, 3.5, timestamp=881250949),
            client.rate("42", "50", None),
            client.rate(7, "é", -1),
        ]
        with pytest.raises(ValueError, match="finite"):
            client.rate("42", "50", float("nan"))
    records = {(each.partition, each.offset): each for each in consume_all(kafka, topics.ratings)}
    assert [json.loads(records[each].value) for each in written] == [
        {"user": "42", "item": "50", "rating": 5},
        {"user": "42", "item": "51", "rating": 3.5, "timestamp": 881250949},
        {"user": "42", "item": "50", "rating": None},
        {"user": "7", "item": "é", "rating": -1},
    ]
    assert [records[each].key for each in written] == [b"42", b"42", b"42", b"7"]
    assert [each.offset for each in written[:3]] == [0, 1, 2]
    assert len(records) == 4


def test_numpys_numbers_and_times_with_a_zone_are_sent_as_what_they_mean(
    kafka: str, make_topics: MakeTopics
) -> None:
    topics = make_topics()
    user: Any = np.int64(42)
    when = datetime(1997, 12, 4, 17, 55, 49, tzinfo=timezone(timedelta(hours=2)))
    with responding(kafka, topics, answer) as responder, Client(kafka, topics.prefix) as client:
        client.rate(user, user, float(np.float32(4.5)), when)
        client.recommend(
            user, n=int(np.int64(3)), items=(each for each in list[Any](np.arange(2))), timeout=20
        )
        assert responder.asked[0].value == {"user": "42", "n": 3, "items": ["0", "1"]}
        assert responder.asked[0].key == b"42"
    (record,) = consume_all(kafka, topics.ratings)
    assert record.key == b"42"
    assert json.loads(record.value) == {"user": "42", "item": "42", "rating": 4.5, "timestamp": 881250949}


def test_what_the_worker_would_not_take_is_refused_and_not_written(
    kafka: str, make_topics: MakeTopics
) -> None:
    topics = make_topics()
    with Client(kafka, topics.prefix) as client:
        rate: Any = client.rate
        ask: Any = client.recommend
        wrong: list[tuple[type[Exception], str, Callable[[], object]]] = [
            (TypeError, "^user must be a str or an int, got None", lambda: rate(None, "x", 4)),
            (TypeError, "^user must be a str or an int, got b'42'", lambda: rate(b"42", "x", 4)),
            (TypeError, "^user must be a str or an int, got 42.0", lambda: rate(42.0, "x", 4)),
            (ValueError, "^user is empty", lambda: rate("", "x", 4)),
            (TypeError, "^item must be a str or an int, got None", lambda: rate("u", None, 4)),
            (ValueError, "^rating must be between -1 and 5, got 7", lambda: rate("u", "x", 7)),
            (ValueError, "which looks like milliseconds", lambda: rate("u", "x", 4, 881250949000)),
            (ValueError, "^timestamp must have a time zone", lambda: rate("u", "x", 4, datetime(2024, 5, 1))),
            (TypeError, "^timeout must be", lambda: rate("u", "x", 4, timeout="5")),
            (ValueError, "expected either user or similar_to, got neither", lambda: ask(None)),
            (TypeError, "^items must be a list of ids, got '50'", lambda: ask("u", items="50")),
            (TypeError, "^exclude must be a list of ids", lambda: ask("u", exclude=50)),
            (TypeError, "^n must be an integer", lambda: ask("u", 10.0)),
            (TypeError, "^user must be a str or an int", lambda: client.request(user_of_no_kind, b"{}")),
            (TypeError, "^value must be bytes", lambda: client.request("u", text_for_bytes)),
        ]
        user_of_no_kind: Any = 1.5
        text_for_bytes: Any = "{}"
        for error, told, call in wrong:
            with pytest.raises(error, match=told):
                call()
        with Client(kafka, topics.prefix, rating_scale=(1, 10)) as other:
            other.rate("u", "x", 9)
            with pytest.raises(ValueError, match="between 1 and 10, got 0"):
                other.rate("u", "x", 0)
    assert [json.loads(each.value)["rating"] for each in consume_all(kafka, topics.ratings)] == [9]
    assert consume_all(kafka, topics.requests) == []


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf")])
def test_a_timeout_that_is_none_is_refused(kafka: str, make_topics: MakeTopics, timeout: float) -> None:
    with Client(kafka, make_topics().prefix) as client:
        with pytest.raises(ValueError, match="positive number of seconds"):
            client.recommend("1", timeout=timeout)
        with pytest.raises(ValueError, match="positive number of seconds"):
            client.rate("1", "2", 3, timeout=timeout)
