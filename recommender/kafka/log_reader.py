"""Reads a log for proof: all that counts, in order, once; and what is missing ends the reading.

A client that waits for replies may pass over what it has missed. A reader that proves from a log what a
worker must have learned, or what came of an experiment, may not. So checksums are checked, transactions that
were not committed are left out, and a place that the log no longer has is an error.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition, codec
from kafka.errors import KafkaError, LogTruncationError, OffsetOutOfRangeError

from recommender.errors import RecommenderError
from recommender.kafka import codecs
from recommender.kafka.addresses import split
from recommender.kafka.clients import COMMON, close_consumer
from recommender.kafka.kafka_python_records import AsFetched
from recommender.kafka.network import open_client
from recommender.kafka.parsers import AIOKAFKA
from recommender.messages.unreadable import Unreadable

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
POLL_MILLISECONDS = 500
#: How long a broker may send nothing although there is more to read.
PATIENCE = 30.0

OPTIONS: dict[str, Any] = {
    "group_id": None,
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "check_crcs": True,
    "isolation_level": "read_committed",
}


class LogReadError(RecommenderError):
    """A log cannot be read."""


class LogLost(LogReadError):
    """A log no longer has what comes next: it expired while it was read, or the log was cut off."""


class Span(NamedTuple):
    """The extent of a partition.

    Attributes
    ----------
    begins : int
        Its first offset.
    ends : int
        The offset after the last that can be read: an open transaction and what comes after it cannot.
    written : int
        The offset after the last one.
    """

    begins: int
    ends: int
    written: int


class LogRecord(NamedTuple):
    """A record, with its place."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Any


class LogReader:
    """Reads partitions, one at a time.

    Parameters
    ----------
    consumer : KafkaConsumer
        With `OPTIONS`.
    uncommitted : function
        A consumer that reads open transactions, too; made when it is first asked for.
    broker : str
        What errors call it.
    patience : float
        How long the broker may send nothing, in seconds.
    """

    def __init__(
        self,
        consumer: KafkaConsumer,
        uncommitted: Callable[[], KafkaConsumer],
        broker: str,
        *,
        patience: float = PATIENCE,
    ) -> None:
        self._consumer, self._uncommitted = consumer, uncommitted
        self._broker, self._patience = broker, patience
        self._here = TopicPartition("", 0)
        self._told: set[tuple[str, int, int]] = set()

    def spans(self, topic: str, partitions: Iterable[int]) -> list[Span]:
        """The extent of each partition at this moment.

        Raises
        ------
        LogReadError
            The broker does not say.
        """
        asked = [TopicPartition(topic, partition) for partition in partitions]
        try:
            begins = self._consumer.beginning_offsets(asked)
            ends = self._consumer.end_offsets(asked)
            written = self._uncommitted().end_offsets(asked)
        except KafkaError as error:
            raise LogReadError(
                f"Kafka at {self._broker} does not say where {topic} begins and ends: {error}"
            ) from None
        return [Span(begins[each], ends[each], written[each]) for each in asked]

    def start(self, topic: str, partition: int, offset: int) -> None:
        """Read on from an offset of a partition."""
        self._here = TopicPartition(topic, partition)
        self._consumer.assign([self._here])
        self._consumer.seek(self._here, offset)

    def turn_to(self, topic: str, partition: int, offset: int) -> None:
        """Read on from an offset of a partition; if that comes next, without fetching it again."""
        if self._here != TopicPartition(topic, partition) or self.position != offset:
            self.start(topic, partition, offset)

    @property
    def position(self) -> int:
        """The offset from which is read next."""
        return int(self._consumer.position(self._here))

    def read(self, most: int) -> list[Any]:
        """The next records, at most `most`; none where there was only what is no record.

        What cannot be read is among them as an `Unreadable`, and warned of.

        Raises
        ------
        LogLost
            The log no longer has what comes next.
        LogReadError
            Nothing comes, though there is more; or the broker does not let us read.
        """
        begun = time.monotonic()
        position = self.position
        while True:
            try:
                polled = self._consumer.poll(timeout_ms=POLL_MILLISECONDS, max_records=most)
                records, reached = polled.get(self._here, []), self.position
            except (OffsetOutOfRangeError, LogTruncationError):
                raise self._lost(position) from None
            except KafkaError as error:
                raise LogReadError(f"{self._place(position)} cannot be read: {error}") from None
            if records or reached > position:
                return [self._placed(each) for each in records]
            if time.monotonic() - begun > self._patience:
                raise LogReadError(
                    f"Kafka at {self._broker} has sent nothing for {self._patience:.0f} s, while reading "
                    f"{self._place(position)}"
                )

    def _placed(self, record: Any) -> LogRecord | Unreadable:
        if isinstance(record, Unreadable):
            self._warn(record)
            return record
        topic, partition = self._here
        content = record.key, record.value, record.headers
        return LogRecord(topic, partition, record.offset, record.timestamp, *content)

    def _warn(self, record: Unreadable) -> None:
        place = record.topic, record.partition, record.first
        if place not in self._told:  # a log may be read again
            self._told.add(place)
            logger.warning("%s; passed over, as workers do", record)

    def _place(self, offset: int) -> str:
        return f"{self._here.topic}[{self._here.partition}] at offset {offset}"

    def _lost(self, position: int) -> LogLost:
        (span,) = self.spans(self._here.topic, [self._here.partition])
        name = f"{self._here.topic}[{self._here.partition}]"
        if position < span.begins:
            return LogLost(
                f"{name} has lost offset {position}, which comes next: it begins at offset {span.begins}, so "
                "retention has overtaken the reading"
            )
        return LogLost(
            f"{name} has lost offset {position}, which comes next: it was cut off, and ends at offset "
            f"{span.written} now"
        )


@contextmanager
def reading_logs(
    broker: str, security: Mapping[str, Any], *, patience: float = PATIENCE
) -> Iterator[LogReader]:
    """A reader, closed at the end.

    Raises
    ------
    LogReadError
        The broker cannot be reached.
    CodecMissing
        What is compressed could not be read.
    """
    codecs.require(codec, codecs.OF_KAFKA_PYTHON)
    with ExitStack() as opened:

        def consumer(**options: Any) -> KafkaConsumer:
            made = _open(broker, {**options, **security})
            opened.callback(close_consumer, made)
            return made

        # The worker's parser, which is written in C: what it could read, and that only, is read here.
        reading = consumer(value_deserializer=AsFetched(AIOKAFKA))
        uncommitted = functools.cache(lambda: consumer(isolation_level="read_uncommitted"))
        yield LogReader(reading, uncommitted, broker, patience=patience)


def _open(broker: str, options: Mapping[str, Any]) -> KafkaConsumer:
    timeout = int(CONNECT_SECONDS * 1000)
    try:
        consumer, _ = open_client(
            KafkaConsumer,
            **{**COMMON, **OPTIONS, **options},
            bootstrap_servers=split(broker),
            bootstrap_timeout_ms=timeout,
        )
    except KafkaError as error:
        raise LogReadError(f"Kafka at {broker} cannot be read: {error}") from None
    return consumer
