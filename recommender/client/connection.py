"""The connection of a client: one producer, and one consumer of replies."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from typing import Any

from kafka.errors import KafkaError, KafkaTimeoutError

from recommender.client.errors import BrokerUnreachable, ClientClosed, RatingUnconfirmed, RecommendTimeout
from recommender.client.ratings import Written
from recommender.client.replies import Replies
from recommender.client.sender import Sender, missing
from recommender.kafka import admin
from recommender.kafka.clients import close_consumer, open_consumer, open_producer
from recommender.kafka.topics import Topics

CLOSE_SECONDS = 2.0
#: The least time that opening a connection gets, once a broker has answered.
CONNECT_SECONDS = 5.0


class Connection:
    """Writes records and brings the replies to requests, for all threads of one process.

    Parameters
    ----------
    servers : str
    topics : Topics
    replies_to : str
        The topic of the replies.
    seconds : float
        Seconds to wait for a broker; 0 makes one attempt.
    security : mapping
        kafka-python's own options.

    Raises
    ------
    BrokerUnreachable
        No broker answers there.
    TopicMissing
        The topic of requests or of replies does not exist.
    """

    def __init__(
        self, servers: str, topics: Topics, replies_to: str, seconds: float, security: Mapping[str, Any]
    ) -> None:
        self.closed = True
        self._servers = servers
        self._topics = topics
        self._replies_to = replies_to
        self._process = os.getpid()
        try:
            self._open(seconds, security)
        except admin.BrokerUnreachableError as error:
            raise BrokerUnreachable(str(error)) from None
        except KafkaError as error:
            raise BrokerUnreachable(f"Connecting to {servers} failed: {error}") from error
        self.closed = False

    @property
    def waiting(self) -> int:
        """The number of requests that wait for their replies."""
        return self._replies.waiting

    @property
    def is_ours(self) -> bool:
        """Return True in the process that opened the connection."""
        return self._process == os.getpid()

    def ask(self, key: str, value: bytes, timeout: float) -> bytes | None:
        """Send a request and wait for its reply.

        Raises
        ------
        RecommendTimeout, ConnectionBroken, ClientClosed
            There is none.
        """
        self._check_process()
        give_up_at = time.monotonic() + timeout
        correlation = uuid.uuid4().bytes
        headers = [
            ("kafka_correlationId", correlation),
            ("kafka_replyTopic", self._replies_to.encode()),
            ("deadline-ms", str(int((time.time() + timeout) * 1000)).encode()),
        ]
        reply = self._replies.expect(correlation, timeout)
        try:
            sent = self._sender.send(self._topics.requests, key, value, headers)
            sent.add_errback(lambda error: self._replies.fail(correlation, self._sender.explain(error)))
            return reply.result(max(0.0, give_up_at - time.monotonic()))
        except TimeoutError:
            where = "and no worker answered" if sent.succeeded() else "and did not reach Kafka"
            raise RecommendTimeout(
                f"No recommendations for user {key!r} within {timeout:g} s: "
                f"the request was sent to {self._topics.requests} {where}"
            ) from None
        finally:
            self._replies.forget(correlation)

    def write(self, key: str, value: bytes, what: str, timeout: float) -> Written:
        """Write a record to the ratings topic and wait until Kafka has it.

        Raises
        ------
        RatingUnconfirmed, ConnectionBroken, TopicMissing, ClientError
            It cannot be written; the first text says `what` Kafka did not confirm.
        """
        self._check_process()
        self._replies.check_connected(timeout)
        sent = self._sender.send(self._topics.ratings, key, value, [])
        try:
            metadata = sent.get(timeout)
        except KafkaTimeoutError:
            raise RatingUnconfirmed(f"Kafka did not confirm {what} within {timeout:g} s") from None
        except KafkaError as error:
            raise self._sender.explain(error) from error
        return Written(metadata.partition, metadata.offset)

    def close(self) -> None:
        """End the connection, in the process that opened it; closing twice is fine."""
        if not self.closed and self.is_ours:
            self.closed = True
            self._replies.close(CLOSE_SECONDS)
            self._sender.close(CLOSE_SECONDS)

    def _open(self, seconds: float, security: Mapping[str, Any]) -> None:
        give_up_at = time.monotonic() + seconds
        with admin.open_admin(self._servers, seconds, security):
            pass  # It waits, and says what is wrong where kafka-python only says that time is up.
        seconds = max(CONNECT_SECONDS, give_up_at - time.monotonic())
        consumer, network = open_consumer(self._servers, seconds, security)
        try:
            for topic in (self._topics.requests, self._replies_to):
                if not consumer.partitions_for_topic(topic):
                    raise missing(topic, self._servers)
            producer = open_producer(self._servers, seconds, security)
            self._sender = Sender(producer, self._servers)
            try:
                self._replies = Replies(consumer, network, self._replies_to, seconds)
            except BaseException:
                self._sender.close(0)
                raise
        except BaseException:
            close_consumer(consumer)
            raise

    def _check_process(self) -> None:
        if not self.is_ours:
            raise ClientClosed("The client was made before this process was forked: make one in the child")
