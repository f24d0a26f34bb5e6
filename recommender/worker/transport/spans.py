"""Spans of partitions: where a log begins and ends, and how far the group has come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition
from faust.types import TP


@dataclass(frozen=True, slots=True)
class Span:
    """The extent of a partition in Kafka, and the group's progress in it.

    Attributes
    ----------
    begins, ends : int
        The first offset of its log, and the one after the last.
    committed : int or None
        What the group has committed, if it has.
    young : int or None
        The first offset whose time is not older than a record may be; only looked for where that matters and
        nothing is committed.
    """

    begins: int
    ends: int
    committed: int | None
    young: int | None = None


async def spans_of(
    consumer: AIOKafkaConsumer, partitions: Collection[TP], aged: Collection[TP], max_age: float
) -> dict[TP, Span]:
    """Ask for the spans of partitions, all at once.

    Parameters
    ----------
    consumer : AIOKafkaConsumer
    partitions : collection of TP
    aged : collection of TP
        Those whose old records are passed over.
    max_age : float
        What is old, in seconds.
    """
    theirs = [TopicPartition(*tp) for tp in partitions]
    begins, ends, *committed = await asyncio.gather(
        consumer.beginning_offsets(theirs),
        consumer.end_offsets(theirs),
        *map(consumer.committed, theirs),
    )
    since = max(0, int((time.time() - max_age) * 1000))  # a time below 0 means something else
    offsets = dict(zip(partitions, committed, strict=True))
    wanted = {TopicPartition(*tp): since for tp in aged if offsets[tp] is None}
    times = await consumer.offsets_for_times(wanted) if wanted else {}
    # What came since the ends were asked for is new, whatever its time is.
    young = {tp: ends[tp] if found is None else min(found.offset, ends[tp]) for tp, found in times.items()}
    return {
        tp: Span(begins[their], ends[their], offsets[tp], young.get(their))
        for tp, their in zip(partitions, theirs, strict=True)
    }
