"""Decoding ratings as teams write them: what each habit costs beside the plainest JSON.

The records are parsed from a batch as Kafka has it, by the worker's own client and before each turn: texts
that have been read once are read faster. What is measured is the decoder's CPU time, as in
`benchmarks.serialization`, of the median batch.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from benchmarks.contest import Goal, Metric, Options, Outcome, Turn, Values, compete
from benchmarks.serialization import events
from recommender.ingest import rating_json
from recommender.ingest.ingest import BatchDecoder
from recommender.worker.learning import CHUNK

PLAIN = "plain"
METRIC = Metric("decoding", "ns", "lower")
#: How fast each habit is at least, beside the plainest.
BOUND = 0.7

Row = tuple[str, str, float, int]
Headers = list[tuple[str, bytes]]


def _value(row: Row, **more: Any) -> dict[str, Any]:
    user, item, rating, second = row
    return {"user": user, "item": item, "rating": rating, "timestamp": second} | more


def _accented(row: Row) -> dict[str, Any]:
    return _value(row, user=f"zoë-{row[0]}", item=f"{row[1]}-thé")


def _dump(value: dict[str, Any], **options: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), **options).encode()


#: What the value of a rating may look like.
VALUES: dict[str, Callable[[Row], bytes]] = {
    PLAIN: lambda row: _dump(_value(row)),
    "an unknown field": lambda row: _dump(_value(row, source="web")),
    "ids not in ASCII": lambda row: _dump(_accented(row), ensure_ascii=False),
    r"ids with \u escapes": lambda row: _dump(_accented(row)),
    r"ids with \/": lambda row: _dump(_value(row, item=f"a/{row[1]}")).replace(b"/", rb"\/"),
    "ids as integers": lambda row: _dump(_value(row, user=int(row[0]), item=int(row[1]))),
    "numbers with exponents": lambda row: (
        f'{{"user":"{row[0]}","item":"{row[1]}","rating":{row[2]:e},"timestamp":{row[3]:.9E}}}'.encode()
    ),
    "float timestamps": lambda row: _dump(_value(row, timestamp=row[3] + row[3] % 1000 / 1024)),
    "spaces": lambda row: json.dumps(_value(row)).encode(),
    "an unknown object": lambda row: _dump(
        _value(row, device={"os": "ios", "v": [17, 4], "x": {"tv": False}})
    ),
    "an unknown array": lambda row: _dump(_value(row, tags=["new", "sale", 3, None])),
}
#: What its headers may be.
HEADERS: dict[str, Callable[[int], Headers]] = {
    "header traceparent": lambda n: [("traceparent", b"00-%032x-%016x-01" % (n * 2**64, n))],
    "header content-type": lambda n: [("content-type", b"application/json")],
    "header of another name": lambda n: [("schema", b"rating-1")],
}


def _contestants() -> Iterator[tuple[str, Callable[[Row], bytes], Callable[[int], Headers]]]:
    for name, value in VALUES.items():
        yield name, value, lambda n: []
    for name, headers in HEADERS.items():
        yield name, VALUES[PLAIN], headers
    yield (
        "traceparent, an unknown field, ids not in ASCII",
        lambda row: _dump(_accented(row) | {"source": "web"}, ensure_ascii=False),
        HEADERS["header traceparent"],
    )


def turn_of(batches: Sequence[bytes], decoder: BatchDecoder) -> Turn:
    """A turn that decodes the ratings of all batches."""

    def turn() -> Values:
        taken = []
        for batch in batches:
            records = list(DefaultRecordBatch(batch))
            begin = time.process_time()
            rows = decoder.read(records)
            taken.append((time.process_time() - begin) / len(records) * 1e9)
            if not rows.plain.all():
                place = int(rows.plain.argmin())
                raise ValueError(f"{records[place].value!r} was left to the slow decoder")
        return {METRIC.name: statistics.median(taken)}

    return turn


def _batch(values: Sequence[bytes], headers: Sequence[Headers]) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 2**31 - 1)
    for offset, (value, each) in enumerate(zip(values, headers, strict=True)):
        builder.append(offset, 1_700_000_000_000, b"key", value, each)
    return bytes(builder.build())


def run(options: Options) -> list[Outcome]:
    """Measure all habits on the same ratings."""
    rows = events(options.size(60_000, 5_000))
    decoder = BatchDecoder(0.5, 5.0)
    rating_json.warm()
    outcome = Outcome("decoding", "One rating, as it may be written", PLAIN, [METRIC])
    turns = []
    for name, value, headers in _contestants():
        batches = []
        for begin in range(0, len(rows), CHUNK):
            part = rows[begin : begin + CHUNK]
            batches.append(_batch(list(map(value, part)), [headers(begin + n) for n in range(len(part))]))
        turns.append((name, turn_of(batches, decoder)))
    compete(outcome, turns, options)
    outcome.goals = [
        Goal(f"{name}, beside plain", 1 / outcome.ratio(name, METRIC), BOUND, "", "higher")
        for name, _ in turns
        if name != PLAIN
    ]
    return [outcome]
