"""What a worker tells of itself: its pages, and what it counts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.web import Request

from recommender.ingest.batch_decoder import BatchDecoder
from recommender.ingest.ingest import Ingest
from recommender.journal.block import Source
from recommender.web.pages import add_pages
from recommender.worker.metrics import Metrics
from tests.support.doubles import FakeRecord, rating_value
from tests.support.journals import SOURCE, journal_of, ratings
from tests.support.learning_setup import LearningWorker


class Web:
    """Faust's view, for a page that is asked without a server."""

    def text(self, value: str, status: int = 200) -> Any:
        return SimpleNamespace(body=value.encode(), status=status)

    def json(self, value: Any) -> Any:
        return SimpleNamespace(body=json.dumps(value).encode(), status=200)

    def bytes(self, value: Any, content_type: str = "") -> Any:
        return SimpleNamespace(body=value, status=200, content_type=content_type)


def ask(pages: dict[str, Any], path: str) -> Any:
    request: Request = SimpleNamespace()  # type: ignore[assignment]
    return asyncio.run(pages[path](Web(), request))


def pages_of(reporter: Any, why: list[str | None]) -> dict[str, Any]:
    """The functions behind the pages, by path; `why` holds why the worker is not ready."""
    found: dict[str, Any] = {}
    app: Any = faust.App("pages", web_enabled=False, env_prefix="UNUSED_")

    def page(path: str) -> Any:
        return lambda function: found.setdefault(path, function)

    app.page = page
    add_pages(app, reporter, lambda: why[0])
    return found


def worker_of(directory: Path) -> tuple[LearningWorker, Metrics]:
    async def make() -> LearningWorker:
        worker = await LearningWorker(directory).open()
        journal = journal_of([3, 4])
        journal.add(ratings(0, 3), at=0)
        journal.add(ratings(0, 2), Source(SOURCE.topic_id, 5))
        journal.add(ratings(0, 2), Source(bytes(16), 9))  # of another topic
        await worker.follow(journal)
        return worker

    worker = asyncio.run(make())
    metrics = Metrics(worker.replicas, worker.checkpointing)
    metrics.topic_id = SOURCE.topic_id
    return worker, metrics


def test_whether_it_is_ready(tmp_path: Path) -> None:
    why: list[str | None] = ["the journal is not followed yet"]
    pages = pages_of(worker_of(tmp_path)[1], why)
    assert ask(pages, "/livez").status == 200
    answer = ask(pages, "/readyz")
    assert (answer.status, answer.body) == (503, b"not ready: the journal is not followed yet\n")
    told = json.loads(ask(pages, "/status").body)
    assert (told["ready"], told["not_ready"]) == (False, why[0])
    why[0] = None
    answer = ask(pages, "/readyz")
    assert (answer.status, answer.body) == (200, b"ready\n")
    told = json.loads(ask(pages, "/status").body)
    assert (told["ready"], told["not_ready"]) == (True, None)


def test_the_status(tmp_path: Path) -> None:
    worker, metrics = worker_of(tmp_path)
    told: Any = json.loads(json.dumps(metrics.status()))
    journal = told["journal"]["0"]
    assert (journal["position"], journal["saved"], journal["caught_up"]) == (5, -1, True)
    assert journal["blocks"] == {"applied": 4, "cut": 0, "duplicate": 1, "ahead": 0}
    assert journal["hash"] == f"{worker.replica.rule.hash:016x}"
    assert journal["events"] == worker.replica.shard.events
    # Of the ratings topic alone, by its partitions.
    assert told["sources"] == {"0": 7, "5": 2}
    assert (told["checkpoint_error"], told["differs"]) == (None, [])
    worker.checkpointing.errors[0] = OSError("no room")
    worker.checkpointing.differs[0] = "its digest is another one"
    told = metrics.status()
    assert (told["checkpoint_error"], told["differs"]) == ("no room", ["its digest is another one"])


def lines(metrics: Metrics) -> dict[str, float]:
    """The metrics by name and labels."""
    text = metrics.exposition().decode()
    parts = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in parts}


def test_what_is_counted(tmp_path: Path) -> None:
    worker, metrics = worker_of(tmp_path)
    records = [FakeRecord(0, rating_value("u", "x")), FakeRecord(1, b"bad")]
    metrics.ingested(3, Ingest("ratings", BatchDecoder(0.5, 5.0)).read(3, records))
    metrics.answered("ok", 0.002)
    metrics.logged(True)
    journal = journal_of([3, 4])
    journal.add(ratings(0, 3), at=0)
    replica = LearningWorker(tmp_path / "other")
    asyncio.run(replica.open())
    metrics.followed(replica.replica.apply(journal.blocks))
    found = lines(metrics)
    expected = {
        'recommender_ratings_total{result="learned"}': 1,
        'recommender_ratings_total{result="dead_letter"}': 1,
        'recommender_replies_total{code="ok"}': 1,
        'recommender_recommendations_total{result="logged"}': 1,
        'recommender_journal_blocks_total{result="applied"}': 2,
        'recommender_journal_blocks_total{result="duplicate"}': 1,
        'recommender_journal_position{partition="0"}': 5,
        'recommender_checkpoint_position{partition="0"}': -1,
        'recommender_source_offset{source_partition="0"}': 7,
        'recommender_source_offset{source_partition="5"}': 2,
        'recommender_known{partition="0",what="users"}': len(worker.replica.shard.users),
        "recommender_checkpoints_failing": 0,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert 'recommender_source_offset{source_partition="9"}' not in found


@pytest.mark.parametrize("path", ["/metrics"])
def test_the_metrics_are_a_page(tmp_path: Path, path: str) -> None:
    _, metrics = worker_of(tmp_path)
    answer = ask(pages_of(metrics, [None]), path)
    assert answer.body == metrics.exposition()
    assert answer.content_type.startswith("text/plain")
