"""Says once that the broker is gone, and once that it is back."""

from __future__ import annotations

import asyncio
import logging
import time

from recommender.kafka.addresses import host_and_port, split

logger = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0


class BrokerWatch:
    """Knocks at the bootstrap servers.

    Kafka's client retries by itself, with over a hundred log lines a second; this is what is shown instead.

    Parameters
    ----------
    broker : str
        Bootstrap servers, separated by commas.
    """

    def __init__(self, broker: str) -> None:
        self.broker = broker
        self._gone_since: float | None = None

    @property
    def gone_seconds(self) -> float | None:
        """The seconds for which no broker has answered; None if one did at the last check."""
        return None if self._gone_since is None else time.monotonic() - self._gone_since

    async def check(self) -> bool:
        """Return True if any of them accepts a connection; logs when that changes."""
        answers = any(await asyncio.gather(*(_accepts(each) for each in split(self.broker))))
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


async def _accepts(address: str) -> bool:
    try:
        host, port = host_and_port(address)
        async with asyncio.timeout(ANSWER_SECONDS):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError, ValueError):
        return False
    writer.close()
    return True
