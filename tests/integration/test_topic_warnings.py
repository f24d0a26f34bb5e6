"""Topics that would lose what is written to them: errors, and warnings."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from recommender.kafka.network import Network
from recommender.kafka.topic_configs import read_configs
from recommender.kafka.topics import Topics, TopicsError, check, ensure
from tests.integration.topic_admin import admin, create
from tests.support.kafka import consume, delete_topics, wait_until


@pytest.mark.parametrize(
    "configs",
    [
        {"cleanup.policy": "compact"},
        {"retention.ms": "604800000"},
        {"retention.ms": "-1", "retention.bytes": "1000000"},
        {"cleanup.policy": "compact,delete", "retention.ms": "43200000"},
    ],
    ids=lambda each: "",
)
def test_ratings_may_expire_as_the_journal_has_them(
    kafka: str, topic_prefix: str, configs: dict[str, str]
) -> None:
    topics = Topics(topic_prefix)
    create(kafka, {topics.ratings: 1}, **configs)
    assert all(each.warnings == () for each in ensure(kafka, topics))


@pytest.mark.parametrize(
    ("configs", "said"),
    [
        ({"cleanup.policy": "compact"}, "cleanup.policy is compact, expected delete: compaction drops what"),
        (
            {"retention.ms": "86400000"},
            "retention.ms is 86400000, expected -1: ratings are lost after 1 days",
        ),
        ({"retention.ms": "-1", "retention.bytes": "1000000"}, "retention.bytes is 1000000, expected -1"),
        (
            {"retention.ms": "-1", "max.message.bytes": "500000"},
            "max.message.bytes is 500000, expected at least",
        ),
    ],
    ids=lambda each: "",
)
def test_a_journal_that_loses_blocks_is_an_error(
    kafka: str, make_topics: Callable[..., Topics], configs: dict[str, str], said: str
) -> None:
    topics = make_topics()
    delete_topics(kafka, topics.journal)
    create(kafka, {topics.journal: 1}, **configs)
    for look in (ensure, check):
        with pytest.raises(TopicsError, match=f"'{topics.journal}' would not keep the journal: {said}"):
            look(kafka, topics)


def test_a_journal_is_as_safe_as_the_ratings(kafka: str, topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    create(kafka, {topics.ratings: 2}, **{"retention.ms": "-1", "min.insync.replicas": "3"})
    _, journal, *_ = ensure(kafka, topics)
    assert journal.warnings == ()
    assert journal.max_message_bytes == 1_048_588
    with admin(kafka) as client:
        configs = read_configs(client, [topics.journal])[topics.journal]
    assert configs["min.insync.replicas"] == "3"
    assert configs["message.timestamp.type"] == "LogAppendTime"
    delete_topics(kafka, topics.journal)
    create(kafka, {topics.journal: 1}, **{"retention.ms": "-1"})
    _, journal, *_ = check(kafka, topics)
    clock, insync = journal.warnings
    assert "message.timestamp.type is CreateTime, expected LogAppendTime" in clock
    assert "min.insync.replicas is 1, expected at least 3, as the ratings topic has" in insync


def test_the_age_of_requests_is_told_by_the_brokers_clock(kafka: str, topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    ensure(kafka, topics)
    with admin(kafka) as client:
        configs = read_configs(client, [topics.requests])[topics.requests]
    assert configs["message.timestamp.type"] == "LogAppendTime"
    delete_topics(kafka, topics.requests)
    create(kafka, {topics.requests: 1}, **{"message.timestamp.type": "CreateTime"})
    found = {each.topic: each.warnings for each in check(kafka, topics)}
    (warning,) = found[topics.requests]
    assert "message.timestamp.type is CreateTime, expected LogAppendTime" in warning
    assert found[topics.ratings] == ()


def test_the_largest_rating_fits_into_the_dead_letters_with_its_headers(
    kafka: str, make_topics: Callable[..., Topics]
) -> None:
    topics = make_topics()
    value, headers = b"x" * 1_048_000, [("__connect.errors.exception.message", b"y" * 60_000)]
    # The client's own limit is the same as the broker's; its own bookkeeping takes some of it.
    from kafka import KafkaProducer

    producer = KafkaProducer(kafka_client=Network, bootstrap_servers=kafka, max_request_size=2_000_000)
    try:
        producer.send(topics.ratings, value).get(timeout=30)
        producer.send(topics.dead_letters, value, headers=headers).get(timeout=30)
    finally:
        producer.close(timeout=10)
    (letter,) = consume(kafka, topics.dead_letters, 1)
    assert letter.value == value


def test_dead_letters_without_room_are_told(kafka: str, topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    create(kafka, {topics.dead_letters: 1})
    dead_letters = ensure(kafka, topics)[topics.all.index(topics.dead_letters)]
    (warning,) = dead_letters.warnings
    assert "max.message.bytes is 1048588, expected at least" in warning
    assert dead_letters.max_message_bytes == 1048588


def test_an_items_topic_that_forgets_is_told_and_one_that_is_not_there_is_none(
    kafka: str, topic_prefix: str
) -> None:
    topics = Topics(topic_prefix)
    create(kafka, {topics.items: 1}, **{"cleanup.policy": "compact", "delete.retention.ms": "86400000"})
    (warning,) = ensure(kafka, topics)[-1].warnings
    assert "delete.retention.ms is 1 days, expected at least 365" in warning
    with admin(kafka) as client:
        client.delete_topics([topics.items])
        wait_until(lambda: topics.items not in client.list_topics(), 30)
    assert topics.items not in [each.topic for each in check(kafka, topics)]
