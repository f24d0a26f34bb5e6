"""`recommender journal` against a real broker."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from click.testing import CliRunner, Result
from kafka import TopicPartition

from recommender.cli.journal import journal as command
from recommender.errors import RecommenderError
from recommender.journal.errors import BlockError, JournalError
from recommender.kafka.admin import BrokerUnreachableError, open_admin
from recommender.kafka.local.ports import free_port
from recommender.kafka.topics import Topics, TopicsError, ensure
from recommender.messages.ratings import RatingDecoder
from tests.integration.journal_nodes import expected, run, running, source
from tests.support.kafka import produce
from tests.unit.journal.blocks import OTHER, TOPIC, Row, packed

TOPIC_ID, OTHER_ID = (str(uuid.UUID(bytes=each)) for each in (TOPIC, OTHER))


@pytest.fixture
def topics(make_topics: Callable[..., Topics]) -> Topics:
    return make_topics()


def invoke(kafka: str, topics: Topics, *arguments: str, fails: bool = False) -> Result:
    environment = {"RECOMMENDER_BROKER": kafka, "RECOMMENDER_TOPIC_PREFIX": topics.prefix}
    environment["RECOMMENDER_BROKER_WAIT"] = "0"
    return CliRunner().invoke(command, arguments, env=environment, catch_exceptions=fails)


def error_of(result: Result) -> RecommenderError:
    assert isinstance(result.exception, RecommenderError), result.exception
    return result.exception


#: An applied block, a duplicate, one that is cut, one that is ahead, and one of another source.
MIXED = [
    packed([Row(0, "ann", "tea", 0.1, 5.5), Row(2, "bob", 'm"i', None, 6.0)], 0, 3),
    packed([Row(0, "ann", "tea", 0.1, 5.5)], 0, 2),
    packed([Row(2, "bob", 'm"i', None, 6.0), Row(3, "\u00fc", "tea", 4.5, -0.001)], 2, 4),
    packed([Row(9, "eve", "tea", 5.0, 7.0)], 9, 10),
    packed([Row(1, "eve", "cake", 5.0, 1e9)], 0, 2, source(0)._replace(topic_id=OTHER), decoder=255),
]


def test_show(kafka: str, topics: Topics) -> None:
    assert invoke(kafka, topics, "show").output == ""
    produce(kafka, topics.journal, MIXED)
    lines = [json.loads(line) for line in invoke(kafka, topics, "show").output.splitlines()]
    assert [line["offset"] for line in lines] == [0, 1, 2, 3, 4]
    assert all(line.pop("timestamp") > 1.6e12 for line in lines)
    assert lines[0] == {
        "offset": 0,
        "topic_id": TOPIC_ID,
        "partition": 0,
        "from": 0,
        "to": 3,
        "rows": 2,
        "decoder": "0000000000000000",
        "ratings": [
            {"offset": 0, "user": "ann", "item": "tea", "rating": 0.1, "timestamp": 5.5},
            {"offset": 2, "user": "bob", "item": 'm"i', "rating": None, "timestamp": 6.0},
        ],
    }
    assert (lines[4]["topic_id"], lines[4]["decoder"]) == (OTHER_ID, "00000000000000ff")
    assert lines[2]["ratings"][1]["timestamp"] is None
    some = invoke(kafka, topics, "show", "--from", "1", "--limit", "2").output.splitlines()
    assert [json.loads(line)["offset"] for line in some] == [1, 2]
    assert invoke(kafka, topics, "show", "--from", "5").output == ""


def test_what_there_is_not_to_show(kafka: str, topics: Topics) -> None:
    produce(kafka, topics.journal, MIXED)
    beyond = error_of(invoke(kafka, topics, "show", "--from", "6", fails=True))
    assert str(beyond) == f"{topics.journal}[0] has offsets from 0 to 4: there is no 6"
    other = error_of(invoke(kafka, topics, "show", "--partition", "1", fails=True))
    assert str(other) == f"Topic {topics.journal!r} has 1 partitions: there is no 1"
    missing = error_of(invoke(kafka, Topics(topics.prefix + "x-"), "show", fails=True))
    assert isinstance(missing, TopicsError)
    nowhere = error_of(invoke(f"127.0.0.1:{free_port()}", topics, "verify", fails=True))
    assert isinstance(nowhere, BrokerUnreachableError)


def test_verify_and_export(kafka: str, topics: Topics, tmp_path: Path) -> None:
    produce(kafka, topics.journal, MIXED)
    verified = invoke(kafka, topics, "verify")
    assert verified.exit_code == 0
    first, *sources = verified.output.splitlines()
    assert first.startswith(
        f"{topics.journal}[0] is whole: 5 blocks, 4 ratings; 1 duplicate, 1 cut, 1 ahead; next offset 5, "
    )
    assert sources == [
        f"  {TOPIC_ID}[0]: applied up to offset 4",
        f"  {OTHER_ID}[0]: applied up to offset 2",
    ]
    path = tmp_path / "ratings.jsonl"
    exported = invoke(kafka, topics, "export", "--to", str(path))
    assert exported.output == f"{path}: 4 ratings\n"
    lines = path.read_bytes().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"user": "ann", "item": "tea", "rating": 0.1, "timestamp": 5.5},
        {"user": "bob", "item": 'm"i', "rating": None, "timestamp": 6.0},
        {"user": "\u00fc", "item": "tea", "rating": 4.5, "timestamp": None},
        {"user": "eve", "item": "cake", "rating": 5.0, "timestamp": 1e9},
    ]
    for line in lines:
        RatingDecoder(0.0, 5.0).decode(line)
    assert invoke(kafka, topics, "export", "--to", "-").stdout_bytes == path.read_bytes()
    again = error_of(invoke(kafka, topics, "export", "--to", str(path), fails=True))
    assert str(again) == f"{path} exists already; delete it, or choose another place"
    nowhere = error_of(invoke(kafka, topics, "export", "--to", str(tmp_path / "no" / "file"), fails=True))
    assert "cannot export to" in str(nowhere)


def test_a_damaged_journal(kafka: str, topics: Topics, tmp_path: Path) -> None:
    produce(kafka, topics.journal, [MIXED[0], MIXED[0][:-1], *MIXED[1:3], b"x"])
    verified = invoke(kafka, topics, "verify")
    assert verified.exit_code == 1
    size = len(MIXED[0])
    lines = verified.output.splitlines()
    assert lines[:3] == [
        f"{topics.journal}[0] offset 1: the block has {size - 1} bytes: expected {size}, as its header says",
        f"{topics.journal}[0] offset 4: the record has 1 bytes: expected a block of at least 64",
        f"{topics.journal}[0]: 2 damaged; nothing from offset 1 on is followed",
    ]
    assert lines[3].startswith(f"{topics.journal}[0] is whole up to there: 1 blocks, 2 ratings; 0 duplicate")
    shown = invoke(kafka, topics, "show")
    assert shown.exit_code == 1
    found = [json.loads(line) for line in shown.output.splitlines()]
    assert [each["offset"] for each in found if "error" in each] == [1, 4]
    path = tmp_path / "ratings.jsonl"
    assert isinstance(error_of(invoke(kafka, topics, "export", "--to", str(path), fails=True)), BlockError)
    assert list(tmp_path.iterdir()) == []


def test_a_journal_whose_beginning_is_deleted(kafka: str, topics: Topics) -> None:
    produce(kafka, topics.journal, MIXED)
    with open_admin(kafka, 10) as admin:
        admin.delete_records({TopicPartition(topics.journal, 0): 2})
    verified = invoke(kafka, topics, "verify")
    assert verified.exit_code == 0
    assert f"{topics.journal}[0] begins at offset 2: what came before is deleted" in verified.stderr
    assert "is whole: 3 blocks, 3 ratings; 0 duplicate, 0 cut, 1 ahead" in verified.stdout
    first = invoke(kafka, topics, "show", "--limit", "1").output
    assert json.loads(first)["offset"] == 2
    gone = error_of(invoke(kafka, topics, "show", "--from", "1", fails=True))
    assert isinstance(gone, JournalError)
    assert "has offsets from 2 to 4: there is no 1" in str(gone)


def test_what_a_node_has_written_in_two_partitions(kafka: str, topic_prefix: str) -> None:
    topics = Topics(topic_prefix)
    ensure(kafka, topics, 2, journal_partitions=2)

    async def write() -> list[str]:
        async with running(kafka, topics.journal, 2) as node:
            await node.caught_up()
            await node.write([500])
            await node.caught_up()
            return [f"{rule.hash:016x}" for rule in node.rules]

    hashes = run(write)
    lines = invoke(kafka, topics, "verify").output.splitlines()
    assert [line.split("hash ")[1] for line in lines if "hash" in line] == hashes
    exported = invoke(kafka, topics, "export", "--to", "-").stdout.splitlines()
    found = [tuple(json.loads(line).values()) for line in exported]
    assert sorted(found, key=lambda each: each[3]) == expected(0, 500)


def test_marks_of_transactions(kafka: str, topics: Topics) -> None:
    async def transactions() -> None:
        async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=topics.journal) as producer:
            for each in MIXED:
                async with producer.transaction():
                    await producer.send_and_wait(topics.journal, each, partition=0)

    asyncio.run(transactions())  # the command has an event loop of its own
    assert "5 blocks, 4 ratings" in invoke(kafka, topics, "verify").output
    lines = invoke(kafka, topics, "show", "--from", "1", "--limit", "3").output.splitlines()
    assert [json.loads(line)["offset"] for line in lines] == [2, 4, 6]
