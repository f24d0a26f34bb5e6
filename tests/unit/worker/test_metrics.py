"""What a worker tells of itself: its pages, and what it counts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.web import Request
from prometheus_client.parser import text_string_to_metric_families

from recommender import __version__
from recommender.ingest.ingest import BatchDecoder, Ingest
from recommender.journal.block import Source
from recommender.journal.replica import Replica
from recommender.messages.refusals import Kind
from recommender.shard.bounds import Bounds
from recommender.shard.options import ShardOptions
from recommender.web.health import FAILING, OK, WARNING, Check
from recommender.web.pages import add_pages
from recommender.worker.counters import Counters
from recommender.worker.loop_watch import LoopWatch
from recommender.worker.metrics import Metrics
from recommender.worker.replicas import Successor
from recommender.worker.source_progress import SourceProgress, SourceTopic
from tests.support.doubles import FakeRecord, rating_value
from tests.support.journals import SOURCE, journal_of, ratings
from tests.support.learning_setup import LearningWorker, rule


class Web:
    """Faust's view, for a page that is asked without a server."""

    def text(self, value: str, status: int = 200) -> Any:
        return SimpleNamespace(body=value.encode(), status=status)

    def json(self, value: Any) -> Any:
        return SimpleNamespace(body=json.dumps(value).encode(), status=200)

    def bytes(self, value: Any, content_type: str = "") -> Any:
        return SimpleNamespace(body=value, status=200, content_type=content_type)


async def ask(pages: dict[str, Any], path: str) -> Any:
    request: Request = SimpleNamespace()  # type: ignore[assignment]
    return await pages[path](Web(), request)


class Well:
    """The health of a worker; `why` holds why it is not ready."""

    def __init__(self, why: list[str | None]) -> None:
        self.why = why

    def alive(self) -> str:
        return "the event loop turns"

    def checks(self) -> list[Check]:
        why = self.why[0]
        journal = Check("journal", FAILING, why) if why else Check("journal", OK, "followed")
        return [journal, Check("checkpoints", WARNING, "no room")]


def pages_of(reporter: Any, why: list[str | None]) -> dict[str, Any]:
    """The functions behind the pages, by path; `why` holds why the worker is not ready."""
    found: dict[str, Any] = {}
    app: Any = faust.App("pages", web_enabled=False, env_prefix="UNUSED_")

    def page(path: str) -> Any:
        return lambda function: found.setdefault(path, function)

    app.page = page
    add_pages(app, reporter, Well(why))
    return found


async def worker_of(directory: Path, bounds: Bounds | None = None) -> tuple[LearningWorker, Metrics]:
    worker = await LearningWorker(directory, ShardOptions(bounds=bounds or Bounds())).open()
    journal = journal_of([3, 4])
    journal.add(ratings(0, 3), at=0)
    journal.add(ratings(0, 2), Source(SOURCE.topic_id, 5))
    journal.add(ratings(0, 2), Source(bytes(16), 9))  # of another topic
    await worker.follow(journal)
    return worker, metrics_of(worker, Counters("ratings"))


def metrics_of(worker: LearningWorker, counters: Counters, **given: Any) -> Metrics:
    known = worker.replicas, worker.checkpointing
    none = SourceProgress(dict, lambda partition: None, lambda seconds: None)
    given.setdefault("topics", lambda: [SourceTopic("ratings", "ratings", SOURCE.topic_id, none, (), None)])
    return Metrics(counters, *known, topic_id=SOURCE.topic_id, loop=LoopWatch(), **given)


async def test_whether_it_is_ready(tmp_path: Path) -> None:
    why: list[str | None] = ["the journal is not followed yet"]
    pages = pages_of((await worker_of(tmp_path))[1], why)
    answer = await ask(pages, "/livez")
    assert (answer.status, answer.body) == (200, b"alive: the event loop turns\n")
    answer = await ask(pages, "/readyz")
    assert (answer.status, answer.body.decode().splitlines()) == (
        503,
        [
            "not ready: the journal is not followed yet",
            "failing journal: the journal is not followed yet",
            "warning checkpoints: no room",
        ],
    )
    told = json.loads((await ask(pages, "/status")).body)
    assert (told["ready"], told["not_ready"]) == (False, why[0])
    why[0] = None
    answer = await ask(pages, "/readyz")
    assert (answer.status, answer.body.decode().splitlines()) == (
        200,
        ["ready", "ok      journal: followed", "warning checkpoints: no room"],
    )
    told = json.loads((await ask(pages, "/status")).body)
    assert (told["ready"], told["not_ready"]) == (True, None)
    assert told["checks"][1] == {"name": "checkpoints", "level": "warning", "says": "no room"}


async def test_the_status(tmp_path: Path) -> None:
    worker, metrics = await worker_of(tmp_path)
    counters = metrics.counters = Counters("ratings", ["clicks"])
    counters.source_counts.waits["clicks"] = lambda: "its registry"
    progress = SourceProgress(lambda: {0: 10, 5: 2}, lambda part: 7 if part == 0 else None, lambda _: None)
    metrics.topics = lambda: [SourceTopic("clicks", "shop.clicks", SOURCE.topic_id, progress, {0}, None)]
    told: Any = json.loads(json.dumps(metrics.status()))
    journal = told["journal"]["0"]
    assert (journal["position"], journal["saved"], journal["caught_up"]) == (5, -1, True)
    assert journal["blocks"] == {"applied": 4, "cut": 0, "duplicate": 1, "ahead": 0}
    assert journal["hash"] == f"{worker.replica.rule.hash:016x}"
    assert journal["events"] == worker.replica.shard.events
    # Of the ratings topic alone, by its partitions.
    assert told["sources"] == {"0": 7, "5": 2}
    assert (journal["bounds"], journal["taking_over"]) == ({}, None)
    assert (told["checkpoint_error"], told["differs"]) == (None, [])
    clicks = told["source_topics"]["clicks"]
    assert (clicks["topic"], clicks["learned"], clicks["waits_for"]) == ("shop.clicks", 0, "its registry")
    assert clicks["partitions"] == {
        "0": {"learned": 7, "lag": 3, "lag_seconds": 0.0},
        "5": {"learned": 2, "lag": None, "lag_seconds": None},
    }
    worker.held.successor = Successor("hand-over a", 2, lambda: 4)
    assert metrics.status()["journal"]["0"]["taking_over"] == {  # type: ignore[index]
        "name": "hand-over a",
        "from": 2,
        "at": 4,
        "of": 5,
    }
    worker.checkpointing.errors[0] = OSError("no room")
    worker.checkpointing.differs[0] = "its digest is another one"
    told = metrics.status()
    assert (told["checkpoint_error"], told["differs"]) == ("no room", ["its digest is another one"])


def lines(metrics: Metrics) -> dict[str, float]:
    """The metrics by name and labels."""
    text = metrics.exposition().decode()
    parts = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in parts}


async def test_what_is_counted(tmp_path: Path) -> None:
    worker, counters = (await worker_of(tmp_path))[0], Counters("ratings")
    metrics = metrics_of(worker, counters)
    records = [FakeRecord(0, rating_value("u", "x")), FakeRecord(1, b"bad")]
    counters.ingested(3, Ingest("ratings", BatchDecoder(0.5, 5.0)).read(3, records))
    counters.answered("ok", 0.002)
    counters.logged(True)
    journal = journal_of([3, 4])
    journal.add(ratings(0, 3), at=0)
    replica = LearningWorker(tmp_path / "other")
    await replica.open()
    counters.followed(replica.replica.apply(journal.blocks))
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
        'recommender_source_records_total{reason="",result="learned",source="ratings"}': 1,
        'recommender_source_records_total{reason="not_json",result="rejected",source="ratings"}': 1,
        'recommender_rebalances_total{group="requests"}': 0,
        f'recommender_build_info{{version="{__version__}"}}': 1,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert 'recommender_source_offset{source_partition="9"}' not in found


def without_process(exposition: bytes) -> list[bytes]:
    """The lines of an exposition that do not tell of the processor and the memory: those go on changing."""
    return [line for line in exposition.splitlines() if b"process_" not in line]


@pytest.mark.parametrize("path", ["/metrics"])
async def test_the_metrics_are_a_page(tmp_path: Path, path: str) -> None:
    _, metrics = await worker_of(tmp_path)
    answer = await ask(pages_of(metrics, [None]), path)
    assert without_process(answer.body) == without_process(metrics.exposition())
    assert answer.content_type.startswith("text/plain")


async def exercised(tmp_path: Path) -> Metrics:
    """Metrics of a worker in which each has at least one sample."""
    worker, counters = (await worker_of(tmp_path, Bounds(users=2)))[0], Counters("ratings")
    counters.bounds.look(worker.held)
    progress = SourceProgress(lambda: {3: 10}, lambda partition: 2, counters.delay.observe)
    topics = [
        SourceTopic("ratings", "ratings", SOURCE.topic_id, progress, {3}, None),
        SourceTopic("clicks", "shop.clicks", None, progress, {3}, "topic 'shop.clicks' does not exist yet"),
    ]
    given: dict[str, Any] = {"progress": progress, "topics": lambda: topics}
    metrics = metrics_of(worker, counters, request_lags=lambda: {0: 4}, **given)
    worker.held.saved_at = 1000.0
    records = [FakeRecord(0, rating_value("u", "x")), FakeRecord(1, b"bad")]
    counters.ingested(3, Ingest("ratings", BatchDecoder(0.5, 5.0)).read(3, records), records)
    progress.sent(3, records)
    counters.answered("ok", 0.002)
    counters.logged(True)
    followed = Replica(rule(), ShardOptions()).apply(journal_of([3]).blocks)
    counters.followed(followed)
    for source, offset in followed.applied.items():
        progress.applied(source.partition, offset)
    return metrics


async def test_the_lags_and_the_age_of_the_checkpoint(tmp_path: Path) -> None:
    found = lines(await exercised(tmp_path))
    assert found['recommender_lag_records{partition="3"}'] == 8
    assert found['recommender_lag_seconds{partition="3"}'] == 0
    assert found['recommender_source_lag_records{partition="3",source="ratings"}'] == 8
    assert found['recommender_source_lag_records{partition="3",source="clicks"}'] == 8
    assert found['recommender_source_lag_seconds{partition="3",source="clicks"}'] == 0
    assert found['recommender_source_waits{source="clicks"}'] == 1
    assert found['recommender_source_waits{source="ratings"}'] == 0
    assert found['recommender_request_lag_records{partition="0"}'] == 4
    assert found['recommender_checkpoint_age_seconds{partition="0"}'] > 1e9
    assert found['recommender_takeover_lag_records{partition="0"}'] == 0


async def test_every_metric_is_documented_with_its_kind_and_labels(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "monitoring.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (counter|gauge|histogram) \|([\w, ]*)\|", page, re.MULTILINE)
    documented = {name: (kind, set(filter(None, labels.strip().split(", ")))) for name, kind, labels in rows}
    told = {}
    for family in text_string_to_metric_families((await exercised(tmp_path)).exposition().decode()):
        if not family.name.startswith("process_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            told[name] = family.type, {label for each in family.samples for label in each.labels} - {"le"}
    assert documented.pop("process_resident_memory_bytes") == ("gauge", set())
    assert told == documented


async def test_every_reason_of_a_dead_letter_is_a_series_from_the_start(tmp_path: Path) -> None:
    found = lines((await worker_of(tmp_path))[1])
    expected = {f'recommender_dead_letters_total{{reason="{kind.value}"}}' for kind in Kind}
    assert expected <= set(found)


async def test_no_series_says_when_a_counter_began(tmp_path: Path) -> None:
    assert not [name for name in lines(await exercised(tmp_path)) if "_created" in name]
