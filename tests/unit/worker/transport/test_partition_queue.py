"""Records in a batch: all that fit, in order and untouched."""

from __future__ import annotations

import time

import pytest
from aiokafka.producer.message_accumulator import BatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from recommender.messages.records import Outgoing
from recommender.worker.transport.partition_queue import fill
from tests.support.doubles import few
from tests.unit.worker.transport.support import outgoing, read

headers = st.lists(st.tuples(st.text(max_size=5), st.none() | st.binary(max_size=5)), max_size=3)
records = st.lists(
    st.builds(
        Outgoing,
        st.just(0),
        st.none() | st.binary(max_size=10),
        st.binary(max_size=300),
        st.integers(0, 2**45),
        headers,
    ),
    max_size=30,
)


def all_batches(records: list[Outgoing], batch_bytes: int) -> list[BatchBuilder]:
    made = []
    while records:
        batch, count = fill(records, batch_bytes)
        made.append(batch)
        records = records[count:]
    return made


@few
@given(records, st.integers(1, 1000))
def test_batches_hold_all_records_in_order_and_untouched(records: list[Outgoing], limit: int) -> None:
    made = all_batches(records, limit)
    assert all(batch.size() <= limit or batch.record_count() == 1 for batch in made)
    assert all(batch.closed() for batch in made)
    assert [each for batch in made for each in read(batch)] == records


def test_batches_are_well_filled() -> None:
    *full, last = all_batches([outgoing(1)] * 1000, 2000)
    assert all(batch.size() > 1900 for batch in full)
    assert sum(batch.record_count() for batch in [*full, last]) == 1000


def test_a_record_that_does_not_say_when_is_written_now() -> None:
    before = time.time() * 1000 - 1
    batch, _ = fill([outgoing(1)._replace(timestamp=-1)], 1000)
    assert before <= read(batch)[0].timestamp <= time.time() * 1000 + 1


def test_a_record_that_is_none_does_not_end_up_in_a_batch() -> None:
    bad = outgoing(9)._replace(headers=[("fine", b""), ("name", 7)])  # type: ignore[list-item]
    batch, count = fill([outgoing(1), outgoing(2), bad, outgoing(3)], 1000)
    assert count == 2
    assert read(batch) == [outgoing(1), outgoing(2)]
    with pytest.raises(TypeError):
        fill([bad, outgoing(3)], 1000)
