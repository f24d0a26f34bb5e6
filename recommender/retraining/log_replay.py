"""One pass over partitions of the journal, from the first block to the last, without a worker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from recommender.errors import RecommenderError
from recommender.journal.block import is_beginning
from recommender.journal.identity import rule_of
from recommender.journal.replica import Poisoned, Replica
from recommender.kafka.admin import security_options
from recommender.kafka.log_reader import LogReader, reading_logs
from recommender.kafka.topics import TopicInfo
from recommender.settings import Settings
from recommender.shard.options import ShardOptions

logger = logging.getLogger(__name__)

POLL_RECORDS = 2_000

#: Told the partition of the journal, how many of its records were read, and how many there are.
Advance = Callable[[int, int, int], None]


class LogPassError(RecommenderError):
    """The log cannot be learned from its start."""


class JournalReplay:
    """Learns partitions of the journal from their start to where they end now.

    Parameters
    ----------
    reader : LogReader
    topic : TopicInfo
        The journal.
    options : ShardOptions
    advance : callable
    allow_gap : bool
        Learn what is left of a journal that does not begin at offset 0 any more.
    chunk : int, optional
        Let other threads run after so many ratings.
    """

    def __init__(
        self,
        reader: LogReader,
        topic: TopicInfo,
        options: ShardOptions,
        advance: Advance = lambda *_: None,
        *,
        allow_gap: bool = False,
        chunk: int | None = None,
    ) -> None:
        self._chunk = chunk
        #: From when on there are blocks, if the journal has lost what came before.
        self.lost_before: str | None = None
        self._reader, self._topic = reader, topic
        self._options, self._advance, self._allow_gap = options, advance, allow_gap

    def new(self, partition: int) -> Replica:
        """A replica that has followed nothing yet."""
        return Replica(rule_of(self._topic, partition, self._options), self._options)

    def learn(self, partition: int, stop_at: int, look: Callable[[Replica], None]) -> Replica:
        """Learn a partition; `look` is shown the replica at offset `stop_at`, if that is not -1.

        A rating that makes a model raise is left out, as by the workers.

        Raises
        ------
        LogPassError
            The journal does not begin at offset 0.
        LogReadError
            The broker stops answering, or the journal loses what comes next while it is read.
        BlockError
            A record of it is not a block that this version can read.
        """
        suspects = range(0)
        while True:
            replica = self.new(partition)
            replica.suspects = suspects
            try:
                self._from_start(replica, stop_at, look)
                return replica
            except Poisoned as error:
                logger.warning("%s; learning again from the start, without it", error)
                suspects = replica.suspects

    def _from_start(self, replica: Replica, stop_at: int, look: Callable[[Replica], None]) -> None:
        ((begin, end, _),) = self._reader.spans(self._topic.topic, [replica.partition])
        since = self._since(replica.partition, begin) if begin > 0 else None
        self.lost_before = since or self.lost_before
        if since is not None and not self._allow_gap:
            raise LogPassError(
                f"{replica} begins at offset {begin}, written {since}: what came before is no longer in the "
                "journal, and the new checkpoint would lack it. --allow-gap learns what is left"
            )
        if begin > 0:
            replica.skip_to(begin)

        def advance(position: int) -> None:
            self._advance(replica.partition, min(position, end) - begin, end - begin)

        if 0 <= stop_at <= end and begin < end:
            self._read(replica, stop_at, advance)
            look(replica)
        self._read(replica, end, advance)

    def _since(self, partition: int, begin: int) -> str | None:
        """The time from which on there are blocks; None where a rewriting begins, so that nothing is lost."""
        self._reader.start(self._topic.topic, partition, begin)
        for record in self._reader.read(1)[:1]:
            if is_beginning(record.value):
                return None
            return datetime.fromtimestamp(record.timestamp / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return "not long ago"

    def follow(self, replica: Replica, stop: int) -> None:
        """Learn from where a replica is up to an offset that the journal has reached.

        Raises
        ------
        LogReadError
            The journal has lost what comes next, or the broker stops answering.
        Poisoned
            A model raised: an earlier state has to follow again, with the same `suspects`.
        """
        self._read(replica, stop)

    def _read(
        self, replica: Replica, stop: int, advance: Callable[[int], None] = lambda position: None
    ) -> None:
        """Learn up to an offset."""
        if replica.position >= stop:
            return
        self._reader.start(self._topic.topic, replica.partition, replica.position)
        position = replica.position
        while position < stop:
            records = [record for record in self._reader.read(POLL_RECORDS) if record.offset < stop]
            position = self._reader.position
            if records:
                self._apply(replica, records)
            advance(position)

    def _apply(self, replica: Replica, records: list[Any]) -> None:
        if self._chunk is None:
            replica.apply(records)
            return
        followed = replica.follow(records)
        count = len(followed.rows.ratings)
        for first in range(0, count, self._chunk):
            replica.learn(followed, first, min(first + self._chunk, count))
            time.sleep(0)
        replica.finish(followed)
        if followed.error is not None:
            raise followed.error


@contextmanager
def reading(config: Settings) -> Iterator[LogReader]:
    """A reader of logs, closed at the end."""
    with reading_logs(config.broker, security_options(config)) as reader:
        yield reader
