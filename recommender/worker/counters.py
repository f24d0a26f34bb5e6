"""The worker's counters, in a registry of its own.

`docs/monitoring.md` lists every metric, and a test compares the list with these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, Info, ProcessCollector

from recommender import __version__
from recommender.ingest.ingest import Ingested
from recommender.journal.outcome import Followed
from recommender.messages.records import Record
from recommender.messages.refusals import Kind
from recommender.worker.bound_watch import BoundWatch
from recommender.worker.refusal_counts import RefusalCounts
from recommender.worker.source_reading import SourceCounts

#: What becomes of blocks, in the order of the numbers in `recommender.journal.rule_kernels`.
OUTCOMES = ("passed", "applied", "cut", "duplicate", "ahead")
#: The worker's two consumer groups, as metrics call them.
GROUPS = ("ratings", "requests")
#: Of each second the times of this many replies are kept for the live page.
SAMPLE = 2000


class Counters:
    """The worker's counters.

    Parameters
    ----------
    topic : str
        The ratings topic.
    sources : sequence of str
        The names of the sources other than the ratings topic.

    Attributes
    ----------
    registry : CollectorRegistry
    refusals : RefusalCounts
        The records that became dead letters.
    bounds : BoundWatch
        Who left because of a bound.
    """

    def __init__(self, topic: str, sources: Sequence[str] = ()) -> None:
        # A second series for each counter, that says when it began, is of no use.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
        self.topic = topic
        self.registry = CollectorRegistry()
        self.refusals, self.bounds = RefusalCounts(self.registry), BoundWatch(self.registry)
        self._add_counters()
        self.source_counts = SourceCounts(self.source_records, sources)
        ProcessCollector(registry=self.registry)
        Info("recommender_build", "Version of the worker", registry=self.registry).info(
            {"version": __version__}
        )
        self._learned = self._replies = self._skipped = self._rejected = self._ingested = 0
        #: How long replies took since the live page asked, a sample of them.
        self._took: list[float] = []
        #: Of the replies that nearly all are: looking for them takes as long as counting.
        self._answered_ok = self.replies.labels("ok")

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
        self.log_records = counter(
            "log_records", "Records of the recommendations log by what became of them here", "result"
        )
        self.impressions_records = counter(
            "impressions_records", "Records of sources of impressions by what became of them", "result"
        )
        self.forgotten = counter(
            "forgotten",
            "Records that say whom to forget, by what that is and what came of it",
            "what",
            "result",
        )
        for what in ("user", "item"):
            for result in ("forgotten", "unknown"):
                self.forgotten.labels(what, result)
        for result in ("merged", "unknown"):
            self.forgotten.labels("guest", result)
        for result in ("taken", "refused"):
            self.items_records.labels(result)
            self.log_records.labels(result)
            self.impressions_records.labels(result)
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
        if ingested.forgets:
            self.ratings.labels("forget").inc(ingested.forgets)
        of_source = self.source_records.labels
        of_source(self.topic, "learned", "").inc(ingested.learned)
        if ingested.skipped:
            of_source(self.topic, "skipped", "").inc(ingested.skipped)
        for refusal in ingested.refusals:
            of_source(self.topic, "rejected", Kind(refusal.kind).value).inc()
        self.refusals.take(ingested.refusals)

    def ingested_of(self, source: str) -> Callable[[int, Any, Sequence[Record]], None]:
        """The counter of runs of records of a source."""

        def ingested(partition: int, ingested: Any, records: Sequence[Record]) -> None:
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

    def forgot(self, counts: Mapping[tuple[str, str], int]) -> None:
        """Count records that said whom to forget, by what that was and what came of it."""
        for labels, count in counts.items():
            self.forgotten.labels(*labels).inc(count)

    def answered(self, code: str, seconds: float) -> None:
        """Count a reply."""
        self._replies += 1
        if len(self._took) < SAMPLE:
            self._took.append(seconds)
        (self._answered_ok if code == "ok" else self.replies.labels(code)).inc()
        self.seconds.observe(seconds)

    def totals(self) -> tuple[int, int]:
        """Ratings that were learned from the journal, and replies, since the worker started."""
        return self._learned, self._replies

    def counts(self) -> dict[str, int]:
        """The outcomes of the records that this worker has read."""
        return {"learned": self._ingested, "skipped": self._skipped, "rejected": self._rejected}

    def take_reply_seconds(self) -> list[float]:
        """The seconds that replies took since this was last called: at most the first `SAMPLE` of them."""
        took, self._took = self._took, []
        return took

    def read_items(self, result: str, count: int) -> None:
        """Count records of the items topic."""
        self.items_records.labels(result).inc(count)

    def read_log(self, result: str, count: int) -> None:
        """Count records of the recommendations log that were followed."""
        self.log_records.labels(result).inc(count)

    def read_impressions(self, result: str, count: int) -> None:
        """Count records of sources of impressions."""
        self.impressions_records.labels(result).inc(count)

    def logged(self, arrived: bool) -> None:
        """Count a record of the recommendations log."""
        self.recommendations.labels("logged" if arrived else "lost").inc()

    async def log_refusals(self) -> None:
        """Log what became dead letters, if that is new."""
        self.refusals.log()
