"""Measures records a second of topics of other shapes, beside aiokafka that only decodes them.

Every contestant reads the same log of MovieLens 100K's shape from one partition, as each format has it.
Sources that have the fields of the ratings topic are compared with it, and clicks with clicks that have more.
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

PLAIN, CANONICAL = "the ratings topic", "ours, the same as a source"
#: Of plain clicks so many are to be learned at least where there is more on them.
KEPT = 0.7
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
CLICKS = "clickstream"
EVENTS = ("dislike", "view", "read", "like", "purchase")
CLICK_FIELDS = {"type": 0, "ts": 0, "user": {"id": 0}, "product": {"sku": 0}}
ROW_FIELDS = {"user": 0, "item": 0, "rating": 0, "at": 0}

Encode = Callable[[str, str, float, int], bytes]


Headers = Callable[[int], list[tuple[str, bytes]]]


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
        Form(CLICKS, _CLICKS, _click, json.dumps(CLICK_FIELDS), 250_000),
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
        log = Log(address, shape, count, Path(directory), options)
        return [log.canonical(), *map(log.contest, forms())]


class Log:
    """The same ratings in topics of many shapes."""

    def __init__(self, address: str, shape: Shape, count: int, directory: Path, options: Options) -> None:
        self._address, self._shape, self._count = address, shape, count
        self._directory, self._options = directory, options

    def canonical(self) -> Outcome:
        """The ratings topic, and a source that is like it."""
        outcome = Outcome(
            "sources-canonical", f"Reading {self._count:,} ratings: plain JSON", CANONICAL, [RATE, CPU]
        )
        topic = make_topics(self._address, "plain-", 1).ratings
        make_topics(self._address, "plain-empty-", 1)
        self._options.tell(f"{outcome.name}: writing {self._count:,} records")
        fill(self._address, topic, messages(self._shape, self._count))
        table = f'[plain]\ntopic = "{topic}"\ntime = "timestamp"'
        turns = [
            (PLAIN, _learning(self._address, "plain-", self._count)),
            (CANONICAL, _learning(self._address, "plain-empty-", self._count, sources=table)),
        ]
        compete(outcome, turns, self._options)
        outcome.goals = [_share(outcome, CANONICAL, PLAIN, 0.95)]
        return outcome

    def contest(self, form: Form) -> Outcome:
        """A format, beside who only decodes it."""
        ours, theirs = f"ours, {form.name}", f"aiokafka, decoding {form.name}"
        outcome = Outcome(
            f"sources-{form.name}", f"Reading {self._count:,} records: {form.name}", ours, [RATE, CPU]
        )
        self._options.tell(f"{outcome.name}: writing {self._count:,} records")
        source, size, turn = self._written(form, form.encode)
        peer = "aiokafka_source", self._address, source, size, form.name, form.schema
        turns: list[tuple[str, Turn]] = [(theirs, lambda: _named(ask(*peer))), (ours, turn)]
        further = []
        if form.name == CLICKS:
            for name, encode, headers in _with_more(form.encode):
                further.append(f"{ours}, {name}")
                turns.append((further[-1], self._written(form, encode, headers, len(further))[2]))
        compete(outcome, turns, self._options)
        reached = outcome.median(ours, RATE.name)
        outcome.goals = [Goal("records learned", reached, form.goal, "1/s", "higher")]
        outcome.goals += [_share(outcome, each, ours, KEPT) for each in further]
        return outcome

    def _written(
        self, form: Form, encode: Encode, headers: Headers | None = None, number: int = 0
    ) -> tuple[str, int, Turn]:
        """A topic of a format, how many records it has, and a worker's turn with it."""
        prefix = f"{form.name}-{number}-"
        source = make_topics(self._address, prefix, 1).ratings
        make_topics(self._address, f"{prefix}empty-", 1)
        records = _encoded(messages(self._shape, self._count), encode)
        size = fill(self._address, source, records, headers=headers)
        table = f'[{form.name}]\ntopic = "{source}"\n' + form.table.replace("{name}", form.name)
        if form.name in ("avro", "protobuf"):
            (self._directory / form.name).write_text(form.schema, "utf-8")
            table += f'\nschema = "{self._directory / form.name}"'
        return source, size, _learning(self._address, f"{prefix}empty-", self._count, sources=table)


def _share(outcome: Outcome, one: str, other: str, bound: float) -> Goal:
    share = outcome.median(one, RATE.name) / outcome.median(other, RATE.name)
    return Goal(f"{one}, as a share of {other}", share, bound, "x", "higher")


def _with_more(encode: Encode) -> list[tuple[str, Encode, Headers | None]]:
    """Clicks with what producers add to them."""

    def longer(user: str, item: str, rating: float, at: int) -> bytes:
        return encode(user, item, rating, at)[:-1] + b',"client":{"os":"linux","tags":["a","b"]}}'

    def foreign(user: str, item: str, rating: float, at: int) -> bytes:
        return encode(f"\u00fc{user}", f"\u00e9{item}", rating, at)

    def traced(number: int) -> list[tuple[str, bytes]]:
        return [("traceparent", b"00-%032x-00f067aa0ba902b7-01" % number)]

    return [("one more field", longer, None), ("a tracing header", encode, traced),
            ("ids that are not ASCII", foreign, None)]  # fmt: skip


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
