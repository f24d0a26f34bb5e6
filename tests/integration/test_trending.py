"""What is popular now: counted as it is learned, and read back by a worker that starts."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.support.calling import Answer, call
from tests.support.kafka import Record, produce, wait_until
from tests.support.workers import PATIENCE, Worker, installed

HOUR = 3600.0


def test_a_window_is_whole_also_after_a_start(kafka: str, tmp_path: Path) -> None:
    now = time.time()
    ratings = [(f"u{number}", "old", 30 * HOUR) for number in range(9)]
    ratings += [(f"u{number}", "today", 5 * HOUR) for number in range(5)]
    ratings += [(f"u{number}", "hot", 0.0) for number in range(3)]
    with installed(kafka, tmp_path, "trending") as installation:
        worker = installation.worker(trending_hours=48).start().ready()
        produce(kafka, installation.topics.ratings, [written(*each, now) for each in ratings])
        offsets = {0: len(ratings)}
        worker.learned(offsets)
        for _ in range(2):
            assert popular(worker) == {"old": 9, "today": 5, "hot": 3}
            assert popular(worker, window="2d") == {"old": 9, "today": 5, "hot": 3}
            assert popular(worker, window="24h") == {"today": 5, "hot": 3}
            assert popular(worker, window="2h") == {"hot": 3}
            too_long = ask(worker, window="49h")
            assert too_long.error["code"] == "bad_request"
            assert "RECOMMENDER_TRENDING_HOURS is 48" in too_long.error["message"]
            worker.stop()
            worker.start().ready()
        produce(kafka, installation.topics.ratings, [written("u9", "hot", 0.0, now)])
        worker.learned({0: len(ratings) + 1})
        wait_until(lambda: popular(worker, window="2h") == {"hot": 4}, PATIENCE)
        assert "Traceback" not in worker.log


def written(user: str, item: str, ago: float, now: float) -> Record:
    body = {"user": user, "item": item, "rating": 5, "timestamp": now - ago}
    return Record(json.dumps(body).encode(), user.encode())


def ask(worker: Worker, **more: Any) -> Answer:
    return call(worker, "/recommend", {"popular": True, **more})


def popular(worker: Worker, **more: Any) -> dict[str, float]:
    wait_until(lambda: ask(worker, **more).status == 200, PATIENCE, lambda: str(ask(worker, **more)))
    return {each["item"]: each["score"] for each in ask(worker, **more).body["items"]}
