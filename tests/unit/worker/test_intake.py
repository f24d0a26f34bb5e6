"""Several topics on one worker: those that are not there yet, and what a mapping is judged by."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, cast

import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry, Counter

from recommender.ingest.sources.mapping import SourcesError
from recommender.ingest.sources.source_ingest import SourceIngest
from recommender.journal.block import Source
from recommender.journal.errors import SourceShorter
from recommender.kafka.admin import BrokerUnreachableError
from recommender.kafka.topics import TopicInfo, TopicsError
from recommender.worker.ingestor import Ingestor
from recommender.worker.intake import Intake
from recommender.worker.source_reading import JUDGED, JudgedIngest, SourceCounts
from recommender.worker.transport.spans import Span
from tests.unit.ingest.sources.records import HIGH, LOW, mapping, record

IDS = {"a": bytes(16), "b": b"b" * 16}


class Ingests:
    """What the intake makes for a topic."""

    def __init__(self, topic: str) -> None:
        self.topic, self.begun = topic, dict[int, int]()

    def source(self, partition: int) -> Source:
        return Source(IDS[self.topic], partition)

    async def begin(self, spans: Mapping[int, Span], firsts: Mapping[int, int]) -> dict[int, int]:
        if any(span.ends == 0 for span in spans.values()):
            raise SourceShorter(f"{self.topic} ends at offset 0")
        self.begun = {partition: firsts.get(partition, 0) for partition in spans}
        return self.begun

    async def revoke(self) -> dict[int, int]:
        return self.begun

    def committable(self) -> dict[int, int]:
        return self.begun


class Kafka:
    """Topics that are there, or not yet."""

    def __init__(self, *topics: str) -> None:
        self.topics, self.again = set(topics), ""
        self.failures: list[Exception] = []
        self.made: dict[str, Ingests] = {}

    def identify(self, topic: str) -> TopicInfo:
        if self.failures:
            raise self.failures.pop()
        if topic not in self.topics:
            raise TopicsError(f"Missing: {topic}")
        return TopicInfo(topic, 2, topic + self.again)

    def make(self, found: TopicInfo) -> Ingestor:
        self.made[found.topic] = Ingests(found.topic)
        return cast(Ingestor, self.made[found.topic])

    async def firsts(self, spans: Mapping[TP, Span]) -> Mapping[TP, int]:
        return {tp: 7 for tp in spans if tp.topic == "b"}

    def intake(self) -> Intake:
        found = Intake(["a", "b"], self.make, self.identify, self.firsts, retry_seconds=0.0)
        for topic in sorted(self.topics):
            found.open(self.identify(topic))
        return found


SPAN = Span(0, 10, None)


async def test_each_topic_has_an_ingestor_of_its_own() -> None:
    kafka = Kafka("a", "b")
    intake = kafka.intake()
    found = await intake.begin({TP("a", 0): SPAN, TP("a", 1): SPAN, TP("b", 1): SPAN})
    assert found == {TP("a", 0): 0, TP("a", 1): 0, TP("b", 1): 7}
    assert intake.committable() == await intake.revoke() == found
    found_ingestors: list[Any] = [intake.get(topic) for topic in ("a", "b")]
    assert found_ingestors == list(kafka.made.values())
    assert intake.place(Source(IDS["b"], 3)) == TP("b", 3)


async def test_a_topic_that_comes_later(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        kafka = Kafka("a")
        intake = kafka.intake()
        intake.log_missing()
        await intake.check()
        kafka.failures = [BrokerUnreachableError("away")] * 2
        await intake.check()
        assert intake.missing == ["b"]
        assert intake.get("b") is None
        kafka.topics.add("b")
        # It is assigned before anybody has looked, and the broker does not answer at once.
        kafka.failures = [BrokerUnreachableError("away")]
        assert await intake.begin({TP("b", 0): SPAN}) == {TP("b", 0): 7}
        await intake.check()
    told = [each.getMessage() for each in caplog.records]
    assert told == [
        "topic 'b' does not exist yet; it is read once it is there",
        "topic 'b' is there now",
    ]


async def test_a_topic_that_is_shorter_may_be_another_one() -> None:
    kafka = Kafka("a", "b")
    intake, short = kafka.intake(), {TP("a", 0): Span(0, 0, None)}
    with pytest.raises(SourceShorter, match="a ends at offset 0"):
        await intake.begin(short)
    kafka.again = " again"
    with pytest.raises(TopicsError, match="'a' was deleted and created again under this worker"):
        await intake.begin(short)


def judged(most: float = 50.0) -> JudgedIngest:
    found = JudgedIngest(SourceIngest(mapping("[films]"), LOW, HIGH), most)
    found.judge()
    return found


GOOD, BAD = record({"user": 1, "item": 2, "rating": 3}), record({})


@pytest.mark.parametrize(("good", "most"), [(499, 50.0), (0, 99.0)])
def test_a_mapping_that_does_not_fit(good: int, most: float) -> None:
    ingest = judged(most)
    ingest.read(0, [GOOD] * good)
    with pytest.raises(SourcesError, match="this mapping does not fit topic 'films'") as caught:
        ingest.read(0, [BAD] * (JUDGED - good))
    assert f"{JUDGED - good} times Object missing required field - at `$.user`" in str(caught.value)


@pytest.mark.parametrize(("good", "most"), [(500, 50.0), (0, 100.0)])
def test_a_mapping_that_fits(good: int, most: float) -> None:
    ingest = judged(most)
    ingest.read(0, [GOOD] * good)
    assert len(ingest.read(0, [BAD] * (JUDGED - good)).dead_letters) == JUDGED - good
    # Later a burst of bad records is the producer's fault, and not the mapping's.
    assert len(ingest.read(0, [BAD] * 3 * JUDGED).dead_letters) == 3 * JUDGED


def test_a_mapping_that_was_in_force_before_is_not_judged() -> None:
    ingest = JudgedIngest(SourceIngest(mapping("[films]"), LOW, HIGH), 50.0)
    found: Any = ingest.read(0, [BAD] * 2 * JUDGED)
    assert len(found.refusals) == 2 * JUDGED


def test_what_a_source_waits_for_is_told() -> None:
    metric = Counter("records", "", ["source", "result", "reason"], registry=CollectorRegistry())
    counts = SourceCounts(metric, ["films", "clicks"])
    counts.waits["films"] = lambda: "a registry"
    told: dict[str, Any] = counts.summary()
    assert {name: each["waits_for"] for name, each in told.items()} == {"films": "a registry", "clicks": None}
