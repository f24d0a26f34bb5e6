"""Fetched records as the client's compiled parser makes them, without a copy of each.

aiokafka turns each record into a named tuple of eleven fields, which takes ten times as long as parsing it.
The parsed record has all that learning reads: offset, timestamp, key, value and headers.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.structs import TopicPartition


class BareResults(OrderedDict[TopicPartition, Any]):
    """What was fetched, by partition, as aiokafka's fetcher keeps it until somebody asks for it.

    Parameters
    ----------
    topics : collection of str
        Whose records are left as they were parsed; they know neither their topic nor their partition.
    """

    def __init__(self, topics: Collection[str]) -> None:
        super().__init__()
        self.topics = frozenset(topics)

    def __setitem__(self, tp: TopicPartition, result: Any) -> None:
        if tp.topic in self.topics and isinstance(result, FetchResult):
            result._partition_records._consumer_record = _as_parsed
        super().__setitem__(tp, result)


def leave_bare(consumer: AIOKafkaConsumer, topics: Collection[str]) -> None:
    """Let a consumer that has started give the records of some topics as they were parsed."""
    fetcher = consumer._fetcher
    if not isinstance(fetcher._records, BareResults):
        kept, fetcher._records = fetcher._records, BareResults(topics)
        for tp, result in kept.items():
            fetcher._records[tp] = result


def _as_parsed(tp: TopicPartition, record: Any) -> Any:
    return record
