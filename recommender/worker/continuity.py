"""Whether what was fetched continues what was taken before it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from recommender.worker.transport.batch import Batch

logger = logging.getLogger(__name__)

#: Fetches a partition again from an offset.
Seek = Callable[[int, int], Awaitable[object]]


class Continuity:
    """Notices batches that were lost between fetch and agent, as happens around a rebalance.

    Each batch says from which offset it was fetched. If that lies beyond what was taken, something was lost
    on the way and is fetched again, however often that happens. If not, Kafka itself has nothing between that
    offset and the first record: compaction, transactions and the deletion of old records do that.

    Parameters
    ----------
    topic : str
    seek : Seek
    deleted : function, optional
        Told of offsets that Kafka deleted from the log before they were taken: the partition, the first of
        them, and the one after the last.
    """

    def __init__(
        self, topic: str, seek: Seek, deleted: Callable[[int, int, int], None] = lambda *_: None
    ) -> None:
        self._topic = topic
        self._seek = seek
        self._deleted = deleted

    async def follows(self, batch: Batch, expected: int) -> bool:
        """Whether to take a batch. If not, its partition is fetched again from where it must go on.

        Parameters
        ----------
        batch : Batch
            Of its records those below `expected` were taken before.
        expected : int
            The next offset to be taken.
        """
        if batch.position > expected:
            place = (self._topic, batch.partition, batch.position, expected)
            logger.debug("%s[%d]: fetched from offset %d, expected %d; reading again", *place)
            await self._seek(batch.partition, expected)
            return False
        if batch.begins > expected:
            self._deleted(batch.partition, expected, min(batch.begins, batch.first_offset))
        return True
