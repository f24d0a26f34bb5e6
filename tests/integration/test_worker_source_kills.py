"""Two sources of different formats, and a worker that is killed again and again: each event counts once."""

from __future__ import annotations

import functools
import json
import random
from pathlib import Path

import msgspec

from recommender.journal.block import Source
from recommender.journal.identity import topic_id
from recommender.kafka.topics import identify
from tests.support.kafka import create_topics, produce, wait_until
from tests.support.worker_logs import Oracle
from tests.support.workers import PATIENCE, installed

FILE = """
[clicks]
topic = "{prefix}clicks"
event = "type"
[clicks.events]
view = 2
[orders]
topic = "{prefix}orders"
format = "msgpack"
each = "lines"
item = ".sku"
rating = 4
"""
RECORDS = 6000
KILLS = 3


def has_learned(oracle: Oracle, least: int) -> bool:
    """Return True if more than so many events are in the journal."""
    return oracle.look().shard.events > least


def test_each_event_counts_once_however_often_the_worker_dies(kafka: str, tmp_path: Path) -> None:
    draw = random.Random(7)
    with installed(kafka, tmp_path, "kills") as installation:
        prefix = installation.topics.prefix
        create_topics(kafka, prefix + "clicks", prefix + "orders", partitions=2)
        clicks = [
            json.dumps({"user": f"u{n}", "item": "a", "type": draw.choice(["view", "ping"])}).encode()
            for n in range(RECORDS)
        ]
        lines = [draw.randrange(4) for _ in range(RECORDS)]
        orders = [
            msgspec.msgpack.encode({"user": f"o{n}", "lines": [{"sku": f"i{k}"} for k in range(count)]})
            for n, count in enumerate(lines)
        ]
        places = produce(kafka, prefix + "clicks", clicks), produce(kafka, prefix + "orders", orders)
        settings = {"sources": FILE.format(prefix=prefix), "model": "popular", "fetch_records": 50}
        worker = installation.worker(**settings)
        oracle = Oracle(installation, model="popular", repeats="highest")
        for kill in range(KILLS):
            worker.start()
            # Somewhere in the backlog, further on each time.
            least = (kill + 1) * 1500
            wait_until(functools.partial(has_learned, oracle, least), PATIENCE)
            worker.kill()
        worker.start().ready()
        ids = [topic_id(identify(kafka, prefix + name)) for name in ("clicks", "orders")]
        ends = {
            Source(each, partition): 1 + max(offset for place, offset in written if place == partition)
            for each, written in zip(ids, places, strict=True)
            for partition in (0, 1)
        }
        wait_until(
            lambda: all(oracle.look().rule.applied(source) >= end for source, end in ends.items()),
            PATIENCE,
            lambda: worker.log,
        )
        shard = oracle.replica.shard
        assert shard.events == sum(b'"view"' in each for each in clicks) + sum(lines)
        assert len(shard.users) == sum(b'"view"' in each for each in clicks) + sum(n > 0 for n in lines)
        wait_until(lambda: worker.journal[0]["position"] == oracle.replica.position, PATIENCE)
        assert worker.journal[0]["events"] == shard.events
        assert worker.journal[0]["hash"] == f"{oracle.replica.rule.hash:016x}"
