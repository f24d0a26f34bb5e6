"""Sources whose records have schemas: written by Confluent's serializers, looked up in a registry."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from recommender.journal.block import Source
from recommender.journal.identity import topic_id
from recommender.kafka.topics import identify
from tests.integration.source_records import standing
from tests.support.kafka import consume_all, create_topics, produce, wait_until
from tests.support.registry import apicurio, small_registry
from tests.support.worker_logs import Oracle, rating
from tests.support.workers import PATIENCE, Installation, Worker, installed

FILE = """
[avro]
topic = "{prefix}avro"
format = "avro"
user = "userId"
item = "movieId"
rating = "stars"
time = "at"
[protobuf]
topic = "{prefix}protobuf"
user = "user"
item = "item.sku"
rating = "stars"
[json]
topic = "{prefix}json"
"""
AVRO = {
    "type": "record",
    "name": "Rated",
    "fields": [
        {"name": "userId", "type": "string"},
        {"name": "movieId", "type": "long"},
        {"name": "stars", "type": ["null", "double"]},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    ],
}
JSON = {"title": "Rated", "type": "object", "properties": {"user": {"type": "string"}}}


def ends(installation: Installation, oracle: Oracle, worker: Worker, name: str, end: int) -> None:
    """Wait until a topic is in the journal up to an offset."""
    topic = installation.topics.prefix + name
    source = Source(topic_id(identify(installation.kafka, topic)), 0)
    wait_until(lambda: oracle.look().rule.applied(source) >= end, PATIENCE, lambda: f"{name}\n{worker.log}")


def avro_bytes(schema: dict[str, Any], value: dict[str, Any], number: int) -> bytes:
    """A value as Confluent's serializers write it."""
    out = BytesIO(b"\x00" + number.to_bytes(4, "big"))
    out.seek(5)
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema), value)
    return out.getvalue()


def rated_class() -> Any:
    """The class of a Protobuf message, made here as a compiler would."""
    file = descriptor_pb2.FileDescriptorProto(name="rated.proto", package="shop", syntax="proto3")
    item = file.message_type.add(name="Item")
    item.field.add(name="sku", number=1, type=3, label=1)
    rated = file.message_type.add(name="Rated")
    rated.field.add(name="user", number=1, type=9, label=1)
    rated.field.add(name="item", number=2, type=11, label=1, type_name=".shop.Item")
    rated.field.add(name="stars", number=3, type=2, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.Rated"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with apicurio(tmp_path_factory.mktemp("apicurio")) as url:
        yield url


def test_what_confluents_serializers_write_is_learned(kafka: str, registry: str, tmp_path: Path) -> None:
    with (
        SchemaRegistryClient({"url": registry}) as client,
        installed(kafka, tmp_path, "schemas") as installation,
    ):
        prefix = installation.topics.prefix
        create_topics(kafka, *(prefix + name for name in ("avro", "protobuf", "json")))

        def written(name: str, serializer: Any, *values: Any) -> None:
            context = SerializationContext(prefix + name, MessageField.VALUE)
            produce(kafka, prefix + name, [serializer(value, context) for value in values])

        film = {"userId": "ann", "movieId": 7, "stars": 4.0, "at": 1_600_000_000_000}
        written("avro", AvroSerializer(client, json.dumps(AVRO)), film, {**film, "movieId": 8, "stars": None})
        rated = rated_class()
        message = rated(user="bob", stars=3)
        message.item.sku = 9
        options = {"use.deprecated.format": False}
        written("protobuf", ProtobufSerializer(rated, client, options), message)
        written("json", JSONSerializer(json.dumps(JSON), client), {"user": "eve", "item": "x", "rating": 2})
        worker = installation.worker(sources=FILE.format(prefix=prefix), registry=registry, model="popular")
        worker.start().ready()
        oracle = Oracle(installation, model="popular")
        for name, end in (("avro", 2), ("protobuf", 1), ("json", 1)):
            ends(installation, oracle, worker, name, end)
        assert standing(oracle.replica) == {"ann": {"7": 4.0}, "bob": {"9": 3.0}, "eve": {"x": 2.0}}
        # A field is added while the worker runs, and one is renamed.
        more = {**AVRO, "fields": [*AVRO["fields"], {"name": "by", "type": "string", "default": ""}]}
        renamed = json.loads(json.dumps(AVRO).replace('"userId"', '"who"'))
        numbers = [client.register_schema(prefix + each, Schema(json.dumps(schema), "AVRO"))
                   for each, schema in (("more", more), ("renamed", renamed))]  # fmt: skip
        produce(
            kafka,
            prefix + "avro",
            [
                avro_bytes(more, {**film, "movieId": 10, "by": "x"}, numbers[0]),
                avro_bytes(renamed, {**film, "who": "ann"}, numbers[1]),
            ],
        )
        ends(installation, oracle, worker, "avro", 4)
        assert standing(oracle.replica)["ann"] == {"7": 4.0, "10": 4.0}
        (letter,) = consume_all(kafka, installation.topics.dead_letters)
        told = dict(letter.headers)["__connect.errors.exception.message"]
        assert told == b"Object missing required field - at `$.userId` of source `avro`"


def test_a_registry_that_is_away_holds_up_its_source_alone(kafka: str, tmp_path: Path) -> None:
    with small_registry() as (url, registry), installed(kafka, tmp_path, "away") as installation:
        prefix = installation.topics.prefix
        create_topics(kafka, prefix + "avro", prefix + "json")
        registry.put(5, AVRO)
        registry.status, registry.body = 401, b"<html>Log in</html>"
        film = {"userId": "ann", "movieId": 7, "stars": 4.0, "at": 1_600_000_000_000}
        produce(kafka, prefix + "avro", [avro_bytes(AVRO, {**film, "movieId": n}, 5) for n in range(50)])
        text = FILE.format(prefix=prefix).replace("[protobuf]", "[other]")
        worker = installation.worker(sources=text, registry=url, model="popular", fetch_records=2)
        worker.start().ready()
        oracle = Oracle(installation, model="popular")
        wait_until(lambda: "source avro waits for its schema registry" in worker.log, PATIENCE)
        produce(kafka, prefix + "json", [rating("eve", f"i{n}") for n in range(50)])
        ends(installation, oracle, worker, "json", 50)
        assert set(standing(oracle.replica)) == {"eve"}
        assert worker.page("readyz")[0] == 200
        assert worker.status()["source_topics"]["avro"]["waits_for"] == f"{url} answers 401 Unauthorized"
        assert worker.metric("recommender_source_waits", source="avro") == 1
        wait_until(lambda: worker.metric("recommender_source_lag_records", source="avro") == 50, PATIENCE)
        registry.status = 0
        ends(installation, oracle, worker, "avro", 50)
        assert len(standing(oracle.replica)["ann"]) == 50
        assert worker.log.count("waits for its schema registry") == 1
        assert worker.status()["source_topics"]["avro"]["waits_for"] is None
        assert consume_all(kafka, installation.topics.dead_letters) == []


def test_a_guid_that_the_registry_cannot_look_up_ends_the_worker(kafka: str, tmp_path: Path) -> None:
    with small_registry() as (url, _), installed(kafka, tmp_path, "guid") as installation:
        prefix = installation.topics.prefix
        create_topics(kafka, prefix + "json")
        produce(kafka, prefix + "json", [b"\x01" + bytes(16) + b"{}"])
        text = f"[json]\ntopic = '{prefix}json'"
        worker = installation.worker(sources=text, registry=url, model="popular").start()
        assert worker.exit_code() == 2
        assert "has no schemas by GUID" in worker.log
