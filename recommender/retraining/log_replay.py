"""One pass over partitions of the journal, from the first block to the last, without a worker."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from recommender.errors import RecommenderError
from recommender.journal.replica import Poisoned, Replica
from recommender.journal.rules import rule_of
from recommender.kafka.admin import security_options
from recommender.kafka.clients import close_consumer, open_consumer
from recommender.kafka.topics import Finding
from recommender.settings import Settings
from recommender.shard.options import ShardOptions

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
POLL_MILLISECONDS = 500
POLL_RECORDS = 2_000
#: For so long a broker may send nothing although there is more to read.
PATIENCE = 30.0

#: Told the partition of the journal, how many of its records were read, and how many there are.
Advance = Callable[[int, int, int], None]


class LogPassError(RecommenderError):
    """The log cannot be learned from its start."""


class JournalReplay:
    """Learns partitions of the journal from their start to where they end now.

    Parameters
    ----------
    config : Settings
    consumer : KafkaConsumer
    topic : Finding
        The journal.
    options : ShardOptions
    advance : callable
    allow_gap : bool
        Learn what is left of a journal that does not begin at offset 0 any more.
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
        self._broker, self._consumer, self._topic = config.broker, consumer, topic
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
            The journal does not begin at offset 0, or the broker stops answering.
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
        begin, end = self._range(replica.partition)
        if begin > 0 and not self._allow_gap:
            raise LogPassError(
                f"{replica} begins at offset {begin}: what came before is no longer in the journal, and the "
                "new checkpoint would lack it. --allow-gap learns what is left"
            )
        if begin > 0:
            replica.skip_to(begin)

        def advance(position: int) -> None:
            self._advance(replica.partition, min(position, end) - begin, end - begin)

        if 0 <= stop_at <= end and begin < end:
            self._read(replica, stop_at, advance)
            look(replica)
        self._read(replica, end, advance)

    def follow(self, replica: Replica, stop: int) -> None:
        """Learn from where a replica is up to an offset that the journal has reached.

        Raises
        ------
        LogPassError
            The journal has lost what comes next, or the broker stops answering.
        Poisoned
            A model raised: an earlier state has to follow again, with the same `suspects`.
        """
        if replica.position < stop and self._range(replica.partition)[0] > replica.position:
            raise LogPassError(f"{replica} has lost offset {replica.position}, which comes next")
        self._read(replica, stop)

    def _read(
        self, replica: Replica, stop: int, advance: Callable[[int], None] = lambda position: None
    ) -> None:
        """Learn up to an offset."""
        tp = TopicPartition(self._topic.topic, replica.partition)
        self._consumer.assign([tp])
        self._consumer.seek(tp, replica.position)
        heard = time.monotonic()
        while replica.position < stop and self._consumer.position(tp) < stop:
            for records in self._consumer.poll(timeout_ms=POLL_MILLISECONDS, max_records=POLL_RECORDS).values():
                heard = time.monotonic()
                records = [record for record in records if record.offset < stop]
                if records:
                    replica.apply(records)
            advance(self._consumer.position(tp))
            self._require_heard(tp, heard)

    def _require_heard(self, tp: TopicPartition, heard: float) -> None:
        if time.monotonic() - heard > PATIENCE:
            raise LogPassError(
                f"Kafka at {self._broker} has sent nothing for {PATIENCE:.0f} s, while reading "
                f"{tp.topic}[{tp.partition}] at offset {self._consumer.position(tp)}"
            )

    def _range(self, partition: int) -> tuple[int, int]:
        """Where a partition of the journal begins and ends."""
        tp = TopicPartition(self._topic.topic, partition)
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
