"""One pass over partitions of the ratings topic, from the first record to the last, without a worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from recommender.errors import RecommenderError
from recommender.ingest.ingest import Ingest
from recommender.ingest.poison_records import Caution, Poisoned
from recommender.kafka.admin import security_options
from recommender.kafka.log_reader import LogReader, reading_logs
from recommender.kafka.topics import Finding
from recommender.messages.ratings import RatingDecoder
from recommender.settings import Settings
from recommender.shard.shard import Shard, ShardOptions
from recommender.worker.learning import CHUNK

logger = logging.getLogger(__name__)

POLL_RECORDS = 20_000

#: Told the partition, how many of its records were read, and how many there are.
Advance = Callable[[int, int, int], None]


class LogPassError(RecommenderError):
    """The log cannot be learned from its start."""


class LogPass:
    """Learns partitions of the ratings topic from their start to where they end now.

    Parameters
    ----------
    config : Settings
    reader : LogReader
    topic : Finding
        The ratings topic.
    options : ShardOptions
    advance : callable
    allow_gap : bool
        Learn what is left of a log that does not begin at offset 0 any more.
    """

    def __init__(
        self,
        config: Settings,
        reader: LogReader,
        topic: Finding,
        options: ShardOptions,
        advance: Advance = lambda *_: None,
        *,
        allow_gap: bool = False,
    ) -> None:
        feedback = options.feedback
        decoder = RatingDecoder(feedback.low, feedback.high, skips=feedback.skips)
        self._ingest = Ingest(topic.topic, topic.partitions, decoder)
        self._reader, self._topic = reader, topic.topic
        self._options, self._advance, self._allow_gap = options, advance, allow_gap

    def learn(self, partition: int, stop_at: int, look: Callable[[Shard], None]) -> Shard:
        """Learn a partition; `look` is shown the shard when it gets to offset `stop_at`, if that is not -1.

        Dead letters and what belongs to other partitions were sent there by the worker that learned first.
        A record that makes a model raise is dropped, as `recommender.ingest.poison_records` says.

        Raises
        ------
        LogPassError
            The log does not begin at offset 0.
        LogReadError
            The broker stops answering, or the log loses what comes next while it is read.
        """
        caution = Caution()
        while True:
            try:
                return self._from_start(partition, stop_at, look, caution)
            except Poisoned as error:
                logger.warning("%s; learning again from the start, without it", error)

    def _from_start(
        self, partition: int, stop_at: int, look: Callable[[Shard], None], caution: Caution
    ) -> Shard:
        ((begin, end, _),) = self._reader.spans(self._topic, [partition])
        if begin > 0 and not self._allow_gap:
            raise LogPassError(
                f"{self._topic}[{partition}] begins at offset {begin}: what came before is no longer in the "
                "log, and the new checkpoint would lack it. --allow-gap learns what is left"
            )

        def advance(position: int) -> None:
            self._advance(partition, min(position, end) - begin, end - begin)

        shard = Shard(partition, self._options)
        shard.offset = begin
        if 0 <= stop_at <= end and begin < end:
            shard = self._read(shard, stop_at, caution, POLL_RECORDS, advance)
            look(shard)
        return self._read(shard, end, caution, POLL_RECORDS, advance)

    def follow(self, shard: Shard, stop: int, caution: Caution) -> Shard:
        """Learn on from where a shard is, up to an offset that the log has reached.

        Parameters
        ----------
        shard : Shard
            Not to be used afterwards.
        stop : int
        caution : Caution

        Returns
        -------
        Shard

        Raises
        ------
        LogReadError
            The log has lost what comes next, or the broker stops answering.
        Poisoned
            A model raised: an earlier state of the shard has to follow again, with the same `caution`.
        """
        return self._read(shard, stop, caution, CHUNK)

    def _read(
        self,
        shard: Shard,
        stop: int,
        caution: Caution,
        run: int,
        advance: Callable[[int], None] = lambda position: None,
    ) -> Shard:
        """Learn up to an offset, in runs of at most so many records."""
        if shard.offset >= stop:
            return shard
        self._reader.start(self._topic, shard.partition, shard.offset)
        position = shard.offset
        while position < stop:
            records = [record for record in self._reader.read(run) if record.offset < stop]
            position = self._reader.position
            if records:
                shard, _ = caution.learn(self._ingest, shard, records)
            advance(position)
        # What is no record may come last.
        shard.offset = stop
        return shard


@contextmanager
def reading(config: Settings) -> Iterator[LogReader]:
    """A reader of logs, closed at the end."""
    with reading_logs(config.broker, security_options(config)) as reader:
        yield reader
