"""The producer after a failure: refused records go alone, and the partition continues with another one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    UnknownTopicOrPartitionError,
)

from recommender.kafka.refusals import InvalidRecord, ProducerEndedError
from recommender.messages.records import Outgoing
from tests.support.doubles import until
from tests.unit.worker.transport.producers import WRITTEN, Brokers, started
from tests.unit.worker.transport.support import outgoing

BAD_HEADERS: Any = [("name", 7)]


async def refuse(brokers: Brokers, sending: asyncio.Task[None], most: int) -> None:
    """Answer all batches; those of more than so many records, or with a record 9, are refused."""
    while not sending.done():
        for inner in brokers.made:
            if inner.answers:
                _, keys = inner.taken[-1]
                if len(keys) > most or b"9" in keys:
                    inner.answers.pop(0).set_exception(MessageSizeTooLargeError("refused"))
                else:
                    inner.answers.pop(0).set_result(WRITTEN)
        await asyncio.sleep(0)


async def test_a_batch_that_is_refused_is_sent_in_halves() -> None:
    brokers = Brokers("there")
    made = await started(brokers)
    sending = asyncio.create_task(made.send_all("there", [outgoing(each) for each in range(7)]))
    await refuse(brokers, sending, 2)
    await sending
    written = [keys for _, keys in brokers.taken if len(keys) <= 2]
    assert written == [[b"0"], [b"1", b"2"], [b"3", b"4"], [b"5", b"6"]]


async def test_a_record_that_is_refused_is_told_or_written_otherwise() -> None:
    def shorter(record: Outgoing, error: Exception) -> Outgoing | None:
        return record._replace(key=b"8") if record.key == b"9" else None

    for lesser in (None, shorter):
        brokers = Brokers("there")
        made = await started(brokers)
        options = {"lesser": lesser} if lesser else {}
        records = [outgoing(1), outgoing(9), outgoing(2)]
        sending = asyncio.create_task(made.send_all("there", records, **options))
        await refuse(brokers, sending, 3)
        if lesser is None:
            with pytest.raises(MessageSizeTooLargeError, match="refused"):
                await sending
        else:
            await sending
            assert [keys for _, keys in brokers.taken if b"9" not in keys] == [[b"1"], [b"8"], [b"2"]]


async def test_records_without_a_key_are_told_together() -> None:
    """Each needs a new producer, so those that are all to blame are not tried one by one."""
    brokers = Brokers("there")
    made = await started(brokers)
    keyless = [outgoing(each)._replace(key=None) for each in range(50)]
    records = [each for pair in zip(map(outgoing, range(50)), keyless, strict=True) for each in pair]
    sent = [await made.put("there", each) for each in records]
    answered = 0
    while not all(each.done() for each in sent):
        for inner in brokers.made:
            if inner.answers:
                _, keys = inner.taken[-1]
                answered += 1
                error = InvalidRecord() if None in keys else None
                answer = inner.answers.pop(0)
                answer.set_exception(error) if error else answer.set_result(WRITTEN)
        await asyncio.sleep(0)
    assert [each.exception() is not None for each in sent] == [False, True] * 50
    assert answered == 3
    assert len(brokers.made) <= 3


@pytest.mark.parametrize("error", [MessageSizeTooLargeError(), OutOfOrderSequenceNumber()])
async def test_only_the_partition_of_a_batch_that_failed_changes_the_producer(error: KafkaError) -> None:
    brokers = Brokers("there")
    made = await started(brokers)
    first = brokers.made[0]
    first.client.cluster.partitions_for_topic = lambda topic: {0, 1}  # type: ignore[method-assign]
    other = await made.put("there", outgoing(0, partition=1))
    failed = await made.put("there", outgoing(0))
    await until(lambda: len(first.answers) == 2)
    by_partition = {partition: first.answers[n] for n, (partition, _) in enumerate(first.taken)}
    by_partition[0].set_exception(error)
    with pytest.raises(type(error)):
        await failed
    first.answers.clear()
    # In the new producer, while the old one is still used.
    again = await made.put("there", outgoing(1))
    await until(lambda: len(brokers.made) == 2 and brokers.made[1].waits())
    assert not first.stopped
    brokers.made[1].answers.pop().set_result(WRITTEN)
    await again
    by_partition[1].set_result(WRITTEN)
    await other
    await until(lambda: first.stopped)


async def test_what_cannot_be_sent_is_told_without_sending() -> None:
    brokers = Brokers("there")
    made = await started(brokers)
    with pytest.raises(UnknownTopicOrPartitionError):
        await made.send_all("gone", [outgoing(1)])
    with pytest.raises(TypeError):
        await (await made.put("there", outgoing(1)._replace(headers=BAD_HEADERS)))
    made.max_request_size = 1000
    with pytest.raises(MessageSizeTooLargeError, match=r"for there\[0\] takes 1\d\d\d bytes: expected at"):
        await made.send_all("there", [outgoing(1, 1000)])
    assert brokers.taken == []


async def test_a_producer_that_has_failed_for_good_ends_the_worker() -> None:
    brokers = Brokers("there")
    made = await started(brokers)
    sent = await made.put("there", outgoing(1))
    (inner,) = brokers.made
    await until(inner.waits)
    inner.answers.pop().set_exception(KafkaError("Unexpected error during batch delivery"))
    with pytest.raises(ProducerEndedError):
        await sent
    await until(lambda: made.crash_reason is not None)
    with pytest.raises(ProducerEndedError):
        await (await made.put("there", outgoing(2)))
    assert len(brokers.made) == 1
