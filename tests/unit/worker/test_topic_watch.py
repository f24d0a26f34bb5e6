"""A topic that changes under a running worker is noticed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

import pytest

from recommender.kafka.admin import BrokerUnreachableError
from recommender.kafka.topics import Finding, TopicsError
from recommender.worker.topic_watch import TopicWatch

FOUND = Finding("ratings", 3, "id-1")


def look(*sights: Finding | Exception) -> None:
    """Look once at each of these."""
    coming = list(sights)

    def identify() -> Finding:
        sight = coming.pop(0)
        if isinstance(sight, Exception):
            raise sight
        return sight

    async def run() -> None:
        watch = TopicWatch(FOUND, identify)
        for _ in sights:
            await watch.look()

    asyncio.run(run())


def told(caplog: pytest.LogCaptureFixture) -> Sequence[tuple[str, str]]:
    return [(each.levelname, each.getMessage()) for each in caplog.records if "recommender" in each.name]


def test_the_same_topic_is_nothing_to_speak_of(caplog: pytest.LogCaptureFixture) -> None:
    look(FOUND, BrokerUnreachableError("no broker"), FOUND)
    assert told(caplog) == []


def test_a_topic_made_again_is_refused() -> None:
    with pytest.raises(TopicsError, match=r"Topic 'ratings' was deleted and created again .* start it again"):
        look(FOUND, Finding("ratings", 3, "id-2"))


def test_partitions_that_were_added_are_known_from_then_on(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        watch = TopicWatch(FOUND, lambda: Finding("ratings", 5, "id-1"))
        assert watch.partitions == 3
        await watch.look()
        await watch.look()
        assert watch.partitions == 5

    with caplog.at_level(logging.INFO):
        asyncio.run(run())
    assert told(caplog) == [("INFO", "topic 'ratings' has 5 partitions now")]


def test_a_topic_that_goes_and_comes_back_is_told_once_each(caplog: pytest.LogCaptureFixture) -> None:
    gone = TopicsError("Missing at localhost: topic ratings")
    with caplog.at_level(logging.WARNING):
        look(FOUND, gone, gone, FOUND, FOUND)
    assert told(caplog) == [
        ("ERROR", "Missing at localhost: topic ratings; learning goes on when it is back"),
        ("WARNING", "topic 'ratings' is there again"),
    ]
