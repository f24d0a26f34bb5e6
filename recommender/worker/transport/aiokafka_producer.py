"""What is changed in aiokafka's idempotent producer, so that it goes on whatever a broker says or does.

Everything here is done to one producer, before it starts.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.producer.sender import SendProduceReqHandler
from aiokafka.producer.transaction_manager import NO_PRODUCER_EPOCH, NO_PRODUCER_ID, PidAndEpoch
from aiokafka.structs import TopicPartition
from aiokafka.util import create_future

from recommender.kafka.refusals import REFUSED, ProducerEndedError

#: How long a record waits for the one before it, which waits for a broker: longer than any outage.
PATIENCE_SECONDS = 7 * 24 * 3600
#: A producer's epoch is a number of two bytes; after the last one it needs another id.
LAST_EPOCH = 2**15 - 1
#: Batches of several partitions travel together up to so many bytes. A broker hangs up, without a word, on a
#: request of more than `socket.request.max.bytes`, 100 MiB by default, and would do so again and again.
REQUEST_BYTES = 32 * 1024 * 1024


def keep_going(producer: AIOKafkaProducer) -> None:
    """Change a producer in all of these ways."""
    wait_for_brokers(producer)
    split_what_is_refused(producer)
    begin_epochs_after_failures(producer)
    queue_batches(producer)
    limit_requests(producer)
    tell_of_its_end(producer)


def wait_for_brokers(producer: AIOKafkaProducer) -> None:
    """Let a producer keep what it was given for as long as no broker takes it.

    aiokafka ends the waiting of a record behind another, and of one whose partition has no leader, after the
    timeout of a request.

    Parameters
    ----------
    producer : AIOKafkaProducer
        It still gives up records of a topic that the brokers no longer know.
    """
    # The client, which sends the requests, has its own.
    producer._request_timeout_ms = PATIENCE_SECONDS * 1000
    cluster = producer.client.cluster

    def wait(batch: Any) -> None:
        expired = batch.expired
        batch.expired = lambda: cluster.leader_for_partition(batch.tp) is None and expired()

    _change_batches(producer, wait)


def begin_epochs_after_failures(producer: AIOKafkaProducer) -> None:
    """Let an idempotent producer go on after a batch that failed, for whatever reason.

    A broker expects a producer's batches of a partition to be numbered without a gap. Whether it has counted
    one that failed depends on what it said, and on what became of earlier attempts; whoever guesses wrong has
    all later batches of the partition refused as out of order, or dropped as duplicates. In a new epoch the
    numbers begin at zero, so nothing has to be guessed. Java's producer does the same (KIP-360).

    Batches of other partitions that are on their way keep the epoch that they were begun in, and no batch
    overtakes another of its partition: so what is sent again is still written once.

    Parameters
    ----------
    producer : AIOKafkaProducer
    """
    numbers, sender = producer._txn_manager, producer._sender
    wait_for_id = sender._maybe_wait_for_pid

    async def wait_for_id_with_epochs() -> None:
        if numbers.producer_epoch >= LAST_EPOCH:
            numbers._pid_and_epoch = PidAndEpoch(NO_PRODUCER_ID, NO_PRODUCER_EPOCH)
            numbers._pid_waiter = create_future()
        await wait_for_id()

    def renumber(batch: Any) -> None:
        fail = batch.failure

        def failure(exception: BaseException) -> None:
            if numbers.has_pid():
                epoch = min(numbers.producer_epoch + 1, LAST_EPOCH)
                numbers._pid_and_epoch = PidAndEpoch(numbers.producer_id, epoch)
                numbers._sequence_numbers.clear()
            fail(exception)

        batch.failure = failure

    sender._maybe_wait_for_pid = wait_for_id_with_epochs
    _change_batches(producer, renumber)


def split_what_is_refused(producer: AIOKafkaProducer) -> None:
    """Let the records of a batch that is refused go again in halves, until those to blame stand alone.

    A broker takes or refuses a batch as a whole: for one record without a key, or because together they are
    larger than the topic takes. Java's producer does the same where a batch is too large.

    Parameters
    ----------
    producer : AIOKafkaProducer
        This must be done before epochs begin after failures: a batch that is split has failed.
    """
    accumulator = producer._message_accumulator

    def split(batch: Any) -> None:
        append, fail = batch.append, batch.failure
        records: list[tuple[Any, ...]] = []

        def remember(key: Any, value: Any, timestamp: Any, headers: Any = ()) -> Any:
            future = append(key, value, timestamp, headers=headers)
            if future is not None:
                records.append((key, value, timestamp, headers))
            return future

        def failure(exception: BaseException) -> None:
            if len(records) < 2 or not isinstance(exception, REFUSED):
                fail(exception)
                return
            waiting = [future for future, _ in batch._msg_futures]
            middle = len(records) // 2
            for half in slice(middle, None), slice(None, middle):
                _send_first(batch.tp, zip(records[half], waiting[half], strict=True))
            batch._msg_futures.clear()
            batch.done_noack()

        batch.append, batch.failure = remember, failure

    def _send_first(tp: TopicPartition, records: Iterable[tuple[Any, Any]]) -> None:
        batch = accumulator._append_batch(accumulator.create_builder(), tp)
        accumulator._batches[tp].rotate(1)
        for (key, value, timestamp, headers), future in records:
            batch.append(key, value, timestamp, headers=headers)
            # Whoever waits for the record waits on.
            batch._msg_futures[-1] = future, batch._msg_futures[-1][1]
        batch._builder.close()

    _change_batches(producer, split)


def queue_batches(producer: AIOKafkaProducer) -> None:
    """Let a batch that is given as a whole queue behind those of its partition.

    aiokafka waits until there is none, which may be never while single records keep coming.
    """
    accumulator = producer._message_accumulator

    async def add(builder: BatchBuilder, tp: TopicPartition, *_: Any) -> asyncio.Future[Any]:
        if accumulator._closed:
            raise ProducerClosed
        if accumulator._exception is not None:
            raise copy.copy(accumulator._exception)
        return asyncio.shield(accumulator._append_batch(builder, tp).future)

    accumulator.add_batch = add


def limit_requests(producer: AIOKafkaProducer) -> None:
    """Let no request of several batches become larger than a broker reads."""
    sender = producer._sender

    async def send(node: int, batches: Mapping[Any, Any]) -> None:
        for part in parts(batches):
            await SendProduceReqHandler(sender, part).do(node)
        sender._in_flight.remove(node)
        sender._muted_partitions.difference_update(batches)

    sender._send_produce_req = send


def parts(batches: Mapping[Any, Any]) -> Iterator[dict[Any, Any]]:
    """Batches by partition, in parts of at most `REQUEST_BYTES` or of one batch."""
    part: dict[Any, Any] = {}
    room = REQUEST_BYTES
    for tp, batch in batches.items():
        size = len(batch.get_data_buffer())
        if part and size > room:
            yield part
            part, room = {}, REQUEST_BYTES
        part[tp] = batch
        room -= size
    yield part


def tell_of_its_end(producer: AIOKafkaProducer) -> None:
    """Let what is sent by a producer that has failed for good fail with `ProducerEndedError`."""
    accumulator = producer._message_accumulator
    fail_all = accumulator.fail_all

    def fail(exception: BaseException) -> None:
        fail_all(ProducerEndedError(f"the producer has failed: {exception!r}"))

    accumulator.fail_all = fail


def _change_batches(producer: AIOKafkaProducer, change: Callable[[Any], None]) -> None:
    """Let each batch that a producer begins be changed first."""
    accumulator = producer._message_accumulator
    append_batch = accumulator._append_batch

    def append(*args: Any, **kwargs: Any) -> Any:
        batch = append_batch(*args, **kwargs)
        change(batch)
        return batch

    accumulator._append_batch = append
