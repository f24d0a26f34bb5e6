"""Tells of dead letters: in the log, on the status page and in the metrics, by kinds of reasons.

A producer of records that cannot be learned has to hear of it. The log names the first one at once, with its
place and its reason. Of those that follow it tells at most once a minute, however many they are.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Metric

from recommender.messages.records import Location
from recommender.messages.refusals import Kind, Refusal

logger = logging.getLogger(__name__)

#: At least this many seconds are between two lines of the log.
TELL_SECONDS = 60.0
_REASON_CHARACTERS = 300
#: This many are kept for the live page.
LAST = 10


class RefusalCounts:
    """Counts of dead letters since the worker started.

    Parameters
    ----------
    registry : CollectorRegistry
        Where the metric goes.
    now : function
        Seconds of a clock that never goes back.
    """

    def __init__(self, registry: CollectorRegistry, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._metric = Metric(
            "recommender_dead_letters", "Records that became dead letters", ["reason"], registry=registry
        )
        for kind in Kind:  # from the start, so that the first one is an increase
            self._metric.labels(kind.value)
        self._total: Counter[Kind] = Counter()
        self._newest: Refusal | None = None
        #: The last ones, and when they were read.
        self._last: deque[tuple[float, Refusal]] = deque(maxlen=LAST)
        self._untold: Counter[Kind] = Counter()
        self._first: Refusal | None = None
        self._told_at = -TELL_SECONDS

    def take(self, refusals: Sequence[Refusal]) -> None:
        """Count refused records, and tell of them if it is time."""
        if not refusals:
            return
        kinds = Counter(each.kind for each in refusals)
        for kind, count in kinds.items():
            self._metric.labels(kind.value).inc(count)
        self._total += kinds
        self._untold += kinds
        self._first = self._first or refusals[0]
        self._newest = refusals[-1]
        at = time.time()
        self._last.extend((at, each) for each in refusals[-LAST:])
        self.log()

    def log(self, *, at_once: bool = False) -> None:
        """Write the line that is due; to be called now and then, and with `at_once` in the end."""
        first, now = self._first, self._now()
        if first is None or (now < self._told_at + TELL_SECONDS and not at_once):
            return
        count = sum(self._untold.values())
        if count == 1:
            logger.warning("%s is a dead letter: %s", Location.of(first), _reason(first))
        else:
            kinds = ", ".join(f"{number} {kind}" for kind, number in self._untold.most_common())
            logger.warning(
                "%d more dead letters (%s); the first of them is %s: %s"
                if sum(self._total.values()) > count
                else "%d dead letters (%s); the first of them is %s: %s",
                count,
                kinds,
                Location.of(first),
                _reason(first),
            )
        self._told_at, self._first = now, None
        self._untold.clear()

    def reasons(self) -> dict[str, int]:
        """The number of each kind, the most frequent first."""
        return {kind.value: count for kind, count in self._total.most_common()}

    def last(self, now: float) -> list[dict[str, object]]:
        """The last ones, newest first: where they were read, how many seconds ago, and why they are one."""
        return [
            {
                "place": str(Location.of(each)),
                "ago": round(now - at),
                "kind": each.kind.value,
                "says": _reason(each),
            }
            for at, each in reversed(self._last)
        ]

    def summary(self) -> dict[str, object]:
        """The counts as they go to the status page."""
        newest = self._newest
        return {
            "total": sum(self._total.values()),
            "reasons": self.reasons(),
            "newest": None if newest is None else f"{Location.of(newest)}: {_reason(newest)}",
        }


def _reason(refusal: Refusal) -> str:
    """The reason on one line, whatever a record made it say."""
    return " ".join(refusal.reason.split())[:_REASON_CHARACTERS]
