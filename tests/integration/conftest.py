"""Apache Kafka for the tests: one broker for a whole run, fresh names for each test."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator

import pytest

from recommender.kafka.topics import Topics, ensure
from tests.support.brokers import chosen_broker


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[str]:
    """Bootstrap servers of the broker that all tests of a run share."""
    shared = getattr(request.config, "workerinput", {}).get("kafka")
    if shared:
        yield shared
    else:
        with chosen_broker(request.config.getoption("--kafka")) as address:
            yield address


@pytest.fixture
def unique(request: pytest.FixtureRequest) -> str:
    """A name that no other test or run has, with the test's own name in it for the logs."""
    test = re.sub(r"[^a-zA-Z0-9]+", "-", request.node.name)[:60].strip("-")
    return f"{test}-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def topic_prefix(unique: str) -> str:
    """A topic prefix of this test's own."""
    return unique + "-"


@pytest.fixture
def group(unique: str) -> str:
    """A consumer group of this test's own."""
    return unique


@pytest.fixture
def make_topics(kafka: str, topic_prefix: str) -> Callable[..., Topics]:
    """Create this test's topics: ``make_topics(partitions=3)``."""

    def make(partitions: int = 1) -> Topics:
        topics = Topics(topic_prefix)
        ensure(kafka, topics, partitions)
        return topics

    return make
