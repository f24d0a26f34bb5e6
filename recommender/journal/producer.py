"""The journal's own Kafka producer: blocks in the order in which they come, acknowledged by all replicas."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

logger = logging.getLogger(__name__)

#: Blocks of this many bytes are written together: less than what a topic takes at once by default, 1 MiB.
BATCH_BYTES = 900_000
RETRY_SECONDS = 0.5
#: How long it may take to close a producer; one that cannot reach its broker needs a request's timeout.
CLOSE_SECONDS = 2.0


class JournalProducer:
    """Sends blocks to the journal, as `recommender.journal.writer.JournalWriter` wants it.

    It need not be idempotent: the rule passes over a block that is written twice. What it needs is order. A
    partition has one request in flight, and aiokafka puts a batch that it sends again before those that wait.

    Parameters
    ----------
    topic : str
        The journal.
    options : mapping
        See `recommender.kafka.plain_clients.client_options`.
    """

    def __init__(self, topic: str, options: Mapping[str, Any]) -> None:
        self._topic = topic
        self._options = {**options, "acks": "all", "linger_ms": 0, "max_batch_size": BATCH_BYTES}
        self._producer: AIOKafkaProducer | None = None
        self._connected = False
        self._closing: set[asyncio.Task[None]] = set()

    async def __call__(self, partition: int, value: bytes, timestamp: int) -> asyncio.Future[Any]:
        """Send a block; what it returns is done when the brokers have it.

        Raises
        ------
        KafkaError
            It was not sent.
        """
        if self._producer is None:
            self._producer = await self._start()
        sent: asyncio.Future[Any] = await self._producer.send(
            self._topic, value, partition=partition, timestamp_ms=timestamp
        )
        return sent

    async def start(self) -> None:
        """Connect; returns when a broker answers."""
        if self._producer is None:
            self._producer = await self._start()

    async def renew(self) -> None:
        """Replace the producer after an error, while none of its blocks is in flight."""
        if self._producer is not None:
            self._close(self._producer)
            self._producer = None
        await self.start()

    async def _start(self) -> AIOKafkaProducer:
        """A producer. If a broker is away later than at the start, sending says so."""
        away_since, level = None, logging.DEBUG if self._connected else logging.ERROR
        while True:
            made = AIOKafkaProducer(**self._options)
            try:
                await made.start()
            except KafkaError as error:
                await made.stop()
                if away_since is None:
                    away_since = time.monotonic()
                    logger.log(level, "%s cannot be written: %s; will retry until it can", self._topic, error)
                await asyncio.sleep(RETRY_SECONDS)
            except BaseException:
                await made.stop()
                raise
            else:
                if away_since is not None:
                    away = time.monotonic() - away_since
                    logger.log(
                        min(level, logging.WARNING), "%s: a broker answers after %.0f s", self._topic, away
                    )
                self._connected = True
                return made

    def _close(self, producer: AIOKafkaProducer) -> None:
        """Close a producer in the background."""
        task = asyncio.create_task(_stop(producer))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close what is open; what is in flight then may still be written."""
        if self._producer is not None:
            self._close(self._producer)
            self._producer = None
        if self._closing:
            _, late = await asyncio.wait(self._closing, timeout=CLOSE_SECONDS)
            if late:
                logger.warning("%s: a producer whose broker is away is closed in the background", self._topic)


async def _stop(producer: AIOKafkaProducer) -> None:
    try:
        await producer.stop()
    except KafkaError as error:
        logger.debug("closing a producer: %r", error)
