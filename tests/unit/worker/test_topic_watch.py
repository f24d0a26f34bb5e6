"""A topic that changes under a running worker is noticed."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from recommender.kafka.admin import BrokerUnreachableError
from recommender.kafka.topics import TopicInfo, TopicsError
from recommender.worker.topic_watch import TopicWatch

FOUND = TopicInfo("ratings", 3, "id-1")


async def check(*sights: TopicInfo | Exception) -> None:
    """Look once at each of these."""
    coming = list(sights)

    def identify() -> TopicInfo:
        sight = coming.pop(0)
        if isinstance(sight, Exception):
            raise sight
        return sight

    watch = TopicWatch(FOUND, identify)
    for _ in sights:
        await watch.check()


def told(caplog: pytest.LogCaptureFixture) -> Sequence[tuple[str, str]]:
    return [(each.levelname, each.getMessage()) for each in caplog.records if "recommender" in each.name]


async def test_the_same_topic_is_nothing_to_speak_of(caplog: pytest.LogCaptureFixture) -> None:
    await check(FOUND, BrokerUnreachableError("no broker"), FOUND)
    assert told(caplog) == []


async def test_a_topic_made_again_is_refused() -> None:
    with pytest.raises(TopicsError, match=r"Topic 'ratings' was deleted and created again .* start it again"):
        await check(FOUND, TopicInfo("ratings", 3, "id-2"))


async def test_partitions_that_were_added_are_known_from_then_on(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        watch = TopicWatch(FOUND, lambda: TopicInfo("ratings", 5, "id-1"))
        assert watch.partitions == 3
        await watch.check()
        await watch.check()
        assert watch.partitions == 5
    assert told(caplog) == [("INFO", "topic 'ratings' has 5 partitions now")]


async def test_a_topic_that_goes_and_comes_back_is_told_once_each(caplog: pytest.LogCaptureFixture) -> None:
    gone = TopicsError("Missing at localhost: topic ratings")
    with caplog.at_level(logging.WARNING):
        await check(FOUND, gone, gone, FOUND, FOUND)
    assert told(caplog) == [
        ("ERROR", "Missing at localhost: topic ratings; learning continues when it is back"),
        ("WARNING", "topic 'ratings' is there again"),
    ]
