"""A topic whose records become ratings, as pages and metrics tell of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from recommender.worker.source_progress import SourceProgress


class SourceTopic(NamedTuple):
    """The ratings topic, or a source.

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
        """How far each partition is, for the status page: None where another worker reads it.

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
