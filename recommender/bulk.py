"""Hands an agent a partition's fetched records as one batch, from the offset that we say.

A stock Faust agent costs two tasks and some ten scheduled callbacks for every record. Here the records that
a fetch brought for a partition travel as a single message: the same agents, rebalances, timers and pages,
at some fifty times the rate. Where reading starts is asked of the worker, see `recommender.consumer`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from faust.transport.drivers import aiokafka as driver
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP, AppT
from yarl import URL

from recommender import consumer
from recommender.consumer import Positions
from recommender.ingest import Record
from recommender.producer import Producer


class Batch:
    """Consecutive records of one partition, in the guise of a single Kafka record.

    Attributes
    ----------
    topic : str
    partition : int
    records : list of Record
        At least one, in the order of their offsets.
    """

    __slots__ = ("offset", "partition", "records", "timestamp", "topic")

    key = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_type = 0
    checksum = None
    serialized_key_size = 0
    serialized_value_size = 0

    def __init__(self, topic: str, partition: int, records: list[Record]) -> None:
        self.topic = topic
        self.partition = partition
        self.records = records
        # Faust tells what it has read by the offset, so it must be the last one's.
        self.offset: int = records[-1].offset
        self.timestamp: int = records[-1].timestamp

    @property
    def first_offset(self) -> int:
        """The offset of the first record."""
        return int(self.records[0].offset)

    @property
    def value(self) -> Batch:
        """Itself: the value that reaches the agent."""
        return self


class BatchScheduler(DefaultSchedulingStrategy):
    """Turns what a fetch brought, by partition, into one message for each partition."""

    def iterate(self, records: Mapping[TP, list[Any]]) -> Iterator[tuple[TP, Any]]:
        """Batches instead of records, in the order of the default scheduler."""
        batches = {tp: [Batch(tp.topic, tp.partition, list(found))] for tp, found in records.items() if found}
        return super().iterate(batches)


def set_transport(app: AppT, broker: str, positions: Positions) -> None:
    """Give an app the transport that this module describes; before any topic of it is made.

    Parameters
    ----------
    app : faust.App
    broker : str
        Bootstrap servers, separated by commas.
    positions : function
        Called with the partitions of one number each time reading them starts or restarts.
    """

    class Consumer(consumer.Consumer):
        pass

    Consumer.positions = staticmethod(positions)

    class Transport(driver.Transport):
        pass

    Transport.Consumer = Consumer
    Transport.Producer = Producer
    app.transport = cast(Any, Transport)(urls(broker), app)


def urls(broker: str) -> list[URL]:
    """Bootstrap servers as Faust wants them."""
    return [URL(f"kafka://{each}") for each in split(broker)]


def split(text: str) -> list[str]:
    """The parts of a list separated by commas, without blanks."""
    return [part.strip() for part in text.split(",") if part.strip()]
