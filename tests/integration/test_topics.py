"""Topics: created once, checked, and told from others of the same name."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from recommender.cli.topics import topics as command
from recommender.kafka.admin import BrokerUnreachableError
from recommender.kafka.local.broker import LocalBroker
from recommender.kafka.local.ports import free_port
from recommender.kafka.topic_creation import Patience, create_topics
from recommender.kafka.topics import Topics, TopicsError, check, ensure, identify
from tests.integration.topic_admin import admin, create
from tests.support.kafka import Record, consume, consume_all, delete_topics, produce, wait_until


def test_the_names_follow_the_prefix() -> None:
    assert Topics().all == (
        "ratings",
        "ratings-journal",
        "recommendation-requests",
        "recommendation-responses",
        "ratings-dlt",
        "recommendations-log",
        "items",
    )
    assert Topics("a.").dead_letters == "a.ratings-dlt"


@pytest.mark.parametrize("prefix", ["a/b", "a b", "ü", "x" * 201])
def test_a_prefix_that_kafka_refuses(prefix: str) -> None:
    with pytest.raises(TopicsError, match="topic prefix"):
        Topics(prefix)


def test_all_are_created_once(kafka: str, topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    first = ensure(kafka, topics, partitions=3)
    assert [each.topic for each in first] == list(topics.all)
    assert all(each.created and each.warnings == () for each in first)
    assert [each.partitions for each in first] == [3, 1, 3, 3, 3, 3, 3]
    second = ensure(kafka, topics, partitions=3)
    assert not any(each.created for each in second)
    assert [each.topic_id for each in second] == [each.topic_id for each in first]
    assert check(kafka, topics) == second


def test_topics_need_no_equal_numbers_of_partitions(kafka: str, topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    create(kafka, {topics.ratings: 6, topics.requests: 4})
    found = ensure(kafka, topics, partitions=1)
    assert [each.partitions for each in found] == [6, 1, 4, 1, 1, 1, 1]
    assert [each.created for each in found] == [
        each not in (topics.ratings, topics.requests) for each in topics.all
    ]
    assert check(kafka, topics) == [replace(each, created=False) for each in found]


def test_fewer_partitions_than_asked_for(kafka: str, make_topics: Callable[..., Topics]) -> None:
    topics = make_topics(partitions=2)
    with pytest.raises(TopicsError, match=f"'{topics.ratings}' has 2 partitions, expected 4: add the others"):
        ensure(kafka, topics, partitions=4, exact=True)


def test_responses_may_have_another_count(kafka: str, topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    create(kafka, {topics.responses: 1})
    found = ensure(kafka, topics, partitions=2)
    assert [each.partitions for each in found] == [2, 1, 2, 1, 2, 2, 2]


def test_what_is_not_used_need_not_be_there(kafka: str, topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    used = [name for name in topics.all if name != topics.recommendations]
    create(kafka, dict.fromkeys(used, 2), **{"retention.ms": "-1"})
    with pytest.raises(TopicsError, match=f"Missing at .*: topic {topics.recommendations};"):
        check(kafka, topics)
    found = check(kafka, topics, unused=[topics.recommendations])
    assert [each.topic for each in found] == used


def test_checking_creates_nothing(kafka: str, topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    create(kafka, {topics.ratings: 1})
    needed = [each for each in topics.all[1:] if each != topics.items]  # workers do without items
    with pytest.raises(TopicsError, match=f"{', '.join(needed)};"):
        check(kafka, topics)
    with admin(kafka) as client:
        assert not set(topics.all[1:]) & set(client.list_topics())


def test_the_journals_partitions_are_fixed(kafka: str, topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    assert [each.partitions for each in ensure(kafka, topics, 4, journal_partitions=2)] == [
        4,
        2,
        4,
        4,
        4,
        4,
        4,
    ]
    assert ensure(kafka, topics)[1].partitions == 2
    with pytest.raises(TopicsError, match=f"'{topics.journal}' has 2 partitions, expected 4: another"):
        ensure(kafka, topics, journal_partitions=4)


def test_several_workers_may_create_at_once(kafka: str, topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    found: list[list[Any]] = []
    threads = [
        threading.Thread(target=lambda: found.append(ensure(kafka, topics, partitions=2))) for _ in range(4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(found) == 4
    assert len({tuple(each.topic_id for each in findings) for findings in found}) == 1
    for position in range(7):
        assert sum(findings[position].created for findings in found) == 1


def test_what_the_broker_refuses_is_said(kafka: str, topic_prefix: str) -> None:
    with pytest.raises(TopicsError, match=r"did not create topic .*ratings: .*replication factor of 9"):
        ensure(kafka, Topics(topic_prefix), replication=9)


def test_a_topic_created_again_has_another_id(kafka: str, make_topics: Callable[..., Topics]) -> None:
    topics = make_topics(partitions=2)
    before = identify(kafka, topics.ratings)
    assert before.partitions == 2
    assert identify(kafka, topics.ratings).topic_id == before.topic_id
    delete_topics(kafka, topics.ratings)
    ensure(kafka, topics, partitions=2)
    assert identify(kafka, topics.ratings).topic_id != before.topic_id


def test_identify_a_topic_that_is_not_there(kafka: str, topic_prefix: str) -> None:
    with pytest.raises(TopicsError, match=topic_prefix + "nothing"):
        identify(kafka, topic_prefix + "nothing")


def test_a_broker_that_never_comes() -> None:
    told: list[str] = []
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnreachableError, match=f"{address} after [23] s: .*refused"):
        check(address, Topics(), wait_seconds=2, tell=told.append)
    (line,) = told
    assert f"Waiting for a Kafka broker at {address}, 1 of 2 s" in line


def test_a_broker_that_comes_late() -> None:
    with LocalBroker() as broker:
        broker.kill()
        late = threading.Timer(0.5, broker.restart)
        late.start()
        try:
            found = ensure(broker.address, Topics(), wait_seconds=60)
        finally:
            late.join()
    assert all(each.created for each in found)


@pytest.mark.parametrize("address", ["localhost", "localhost:", ":9092", "localhost:port", "localhost:70000"])
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(BrokerUnreachableError, match="expected HOST:PORT"):
        check(address, Topics(), wait_seconds=60)


def test_the_command(kafka: str, topic_prefix: str) -> None:
    environment = {"RECOMMENDER_BROKER": kafka, "RECOMMENDER_TOPIC_PREFIX": topic_prefix}
    created = CliRunner().invoke(command, ["--partitions", "2"], env=environment, catch_exceptions=False)
    topics = Topics(topic_prefix)
    counts = {name: 1 if name == topics.journal else 2 for name in topics.all}
    assert created.output.splitlines() == [f"{name}\t{count}\tcreated" for name, count in counts.items()]
    again = CliRunner().invoke(command, ["--check"], env=environment, catch_exceptions=False)
    assert again.output.splitlines() == [f"{name}\t{count}\texists" for name, count in counts.items()]
    with pytest.raises(TopicsError, match="expected 3"):
        CliRunner().invoke(command, ["--partitions", "3"], env=environment, catch_exceptions=False)
    for option in ("--partitions", "--journal-partitions"):
        mixed = CliRunner().invoke(command, ["--check", option, "3"], env=environment)
        assert mixed.exit_code == 2


def test_the_helpers_give_back_what_was_written(kafka: str, make_topics: Callable[..., Topics]) -> None:
    topics = make_topics(partitions=2)
    record = Record(b"v", key=b"k", headers=[("h", b"\xff")], partition=1, timestamp_ms=1234)
    assert produce(kafka, topics.ratings, [record, Record(None, key=b"k", partition=1)]) == [(1, 0), (1, 1)]
    first, second = consume(kafka, topics.ratings, 2)
    assert (first.key, first.value, list(first.headers), first.timestamp) == (
        b"k",
        b"v",
        [("h", b"\xff")],
        1234,
    )
    assert second.value is None
    assert len(consume_all(kafka, topics.ratings)) == 2
    with pytest.raises(AssertionError, match="2 records and 5 s without more, expected 3"):
        consume(kafka, topics.ratings, 3, seconds=5)


#: The broker is heard of every four seconds and given up after one: most of the time it is fenced.
FENCED = {"broker.heartbeat.interval.ms": "4000", "broker.session.timeout.ms": "1000"}


def test_brokers_that_are_fenced_for_a_moment_are_waited_for(
    monkeypatch: pytest.MonkeyPatch, unique: str
) -> None:
    size = {"num_partitions": 1, "replication_factor": 1}
    told: list[str] = []
    with LocalBroker(properties=FENCED) as broker, admin(broker.address) as client:

        def refused() -> str:
            """Why the broker creates no topic at the moment; empty where it does."""
            try:
                create_topics(client, {f"{unique}-{uuid.uuid4().hex[:8]}": size}, Patience(0.0, None))
            except TopicsError as error:
                return str(error)
            return ""

        def wait_until_it_is_fenced() -> None:
            wait_until(lambda: not refused(), message="the broker is there")
            reason = wait_until(refused, message="the controller gives the broker up")
            assert "All brokers are currently fenced" in reason

        wait_until_it_is_fenced()
        wanted = {f"{unique}-{each}": size for each in range(3)}
        assert create_topics(client, wanted, Patience(time.monotonic() + 60, told.append)) == set(wanted)
        assert told
        assert all("All brokers are currently fenced" in each for each in told)

        wait_until_it_is_fenced()
        monkeypatch.setenv("RECOMMENDER_BROKER", broker.address)
        result = CliRunner().invoke(command, [])
        assert result.exit_code == 0, result.output
        assert {row.split("\t")[2] for row in result.stdout.splitlines()} == {"created"}
