"""What the worker counts, for Prometheus and for its status page."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from recommender.ingest.ingest import Outcome
from recommender.refusal_counts import RefusalCounts
from recommender.worker.shards import Shards


class Metrics:
    """The worker's counters, in a registry of its own.

    Parameters
    ----------
    shards : Shards
        Whose offsets and live metrics are shown.

    Attributes
    ----------
    refusals : RefusalCounts
        The records that became dead letters.
    """

    def __init__(self, shards: Shards) -> None:
        self._shards = shards
        self.registry = CollectorRegistry()
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
        self._offset = Gauge(
            "recommender_offset", "Next offset to learn", ["partition"], registry=self.registry
        )
        self._saved = Gauge(
            "recommender_saved_offset",
            "Offset of the newest durable checkpoint",
            ["partition"],
            registry=self.registry,
        )
        self._sizes = Gauge(
            "recommender_known", "Users and items of a shard", ["partition", "what"], registry=self.registry
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

    def learned(self, partition: int, outcome: Outcome) -> None:
        """Count a run of ratings."""
        self.ratings.labels("learned").inc(outcome.learned)
        self.ratings.labels("skipped").inc(outcome.skipped)
        self.ratings.labels("dead_letter").inc(len(outcome.dead_letters))
        self.ratings.labels("forwarded").inc(len(outcome.forwards))
        self.refusals.take(outcome.refusals)

    def answered(self, code: str, seconds: float) -> None:
        """Count a reply."""
        self.replies.labels(code).inc()
        self.seconds.observe(seconds)

    def logged(self, arrived: bool) -> None:
        """Count a record of the recommendations log."""
        self.recommendations.labels("logged" if arrived else "lost").inc()

    def status(self) -> dict[str, object]:
        """The worker's state for people and programs, one entry for each shard."""
        shards = {}
        for partition, held in sorted(self._shards.held.items()):
            shard = held.shard
            shards[str(partition)] = {
                "offset": shard.offset,
                "saved": held.saved,
                "users": len(shard.users),
                "items": len(shard.items),
                "events": shard.events,
                "live": shard.live.summary(),
            }
        # Who took over a hand-over learns with other settings than the worker was started with.
        first = next(iter(self._shards.held.values()), None)
        options = first.shard.options if first else self._shards.options
        return {
            "model": options.model,
            "experiment": options.arms.name,
            "arms": {arm.name: arm.share for arm in options.arms.arms},
            "explore": str(options.exploration),
            "feedback": str(options.feedback),
            "checkpoint_error": self._shards.save_error,
            "dead_letters": self.refusals.summary(),
            "shards": shards,
        }

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        for gauge in (self._offset, self._saved, self._sizes, self._recall):
            gauge.clear()
        for partition, held in self._shards.held.items():
            shard, label = held.shard, str(partition)
            self._offset.labels(label).set(shard.offset)
            self._saved.labels(label).set(held.saved)
            self._sizes.labels(label, "users").set(len(shard.users))
            self._sizes.labels(label, "items").set(len(shard.items))
            *of_arms, of_popular = shard.live.recalls()
            for arm, recall in zip(shard.live.arms, of_arms, strict=True):
                self._recall.labels(label, "model", arm).set(recall)
            self._recall.labels(label, "popular", "").set(of_popular)
        self._save_error.set(self._shards.save_error is not None)
        return generate_latest(self.registry)
