"""What a page says it has shown is not shown again, without a log: by every worker, also after a kill."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.support.calling import call
from tests.support.kafka import Record, create_topics, produce, wait_until
from tests.support.worker_logs import generated, running_worker
from tests.support.workers import PATIENCE, Worker

TABLE = """
['{topic}']
kind = "impressions"
user = "who"
each = "slots"
item = ".sku"
time = "at"
"""


def items(worker: Worker, **body: Any) -> list[str]:
    return call(worker, "/recommend", {"user": "u1", **body}).items


def impression(user: str, shown: list[str], ago: float = 0.0) -> Record:
    """Keyed by nothing, so the page of a user is in any partition."""
    slots = [{"sku": each} for each in shown]
    return Record(json.dumps({"who": user, "slots": slots, "at": time.time() - ago}).encode())


def followed(worker: Worker, result: str = "taken") -> float:
    return worker.metric("recommender_impressions_records_total", result=result)


def test_what_a_page_has_shown_is_left_out(kafka: str, tmp_path: Path) -> None:
    ratings = generated(2000, seed=9, users=40, items=200)
    topic = f"pages-{time.time_ns()}"
    create_topics(kafka, topic, partitions=3)
    settings: dict[str, Any] = {
        "sources": TABLE.format(topic=topic),
        "recommendations_log": "off",
        "hide_seen_for": 2,
    }
    with running_worker(kafka, tmp_path, "impressions", ratings=ratings, **settings) as running:
        worker = running.worker
        best = items(worker, hide_seen=1)
        assert items(worker, hide_seen=1) == best  # an answer alone is nothing that was seen
        seen = best[:4]
        bad = [
            Record(b"not json"),
            Record(b'{"who": "u1"}'),
            Record(b'{"who": "u1", "slots": []}'),
            Record(None, b"u1"),
        ]
        produce(kafka, topic, [*bad, impression("u1", seen), impression("u1", seen[:1])])
        wait_until(lambda: followed(worker) == 2, PATIENCE)

        assert set(seen).isdisjoint(items(worker, hide_seen=1))
        assert set(items(worker, hide_seen=2)) & set(seen) == set(seen[1:])
        assert items(worker) == best
        assert (followed(worker, "refused"), followed(worker, "skipped")) == (2, 2)
        told = worker.status()["shown"]
        assert told["places"] == 5
        assert told["sources"][topic]["topic"] == topic
        assert topic in told["sources"][topic]["newest_refusal"]

        # What is older than the hours that count is known to nobody.
        produce(kafka, topic, [impression("u1", best[4:6], ago=3 * 3600)])
        wait_until(lambda: followed(worker) == 3, PATIENCE)
        left = items(worker, hide_seen=1)
        assert set(best[4:6]) <= set(left)

        other = running.installation.worker(**{**settings, "hide_seen": 1}).start().ready()
        assert items(other) == left  # by its setting, and from before it started
        other.stop()
        worker.kill()
        worker.start().ready()
        assert items(worker, hide_seen=1) == left
        assert "Traceback" not in worker.log
        running.oracle.look()
        running.oracle.assert_agrees(worker)
