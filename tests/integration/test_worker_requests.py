"""A real worker answers requests: each option, and replies that equal those of a shard that read the log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from recommender.kafka.admin import open_admin
from recommender.messages.requests import Request
from tests.support.asking import Asker, asking
from tests.support.kafka import produce
from tests.support.worker_logs import Running, generated, rating, running_worker

ITEMS = 60
USER = "u7"
#: A reply topic that is allowed but does not exist, and the correlation id of the request that names it.
MISSING, LOST = "missing-replies", b"lost"
#: Correlation ids are bytes of any kind.
OPAQUE = [b"\x00", b"\x00\xff\x80\x00", bytes(range(256)), b"text", b"x" * 1000]


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker that knows 40 users and 60 items."""
    ratings = generated(1500, seed=3, users=40, items=ITEMS)
    with running_worker(kafka, tmp_path_factory.mktemp("requests"), "requests", ratings=ratings) as running:
        with open_admin(kafka, 10) as admin:
            mine = [f"{running.topics.prefix}{name}" for name in ("shop-replies", "secrets")]
            admin.create_topics({name: {"num_partitions": 3, "replication_factor": 1} for name in mine})
            admin.wait_for_topics(mine)
        running.oracle.assert_agrees(running.worker)
        yield running


@pytest.fixture(scope="module")
def asker(running: Running) -> Iterator[Asker]:
    """One client for all tests, which at the end has one reply for each of their requests."""
    prefix = running.topics.prefix
    with asking(running.kafka, running.topics, prefix + "shop-replies") as asker:
        asker.send({"user": USER}, ("kafka_replyTopic", f"{prefix}{MISSING}".encode()), correlation=LOST)
        yield asker
        asker.assert_one_reply_each()


@pytest.fixture(scope="module")
def rated(running: Running) -> set[str]:
    """What the user has rated."""
    shard = running.oracle.replica.shard
    user = shard.users.find(USER)
    assert user is not None
    items = {shard.items.id_of(int(item)) for item in shard.history.rated(user)[0]}
    assert 5 < len(items) < ITEMS - 20
    return items


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n": 1},
        {"n": 1000},
        {"n": 5, "exclude": ["i0", "i1", "unheard of"]},
        {"n": 30, "items": [f"i{number}" for number in range(0, 60, 2)]},
        {"n": 30, "include_rated": True},
        {"n": 30, "items": ["i0", "i1", "i2", "i2", "unheard of"], "include_rated": True},
        {"items": []},
        {"items": ["unheard of"]},
        {"n": 3, "arm": "blend"},
        {"after": 0},
        {"user": "nobody"},
        {"user": 7},
        {"future": [{"field": 1}]},
    ],
    ids=str,
)
def test_a_reply_is_what_the_shard_recommends(
    running: Running, asker: Asker, options: dict[str, Any]
) -> None:
    value = {"user": USER, **options}
    running.oracle.look()
    known = {name: option for name, option in value.items() if name != "future"}
    expected = running.oracle.recommend(Request(**known)).encode()
    reply = asker.ask(value)
    assert reply.body == msgspec.json.decode(expected)
    assert reply.topic == running.topics.responses
    assert reply.key == str(value["user"]).encode()
    assert "error-code" not in reply.headers


def test_what_the_options_mean(asker: Asker, rated: set[str]) -> None:
    def items(**options: Any) -> list[str]:
        reply = asker.ask({"user": USER, **options})
        scores = [each["score"] for each in reply.body["items"]]
        assert scores == sorted(scores, reverse=True)
        return reply.items

    everything = items(n=1000, include_rated=True)
    unrated = items(n=1000)
    assert set(everything) - set(unrated) == rated
    assert items() == unrated[:10]
    assert items(n=3) == unrated[:3]
    assert items(n=3, exclude=unrated[:2]) == unrated[2:5]
    assert items(n=3, items=sorted(unrated[5:10])) == unrated[5:8]
    assert items(items=sorted(rated)) == []
    assert set(items(n=1000, items=sorted(rated), include_rated=True)) == rated
    assert items(n=5, items=unrated[:5], exclude=unrated[:4]) == unrated[4:5]


def test_a_user_nobody_knows_gets_popular_items(asker: Asker) -> None:
    body = asker.ask({"user": "nobody at all", "n": 5}).body
    assert (body["cold_start"], body["model"], body["arm"]) == (True, "blend", "blend")
    assert len(body["items"]) == 5
    assert all(item["source"] == "exploit" for item in body["items"])


def test_a_request_in_messagepack(asker: Asker) -> None:
    packed = msgspec.msgpack.encode({"user": USER, "n": 4})
    reply = asker.ask(packed, ("content-type", b"application/msgpack"), key=USER.encode())
    assert reply.body == asker.ask({"user": USER, "n": 4}).body


def test_after_waits_for_the_clients_own_rating(running: Running, asker: Asker) -> None:
    running.oracle.look()
    ends = running.oracle.learned[0]
    early = asker.send({"user": "reads own writes", "include_rated": True, "n": 1000, "after": ends})
    # Requests do not wait for each other: this one was sent later and is answered now.
    assert asker.ask({"user": "reads own writes"}).body["cold_start"] is True
    assert not asker.has_reply(early)
    ((_, offset),) = produce(running.kafka, running.topics.ratings, [rating("reads own writes", "new")])
    assert offset == ends
    reply = asker.reply(early)
    assert reply.body["as_of"]["offset"] >= offset
    assert reply.body["cold_start"] is False
    assert "new" in reply.items


def test_after_what_never_comes_fails_by_the_deadline(asker: Asker) -> None:
    deadline = str(int(time.time() * 1000) + 1500).encode()
    error = asker.ask({"user": USER, "after": 10**12}, ("deadline-ms", deadline)).error
    assert (error["code"], error["retriable"]) == ("not_caught_up", True)
    assert "after offset 1000000000000" in error["message"]
    assert time.time() * 1000 >= int(deadline)


def test_a_deadline_that_has_passed(asker: Asker) -> None:
    error = asker.ask({"user": USER}, ("deadline-ms", b"1000")).error
    assert (error["code"], error["retriable"]) == ("deadline_exceeded", True)
    future = str(int(time.time() * 1000) + 600_000).encode()
    assert asker.ask({"user": USER}, ("deadline-ms", future)).body["ok"]


@pytest.mark.parametrize(
    "correlation", [b"\x00", b"\x00\xff\x80\x00", bytes(range(256)), b"text", b"x" * 1000]
)
@pytest.mark.parametrize("name", ["kafka_correlationId", "correlation_id"])
def test_correlation_ids_are_opaque(asker: Asker, correlation: bytes, name: str) -> None:
    unique = name.encode() + correlation
    reply = asker.ask({"user": USER, "n": 1}, correlation=unique, name=name)
    assert reply.headers == {name: unique}


@pytest.mark.parametrize("name", ["kafka_replyTopic", "reply_to"])
def test_a_reply_topic_of_the_clients_own(running: Running, asker: Asker, name: str) -> None:
    topic = running.topics.prefix + "shop-replies"
    assert asker.ask({"user": USER}, (name, topic.encode())).topic == topic
    failed = asker.ask({"user": USER, "n": 0}, (name, topic.encode()))
    assert (failed.topic, failed.error["code"]) == (topic, "bad_request")


@pytest.mark.parametrize("topic", ["{}secrets", "{}ratings", "{}recommendation-requests", "shop-replies", ""])
def test_a_reply_topic_that_is_not_allowed(running: Running, asker: Asker, topic: str) -> None:
    named = topic.format(running.topics.prefix)
    reply = asker.ask({"user": USER}, ("kafka_replyTopic", named.encode()))
    assert reply.topic == running.topics.responses
    assert (reply.error["code"], reply.error["retriable"]) == ("reply_topic_not_allowed", False)
    assert repr(named) in reply.error["message"]


def test_a_reply_topic_that_does_not_exist(running: Running, asker: Asker) -> None:
    """All others are answered meanwhile; it is said once, and remembered for a while."""
    topic = running.topics.prefix + MISSING
    for correlation in (LOST, asker.send({"user": USER}, ("reply_to", topic.encode()))):
        reply = asker.reply(correlation)
        assert reply.topic == running.topics.responses
        assert reply.error["code"] == "reply_topic_unavailable"
        assert topic in reply.error["message"]
    assert running.worker.log.count(f"no reply to {topic}") == 1
