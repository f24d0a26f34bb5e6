"""Brings each reply to the caller that waits for it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from recommender.client.errors import BadReply, ClientClosed, ClientError, ConnectionBroken
from recommender.kafka.clients import close_consumer
from recommender.kafka.network import Network
from recommender.messages.ratings import header
from recommender.messages.request_headers import CORRELATION
from recommender.messages.unreadable import Unreadable

log = logging.getLogger(__name__)

#: How long one poll blocks: the time it takes to notice a lost connection or the end.
POLL_MILLISECONDS = 100
#: How long a lost connection may stay away before waiting calls fail.
GRACE_SECONDS = 1.0


class Replies:
    """A thread that reads the reply topic, all of its partitions, from where they end now.

    Every client reads the whole topic, so most of what it sees is for others and dropped. What it keeps is
    one entry for each caller that waits.

    Parameters
    ----------
    consumer : KafkaConsumer
        Without a group. From here on it belongs to the thread, which closes it.
    network : Network
        The consumer's own.
    topic : str
        It must exist.
    seconds : float
        How long finding the end of the topic may take.

    Raises
    ------
    KafkaError
        The end of the topic could not be found. The consumer is still open.
    """

    def __init__(self, consumer: KafkaConsumer, network: Network, topic: str, seconds: float) -> None:
        self._consumer = consumer
        self._network = network
        self._topic = topic
        self._lock = threading.Lock()
        self._waiting: dict[bytes, Future[bytes | None]] = {}
        self._closing = threading.Event()
        self._connected = threading.Event()
        self._connected.set()
        self._lost_at: float | None = None
        self._ended: Callable[[], ClientError] | None = None
        # Before the first request is sent, or its answer could be missed. Assigning comes first: from then on
        # the consumer's metadata are about this topic.
        partitions = [TopicPartition(topic, each) for each in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        ends = consumer.end_offsets(partitions, timeout_ms=int(seconds * 1000))
        for partition, offset in ends.items():
            consumer.seek(partition, offset)
        self._thread = threading.Thread(target=self._run, name=f"replies-{topic}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """The number of callers that wait."""
        return len(self._waiting)

    def check_connected(self, seconds: float) -> None:
        """Wait for the connection if it is lost.

        Raises
        ------
        ConnectionBroken
            It did not come back within `seconds` or `GRACE_SECONDS`.
        ClientClosed
            The client was closed.
        """
        connected = self._ended is not None or self._connected.wait(min(seconds, GRACE_SECONDS))
        if self._ended is not None:
            raise self._ended()
        if not connected:
            raise _lost()

    def expect(self, correlation: bytes, seconds: float) -> Future[bytes | None]:
        """Register a caller for the reply with this id, once there is a connection.

        Raises
        ------
        ConnectionBroken, ClientClosed
            As for `check_connected`.
        """
        self.check_connected(seconds)
        future: Future[bytes | None] = Future()
        with self._lock:
            if self._ended is not None:
                raise self._ended()
            self._waiting[correlation] = future
        return future

    def forget(self, correlation: bytes) -> None:
        """Stop waiting for this id."""
        self._take(correlation)

    def fail(self, correlation: bytes, error: ClientError) -> None:
        """Raise `error` where the reply with this id is waited for."""
        future = self._take(correlation)
        if future is not None:
            future.set_exception(error)

    def close(self, seconds: float) -> None:
        """End the thread and raise `ClientClosed` where a reply is waited for."""
        self._end(_closed)
        self._closing.set()
        self._thread.join(seconds)

    def _take(self, correlation: Any) -> Future[bytes | None] | None:
        # The thread that takes the entry out is the only one to complete it.
        with self._lock:
            return self._waiting.pop(correlation, None)

    def _run(self) -> None:
        try:
            while not self._closing.is_set():
                self._follow_new_partitions()
                polled = self._poll()
                for records in polled.values():
                    for record in records:
                        self._deliver(record)
                if polled:
                    # Let the threads that were woken run before this one does the rest: 0.3 ms sooner.
                    time.sleep(0)
                self._watch()
        except Exception as error:
            log.exception("Reading replies from %s ended", self._topic)
            cause = f"Reading replies from {self._topic} ended: {error!r}"
            self._end(lambda: ConnectionBroken(cause))
        finally:
            close_consumer(self._consumer)

    def _poll(self) -> dict[TopicPartition, list[Any]]:
        try:
            records: dict[TopicPartition, list[Any]] = self._consumer.poll(timeout_ms=POLL_MILLISECONDS)
        except KafkaError as error:
            # It concerns one fetch: the next may succeed.
            log.warning("Reading replies from %s failed: %s", self._topic, error)
            self._closing.wait(POLL_MILLISECONDS / 1000)
            return {}
        return records

    def _deliver(self, record: Any) -> None:
        future = self._take(header(record.headers, *CORRELATION))
        if isinstance(record, Unreadable):
            log.warning("%s; it is passed over", record)
            if future is not None:
                future.set_exception(BadReply(f"The reply cannot be read: {record}"))
        elif future is not None:
            future.set_result(record.value)

    def _follow_new_partitions(self) -> None:
        assigned = self._consumer.assignment()
        known = {TopicPartition(self._topic, each) for each in self._network.partitions(self._topic)}
        added = sorted(known - assigned)
        if added:
            # assign() keeps the positions of those that were assigned before. A new partition is read from
            # its beginning, for it may hold replies already.
            self._consumer.assign([*assigned, *added])
            for each in added:
                self._consumer.seek(each, 0)

    def _watch(self) -> None:
        """Fail waiting calls when the connection is lost for longer than a broker takes to come back."""
        if self._network.any_connected():
            self._lost_at = None
            self._connected.set()
        elif self._lost_at is None:
            self._lost_at = time.monotonic()
        elif time.monotonic() - self._lost_at >= GRACE_SECONDS:
            self._connected.clear()
            self._fail_all(_lost)

    def _fail_all(self, make: Callable[[], ClientError]) -> None:
        with self._lock:
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for future in waiting:
            future.set_exception(make())

    def _end(self, make: Callable[[], ClientError]) -> None:
        """Fail all that wait. Each gets its own error: raising one twice grows its traceback."""
        with self._lock:
            self._ended = self._ended or make
        self._connected.set()
        self._fail_all(self._ended)


def _lost() -> ConnectionBroken:
    return ConnectionBroken("The connection to Kafka is lost: no broker answers any more")


def _closed() -> ClientClosed:
    return ClientClosed("The client is closed")
