"""Records in batches, as they go to one partition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from aiokafka.producer.message_accumulator import BatchBuilder

from recommender.messages.records import Outgoing

#: Records that are sent together are written in batches of so many bytes: several hundred dead letters, which
#: takes a millisecond.
BATCH_BYTES = 256 * 1024
#: A batch of so many bytes is taken to fit where it is not known what a topic takes. aiokafka's are as large.
SURE_BYTES = 16 * 1024
_UNCOMPRESSED = 0

#: What to write instead of a record that a broker refused with an error; None: nothing.
Lesser = Callable[[Outgoing, Exception], Outgoing | None]


class Filled(NamedTuple):
    """A batch and what is in it."""

    batch: BatchBuilder
    records: Sequence[Outgoing]


def batches(records: Sequence[Outgoing], batch_bytes: int) -> Iterator[Filled]:
    """Records in batches of at most so many bytes, or of one record."""
    batch, begin = BatchBuilder(batch_bytes, _UNCOMPRESSED), 0
    for place, each in enumerate(records):
        record: Any = {
            "timestamp": None if each.timestamp < 0 else each.timestamp,
            "key": each.key,
            "value": each.value,
            "headers": each.headers,
        }
        if batch.append(**record) is None:  # it is full
            yield Filled(batch, records[begin:place])
            batch, begin = BatchBuilder(batch_bytes, _UNCOMPRESSED), place
            batch.append(**record)
    if batch.record_count():
        batch.close()  # else aiokafka would add to it
        yield Filled(batch, records[begin:])
