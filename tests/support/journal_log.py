"""What a topic of ratings holds, and what the journal made of it, both read by plain clients."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from kafka import KafkaConsumer, TopicPartition

from recommender.history.rows import Rows
from recommender.ingest.ingest import BatchDecoder, Ingest
from recommender.journal import block_reader
from recommender.journal.block import Source
from recommender.kafka.network import Network

#: Records in one poll: another number than the worker's, for the state must not depend on it.
RUN = 777


class Written(NamedTuple):
    """A rating of one source partition.

    Attributes
    ----------
    offset : int
        In the ratings topic.
    user, item : str
    rating : float
        NaN withdraws.
    time : float
        NaN where neither the rating nor its record says when.
    """

    offset: int
    user: str
    item: str
    rating: float
    time: float

    def is_like(self, other: Written) -> bool:
        """Return True if all is equal that is known of both."""
        return self[:3] == other[:3] and all(
            found == expected or math.isnan(expected)
            for found, expected in zip(self[3:], other[3:], strict=True)
        )


class SourceLog:
    """The valid ratings of a ratings topic, read once each, in the order of their partitions.

    Attributes
    ----------
    ratings : dict of int to list of Written
        By partition.
    gone : dict of int to list of range
        By partition, the offsets that were gone before they were read here.
    ends : dict of int to int
        The offset after the last record, also if it is no rating.
    """

    def __init__(self, kafka: str, topic: str, decoder: BatchDecoder) -> None:
        self._kafka, self._topic = kafka, topic
        self._ingest = Ingest(topic, decoder, clock=lambda: math.nan)
        self._positions: dict[int, int] = {}
        self.ratings: dict[int, list[Written]] = {}
        self.gone: dict[int, list[range]] = {}
        self.ends: dict[int, int] = {}

    def read(self) -> None:
        """Read up to where the topic ends now, or to the first transaction that is still open."""
        with reading(self._kafka) as consumer:
            partitions = sorted(consumer.partitions_for_topic(self._topic) or ())
            begins = consumer.beginning_offsets([TopicPartition(self._topic, each) for each in partitions])
            for partition in partitions:
                position = self._positions.setdefault(partition, 0)
                gone = range(position, begins[self._topic, partition])
                self.gone.setdefault(partition, []).append(gone)
                self._positions[partition] = max(gone.start, gone.stop)
                self.ratings.setdefault(partition, [])
                self.ends.setdefault(partition, 0)
            for partition, records in following(consumer, self._topic, self._positions):
                rows = self._ingest.read(partition, records).rows
                offsets = np.array([record.offset for record in records])
                self.ratings[partition] += listed(rows, offsets)
                self.ends[partition] = records[-1].offset + 1


def listed(rows: Rows, offsets: Any) -> list[Written]:
    """Rows one by one, those that are ratings."""
    text, places = rows.text.tobytes(), zip(offsets.tolist(), rows.spans.tolist(), strict=True)
    return [
        Written(
            int(offset), text[a:b].decode(), text[c:d].decode(), float(np.float32(rows.ratings[number])),
            float(rows.times[number]),
        )
        for number, (offset, (a, b, c, d)) in enumerate(places)
        if rows.plain[number]
    ]  # fmt: skip


class NaiveRule:
    """The journal's rule block by block: what counts, as the documentation says it and no faster.

    Attributes
    ----------
    applied : dict of Source to int
    counted : dict of Source to list of Written
        In the order in which they count.
    """

    def __init__(self, journal: str, partition: int) -> None:
        self._journal, self._partition = journal, partition
        self._number: int | None = None
        self.applied: dict[Source, int] = {}
        self.counted: dict[Source, list[Written]] = {}

    def follow(self, record: Any) -> None:
        """Follow the next record."""
        block = block_reader.read(record.value, self._journal, self._partition, record.offset)
        if self._number is None:  # the first one says whether everything begins here
            self._number = block.head.number
        if block.head.number not in (0, self._number):
            return
        source, applied = block.head.source, self.applied.get(block.head.source, 0)
        if block.head.begin <= applied < block.head.end:
            rows = listed(block.rows, block.offsets)
            self.counted.setdefault(source, []).extend(each for each in rows if each.offset >= applied)
            self.applied[source] = block.head.end


@contextmanager
def reading(kafka: str) -> Iterator[KafkaConsumer]:
    """A plain consumer without a group."""
    consumer = KafkaConsumer(
        kafka_client=Network,
        bootstrap_servers=kafka,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="none",
    )
    try:
        yield consumer
    finally:
        consumer.close()


def following(
    consumer: KafkaConsumer, topic: str, positions: dict[int, int]
) -> Iterator[tuple[int, list[Any]]]:
    """Records of partitions from positions on, which are moved, up to where they end now."""
    partitions = {TopicPartition(topic, each): each for each in positions}
    consumer.assign(list(partitions))
    for tp, partition in partitions.items():
        consumer.seek(tp, positions[partition])
    ends: Mapping[TopicPartition, int] = consumer.end_offsets(list(partitions))
    while any(positions[partitions[tp]] < end for tp, end in ends.items()):
        for tp, records in consumer.poll(timeout_ms=200, max_records=RUN).items():
            yield partitions[tp], records
        for tp, partition in partitions.items():  # past the marks of transactions
            positions[partition] = max(positions[partition], consumer.position(tp))
