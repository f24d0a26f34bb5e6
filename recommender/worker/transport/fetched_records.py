"""Turns bytes that aiokafka has fetched into records, with a way past what cannot be read.

This is all that is changed in how it reads. Its fetcher looks both classes up under these names when a fetch
comes back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.structs import ConsumerRecord, TopicPartition

from recommender.kafka.batches import unpack
from recommender.kafka.parsers import AIOKAFKA
from recommender.messages.unreadable import Unreadable


class FetchedBytes:
    """The bytes of one partition, not parsed yet.

    Parameters
    ----------
    data : bytes
    """

    def __init__(self, data: bytes | None) -> None:
        self.data = data or b""

    def has_next(self) -> bool:
        """Return True if anything came."""
        return bool(self.data)

    def size_in_bytes(self) -> int:
        """The number of bytes."""
        return len(self.data)


class FetchedRecords:
    """The records in what came of one partition, as `recommender.kafka.batches` has them.

    aiokafka's fetcher makes this, iterates, and reads `next_fetch_offset`.
    """

    def __init__(
        self,
        tp: TopicPartition,
        fetched: FetchedBytes,
        aborted_transactions: list[tuple[int, int]] | None,
        fetch_offset: int,
        key_deserializer: None,
        value_deserializer: None,
        check_crcs: bool,
        isolation_level: int,
    ) -> None:
        self.next_fetch_offset = fetch_offset
        aborted = (aborted_transactions or ()) if isolation_level == fetcher.READ_COMMITTED else ()
        records = unpack(self, tp, fetched.data, aborted, AIOKAFKA)
        self._records = records if tp.topic in _unwrapped else map(_Wrapper(tp), records)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._records)

    def __next__(self) -> Any:
        return next(self._records)


class _Wrapper:
    """Makes aiokafka's records of the parser's."""

    def __init__(self, tp: TopicPartition) -> None:
        self._tp = tp

    def __call__(self, record: Any) -> Any:
        if record.__class__ is Unreadable:
            return record
        key, value = record.key, record.value
        return ConsumerRecord(
            *self._tp,
            record.offset,
            record.timestamp,
            record.timestamp_type,
            key,
            value,
            record.checksum,
            -1 if key is None else len(key),
            -1 if value is None else len(value),
            tuple(record.headers),
        )


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
    fetcher.PartitionRecords = FetchedRecords
