"""Turns bytes that kafka-python has fetched into records, with a way past what cannot be read.

Its own parser ends at a record that it cannot read, and gives nothing more of that partition from then on.
Its fetcher looks both classes up under these names when a fetch comes back. A consumer whose
``value_deserializer`` is an `AsFetched`, and that has ``isolation_level="read_committed"``, reads so; others
in this process work as they did.
"""

from __future__ import annotations

from typing import Any

from kafka.consumer import fetcher
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.legacy_records import LegacyRecordBatch
from kafka.serializer import Deserializer

from recommender.kafka.batches import Parser, unpack

KAFKA_PYTHON = Parser(DefaultRecordBatch, LegacyRecordBatch)


class AsFetched(Deserializer):
    """Leaves values as they are; a consumer that has this reads past what cannot be read.

    Parameters
    ----------
    parser : Parser
        Makes the records.
    """

    def __init__(self, parser: Parser = KAFKA_PYTHON) -> None:
        super().__init__()
        self.parser = parser

    def deserialize(self, topic: str, headers: Any, data: bytes | None) -> bytes | None:
        """The same bytes; kafka-python's interface."""
        return data


class KeptBytes(MemoryRecords):
    """The bytes of one partition, which can still be seen as they came."""

    __slots__ = ("data",)

    def __init__(self, data: Any) -> None:
        super().__init__(data or b"")
        self.data = bytes(data or b"")


class PartitionRecords(fetcher.Fetcher.PartitionRecords):
    """The records in what came of one partition."""

    def __init__(
        self, fetch_offset: int, tp: Any, records: KeptBytes, *, value_deserializer: Any, **options: Any
    ) -> None:
        super().__init__(fetch_offset, tp, records, value_deserializer=value_deserializer, **options)
        if isinstance(value_deserializer, AsFetched):
            self.record_iterator = self.unpacked(tp, records.data, value_deserializer.parser)

    def unpacked(self, tp: Any, data: bytes, parser: Parser) -> Any:
        """Iterate over the records as `recommender.kafka.batches` has them: as the parser makes them."""
        aborted = [(each.producer_id, each.first_offset) for each in self.aborted_transactions]
        yield from unpack(self, tp, data, aborted, parser)
        self.drain()


fetcher.MemoryRecords = KeptBytes
fetcher.Fetcher.PartitionRecords = PartitionRecords
