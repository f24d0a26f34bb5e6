"""A source's records on a worker: what they came to is counted, and a mapping that does not fit ends it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from prometheus_client import Counter as Metric

from recommender.ingest.sources.mapping import SourcesError
from recommender.ingest.sources.source_ingest import IngestedSource, SourceIngest
from recommender.messages.records import Record

logger = logging.getLogger(__name__)

#: A mapping is judged by this many records, the first ones that it reads.
JUDGED = 1000
#: This many names of events that are not listed are shown.
SHOWN_EVENTS = 20
_REASONS = 3


class SourceCounts:
    """Outcomes of the records of sources since the worker started.

    Parameters
    ----------
    metric : prometheus_client.Counter
        With the labels source, result and reason.
    sources : sequence of str
        Their names.

    Attributes
    ----------
    waits : dict of str to function
        What says for what a source waits, or None; of those that may.
    """

    def __init__(self, metric: Metric, sources: Sequence[str] = ()) -> None:
        self._metric = metric
        self._counts: dict[str, Counter[tuple[str, str]]] = {name: Counter() for name in sources}
        self._unlisted: dict[str, dict[str, int]] = {name: {} for name in sources}
        self.waits: dict[str, Callable[[], str | None]] = {}

    def take(self, name: str, ingested: IngestedSource) -> None:
        """Count a run of records that went into the journal."""
        found = Counter({("learned", ""): ingested.learned, ("forget", ""): ingested.forgets})
        found.update({("skipped", str(reason)): count for reason, count in ingested.passed.items()})
        found.update(("rejected", str(each.kind)) for each in ingested.refusals)
        for (result, reason), count in found.items():
            if count:
                self._metric.labels(name, result, reason).inc(count)
                self._counts[name][result, reason] += count
        shown = self._unlisted[name]
        for event, count in ingested.unlisted.items():
            if event in shown or len(shown) < SHOWN_EVENTS:
                shown[event] = shown.get(event, 0) + count

    def summary(self) -> dict[str, dict[str, object]]:
        """The counts of each source as they go to the status page."""
        return {name: self._of(name) for name in self._counts}

    def _of(self, name: str) -> dict[str, object]:
        told: dict[str, dict[str, int]] = {"skipped": {}, "rejected": {}}
        for (result, reason), count in self._counts[name].most_common():
            if result in told:
                told[result][reason] = count
        return {
            "learned": self._counts[name]["learned", ""],
            "forgets": self._counts[name]["forget", ""],
            **told,
            "events_not_listed": self._unlisted[name],
            "waits_for": self.waits[name]() if name in self.waits else None,
        }


class JudgedIngest:
    """A source's ingest whose mapping is judged by the first records that it reads.

    Parameters
    ----------
    ingest : SourceIngest
    most : float
        The largest share that may be rejected, in percent.
    """

    def __init__(self, ingest: SourceIngest, most: float) -> None:
        self._ingest, self._most = ingest, most
        self.topic = ingest.topic
        self._left = 0
        self._seen = 0
        self._reasons: Counter[str] = Counter()

    def judge(self) -> None:
        """Judge the mapping by what comes next: it is new for some partition."""
        self._left = JUDGED if self._seen == 0 else self._left

    def read(self, partition: int, records: Sequence[Record]) -> IngestedSource:
        """Read consecutive records of a partition.

        Raises
        ------
        SourcesError
            Too many of the first ones were rejected. Their dead letters are not written then.
        """
        ingested = self._ingest.read(partition, records)
        if self._left > 0:
            self._left -= len(records)
            self._seen += len(records)
            self._reasons.update(each.reason for each in ingested.refusals)
            if self._left <= 0:
                self._decide()
        return ingested

    def _decide(self) -> None:
        rejected = self._reasons.total()
        if rejected * 100 <= self._most * self._seen:
            return
        mapping = self._ingest.mapping
        told = "; ".join(f"{count} times {reason}" for reason, count in self._reasons.most_common(_REASONS))
        raise SourcesError(
            f"source `{mapping.name}`: this mapping does not fit topic {mapping.topic!r}: {rejected} of the "
            f"first {self._seen} records are rejected, more than {self._most:g} % "
            f"(RECOMMENDER_MAX_REJECTED). The most frequent reasons: {told}. None of them became a dead "
            "letter; see `recommender sources check`"
        )
