"""Tracks which requests of each partition are answered, and where to begin with them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from recommender.messages.records import Record
from recommender.messages.request_headers import RequestHeaders
from recommender.messages.responses import Response
from recommender.worker.reply_topics import Target

logger = logging.getLogger(__name__)


class Backlog:
    """Requests that were there when a group began to read a partition of which it had committed nothing.

    Their times are the broker's only where the topic says so; mostly they are their senders'. So one request
    from a moment ago shows that all after it are as young, whatever their own times are, while one from the
    future shows nothing.

    Parameters
    ----------
    ends : int
        What has this offset or a later one came since.
    max_age : float
        In seconds.
    """

    def __init__(self, ends: int, max_age: float) -> None:
        self._ends = ends
        now = time.time()
        self._times = (now - max_age) * 1000, (now + max_age) * 1000
        #: Whether it was said that some of them are passed over.
        self.told = False

    def is_old(self, record: Record) -> bool:
        """True as long as nothing shows that a request is young; asked of each in turn until one is."""
        begin, end = self._times
        return record.offset < self._ends and not begin <= record.timestamp <= end


@dataclass(slots=True)
class PartitionProgress:
    """The requests of one partition that have no reply yet.

    Attributes
    ----------
    next : int
        The offset after the newest request that was begun.
    open : set of int
        Offsets of requests that were begun and have no reply yet.
    current : bool
        No other worker can have had the partition since this last caught up with what is committed.
    backlog : Backlog or None
        What is passed over first.
    """

    next: int
    open: set[int] = field(default_factory=set)
    current: bool = True
    backlog: Backlog | None = None

    def catch_up(self, committed: int) -> None:
        """Leave alone what others have answered while they had the partition.

        Parameters
        ----------
        committed : int
            The offset below which every request has its reply, as the group knows.
        """
        self.open = {offset for offset in self.open if offset >= committed}
        self.next = max(self.next, committed)
        self.current = True

    @property
    def done(self) -> int:
        """The offset below which every request has its reply."""
        return min(self.open, default=self.next)


class Begun(NamedTuple):
    """A request whose list is made, and on its way.

    Attributes
    ----------
    asked : RequestHeaders
    started : float
        When it was begun, by the monotonic clock.
    target : Target
    response : Response
    value : bytes
        The response as it goes out.
    sent : asyncio.Future or None
        Done when Kafka has it; None: it is not sent yet.
    """

    asked: RequestHeaders
    started: float
    target: Target
    response: Response
    value: bytes
    sent: asyncio.Future[Any] | None


class RequestProgress(dict[int, PartitionProgress]):
    """The progress of each partition of the request topic that this worker holds.

    Parameters
    ----------
    topic : str
    max_age : float
        How old a request may be where the group has committed nothing, in seconds.
    """

    def __init__(self, topic: str, max_age: float) -> None:
        super().__init__()
        self._topic = topic
        self._max_age = max_age

    def start_at(
        self, partition: int, committed: int | None, begins: int, ends: int | None, young: int | None
    ) -> int:
        """The offset to read a partition's requests from: this worker may be ahead of what is committed.

        Parameters
        ----------
        partition : int
        committed : int or None
            The group's offset; None if it has none: then old requests are passed over.
        begins, ends : int
            The first offset of its log, and the one after the last.
        young : int or None
            The first offset whose time is not older than a request may be.
        """
        progress = self.get(partition)
        if progress is not None and ends is not None and progress.next > ends:
            logger.warning(
                "%s[%d] ends at offset %d, but was answered up to %d: it was made again or truncated",
                self._topic,
                partition,
                ends,
                progress.next,
            )
            progress, committed = None, min(committed or 0, begins)
        if progress is None:
            progress = self[partition] = PartitionProgress(committed or 0)
            if committed is None and young is not None:
                self._pass_over(partition, progress, begins, young, ends or young)
        progress.catch_up(committed or 0)
        if not progress.open and progress.next < begins:
            if progress.next > 0:
                self.deleted(partition, progress.next, begins)
            progress.next = begins
        return progress.next

    def _pass_over(
        self, partition: int, progress: PartitionProgress, begins: int, young: int, ends: int
    ) -> None:
        """Begin with the first request that is not too old: no client waits for the others any more."""
        progress.next = young
        progress.backlog = Backlog(ends, self._max_age)
        if begins < young:
            logger.warning(
                "%s[%d]: the group has no committed offset here; offsets %d to %d are older than %g s and "
                "are passed over",
                self._topic,
                partition,
                begins,
                young - 1,
                self._max_age,
            )

    def is_old(self, progress: PartitionProgress, record: Record) -> bool:
        """Return True if a request is passed over, as nothing shows that it is young."""
        backlog = progress.backlog
        if backlog is not None and not backlog.is_old(record):
            backlog = progress.backlog = None
        if backlog is not None and not backlog.told:
            backlog.told = True
            logger.warning(
                "%s[%d] offset %d has a time that is not of now; requests are passed over until one has, or "
                "one comes that is new",
                self._topic,
                record.partition,
                record.offset,
            )
        return backlog is not None

    def deleted(self, partition: int, first: int, begins: int) -> None:
        """Tell of requests that Kafka deleted from the log before they were answered."""
        logger.warning(
            "%s[%d]: offsets %d to %d were deleted from the log before they were answered",
            self._topic,
            partition,
            first,
            begins - 1,
        )

    def keep_only(self, partitions: Collection[int]) -> None:
        """Forget the progress of all other partitions."""
        for partition in [each for each in self if each not in partitions]:
            del self[partition]

    def lags(self, ends: Mapping[int, int]) -> dict[int, int]:
        """The number of offsets of each partition without a reply, of those whose end is given."""
        known = {partition: self.get(partition) for partition in ends}
        return {each: max(0, ends[each] - found.done) for each, found in known.items() if found is not None}

    def done(self) -> dict[int, int]:
        """The offset of each partition below which every request has its reply."""
        return {partition: progress.done for partition, progress in self.items()}
