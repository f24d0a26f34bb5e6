"""Batches of records, as they are sent to one partition."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from aiokafka.producer.message_accumulator import BatchBuilder

from recommender.messages.records import Outgoing

#: Records that are sent together are written in batches of this many bytes: several hundred dead letters,
#: which takes a millisecond.
BATCH_BYTES = 256 * 1024
#: A batch of this many bytes is taken to fit where it is not known what a topic takes. aiokafka's are as
#: large.
SURE_BYTES = 16 * 1024
_UNCOMPRESSED = 0

#: What to write instead of a record that a broker refused with an error; None: nothing.
Lesser = Callable[[Outgoing, Exception], Outgoing | None]


class Filled(NamedTuple):
    """A batch, and how many records are in it."""

    batch: BatchBuilder
    records: int


def fill(records: Iterable[Outgoing], batch_bytes: int) -> Filled:
    """Put records into a batch until it is full; the first one fits in any case.

    Raises
    ------
    Exception
        The first record cannot be written as bytes. The batch ends before a later one of that kind.
    """
    batch = BatchBuilder(batch_bytes, _UNCOMPRESSED)
    added: list[Outgoing] = []
    for each in records:
        record: Any = {
            "timestamp": None if each.timestamp < 0 else each.timestamp,
            "key": each.key,
            "value": each.value,
            "headers": each.headers,
        }
        try:
            is_full = batch.append(**record) is None
        except Exception:
            if not added:
                raise
            return fill(added, batch_bytes)  # of the other one a part may be in it
        if is_full:
            break
        added.append(each)
    batch.close()  # else aiokafka would add to it
    return Filled(batch, len(added))
