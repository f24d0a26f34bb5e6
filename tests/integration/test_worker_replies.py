"""Replies to clients of other kinds, and replies that cannot be written: those after them arrive."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from recommender.messages.partitioning import partition_of
from tests.chaos.recovery import Log
from tests.support.asking import Asker, asking
from tests.support.kafka import (
    Header,
    consume,
    consume_all,
    create_topics,
    delete_topics,
    produce,
    wait_until,
)
from tests.support.worker_logs import Running, generated, running_worker
from tests.support.workers import PATIENCE

PARTITIONS = 2
#: One user of each partition.
USERS = [
    next(f"u{each}" for each in range(100) if partition_of(f"u{each}", PARTITIONS) == partition)
    for partition in range(PARTITIONS)
]
USER = USERS[0]
#: The largest record that the topics take has some bytes more; and a failure needs about 300, a list more.
LARGEST = 1_048_400
ROOM_FOR_A_FAILURE = LARGEST - 1000


class Topics(NamedTuple):
    """Reply topics: three partitions, compacted, for small records only, and as NestJS calls its own."""

    shop: str
    compacted: str
    small: str
    nest: str


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    ratings = generated(1000, users=60, items=60)
    with running_worker(kafka, tmp_path_factory.mktemp("replies"), "replies", PARTITIONS, ratings) as running:
        yield running


@pytest.fixture(scope="module")
def topics(running: Running) -> Topics:
    prefix = running.topics.prefix
    names = Topics(*(prefix + each for each in ("shop-replies", "c-replies", "s-replies", "rate.it.reply")))
    create_topics(running.kafka, names.shop, names.nest, partitions=3)
    create_topics(running.kafka, names.compacted, partitions=3, configs={"cleanup.policy": "compact"})
    create_topics(running.kafka, names.small, configs={"max.message.bytes": "700"})
    return names


@pytest.fixture
def asker(running: Running, topics: Topics) -> Iterator[Asker]:
    """One client, which at the end has one reply for each of its requests."""
    with asking(running.kafka, running.topics, *topics) as asker:
        yield asker
        for correlation in asker.sent:
            asker.reply(correlation)
        replies = asker.replies()
        assert [len(replies[correlation]) for correlation in asker.sent] == [1] * len(asker.sent)


def reply_to(topic: str) -> Header:
    return "kafka_replyTopic", topic.encode()


def keyless(user: str = USER, **fields: Any) -> bytes:
    """A request as bytes: an asker gives it no key."""
    return json.dumps({"user": user, **fields}).encode()


def committed(running: Running) -> dict[int, int]:
    log = Log(running.installation)
    try:
        return log.committed(running.topics.requests)
    finally:
        log.close()


@pytest.mark.parametrize("key", [b"", b"\x00\xff", USERS[0].encode(), b"another", None])
@pytest.mark.parametrize("user", USERS)
def test_the_key_is_the_requests_to_the_byte(
    asker: Asker, topics: Topics, user: str, key: bytes | None
) -> None:
    """Also where the request came to another partition than its user's."""
    for partition in range(PARTITIONS):
        for header in [], [reply_to(topics.shop)]:
            reply = asker.ask(keyless(user), *header, key=key, partition=partition)
            assert (reply.key, reply.body["ok"]) == (key, True)
        assert asker.ask(keyless(user, n=0), key=key, partition=partition).key == key


def test_a_compacted_reply_topic_takes_a_reply_without_a_key(asker: Asker, topics: Topics) -> None:
    sent = [asker.send(keyless(n=1), reply_to(topics.compacted)) for _ in range(20)]
    for correlation in sent:
        reply = asker.reply(correlation)
        assert (reply.topic, reply.key, reply.body["ok"]) == (topics.compacted, correlation, True)


def test_after_a_refused_reply_those_to_all_partitions_arrive(asker: Asker, topics: Topics) -> None:
    for _ in range(3):
        asker.ask(keyless(), reply_to(topics.compacted))
        for partition in range(3):
            headers = reply_to(topics.compacted), ("kafka_replyPartition", partition.to_bytes(4, "big"))
            for user in USERS:
                reply = asker.ask({"user": user}, *headers)
                assert (reply.key, reply.partition, reply.body["ok"]) == (user.encode(), partition, True)
        assert asker.ask({"user": USER}).body["ok"]


def test_a_reply_that_is_too_large_is_told_where_it_is_waited_for(asker: Asker, topics: Topics) -> None:
    """Those beside it in a batch are none the worse for it."""
    sizes = [1, 100, 1, 1, 100, 1, 1] * 10
    sent = [asker.send({"user": USER, "n": n}, reply_to(topics.small)) for n in sizes]
    for n, correlation in zip(sizes, sent, strict=True):
        reply = asker.reply(correlation)
        assert reply.topic == topics.small
        if n == 1:
            assert reply.body["ok"]
        else:
            assert (reply.error["code"], reply.error["retriable"]) == ("reply_not_accepted", False)
            assert "MessageSizeTooLarge" in reply.error["message"]


def test_a_long_correlation_id_leaves_room_for_a_failure(asker: Asker) -> None:
    correlation = b"x" * ROOM_FOR_A_FAILURE
    asker.send(keyless(n=60), correlation=correlation)
    assert asker.reply(correlation).error["code"] == "reply_not_accepted"


def test_a_request_that_can_have_no_reply_holds_nothing_back(running: Running, topics: Topics) -> None:
    worker = running.worker

    def lost() -> float:
        return worker.metric("recommender_replies_total", code="no_reply")

    before = lost()
    with asking(running.kafka, running.topics, *topics) as asker:
        for headers in [], [reply_to(topics.shop)]:
            for number in range(3):
                # Each is other than all before it, or it would be found by what is the same.
                correlation = (b"%d" % number).ljust(LARGEST - 60, b"x")
                asker.send(keyless(), *headers, correlation=correlation, partition=0)
                assert asker.ask({"user": USER}).body["ok"]
        wait_until(lambda: lost() == before + 6, PATIENCE, worker.log)
        told = [line for line in worker.log.splitlines() if "can have no reply" in line]
        assert len(told) == 6
        assert all(f"{running.topics.requests}[0] offset " in line for line in told)
        assert all("MessageSizeTooLarge" in line for line in told)
        offsets = [line.split("offset ")[1].split()[0] for line in told]
        assert all(worker.log.count(f"[0] offset {each} ") == 1 for each in offsets)
        # Nothing is answered once more.
        counts = {correlation: len(replies) for correlation, replies in asker.replies().items()}
        wait_until(
            lambda: sum(committed(running).values()) == requests(running), PATIENCE, lambda: worker.log
        )
        worker.stop()
        worker.start().ready()
        assert asker.ask({"user": USER}).body["ok"]
        after = {correlation: len(replies) for correlation, replies in asker.replies().items()}
        assert {each: after[each] for each in counts} == counts
    assert lost() == 0


def requests(running: Running) -> int:
    """How many records the request topic has."""
    log = Log(running.installation)
    try:
        return sum(log.ends(running.topics.requests).values())
    finally:
        log.close()


def test_a_reply_topic_that_is_deleted_and_made_again(running: Running) -> None:
    mine = running.topics.prefix + "gone-replies"
    create_topics(running.kafka, mine, partitions=3)
    with asking(running.kafka, running.topics, mine) as asker:
        for user in USERS:
            assert asker.ask({"user": user}, reply_to(mine)).topic == mine
    delete_topics(running.kafka, mine)
    with asking(running.kafka, running.topics) as asker:
        gone = [asker.send({"user": user}, reply_to(mine)) for user in USERS]
        # Others do not wait for it.
        assert asker.ask({"user": USER}).body["ok"]
        for each in gone:
            assert asker.reply(each).error["code"] == "reply_topic_unavailable"
    create_topics(running.kafka, mine, partitions=3)
    with asking(running.kafka, running.topics, mine) as asker:
        for user in USERS * 3:

            def there(user: str = user) -> bool:
                return asker.ask({"user": user}, reply_to(mine)).topic == mine

            wait_until(there, PATIENCE, running.worker.log)


def test_our_own_topic_that_is_deleted_and_made_again(kafka: str, tmp_path: Path) -> None:
    with running_worker(kafka, tmp_path, "deleted", ratings=generated(200)) as running:
        topics, worker = running.topics, running.worker
        with asking(kafka, topics) as asker:
            assert asker.ask({"user": USER}).body["ok"]
        delete_topics(kafka, topics.responses)
        produce(kafka, topics.requests, [keyless()] * 20)
        wait_until(lambda: f"{topics.responses} cannot be written" in worker.log, PATIENCE, worker.log)
        create_topics(kafka, topics.responses, partitions=3)
        replies = consume(kafka, topics.responses, 20, PATIENCE)
        assert all(json.loads(each.value)["ok"] for each in replies)
        with asking(kafka, topics) as asker:
            assert asker.ask({"user": USER}).body["ok"]
        assert len(consume_all(kafka, topics.responses)) == 21
        worker.stop()


@pytest.mark.parametrize("partition", range(3))
def test_a_reply_goes_to_the_partition_that_is_asked(asker: Asker, topics: Topics, partition: int) -> None:
    """As Spring writes it, and as NestJS does."""
    for written in partition.to_bytes(4, "big"), str(partition).encode():
        for topic in topics.shop, topics.nest:
            headers = reply_to(topic), ("kafka_replyPartition", written)
            for user in USERS:
                for n in (1, 0):
                    reply = asker.ask({"user": user, "n": n}, *headers)
                    assert (reply.topic, reply.partition) == (topic, partition)
                    assert reply.body["ok"] == (n == 1)


def test_a_partition_of_the_usual_topic(running: Running, asker: Asker) -> None:
    for partition in range(PARTITIONS):
        reply = asker.ask({"user": USER}, ("kafka_replyPartition", partition.to_bytes(4, "big")))
        assert (reply.topic, reply.partition) == (running.topics.responses, partition)


@pytest.mark.parametrize("value", [b"\0\0\0\3", b"3", b"\xff\xff\xff\xff", b"99999"])
def test_a_partition_that_does_not_exist_is_told_in_the_topic(
    running: Running, asker: Asker, topics: Topics, value: bytes
) -> None:
    for header in [reply_to(topics.shop)], []:
        for _ in range(3):
            reply = asker.ask({"user": USER}, *header, ("kafka_replyPartition", value))
            assert reply.topic == (topics.shop if header else running.topics.responses)
            assert (reply.error["code"], reply.error["retriable"]) == ("reply_topic_unavailable", False)
            assert f"has {3 if header else PARTITIONS} partitions, none with" in reply.error["message"]
        assert asker.ask({"user": USER}, *header).body["ok"]


@pytest.mark.parametrize("value", [b"", b"one", b"\0\0", b"\0" * 8])
def test_a_partition_that_is_none(asker: Asker, topics: Topics, value: bytes) -> None:
    reply = asker.ask({"user": USER}, reply_to(topics.shop), ("kafka_replyPartition", value))
    assert (reply.topic, reply.error["code"]) == (topics.shop, "bad_request")
    assert "header kafka_replyPartition has value" in reply.error["message"]


def test_of_equal_headers_the_last_counts(asker: Asker, topics: Topics) -> None:
    headers = [
        reply_to(topics.small),
        reply_to(topics.shop),
        ("kafka_replyPartition", b"\0\0\0\0"),
        ("kafka_replyPartition", b"\0\0\0\2"),
        ("deadline-ms", b"1"),
        ("deadline-ms", b"99999999999999"),
        ("kafka_correlationId", b"not this one"),
    ]
    reply = asker.ask({"user": USER}, *headers)
    assert (reply.topic, reply.partition, reply.body["ok"]) == (topics.shop, 2, True)


def test_a_null_header_says_nothing(running: Running, asker: Asker, topics: Topics) -> None:
    from confluent_kafka import Producer

    mine = uuid.uuid4().bytes
    said = [("reply_to", topics.shop.encode()), ("correlation_id", mine)]
    names = (
        *("kafka_correlationId", "kafka_replyTopic", "kafka_replyPartition", "deadline-ms", "content-type"),
        *("recommender-forwarded", "recommender-returned"),
    )
    null = [(name, None) for name in names]
    producer = Producer({"bootstrap.servers": running.kafka})
    producer.produce(running.topics.requests, keyless(), None, 0, headers=[*null, *said])
    assert producer.flush(PATIENCE) == 0
    reply = asker.reply(mine)
    assert (reply.topic, reply.body["ok"]) == (topics.shop, True)
    assert reply.headers == {"kafka_correlationId": None, "correlation_id": mine}


@pytest.mark.parametrize(
    "name", ["a b-replies", "\u00fc-replies", "x" * 250 + "-replies", "y" * 40_000 + ".reply", "-replies\n"]
)
def test_what_is_no_name_of_a_topic_is_not_allowed(running: Running, asker: Asker, name: str) -> None:
    reply = asker.ask({"user": USER}, reply_to(running.topics.prefix + name))
    assert (reply.topic, reply.error["code"]) == (running.topics.responses, "reply_topic_not_allowed")
    assert len(reply.error["message"]) < 600
