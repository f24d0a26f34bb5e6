"""What a fetch brought for one partition, as one thing."""

from __future__ import annotations

from recommender.messages.records import Record


class Batch:
    """Consecutive records of one partition, in the guise of a single Kafka record.

    Parameters
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
        self.offset: int = records[-1].offset
        self.timestamp: int = records[-1].timestamp

    @property
    def value(self) -> Batch:
        """Itself: the value that reaches the agent."""
        return self
