"""What a fetch brought for one partition, as one thing."""

from __future__ import annotations

from recommender.ingest.ingest import Record


class Batch:
    """What follows in one partition, in the guise of a single Kafka record.

    Parameters
    ----------
    topic : str
    partition : int
    records : list of Record
        In the order of their offsets; none where there was only what is no record, as marks of transactions.
    position : int, optional
        The offset from which they were fetched; by default that of the first, if nothing else is known.
    begins : int
        Where the log began when Kafka said that it no longer has what was asked for.
    end : int, optional
        The offset after what was fetched, by default that after the last record.

    Attributes
    ----------
    position : int
        Kafka has no records between this offset and the first.
    """

    __slots__ = ("begins", "end", "offset", "partition", "position", "records", "timestamp", "topic")

    key = None
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp_type = 0
    checksum = None
    serialized_key_size = 0
    serialized_value_size = 0

    def __init__(
        self,
        topic: str,
        partition: int,
        records: list[Record],
        position: int | None = None,
        begins: int = 0,
        end: int = 0,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.records = records
        self.end = max(end, records[-1].offset + 1) if records else end
        self.position = self.first_offset if position is None else position
        self.begins = begins
        # Faust tells what it has read by the offset, so it must be the last one.
        self.offset: int = self.end - 1
        self.timestamp: int = records[-1].timestamp if records else -1

    @property
    def first_offset(self) -> int:
        """The offset of the first record, or the one after all if there is none."""
        return int(self.records[0].offset) if self.records else self.end

    @property
    def value(self) -> Batch:
        """Itself: the value that reaches the agent."""
        return self
