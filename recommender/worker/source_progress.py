"""The lag of this worker behind a topic of ratings, and the time that a rating takes into the state."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from recommender.messages.records import Record

#: Runs of one partition whose learning is awaited; more means that the journal stands still.
AWAITED = 10_000


class _Run(NamedTuple):
    """A run of records that went into the journal: the offset after it, and when its records were written."""

    end: int
    oldest: float
    newest: float


class SourceProgress:
    """Progress in the partitions of the ratings topic that this worker reads.

    Parameters
    ----------
    ends : function
        The offset after the last record that may be read, by partition, as of the last fetch.
    learned : function
        Up to which offset a partition is learned here; None where this worker cannot know.
    delayed : function
        Called for each run that is learned, with the seconds since its oldest record was written.
    now : function
        Seconds since 1970.
    """

    def __init__(
        self,
        ends: Callable[[], Mapping[int, int]],
        learned: Callable[[int], int | None],
        delayed: Callable[[float], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ends, self._learned, self._delayed, self._now = ends, learned, delayed, now
        self._awaited: dict[int, deque[_Run]] = {}
        #: When the last record was written that is learned, by partition.
        self._newest: dict[int, float] = {}

    def sent(self, partition: int, records: Sequence[Record]) -> None:
        """Take note of consecutive records that are on their way into the journal."""
        if not records:
            return
        written = [record.timestamp / 1000 for record in (records[0], records[-1]) if record.timestamp > 0]
        if not written:
            return
        runs = self._awaited.setdefault(partition, deque(maxlen=AWAITED))
        while runs and runs[-1].end > records[0].offset:
            runs.pop()  # they are read again
        runs.append(_Run(records[-1].offset + 1, min(written), max(written)))

    def applied(self, partition: int, offset: int) -> None:
        """Take note of up to which offset a partition is learned."""
        runs, now = self._awaited.get(partition), self._now()
        while runs and runs[0].end <= offset:
            run = runs.popleft()
            self._newest[partition] = run.newest
            self._delayed(max(0.0, now - run.oldest))

    def keep_only(self, partitions: set[int]) -> None:
        """Forget all partitions but those that this worker reads."""
        for each in set(self._awaited) - partitions:
            del self._awaited[each]
        for each in set(self._newest) - partitions:
            del self._newest[each]

    def lags(self) -> dict[int, tuple[int, float]]:
        """The number of offsets of each partition that are not learned, and how long the oldest waits.

        The seconds are counted from when the last rating was written that is learned. They are 0 at the end
        of the partition, and as long as nothing of it was learned since this worker got it.
        """
        found = {}
        now = self._now()
        for partition, end in self._ends().items():
            learned = self._learned(partition)
            if learned is None:
                continue
            records = max(0, end - learned)
            since = self._newest.get(partition)
            found[partition] = records, max(0.0, now - since) if records and since is not None else 0.0
        return found


class SourceTopic(NamedTuple):
    """The ratings topic or a source, as pages and metrics tell of it.

    Attributes
    ----------
    name : str
        Of the source's table; of the ratings topic without a table the topic's name.
    topic : str
    topic_id : bytes or None
        None where the topic does not exist yet.
    progress : SourceProgress
    reads : collection of int
        The partitions that this worker reads.
    waits_for : str or None
        Why nothing of it can be read now.
    """

    name: str
    topic: str
    topic_id: bytes | None
    progress: SourceProgress
    reads: Collection[int]
    waits_for: str | None

    def partitions(self, learned: Mapping[int, int]) -> dict[str, dict[str, float | None]]:
        """The progress of each partition, for the status page: None where another worker reads it.

        Parameters
        ----------
        learned : mapping of int to int
            Up to which offset each partition is learned.
        """
        lags = self.progress.lags()
        return {
            str(partition): {
                "learned": learned.get(partition, 0),
                "lag": lags[partition][0] if partition in lags else None,
                "lag_seconds": round(lags[partition][1], 1) if partition in lags else None,
            }
            for partition in sorted({*learned, *lags})
        }
