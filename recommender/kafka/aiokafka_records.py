"""What aiokafka's consumer makes of fetched bytes: records, and a way past what cannot be read.

This is all that is changed in how it reads. Its fetcher looks both classes up under these names when a fetch
comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import READ_COMMITTED, PartitionRecords
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch

from recommender.kafka.batches import Parser, unpack
from recommender.messages.unreadable import Unreadable

PARSER = Parser(DefaultRecordBatch, LegacyRecordBatch)


class FetchedBytes:
    """What came of one partition, not parsed yet.

    Parameters
    ----------
    data : bytes
    """

    def __init__(self, data: bytes | None) -> None:
        self.data = data or b""

    def has_next(self) -> bool:
        """Whether anything came."""
        return bool(self.data)

    def size_in_bytes(self) -> int:
        """How much came."""
        return len(self.data)


class Records(PartitionRecords):
    """The records in what came of one partition, as `recommender.kafka.batches` has them."""

    def __iter__(self) -> Iterator[Any]:
        # Theirs goes through another two functions for each record.
        return iter(self._records_iterator or ())

    def _unpack_records(self) -> Iterator[Any]:
        aborted = self._aborted_transactions if self._isolation_level == READ_COMMITTED else ()
        records = unpack(self, self._tp, self._records.data, aborted, PARSER)
        if self._tp.topic in _unwrapped:
            yield from records
            return
        for record in records:
            yield record if record.__class__ is Unreadable else self._consumer_record(self._tp, record)


#: Topics whose records are left as they were parsed.
_unwrapped: set[str] = set()


def read_past_errors(*unwrapped: str) -> None:
    """Let aiokafka's consumers in this process read so.

    Parameters
    ----------
    *unwrapped : str
        Topics whose records are left as the parser makes them: they know neither their topic nor their
        partition. aiokafka turns each record into a named tuple of eleven fields, which takes ten times as
        long as parsing it.
    """
    _unwrapped.update(unwrapped)
    fetcher.MemoryRecords = FetchedBytes
    fetcher.PartitionRecords = Records
