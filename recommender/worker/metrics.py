"""What the worker counts, for Prometheus and for its status page.

`docs/monitoring.md` lists every metric, and a test compares the list with these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector, generate_latest

from recommender import __version__
from recommender.ingest.ingest import Ingested
from recommender.journal.rule import Followed
from recommender.messages.records import Record
from recommender.messages.refusals import Kind
from recommender.worker.checkpointing import Checkpointing
from recommender.worker.following import Following
from recommender.worker.gauges import Gauges
from recommender.worker.items_following import ItemsFollowing
from recommender.worker.loop_watch import LoopWatch
from recommender.worker.refusal_counts import RefusalCounts
from recommender.worker.replicas import HeldReplica, Replicas
from recommender.worker.source_progress import SourceProgress
from recommender.worker.source_reading import SourceCounts

#: What becomes of blocks, in the order of the numbers in `recommender.journal.rule_kernels`.
OUTCOMES = ("passed", "applied", "cut", "duplicate", "ahead")
#: The worker's two consumer groups, as metrics call them.
GROUPS = ("ratings", "requests")
#: Of each second the times of so many replies are kept for the live page.
SAMPLE = 2000


class Metrics:
    """The worker's counters, in a registry of its own.

    Parameters
    ----------
    replicas : Replicas
        Whose positions and live metrics are shown.
    checkpointing : Checkpointing
    sources : sequence of str
        The names of the sources beside the ratings topic.

    Attributes
    ----------
    gauges : Gauges
        What is looked up when somebody asks.
    refusals : RefusalCounts
        The records that became dead letters.
    """

    def __init__(self, replicas: Replicas, checkpointing: Checkpointing, sources: Sequence[str] = ()) -> None:
        # A second series for each counter, that says when it began: nobody asked for them.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self._replicas, self._checkpointing = replicas, checkpointing
        #: Set once the journal is followed.
        self.following: Following | None = None
        #: Kafka's id of the ratings topic, and its name.
        self.topic_id, self.topic = b"", "ratings"
        self.items: ItemsFollowing | None = None
        self.registry = CollectorRegistry()
        self.gauges = Gauges(self.registry)
        self.loop = LoopWatch()
        self.progress: SourceProgress | None = None
        self.refusals = RefusalCounts(self.registry)
        self._add_counters()
        self.source_counts = SourceCounts(self.source_records, sources)
        ProcessCollector(registry=self.registry)
        Info("recommender_build", "Version of the worker", registry=self.registry).info(
            {"version": __version__}
        )

        self._learned = self._replies = self._skipped = self._rejected = self._ingested = 0
        #: How long replies took since the live page asked, a sample of them.
        self._took: list[float] = []

    def _add_counters(self) -> None:
        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"recommender_{name}", about, labels, registry=self.registry)

        self.ratings = counter("ratings", "Records of the ratings topic by what became of them", "result")
        self.source_records = counter(
            "source_records", "Records by topic, what became of them, and why", "source", "result", "reason"
        )
        self.batches = counter("batches", "Deliveries of a partition's fetched records to the learning agent")
        self.replies = counter("replies", "Requests by the code of their reply", "code")
        self.recommendations = counter(
            "recommendations", "Records for the recommendations log by whether Kafka has them", "result"
        )
        self.blocks = counter("journal_blocks", "Blocks of the journal by what became of them", "result")
        self.items_records = counter(
            "items_records", "Records of the items topic by what became of them", "result"
        )
        for result in ("taken", "refused"):
            self.items_records.labels(result)
        self.rebalances = counter("rebalances", "Times that a group gave this worker partitions", "group")
        for group in GROUPS:
            self.rebalances.labels(group)
        self.seconds = Histogram(
            "recommender_reply_seconds",
            "From reading a request to its reply's arrival",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30),
            registry=self.registry,
        )
        self.delay = Histogram(
            "recommender_event_delay_seconds",
            "From a rating's record to its being learned here, of the oldest of each run of records",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
            registry=self.registry,
        )

    def ingested(self, partition: int, ingested: Ingested, records: Sequence[Record] = ()) -> None:
        """Count a run of records that is on its way into the journal."""
        self._ingested += ingested.learned
        self._skipped += ingested.skipped
        self._rejected += len(ingested.dead_letters)
        self.ratings.labels("learned").inc(ingested.learned)
        self.ratings.labels("skipped").inc(ingested.skipped)
        self.ratings.labels("dead_letter").inc(len(ingested.dead_letters))
        of_source = self.source_records.labels
        of_source(self.topic, "learned", "").inc(ingested.learned)
        if ingested.skipped:
            of_source(self.topic, "skipped", "").inc(ingested.skipped)
        for refusal in ingested.refusals:
            of_source(self.topic, "rejected", Kind(refusal.kind).value).inc()
        self.refusals.take(ingested.refusals)
        if records and self.progress is not None:
            self.progress.sent(partition, records)

    def ingested_of(self, source: str) -> Callable[[int, Any, Sequence[Record]], None]:
        """What counts runs of records of a source."""

        def ingested(partition: int, ingested: Any, records: Sequence[Record]) -> None:
            self._ingested += ingested.learned
            self._skipped += sum(ingested.passed.values())
            self._rejected += len(ingested.refusals)
            self.source_counts.take(source, ingested)
            self.refusals.take(ingested.refusals)

        return ingested

    def followed(self, followed: Followed) -> None:
        """Count blocks of the journal."""
        self._learned += len(followed.rows.ratings)
        found = np.bincount(followed.outcomes, minlength=len(OUTCOMES))
        for name, count in zip(OUTCOMES, found.tolist(), strict=False):
            if count:
                self.blocks.labels(name).inc(count)
        if self.progress is not None:
            for source, offset in followed.applied.items():
                if source.topic_id == self.topic_id:
                    self.progress.applied(source.partition, offset)

    def answered(self, code: str, seconds: float) -> None:
        """Count a reply."""
        self._replies += 1
        if len(self._took) < SAMPLE:
            self._took.append(seconds)
        self.replies.labels(code).inc()
        self.seconds.observe(seconds)

    def totals(self) -> tuple[int, int]:
        """Ratings that were learned from the journal, and replies, since the worker started."""
        return self._learned, self._replies

    def counts(self) -> dict[str, int]:
        """What became of the records that this worker read."""
        return {"learned": self._ingested, "skipped": self._skipped, "rejected": self._rejected}

    def take_reply_seconds(self) -> list[float]:
        """How long replies took since this was last called: at most the first `SAMPLE` of them."""
        took, self._took = self._took, []
        return took

    def logged(self, arrived: bool) -> None:
        """Count a record of the recommendations log."""
        self.recommendations.labels("logged" if arrived else "lost").inc()

    def read_items(self, result: str, count: int) -> None:
        """Count records of the items topic."""
        self.items_records.labels(result).inc(count)

    def status(self) -> dict[str, object]:
        """The worker's state for people and programs, one entry for each partition of the journal."""
        first = next(iter(self._replicas), None)
        # Who took over a hand-over learns with other settings than the worker was started with.
        options = first.replica.shard.options if first else self._replicas.options
        errors = self._checkpointing.errors
        lags = self.progress.lags() if self.progress else {}
        return {
            "version": __version__,
            "model": options.model,
            "experiment": options.arms.name,
            "arms": {arm.name: arm.share for arm in options.arms.arms},
            "explore": str(options.exploration),
            "feedback": str(options.feedback),
            "checkpoint_error": str(errors[min(errors)]) if errors else None,
            "differs": list(self._checkpointing.differs.values()),
            "dead_letters": self.refusals.summary(),
            "journal": {str(held.replica.partition): self._of(held) for held in self._replicas},
            "sources": {str(partition): offset for partition, offset in sorted(self.sources().items())},
            "source_topics": self.source_counts.summary(),
            "lag": {str(partition): lag for partition, (lag, _) in sorted(lags.items())},
            "items": None if self.items is None else self.items.status(),
        }

    def _of(self, held: HeldReplica) -> dict[str, object]:
        replica, shard = held.replica, held.replica.shard
        counts = replica.rule.counts
        return {
            "position": replica.position,
            "lag": self.journal_lag(replica.partition)[0],
            "saved": held.saved,
            "saved_at": held.saved_at if held.saved_at == held.saved_at else None,
            "caught_up": held.caught_up,
            "blocks": {
                "applied": counts.applied,
                "cut": counts.cut,
                "duplicate": counts.duplicate,
                "ahead": counts.ahead,
            },
            "hash": f"{replica.rule.hash:016x}",
            "users": len(shard.users),
            "items": len(shard.items),
            "events": shard.events,
            "live": shard.live.summary(),
        }

    def journal_lag(self, partition: int) -> tuple[int, float]:
        """How many records of a partition of the journal are not followed, and for how many seconds."""
        follower = self.following.follower(partition) if self.following else None
        return (follower.lag, follower.lag_seconds) if follower else (0, 0.0)

    def sources(self) -> dict[int, int]:
        """Up to which offset each partition of the ratings topic is learned, by the least replica."""
        found: dict[int, int] = {}
        for held in self._replicas:
            for source, offset in held.replica.applied.items():
                if source.topic_id == self.topic_id:
                    found[source.partition] = min(offset, found.get(source.partition, offset))
        return found

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        gauges = self.gauges
        gauges.begin()
        gauges.worker(bool(self._checkpointing.errors), self.loop.held_up)
        for partition, offset in self.sources().items():
            gauges.applied(partition, offset)
        for partition, (records, seconds) in (self.progress.lags() if self.progress else {}).items():
            gauges.lag(partition, records, seconds)
        for held in self._replicas:
            gauges.replica(held, *self.journal_lag(held.replica.partition))
        return generate_latest(self.registry)
