"""How many records a second of topics of other shapes are learned, beside aiokafka that only decodes them.

Every contestant reads the same log of MovieLens 100K's shape from one partition, as each format has it.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from benchmarks.contest import Goal, Options, Outcome, Turn, compete
from benchmarks.data import ML_100K, Shape, repeated
from benchmarks.environments import ask
from benchmarks.kafka_log import broker, fill, make_topics, messages, renew
from benchmarks.learn import CPU, RATE, _named, pace
from benchmarks.workers import Worker
from recommender.ingest.sources.protobuf import ProtobufSchema
from recommender.ingest.sources.registry import Schema
from recommender.settings import Settings
from recommender.shard import warmup

PLAIN = "ratings, plain JSON"
AVRO = json.dumps(
    {
        "type": "record",
        "name": "Rating",
        "fields": [
            {"name": "user", "type": "string"},
            {"name": "item", "type": "string"},
            {"name": "rating", "type": "double"},
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        ],
    }
)
PROTOBUF = (
    'syntax = "proto3"; message Rating { string user = 1; string item = 2; double rating = 3; int64 at = 4; }'
)
EVENTS = ("dislike", "view", "read", "like", "purchase")
CLICK_FIELDS = {"type": 0, "ts": 0, "user": {"id": 0}, "product": {"sku": 0}}
ROW_FIELDS = {"user": 0, "item": 0, "rating": 0, "at": 0}

Encode = Callable[[str, str, float, int], bytes]


class Form(NamedTuple):
    """A format: how a rating is written, the rest of its table, what a peer decodes, and its goal."""

    name: str
    table: str
    encode: Encode
    schema: str
    goal: float


def forms() -> list[Form]:
    """All that are measured."""
    return [
        Form("clickstream", _CLICKS, _click, json.dumps(CLICK_FIELDS), 250_000),
        Form("debezium", 'envelope = "debezium"\ntime = "at"', _change, _CHANGE_FIELDS, 150_000),
        Form("avro", 'format = "avro"\ntime = "at"', _avro(), AVRO, 120_000),
        Form("protobuf", 'format = "protobuf"\ntime = "at"', _protobuf(), PROTOBUF, 200_000),
    ]


_CLICKS = (
    'event = "type"\ntime = "ts"\nuser = "user.id"\nitem = "product.sku"\n[{name}.events]\n'
    + "\n".join(f"{name} = {weight}" for weight, name in enumerate(EVENTS, 1))
)
_CHANGE_FIELDS = json.dumps({"op": 0, "after": ROW_FIELDS})


def _click(user: str, item: str, rating: float, at: int) -> bytes:
    """One of 171 bytes or so."""
    seconds, left = divmod(at, 1000)
    return msgspec.json.encode(
        {
            "type": EVENTS[max(0, round(rating) - 1)],
            "ts": f"2025-11-{1 + seconds // 86400 % 28:02}T{seconds // 3600 % 24:02}:00:00.{left:03}Z",
            "session": "5f2b7c1e9a40",
            "user": {"id": user, "plan": "gold"},
            "product": {"sku": item, "price": 12.5},
            "page": "/products/film",
        }
    )


def _change(user: str, item: str, rating: float, at: int) -> bytes:
    after = {"id": at, "user": user, "item": item, "rating": rating, "at": at}
    source = {"connector": "postgresql", "name": "shop", "ts_ms": at, "db": "shop", "table": "ratings"}
    return msgspec.json.encode({"before": None, "after": after, "source": source, "op": "c", "ts_ms": at})


def _avro() -> Encode:
    import fastavro

    parsed = fastavro.parse_schema(json.loads(AVRO))

    def encode(user: str, item: str, rating: float, at: int) -> bytes:
        out = BytesIO()
        fastavro.schemaless_writer(out, parsed, {"user": user, "item": item, "rating": rating, "at": at})
        return out.getvalue()

    return encode


def _protobuf() -> Encode:
    message, _ = ProtobufSchema(Schema("PROTOBUF", PROTOBUF)).decode(b"", None, indexed=False)
    made = type(message)

    def encode(user: str, item: str, rating: float, at: int) -> bytes:
        found: bytes = made(user=user, item=item, rating=rating, at=at).SerializeToString()
        return found

    return encode


def run(options: Options) -> list[Outcome]:
    """Fill the topics, then let everybody read them in turns."""
    count = options.size(1_000_000, 60_000)
    shape = repeated(ML_100K, round(count * 1.05))
    warmup.warm((Settings().model,))
    with broker() as address, tempfile.TemporaryDirectory() as directory:
        return [_contest(address, each, shape, count, Path(directory), options) for each in forms()]


def _contest(
    address: str, form: Form, shape: Shape, count: int, directory: Path, options: Options
) -> Outcome:
    ours, theirs = f"ours, {form.name}", f"aiokafka, decoding {form.name}"
    outcome = Outcome(f"sources-{form.name}", f"Reading {count:,} records: {form.name}", ours, [RATE, CPU])
    prefix = f"sources-{form.name}-"
    plain, topic = make_topics(address, prefix, 1).ratings, f"{form.name}"
    make_topics(address, f"{prefix}empty-", 1)
    options.tell(f"{outcome.name}: writing {count:,} records twice")
    fill(address, plain, messages(shape, count))
    source = make_topics(address, f"{topic}-", 1).ratings
    size = fill(address, source, _encoded(messages(shape, count), form.encode))
    table = f'[{form.name}]\ntopic = "{source}"\n' + form.table.replace("{name}", form.name)
    if form.name in ("avro", "protobuf"):
        (directory / form.name).write_text(form.schema, "utf-8")
        table += f'\nschema = "{directory / form.name}"'
    compete(
        outcome,
        [
            (theirs, lambda: _named(ask("aiokafka_source", address, source, size, form.name, form.schema))),
            (ours, _learning(address, f"{prefix}empty-", count, sources=table)),
            (PLAIN, _learning(address, prefix, count)),
        ],
        options,
    )
    outcome.goals = [Goal("records learned", outcome.median(ours, RATE.name), form.goal, "1/s", "higher")]
    return outcome


def _encoded(ratings: Iterator[tuple[bytes, bytes]], encode: Encode) -> Iterator[tuple[bytes, bytes]]:
    """The same ratings as a format has them."""
    read: Any = msgspec.json.Decoder().decode
    for key, value in ratings:
        found = read(value)
        at = round(float(found.get("timestamp") or 0) * 1000)
        yield key, encode(str(found["user"]), str(found["item"]), float(found["rating"]), at)


def _learning(address: str, prefix: str, count: int, sources: str = "") -> Turn:
    def turn() -> dict[str, float]:
        renew(address, prefix)
        settings: dict[str, Any] = {"broker": address, "topic_prefix": prefix}
        # With `replace`, so that all learn the same.
        settings |= {"group": f"bench-{uuid.uuid4().hex}", "sources": sources, "repeats": "replace"}
        with Worker(**settings).start() as worker:
            return pace([worker], count, 1.0)

    return turn
