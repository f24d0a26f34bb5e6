"""What the worker counts, for Prometheus and for its status page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from recommender.ingest.ingest import Ingested
from recommender.journal.rule import Followed
from recommender.worker.checkpointing import Checkpointing
from recommender.worker.following import Following
from recommender.worker.intake import Intake
from recommender.worker.refusal_counts import RefusalCounts
from recommender.worker.replicas import HeldReplica, Replicas
from recommender.worker.source_reading import SourceCounts

#: What becomes of blocks, in the order of the numbers in `recommender.journal.rule_kernels`.
OUTCOMES = ("passed", "applied", "cut", "duplicate", "ahead")


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
    refusals : RefusalCounts
        The records that became dead letters.
    """

    def __init__(self, replicas: Replicas, checkpointing: Checkpointing, sources: Sequence[str] = ()) -> None:
        self._replicas, self._checkpointing = replicas, checkpointing
        #: Set once the journal is followed.
        self.following: Following | None = None
        #: Kafka's id of the ratings topic.
        self.topic_id = b""
        #: Set once there are topics to read.
        self.intake: Intake | None = None
        self.registry = CollectorRegistry()
        self._source_names = tuple(sources)
        self.source_counts = SourceCounts(self.registry, sources)
        self.refusals = RefusalCounts(self.registry)
        self.ratings = Counter(
            "recommender_ratings",
            "Records of the ratings topic by what became of them",
            ["result"],
            registry=self.registry,
        )
        self.batches = Counter(
            "recommender_batches",
            "Deliveries of a partition's fetched records to the learning agent",
            registry=self.registry,
        )
        self.replies = Counter(
            "recommender_replies", "Requests by the code of their reply", ["code"], registry=self.registry
        )
        self.seconds = Histogram(
            "recommender_reply_seconds",
            "From reading a request to its reply's arrival",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5, 30),
            registry=self.registry,
        )
        self.recommendations = Counter(
            "recommender_recommendations",
            "Records for the recommendations log by whether Kafka has them",
            ["result"],
            registry=self.registry,
        )
        self.blocks = Counter(
            "recommender_journal_blocks",
            "Blocks of the journal by what became of them",
            ["result"],
            registry=self.registry,
        )
        self._position = Gauge(
            "recommender_journal_position",
            "Next offset of the journal",
            ["partition"],
            registry=self.registry,
        )
        self._lag = Gauge(
            "recommender_journal_lag_records",
            "Records of the journal that are not followed yet",
            ["partition"],
            registry=self.registry,
        )
        self._saved = Gauge(
            "recommender_checkpoint_position",
            "Offset of the journal of the newest checkpoint that this worker saved or loaded",
            ["partition"],
            registry=self.registry,
        )
        self._applied = Gauge(
            "recommender_source_offset",
            "Next offset of a partition of the ratings topic to learn",
            ["source_partition"],
            registry=self.registry,
        )
        self._sizes = Gauge(
            "recommender_known",
            "Users and items that are known",
            ["partition", "what"],
            registry=self.registry,
        )
        self._recall = Gauge(
            "recommender_live_recall_at_10",
            "Of ratings tested before they were learned, in the window",
            ["partition", "model", "arm"],
            registry=self.registry,
        )
        self._save_error = Gauge(
            "recommender_checkpoints_failing", "1 while checkpoints cannot be written", registry=self.registry
        )

    def ingested(self, partition: int, ingested: Ingested) -> None:
        """Count a run of records that went into the journal."""
        self.ratings.labels("learned").inc(ingested.learned)
        self.ratings.labels("skipped").inc(ingested.skipped)
        self.ratings.labels("dead_letter").inc(len(ingested.dead_letters))
        self.refusals.take(ingested.refusals)

    def ingested_of(self, source: str) -> Callable[[int, Any], None]:
        """What counts runs of records of a source."""

        def ingested(partition: int, ingested: Any) -> None:
            self.source_counts.take(source, ingested)
            self.refusals.take(ingested.refusals)

        return ingested

    def followed(self, followed: Followed) -> None:
        """Count blocks of the journal."""
        found = np.bincount(followed.outcomes, minlength=len(OUTCOMES))
        for name, count in zip(OUTCOMES, found.tolist(), strict=False):
            if count:
                self.blocks.labels(name).inc(count)

    def answered(self, code: str, seconds: float) -> None:
        """Count a reply."""
        self.replies.labels(code).inc()
        self.seconds.observe(seconds)

    def logged(self, arrived: bool) -> None:
        """Count a record of the recommendations log."""
        self.recommendations.labels("logged" if arrived else "lost").inc()

    def status(self) -> dict[str, object]:
        """The worker's state for people and programs, one entry for each partition of the journal."""
        first = next(iter(self._replicas), None)
        # Who took over a hand-over learns with other settings than the worker was started with.
        options = first.replica.shard.options if first else self._replicas.options
        errors = self._checkpointing.errors
        return {
            "model": options.model,
            "experiment": options.arms.name,
            "arms": {arm.name: arm.share for arm in options.arms.arms},
            "explore": str(options.exploration),
            "feedback": str(options.feedback),
            "checkpoint_error": str(errors[min(errors)]) if errors else None,
            "differs": list(self._checkpointing.differs.values()),
            "dead_letters": self.refusals.summary(),
            "journal": {str(held.replica.partition): self._of(held) for held in self._replicas},
            "sources": {str(partition): offset for partition, offset in sorted(self._sources().items())},
            "source_topics": {name: self.source_counts.summary(name) for name in self._source_names},
        }

    def _of(self, held: HeldReplica) -> dict[str, object]:
        replica, shard = held.replica, held.replica.shard
        counts = replica.rule.counts
        return {
            "position": replica.position,
            "lag": self._lag_of(replica.partition),
            "saved": held.saved,
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

    def _lag_of(self, partition: int) -> int:
        follower = self.following.follower(partition) if self.following else None
        return follower.lag if follower else 0

    def _sources(self) -> dict[int, int]:
        """Up to which offset each partition of the ratings topic is learned, by the least replica."""
        found: dict[int, int] = {}
        for held in self._replicas:
            for source, offset in held.replica.applied.items():
                if source.topic_id == self.topic_id:
                    found[source.partition] = min(offset, found.get(source.partition, offset))
        return found

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        for gauge in (self._position, self._lag, self._saved, self._applied, self._sizes, self._recall):
            gauge.clear()
        for partition, offset in self._sources().items():
            self._applied.labels(str(partition)).set(offset)
        for held in self._replicas:
            shard, label = held.replica.shard, str(held.replica.partition)
            self._position.labels(label).set(held.replica.position)
            self._lag.labels(label).set(self._lag_of(held.replica.partition))
            self._saved.labels(label).set(held.saved)
            self._sizes.labels(label, "users").set(len(shard.users))
            self._sizes.labels(label, "items").set(len(shard.items))
            *of_arms, of_popular = shard.live.recalls()
            for arm, recall in zip(shard.live.arms, of_arms, strict=True):
                self._recall.labels(label, "model", arm).set(recall)
            self._recall.labels(label, "popular", "").set(of_popular)
        self._save_error.set(bool(self._checkpointing.errors))
        return generate_latest(self.registry)
