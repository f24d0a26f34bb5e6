"""Compressed records are read, by whichever codec and whoever compressed them.

A table: five codecs, by the producer's setting and by the topic's, for each topic that anything of ours
reads. One worker and one client see all of them, one after the other in the same topics.

============================  =====================================
topic                         read by
============================  =====================================
ratings                       worker, the report
journal                       worker, ``retrain``
requests                      worker
responses                     client, ``recommender ask``
recommendations log           the report
============================  =====================================

Replay and the dead letters' topic are only written. Responses and the recommendations log are written by the
worker, which does not compress, so a foreign worker stands in where a producer compresses replies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import confluent_kafka
import pytest
from click.testing import CliRunner
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from recommender.cli.ask import ask
from recommender.cli.experiment import report
from recommender.cli.retrain import retrain
from recommender.client.client import Client
from recommender.kafka.topics import Topics
from recommender.messages.responses import Recommended, Response
from tests.integration.raw_records import batches_of, codecs_of
from tests.support.asking import Asker, Reply, asking
from tests.support.kafka import wait_until
from tests.support.record_batches import CODECS
from tests.support.responder import Asked, Responder, responding
from tests.support.worker_logs import Oracle, rating
from tests.support.workers import PATIENCE, Worker, installed

WAYS = [(by, codec) for by in ("producer", "topic") for codec in CODECS]
IDS = [f"{by}-{codec}" for by, codec in WAYS]
RATINGS = 40
REQUESTS = 3
TOPIC_SETTINGS = {"none": "uncompressed"} | {each: each for each in CODECS[1:]}
#: A broker's settings of a topic change a moment after they were changed.
ATTEMPTS = 20
SETTINGS = {"model": "popular", "recommendations_log": "on"}


@dataclass
class Running:
    """A worker that has met all ways, and what came of each."""

    worker: Worker
    oracle: Oracle
    topics: Topics
    environment: dict[str, str]
    ratings: int = 0
    #: By way: for each topic the codecs of the batches that it got.
    written: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    replies: dict[str, list[Reply]] = field(default_factory=dict)
    answers: dict[str, Response] = field(default_factory=dict)


def set_compression(kafka: str, topics: Topics, codec: str) -> None:
    """Have the broker write all topics in one codec, or as they come."""
    change = ConfigEntry("compression.type", codec, incremental_operation=AlterConfigOpType.SET)
    changes = [ConfigResource(ResourceType.TOPIC, each, incremental_configs=[change]) for each in topics.all]
    admin = AdminClient({"bootstrap.servers": kafka})
    for each in admin.incremental_alter_configs(changes).values():
        each.result(PATIENCE)


def produce(kafka: str, topic: str, codec: str, records: list[dict[str, Any]]) -> int:
    """Write records in one batch; the offset of the last one."""
    offsets: list[int] = []
    settings = {"bootstrap.servers": kafka, "compression.type": codec, "linger.ms": 100}
    producer = confluent_kafka.Producer(settings)
    for each in records:
        producer.produce(topic, on_delivery=lambda error, message: offsets.append(message.offset()), **each)
    assert producer.flush(PATIENCE) == 0
    return max(offsets)


def expected(topics: Topics, by: str, codec: str) -> dict[str, set[str]]:
    """By which codecs what is written in one way is compressed; the client's own requests are not."""
    own = codec if by == "topic" else "none"
    return {
        topics.ratings: {codec},
        topics.journal: {own},
        topics.requests: {codec, own},
        topics.responses: {own},
        topics.recommendations: {own},
        topics.dead_letters: set(),
        topics.items: set(),
    }


def meet(kafka: str, running: Running, asker: Asker, client: Client, by: str, codec: str) -> None:
    """Ratings and requests in one way; once more where a broker still had the settings of the way before."""
    set_compression(kafka, running.topics, "producer" if by == "producer" else TOPIC_SETTINGS[codec])
    for attempt in range(ATTEMPTS):
        meet_once(kafka, running, asker, client, by, codec, attempt)
        if running.written[f"{by}-{codec}"] == expected(running.topics, by, codec):
            return


def meet_once(
    kafka: str, running: Running, asker: Asker, client: Client, by: str, codec: str, attempt: int
) -> None:
    """Ratings and requests in one way."""
    name, topics = f"{by}-{codec}", running.topics
    before = {topic: len(batches_of(kafka, topic)) for topic in topics.all}
    own = codec if by == "producer" else "none"
    ratings = [{"key": b"u", "value": rating(f"u{each}", f"i-{name}", 5)} for each in range(RATINGS)]
    last = produce(kafka, topics.ratings, own, ratings)
    running.ratings += RATINGS
    correlations = [f"{name}-{attempt}-{each}".encode() for each in range(REQUESTS)]
    value = json.dumps({"user": f"reader-{name}", "n": 100, "after": last}).encode()
    same = {"key": b"reader", "value": value}
    requests = [same | {"headers": [("kafka_correlationId", each)]} for each in correlations]
    produce(kafka, topics.requests, own, requests)
    running.replies[name] = [asker.reply(each) for each in correlations]
    asker.sent += correlations
    running.answers[name] = client.recommend(f"reader-{name}", timeout=PATIENCE)
    # The log is written behind the replies.
    wait_until(lambda: len(batches_of(kafka, topics.recommendations)) > before[topics.recommendations])
    running.written[name] = {
        topic: set(codecs_of(batches_of(kafka, topic)[count:])) for topic, count in before.items()
    }


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A worker that has met all ways."""
    with installed(kafka, tmp_path_factory.mktemp("codecs"), "codecs") as installation:
        worker = installation.worker(**SETTINGS).start().ready()
        environment = {
            "RECOMMENDER_BROKER": kafka,
            "RECOMMENDER_TOPIC_PREFIX": installation.topics.prefix,
            "RECOMMENDER_CHECKPOINTS": str(installation.checkpoints),
            **{f"RECOMMENDER_{name.upper()}": value for name, value in SETTINGS.items()},
        }
        oracle = Oracle(installation, model="popular")
        running = Running(worker, oracle, installation.topics, environment)
        with asking(kafka, running.topics) as asker, Client(kafka, running.topics.prefix) as client:
            for by, codec in WAYS:
                meet(kafka, running, asker, client, by, codec)
            replies = asker.replies()
            assert [len(replies[each]) for each in asker.sent] == [1] * len(asker.sent)
        yield running


@pytest.mark.parametrize(("by", "codec"), WAYS, ids=IDS)
def test_the_topics_hold_what_the_table_says(running: Running, by: str, codec: str) -> None:
    assert running.written[f"{by}-{codec}"] == expected(running.topics, by, codec)


@pytest.mark.parametrize("way", IDS)
def test_the_worker_learns_and_answers_and_the_client_reads_the_reply(running: Running, way: str) -> None:
    for reply in running.replies[way]:
        assert reply.body["ok"] is True
        assert f"i-{way}" in reply.items
    assert len(running.replies[way]) == REQUESTS
    assert f"i-{way}" in [each.item for each in running.answers[way].items]


def test_nothing_was_missed_and_nothing_buried(running: Running) -> None:
    shard = running.oracle.assert_agrees(running.worker).shard
    assert (shard.events, len(shard.items)) == (running.ratings, len(WAYS))
    assert running.worker.metric("recommender_ratings_total", result="dead_letter") == 0
    assert "Traceback" not in running.worker.log


def test_retrain_reads_all_of_it(running: Running, tmp_path: Path) -> None:
    """Its checkpoint has the same digest as the running one, or it would say so."""
    running.oracle.assert_agrees(running.worker)
    done = CliRunner().invoke(retrain, ["--to", str(tmp_path / "new")], env=running.environment)
    assert done.exit_code == 0, done.output


def test_the_report_reads_all_of_it(running: Running) -> None:
    done = CliRunner().invoke(report, ["--json", "-"], env=running.environment)
    assert done.exit_code == 0, done.output
    read = json.loads(done.stdout)["read"]
    ratings, recommendations = read["ratings"], read["recommendations"]
    assert (ratings["records"], ratings["bad"]) == (running.ratings, 0)
    assert recommendations["bad"] == 0
    assert recommendations["records"] >= (REQUESTS + 1) * len(WAYS)


@pytest.mark.parametrize("codec", CODECS)
def test_replies_that_a_producer_has_compressed(
    kafka: str, make_topics: Callable[..., Topics], codec: str
) -> None:
    topics = make_topics()
    items = [Recommended(f"item-{each}", 0.5) for each in range(50)]

    def answer(responder: Responder, asked: Asked) -> None:
        responder.reply(asked, Response("u", items, "popular", "main", False, 0, 7, 7).encode())

    compression = None if codec == "none" else codec
    with responding(kafka, topics, answer, compression_type=compression):
        with Client(kafka, topics.prefix) as client:
            assert client.recommend("u", timeout=PATIENCE).items == items
        environment = {"RECOMMENDER_BROKER": kafka, "RECOMMENDER_TOPIC_PREFIX": topics.prefix}
        done = CliRunner().invoke(ask, ["--user", "u", "-n", "50", "--timeout", "20"], env=environment)
        assert done.exit_code == 0, done.output
        assert "item-49" in done.output
    assert codecs_of(batches_of(kafka, topics.responses)) == [codec, codec]
