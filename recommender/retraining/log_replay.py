"""One pass over partitions of the ratings topic, from the first record to the last, without a worker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from recommender.errors import RecommenderError
from recommender.ingest.ingest import Ingest
from recommender.ingest.poison_records import Caution, Poisoned
from recommender.kafka.admin import security_options
from recommender.kafka.clients import close_consumer, open_consumer
from recommender.kafka.topics import Finding
from recommender.messages.ratings import RatingDecoder
from recommender.settings import Settings
from recommender.shard.shard import Shard, ShardOptions
from recommender.worker.learning import CHUNK

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
POLL_MILLISECONDS = 500
POLL_RECORDS = 20_000
#: For so long a broker may send nothing although there is more to read.
PATIENCE = 30.0

#: Told the partition, how many of its records were read, and how many there are.
Advance = Callable[[int, int, int], None]


class LogPassError(RecommenderError):
    """The log cannot be learned from its start."""


class LogPass:
    """Learns partitions of the ratings topic from their start to where they end now.

    Parameters
    ----------
    config : Settings
    consumer : KafkaConsumer
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
        consumer: KafkaConsumer,
        topic: Finding,
        options: ShardOptions,
        advance: Advance = lambda *_: None,
        *,
        allow_gap: bool = False,
    ) -> None:
        feedback = options.feedback
        decoder = RatingDecoder(feedback.low, feedback.high, skips=feedback.skips)
        self._ingest = Ingest(topic.topic, topic.partitions, decoder)
        self._broker, self._consumer, self._topic = config.broker, consumer, topic.topic
        self._options, self._advance, self._allow_gap = options, advance, allow_gap

    def learn(self, partition: int, stop_at: int, look: Callable[[Shard], None]) -> Shard:
        """Learn a partition; `look` is shown the shard when it gets to offset `stop_at`, if that is not -1.

        Dead letters and what belongs to other partitions were sent there by the worker that learned first.
        A record that makes a model raise is dropped, as `recommender.ingest.poison_records` says.

        Raises
        ------
        LogPassError
            The log does not begin at offset 0, or the broker stops answering.
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
        begin, end = self._range(partition)
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
        LogPassError
            The log has lost what comes next, or the broker stops answering.
        Poisoned
            A model raised: an earlier state of the shard has to follow again, with the same `caution`.
        """
        if shard.offset < stop and self._range(shard.partition)[0] > shard.offset:
            raise LogPassError(
                f"{self._topic}[{shard.partition}] has lost offset {shard.offset}, which comes next"
            )
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
        tp = TopicPartition(self._topic, shard.partition)
        self._consumer.assign([tp])
        self._consumer.seek(tp, shard.offset)
        heard = time.monotonic()
        while shard.offset < stop and self._consumer.position(tp) < stop:
            for records in self._consumer.poll(timeout_ms=POLL_MILLISECONDS, max_records=run).values():
                heard = time.monotonic()
                records = [record for record in records if record.offset < stop]
                if records:
                    shard, _ = caution.learn(self._ingest, shard, records)
            advance(self._consumer.position(tp))
            self._require_heard(tp, heard)
        return shard

    def _require_heard(self, tp: TopicPartition, heard: float) -> None:
        if time.monotonic() - heard > PATIENCE:
            raise LogPassError(
                f"Kafka at {self._broker} has sent nothing for {PATIENCE:.0f} s, while reading "
                f"{tp.topic}[{tp.partition}] at offset {self._consumer.position(tp)}"
            )

    def _range(self, partition: int) -> tuple[int, int]:
        """Where a partition of the log begins and ends."""
        tp = TopicPartition(self._topic, partition)
        try:
            begins = self._consumer.beginning_offsets([tp])
            return int(begins[tp]), int(self._consumer.end_offsets([tp])[tp])
        except KafkaError as error:
            raise LogPassError(
                f"Kafka at {self._broker} does not say where {tp.topic}[{tp.partition}] begins: {error}"
            ) from None


@contextmanager
def reading(config: Settings) -> Iterator[KafkaConsumer]:
    """A consumer without a group, closed at the end."""
    try:
        consumer, _ = open_consumer(config.broker, CONNECT_SECONDS, security_options(config))
    except KafkaError as error:
        raise LogPassError(f"Kafka at {config.broker} cannot be read: {error}") from None
    try:
        yield consumer
    finally:
        close_consumer(consumer)
