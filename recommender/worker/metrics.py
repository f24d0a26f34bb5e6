"""The worker at this moment, for Prometheus and for its status page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from prometheus_client import generate_latest

from recommender import __version__
from recommender.worker.checkpointing import Checkpointing
from recommender.worker.counters import Counters
from recommender.worker.following import Following
from recommender.worker.gauges import Gauges
from recommender.worker.items_following import Catalogue
from recommender.worker.loop_watch import LoopWatch
from recommender.worker.replicas import HeldReplica, Replicas
from recommender.worker.shown_following import Shown
from recommender.worker.source_progress import SourceProgress, SourceTopic


class Metrics:
    """Reports of a worker.

    Parameters
    ----------
    counters : Counters
    replicas : Replicas
        Whose positions and live metrics are shown.
    checkpointing : Checkpointing
    topic_id : bytes
        Kafka's id of the ratings topic.
    loop : LoopWatch
    following : Following, optional
    progress : SourceProgress, optional
        Of the ratings topic.
    topics : function
        The topics that are ingested, the ratings topic and the sources.
    request_lags : function
        How many requests of each partition have no reply.
    items : Catalogue, optional
    item_count : function
        How many items the items topic has named.
    shown : Shown, optional
        What was shown to whom.

    Attributes
    ----------
    counters : Counters
    progress : SourceProgress or None
    topics : function
    loop : LoopWatch
    """

    def __init__(
        self,
        counters: Counters,
        replicas: Replicas,
        checkpointing: Checkpointing,
        *,
        topic_id: bytes,
        loop: LoopWatch,
        following: Following | None = None,
        progress: SourceProgress | None = None,
        topics: Callable[[], Sequence[SourceTopic]] = tuple,
        request_lags: Callable[[], Mapping[int, int]] = dict,
        items: Catalogue | None = None,
        item_count: Callable[[], int] = int,
        shown: Shown | None = None,
    ) -> None:
        self.counters, self._replicas, self._checkpointing = counters, replicas, checkpointing
        self._topic_id, self.loop = topic_id, loop
        self._following, self.progress = following, progress
        self.topics, self._items, self._shown = topics, items, shown
        self._gauges = Gauges(counters.registry, request_lags, item_count)

    def status(self) -> dict[str, object]:
        """The worker's state for people and programs, one entry for each partition of the journal."""
        first = next(iter(self._replicas), None)
        # After a hand-over a worker learns with other settings than it was started with.
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
            "dead_letters": self.counters.refusals.summary(),
            "journal": {str(held.replica.partition): self._of(held) for held in self._replicas},
            "sources": {str(partition): offset for partition, offset in sorted(self.sources().items())},
            "source_topics": self._source_topics(),
            "lag": {str(partition): lag for partition, (lag, _) in sorted(lags.items())},
            "items": None if self._items is None else self._items.status(),
            "shown": None if self._shown is None else self._shown.status(),
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
            "bounds": self.counters.bounds.status(held),
            "taking_over": None if held.successor is None else held.successor.status(replica.position),
        }

    def _source_topics(self) -> dict[str, dict[str, object]]:
        """The outcomes of the records of each source, and its progress."""
        told = self.counters.source_counts.summary()
        for each in self.topics():
            if each.name in told:
                partitions = each.partitions(self.learned(each.topic_id))
                told[each.name] |= {"topic": each.topic, "partitions": partitions}
        return told

    def journal_lag(self, partition: int) -> tuple[int, float]:
        """The lag in a partition of the journal: in records, and in seconds."""
        follower = self._following.follower(partition) if self._following else None
        return (follower.lag, follower.lag_seconds) if follower else (0, 0.0)

    def sources(self) -> dict[int, int]:
        """The offset up to which each partition of the ratings topic is learned, by the least replica."""
        return self.learned(self._topic_id)

    def learned(self, topic_id: bytes | None) -> dict[int, int]:
        """The same of the topic of an id."""
        found: dict[int, int] = {}
        for held in self._replicas:
            for source, offset in held.replica.applied.items():
                if source.topic_id == topic_id:
                    found[source.partition] = min(offset, found.get(source.partition, offset))
        return found

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        gauges = self._gauges
        gauges.begin()
        gauges.worker(bool(self._checkpointing.errors), self.loop.held_up)
        for partition, offset in self.sources().items():
            gauges.applied(partition, offset)
        for partition, (records, seconds) in (self.progress.lags() if self.progress else {}).items():
            gauges.lag(partition, records, seconds)
        for topic in self.topics():
            gauges.source(topic)
        for held in self._replicas:
            gauges.replica(held, *self.journal_lag(held.replica.partition))
        return generate_latest(self.counters.registry)
