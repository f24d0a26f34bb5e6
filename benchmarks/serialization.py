"""The weight and cost of a rating on the wire: JSON, MessagePack, and FluRS' own Event pickled.

The pickle is here to be measured only. Unpickling runs whatever code the sender put into it, so the worker
never does. What is measured is CPU time: all of it is work of one thread, which others must not slow down.
"""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import orjson
from flurs.data.entity import Event, Item, User

from benchmarks.contest import Metric, Options, Outcome, Turn, Values, compete
from benchmarks.data import ML_100K, Log
from recommender.client.ratings import encode_rating
from recommender.ingest import rating_json
from recommender.ingest.ingest import BatchDecoder
from recommender.worker.learning import CHUNK

OURS = "ours: JSON, typed and validated, in batches"
METRICS = [
    Metric("decoding", "ns", "lower"),
    Metric("encoding", "ns", "lower"),
    Metric("size", "bytes", "lower"),
]
#: Ours checks types, bounds and lengths, which the others leave to whoever comes after them.
NOTE = "only ours validates: types, the scale of ratings, lengths of ids, timestamps"


class Wire(msgspec.Struct):
    """A rating as typed decoding wants it."""

    user: str
    item: str
    rating: float
    timestamp: float


def events(count: int) -> list[tuple[str, str, float, int]]:
    """Users, items, ratings and times of MovieLens 100K's shape."""
    chunk = Log(ML_100K).head(count)
    columns = (chunk.users, chunk.items, chunk.ratings, chunk.times)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [(str(user), str(item), rating, second) for user, item, rating, second in rows]


def measure(encode: Callable[[Any], bytes], decode: Callable[[bytes], Any], messages: Sequence[Any]) -> Turn:
    """A turn that encodes and decodes all messages one by one."""
    encoded = [encode(each) for each in messages]

    def turn() -> Values:
        begin = time.process_time()
        for each in messages:
            encode(each)
        between = time.process_time()
        for value in encoded:
            decode(value)
        end = time.process_time()
        nanoseconds = 1e9 / len(messages)
        return {
            "decoding": (end - between) * nanoseconds,
            "encoding": (between - begin) * nanoseconds,
            "size": sum(map(len, encoded)) / len(messages),
        }

    return turn


class Fetched(msgspec.Struct):
    """The part of a fetched record that a batch decoder reads."""

    value: bytes
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


def in_batches(rows: Sequence[tuple[str, str, float, int]]) -> Turn:
    """A turn of ours, as the worker decodes: a run of records at once, into arrays."""
    records = [Fetched(encode_rating(*row)) for row in rows]
    decoder = BatchDecoder(0.5, 5.0)
    rating_json.warm()

    def turn() -> Values:
        begin = time.process_time()
        for row in rows:
            encode_rating(*row)
        between = time.process_time()
        for start in range(0, len(records), CHUNK):
            decoder.read(records[start : start + CHUNK])
        end = time.process_time()
        nanoseconds = 1e9 / len(rows)
        return {
            "decoding": (end - between) * nanoseconds,
            "encoding": (between - begin) * nanoseconds,
            "size": sum(len(each.value) for each in records) / len(records),
        }

    return turn


def run(options: Options) -> list[Outcome]:
    """Measure all formats on the same ratings."""
    rows = events(options.size(100_000, 5_000))
    names = ("user", "item", "rating", "timestamp")
    plain = [dict(zip(names, row, strict=True)) for row in rows]
    structs = [Wire(*row) for row in rows]
    objects = [
        Event(User(int(user)), Item(int(item)), rating, context=[second])
        for user, item, rating, second in rows
    ]
    to_msgpack = msgspec.msgpack.Encoder().encode
    untyped, typed = msgspec.msgpack.Decoder().decode, msgspec.msgpack.Decoder(Wire).decode
    outcome = Outcome("serialization", "One rating", OURS, METRICS, notes=[NOTE])
    turns = [
        (OURS, in_batches(rows)),
        ("ours: one by one", measure(lambda row: encode_rating(*row), BatchDecoder(0.5, 5.0).decode, rows)),
        ("JSON, standard library", measure(lambda each: json.dumps(each).encode(), json.loads, plain)),
        ("JSON, orjson", measure(orjson.dumps, orjson.loads, plain)),
        ("JSON, msgspec untyped", measure(msgspec.json.Encoder().encode, msgspec.json.decode, plain)),
        (
            "JSON, msgspec typed",
            measure(msgspec.json.Encoder().encode, msgspec.json.Decoder(Wire).decode, structs),
        ),
        ("MessagePack, msgspec untyped", measure(to_msgpack, untyped, plain)),
        ("MessagePack, msgspec typed", measure(to_msgpack, typed, structs)),
        ("FluRS' Event, pickled", measure(pickle.dumps, pickle.loads, objects)),
    ]
    compete(outcome, turns, options)
    return [outcome]
