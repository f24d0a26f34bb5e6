"""Metrics that are looked up when they are read, and of which old partitions must not remain."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Gauge

from recommender.worker.replicas import HeldReplica
from recommender.worker.source_progress import SourceTopic


class Gauges:
    """The gauges of a worker.

    Parameters
    ----------
    registry : CollectorRegistry
    request_lags : function
        How many requests of each partition have no reply.
    items : function
        How many items the items topic has named.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        request_lags: Callable[[], Mapping[int, int]],
        items: Callable[[], int],
    ) -> None:
        def gauge(name: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"recommender_{name}", about, labels, registry=registry)

        self._position = gauge("journal_position", "Next offset of the journal", "partition")
        self._journal_lag = gauge(
            "journal_lag_records", "Records of the journal that are not followed yet", "partition"
        )
        self._journal_age = gauge(
            "journal_lag_seconds",
            "Age of the newest block that is followed while others wait; 0 at the journal's end",
            "partition",
        )
        self._lag = gauge(
            "lag_records", "Offsets of a partition of the ratings topic that are not learned", "partition"
        )
        self._age = gauge(
            "lag_seconds",
            "Age of the newest rating that is learned while others wait; 0 at the partition's end",
            "partition",
        )
        self._request_lag = gauge(
            "request_lag_records", "Requests of a partition that have no reply yet", "partition"
        )
        self._saved = gauge(
            "checkpoint_position",
            "Offset of the journal of the newest checkpoint that this worker saved or loaded",
            "partition",
        )
        self._saved_age = gauge(
            "checkpoint_age_seconds", "Since the newest checkpoint was saved, if there is one", "partition"
        )
        self._applied = gauge(
            "source_offset", "Next offset of a partition of the ratings topic to learn", "source_partition"
        )
        self._source_lag = gauge(
            "source_lag_records", "Offsets of a topic's partition that are not learned", "source", "partition"
        )
        self._source_age = gauge(
            "source_lag_seconds",
            "Age of the newest record that is learned while others wait; 0 at the partition's end",
            *("source", "partition"),
        )
        self._source_waits = gauge(
            "source_waits", "1 while a source waits for its topic or its schema registry", "source"
        )
        self._known = gauge("known", "Users and items that are known", "partition", "what")
        self._used = gauge(
            "bound_used_ratio", "What there is, as a part of the bound on it", "partition", "bound"
        )
        self._takeover = gauge(
            "takeover_lag_records",
            "Records of the journal that are left until what is taken over has caught up; 0 where nothing is",
            "partition",
        )
        self._recall = gauge(
            "live_recall_at_10",
            "Of ratings tested before they were learned, in the window",
            *("partition", "model", "arm"),
        )
        self._save_error = gauge("checkpoints_failing", "1 while checkpoints cannot be written")
        self._held_up = gauge(
            "loop_held_up_seconds", "Longest time of the last minute in which nothing could be answered"
        )
        self._items = gauge("items", "Items that the items topic has named")
        self._count_items, self._request_lags = items, request_lags

    def begin(self) -> None:
        """Forget what was said before."""
        by_partition = (
            *(self._position, self._journal_lag, self._journal_age, self._lag, self._age, self._request_lag),
            *(self._saved, self._saved_age, self._applied, self._known, self._recall),
            *(self._source_lag, self._source_age, self._source_waits, self._used, self._takeover),
        )
        for each in by_partition:
            each.clear()
        for partition, lag in self._request_lags().items():
            self._request_lag.labels(str(partition)).set(lag)
        self._items.set(self._count_items())

    def worker(self, failing: bool, held_up: float) -> None:
        """Say how the worker is: are its checkpoints failing, and for how long was its loop held up."""
        self._save_error.set(failing)
        self._held_up.set(held_up)

    def applied(self, partition: int, offset: int) -> None:
        """Say up to which offset a partition of the ratings topic is learned."""
        self._applied.labels(str(partition)).set(offset)

    def lag(self, partition: int, records: int, seconds: float) -> None:
        """Say how far behind the end of a partition of the ratings topic learning is."""
        self._lag.labels(str(partition)).set(records)
        self._age.labels(str(partition)).set(seconds)

    def source(self, topic: SourceTopic) -> None:
        """Say how a topic is that is ingested."""
        self._source_waits.labels(topic.name).set(topic.waits_for is not None)
        for partition, (records, seconds) in topic.progress.lags().items():
            self._source_lag.labels(topic.name, str(partition)).set(records)
            self._source_age.labels(topic.name, str(partition)).set(seconds)

    def replica(self, held: HeldReplica, lag: int, lag_seconds: float) -> None:
        """Say how a replica is."""
        shard, label = held.replica.shard, str(held.replica.partition)
        self._position.labels(label).set(held.replica.position)
        self._journal_lag.labels(label).set(lag)
        self._journal_age.labels(label).set(lag_seconds)
        self._saved.labels(label).set(held.saved)
        if held.saved_at == held.saved_at:
            self._saved_age.labels(label).set(max(0.0, time.time() - held.saved_at))
        self._known.labels(label, "users").set(len(shard.users))
        self._known.labels(label, "items").set(len(shard.items))
        for name, use in shard.bounds.uses().items():
            if use.known is not None:
                self._used.labels(label, name).set(use.known / use.bound)
        left = 0 if held.successor is None else held.successor.left(held.replica.position)
        self._takeover.labels(label).set(left)
        *of_arms, of_popular = shard.live.recalls()
        for arm, recall in zip(shard.live.arms, of_arms, strict=True):
            self._recall.labels(label, "model", arm).set(recall)
        self._recall.labels(label, "popular", "").set(of_popular)
