"""Asks another worker over Kafka, where this one lacks what a user's answer needs.

Only with several journal partitions. The first such request opens a consumer of one partition of the response
topic, without a group, from its end on; replies are told apart by their correlation id.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from recommender.messages.content_types import Headers
from recommender.messages.records import Outgoing, Send
from recommender.messages.request_headers import CORRELATION, DEADLINE, REPLY_PARTITION, REPLY_TOPIC
from recommender.messages.requests import Request
from recommender.messages.responses import Failure
from recommender.worker.transport.aiokafka_clients import patient

logger = logging.getLogger(__name__)

#: Requests that wait for another worker at once; more are refused.
MAX_WAITING = 10_000
#: How long another worker may take for a request that names no deadline of its own, in seconds.
ANSWER_SECONDS = 30.0


class PassingOn:
    """Passes requests on, and brings the replies back.

    Parameters
    ----------
    options : mapping
        aiokafka's, with the broker and how to log in.
    send : Send
    requests_topic, responses_topic : str
    """

    def __init__(
        self, options: Mapping[str, Any], send: Send, requests_topic: str, responses_topic: str
    ) -> None:
        self._options, self._send = dict(options), send
        self._requests_topic, self._responses_topic = requests_topic, responses_topic
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._opening = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None
        self._reading: asyncio.Task[None] | None = None

    async def ask(
        self, partition: int, request: Request, value: bytes, identity: bytes, headers: Headers, limit: float
    ) -> bytes:
        """The reply of the worker that holds a partition of the journal; also where it is a failure.

        Parameters
        ----------
        partition : int
        request : Request
        value : bytes
            The same, as it came.
        identity : bytes
            What tells it from others, if no other of that name is under way.
        headers : sequence of (str, bytes)
        limit : float
            Until when to wait, by the monotonic clock.

        Raises
        ------
        Failure
            No reply came in time, or the request could not be sent.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise Failure("busy", f"{MAX_WAITING} requests wait for other workers, try again", retriable=True)
        correlation = identity if identity not in self._waiting else uuid.uuid4().bytes
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[correlation] = reply
        try:
            async with asyncio.timeout(max(0.0, limit - time.monotonic())):
                await self._open()
                sent = [each for each in headers if each[0] != DEADLINE]
                until = time.time() + limit - time.monotonic()
                sent += [
                    (CORRELATION[0], correlation),
                    (REPLY_TOPIC[0], self._responses_topic.encode()),
                    (REPLY_PARTITION, b"0"),
                    (DEADLINE, b"%d" % (until * 1000)),
                ]
                key = b"" if request.user is None else str(request.user).encode()
                now = int(time.time() * 1000)
                await (await self._send(self._requests_topic, Outgoing(partition, key, value, now, sent)))
                return await reply
        except TimeoutError:
            raise Failure(
                "no_answer", "the worker that knows this user did not answer in time", retriable=True
            ) from None
        except KafkaError as error:
            raise Failure(
                "no_answer", f"the request cannot be passed on: {error!r}", retriable=True
            ) from error
        finally:
            self._waiting.pop(correlation, None)

    async def _open(self) -> None:
        async with self._opening:
            if self._reading is not None and not self._reading.done():
                return
            await self._close_consumer()
            consumer = AIOKafkaConsumer(
                **self._options, enable_auto_commit=False, auto_offset_reset="latest", group_id=None
            )
            patient(consumer)
            self._consumer = consumer
            await consumer.start()
            place = TopicPartition(self._responses_topic, 0)
            consumer.assign([place])
            await consumer.seek_to_end(place)
            await consumer.position(place)
            self._reading = asyncio.create_task(self._read(consumer))

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        try:
            async for record in consumer:
                self._take(record)
        except KafkaError as error:
            logger.warning(
                "%s[0] cannot be read: %r; the next request tries again", self._responses_topic, error
            )

    def _take(self, record: Any) -> None:
        for name, value in record.headers:
            waiting = self._waiting.get(value or b"") if name == CORRELATION[0] else None
            if waiting is not None and not waiting.done():
                waiting.set_result(record.value or b"")

    async def close(self) -> None:
        """Stop reading."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
        await self._close_consumer()

    async def _close_consumer(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.stop()
