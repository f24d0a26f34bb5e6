"""Whether what was fetched continues what was taken before it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)

#: Fetches a partition again from an offset; where its log begins, or None if that is not known.
Seek = Callable[[int, int], Awaitable[int | None]]

#: So many fetches from the same place must skip the same offsets until they are believed to be empty: what a
#: fetch brought may be lost once more at the same place.
SIGHTINGS = 3


class Continuity:
    """Notices batches that were lost between fetch and agent, as happens around a rebalance.

    Offsets that are skipped are not believed to be empty until fetches from exactly there skip them again and
    again: compaction, transactions and the deletion of old records do that.

    Parameters
    ----------
    topic : str
    seek : Seek
    deleted : function, optional
        Told of offsets that Kafka deleted from the log before they were taken: the partition, the first of
        them, and where the log now begins.
    """

    def __init__(
        self, topic: str, seek: Seek, deleted: Callable[[int, int, int], None] = lambda *_: None
    ) -> None:
        self._topic = topic
        self._seek = seek
        self._deleted = deleted
        #: For each partition what was expected, what came instead, how often, and where the log begins.
        self._sought: dict[int, tuple[int, int, int, int | None]] = {}

    async def follows(self, partition: int, expected: int, first: int) -> bool:
        """Whether to take a batch. If not, its partition is fetched again from where it must go on.

        Parameters
        ----------
        partition : int
        expected : int
            The next offset to be taken.
        first : int
            The batch's first offset.
        """
        if first <= expected:
            return True
        *skipped, seen, begins = self._sought.pop(partition, (None, None, 0, None))
        seen = seen + 1 if skipped == [expected, first] else 1
        if seen == SIGHTINGS:
            if begins is not None and begins > expected:
                self._deleted(partition, expected, begins)
            return True
        logger.debug(
            "%s[%d]: got offset %d, expected %d; reading again", self._topic, partition, first, expected
        )
        begins = await self._seek(partition, expected)
        self._sought[partition] = (expected, first, seen, begins)
        return False
