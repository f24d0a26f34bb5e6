"""How long it takes until every partition is learned from again, and what happened when."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

from kafka import KafkaConsumer, TopicPartition

from recommender.kafka.network import Network
from tests.support.workers import Installation


@dataclass
class Event:
    """Something that was done to the workers or the broker; times are in seconds since 1970.

    Attributes
    ----------
    kind : str
        ``kill``, ``stop``, ``pause``, ``join`` or ``broker``.
    began : float
    alone : bool
        All workers were ready when it happened, and nothing else came before all was well again.
    mended : float or None
        When the broker answered again, or a worker that joins had loaded its code; the recovery is measured
        from there.
    recovered : float
        When every partition was learned from again by a worker that says it is ready.
    """

    kind: str
    began: float
    alone: bool
    mended: float | None = None
    recovered: float = float("inf")

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.recovered - (self.mended or self.began)


@dataclass
class Events:
    """All that happened, in order."""

    all: list[Event] = field(default_factory=list)

    def begin(self, kind: str, alone: bool) -> Event:
        """Note that something happens now; whatever has not recovered yet is not alone any more."""
        for each in self.all:
            each.alone = each.alone and each.recovered < float("inf")
        event = Event(kind, time.time(), alone)
        self.all.append(event)
        return event

    def recovered(self) -> None:
        """Note that all is well now."""
        now = time.time()
        for each in self.all:
            each.recovered = min(each.recovered, now)

    def unexpected(self, since: float, until: float) -> bool:
        """Whether somebody was dead or hung at some moment between the two."""
        return any(
            each.began <= until and each.recovered >= since
            for each in self.all
            if each.kind in ("kill", "pause", "broker")
        )

    def around(self, moment: float) -> str:
        """What happened in the ten seconds before and after, for a person."""
        return ", ".join(
            f"{each.kind} {each.began - moment:+.1f} to {each.recovered - moment:+.1f} s"
            for each in self.all
            if each.began - 10 < moment < each.recovered + 10
        )

    def summary(self, kind: str) -> str:
        """Count, median and worst of one kind, in words."""
        told = f"{kind}: {sum(each.kind == kind for each in self.all)}"
        for alone, what in ((True, "alone"), (False, "on top of each other or of something else")):
            times = [each.seconds for each in self.all if each.kind == kind and each.alone == alone]
            if times:
                middle, worst = statistics.median(times), max(times)
                told += (
                    f"; {len(times)} {what}, all well after {middle:.1f} s (median), {worst:.1f} s (worst)"
                )
        return told


class Log:
    """Where the partitions of a topic end, and what the group that reads it has committed for them."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._consumers: dict[str, KafkaConsumer] = {}

    def ends(self, topic: str) -> dict[int, int]:
        """The next offset of each partition."""
        ends = self._of(topic).end_offsets(self._partitions(topic))
        return {each.partition: offset for each, offset in ends.items()}

    def committed(self, topic: str) -> dict[int, int]:
        """The committed offset of each partition."""
        consumer = self._of(topic)
        return {each.partition: consumer.committed(each) or 0 for each in self._partitions(topic)}

    def lag(self, topic: str) -> int:
        """How many offsets lie behind what is committed."""
        return sum(self.ends(topic).values()) - sum(self.committed(topic).values())

    def close(self) -> None:
        """Let go."""
        for each in self._consumers.values():
            each.close()

    def _of(self, topic: str) -> KafkaConsumer:
        group = self._installation.group_of(topic)
        if group not in self._consumers:
            self._consumers[group] = KafkaConsumer(
                kafka_client=Network,
                bootstrap_servers=self._installation.kafka,
                group_id=group,
                enable_auto_commit=False,
            )
        return self._consumers[group]

    def _partitions(self, topic: str) -> list[TopicPartition]:
        self._of(topic).topics()  # so that it asks: partitions may have been added
        partitions = self._of(topic).partitions_for_topic(topic) or ()
        return [TopicPartition(topic, partition) for partition in sorted(partitions)]
