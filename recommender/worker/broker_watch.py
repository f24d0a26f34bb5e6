"""Says once that the broker is gone, and once that it is back."""

from __future__ import annotations

import asyncio
import logging
import struct
import time

from recommender.kafka.addresses import host_and_port, split

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
#: ApiVersions of version 0, which a broker answers before anybody logs in: size, key, version, correlation,
#: no client.
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 0, -1)


class BrokerWatch:
    """Asks the bootstrap servers for their versions: one that hangs accepts connections, and answers nothing.

    Kafka's client retries by itself, with over a hundred log lines a second; this is what is shown instead.

    Parameters
    ----------
    broker : str
        Bootstrap servers, separated by commas.
    tls : bool
        They speak TLS, and are asked for nothing: it is enough that they accept a connection.
    answer_seconds : float
        How long an answer may take.
    """

    def __init__(self, broker: str, *, tls: bool = False, answer_seconds: float = ANSWER_SECONDS) -> None:
        self.broker = broker
        self._question = b"" if tls else _API_VERSIONS
        self._answer_seconds = answer_seconds
        self._gone_since: float | None = None

    @property
    def gone_seconds(self) -> float | None:
        """The seconds for which no broker has answered; None if one did at the last check."""
        return None if self._gone_since is None else time.monotonic() - self._gone_since

    async def check(self) -> bool:
        """Return True if any of them answers; logs when that changes."""
        answers = any(await asyncio.gather(*map(self._answers, split(self.broker))))
        if not answers and self._gone_since is None:
            self._gone_since = time.monotonic()
            logger.error(
                "the broker at %s is gone; nothing is lost, learning and answering continue when it is back",
                self.broker,
            )
        elif answers and self._gone_since is not None:
            away = time.monotonic() - self._gone_since
            logger.warning("the broker at %s is back after %.0f s", self.broker, away)
            self._gone_since = None
        return answers

    async def _answers(self, address: str) -> bool:
        try:
            host, port = host_and_port(address)
            async with asyncio.timeout(self._answer_seconds):
                reader, writer = await asyncio.open_connection(host, port)
                try:
                    writer.write(self._question)
                    return not self._question or bool(await reader.read(1))
                finally:
                    writer.close()
        except (OSError, TimeoutError, ValueError):
            return False
