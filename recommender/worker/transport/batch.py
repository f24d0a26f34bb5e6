"""The records that a fetch brought for one partition, as one message."""

from __future__ import annotations

from recommender.messages.records import Record


class Batch:
    """Consecutive records of one partition, in the guise of a single Kafka record.

    Parameters
    ----------
    topic : str
    partition : int
    records : list of Record
        In the order of their offsets; none where there was only what is no record, as marks of transactions.
    begin, end : int
        From which offset it was fetched, and the offset after all that was.
    """

    __slots__ = ("begin", "end", "offset", "partition", "records", "timestamp", "topic")

    key = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_type = 0
    checksum = None
    serialized_key_size = 0
    serialized_value_size = 0

    def __init__(self, topic: str, partition: int, records: list[Record], begin: int, end: int) -> None:
        self.topic = topic
        self.partition = partition
        self.records = records
        self.begin = begin
        self.end = end
        self.offset = end - 1
        self.timestamp: int = records[-1].timestamp if records else -1

    @property
    def value(self) -> Batch:
        """The batch itself: the value that reaches the agent."""
        return self
