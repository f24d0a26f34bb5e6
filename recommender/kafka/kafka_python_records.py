"""What kafka-python's consumer makes of fetched bytes: records, and a way past what cannot be read.

Its own parser ends at a record that it cannot read, and gives nothing more of that partition from then on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kafka import KafkaConsumer
from kafka.consumer.fetcher import Fetcher
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.legacy_records import LegacyRecordBatch

from recommender.kafka.batches import Parser, unpack

PARSER = Parser(DefaultRecordBatch, LegacyRecordBatch)


def read_past_errors(consumer: KafkaConsumer, parser: Parser = PARSER) -> None:
    """Let a consumer read as `recommender.kafka.batches` does; its records are then as the parser makes them.

    Parameters
    ----------
    consumer : KafkaConsumer
        It has ``isolation_level="read_committed"``, and no deserializers.
    parser : Parser
    """

    class Records(Fetcher.PartitionRecords):
        """The records in what came of one partition."""

        def _unpack_records(self, tp: Any, records: Any, *deserializers: Any) -> Iterator[Any]:
            aborted = [(each.producer_id, each.first_offset) for each in self.aborted_transactions]
            yield from unpack(self, tp, bytes(records._buffer or b""), aborted, parser)
            self.drain()

    consumer._fetcher.PartitionRecords = Records
