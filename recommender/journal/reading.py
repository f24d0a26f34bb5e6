"""Reads the journal up to where it ends now, alongside the workers that follow it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from aiokafka.errors import KafkaError

from recommender.journal.errors import JournalError, JournalGap
from recommender.journal.identity import check_identity
from recommender.journal.log import Bounds, JournalLog
from recommender.journal.rule import Rule
from recommender.kafka.admin import security_options
from recommender.kafka.plain_clients import client_options
from recommender.kafka.topics import TopicInfo, Topics, identify
from recommender.settings import Settings

#: How long a broker may send nothing although there is more to read.
PATIENCE = 30.0
_WAIT_MILLISECONDS = 200


class JournalReading:
    """One partition of the journal, from where it begins to where it ended when this was opened.

    Attributes
    ----------
    bounds : Bounds
    """

    def __init__(self, log: JournalLog, bounds: Bounds, broker: str) -> None:
        self._log, self._broker = log, broker
        self.bounds = bounds

    def seek(self, position: int) -> None:
        """Read from a position on."""
        self._log.seek(position)

    async def more(self, wait_milliseconds: int = _WAIT_MILLISECONDS) -> list[Any]:
        """The records that come next, also beyond the end; none if there are none for a while."""
        fetched = await self._log.fetch(wait_milliseconds)
        return fetched if await self._log.taken(self._log.position) else []

    async def records(self, first: int, stop: int | None = None) -> AsyncGenerator[list[Any], None]:
        """All records from an offset on, as they are fetched, to where the log ended or up to another offset.

        Raises
        ------
        JournalError
            The broker stops answering.
        """
        self._log.seek(first)
        heard, end = time.monotonic(), self.bounds.end if stop is None else stop
        while self._log.position < end:
            fetched = await self._log.fetch(_WAIT_MILLISECONDS)
            if not await self._log.taken(first):
                continue
            if fetched:
                heard = time.monotonic()
                below = [record for record in fetched if record.offset < end]
                if below:
                    yield below
            elif time.monotonic() - heard > PATIENCE:
                raise JournalError(
                    f"Kafka at {self._broker} has sent nothing for {PATIENCE:.0f} s, while reading the "
                    f"journal at offset {self._log.position} of {end}"
                )


@contextlib.asynccontextmanager
async def reading(config: Settings, journal: str, partition: int) -> AsyncIterator[JournalReading]:
    """Open a partition of the journal.

    Raises
    ------
    JournalError
        It cannot be read.
    """

    def lost(expected: int, begin: int) -> None:
        raise JournalGap(f"{journal}[{partition}] begins at offset {begin} now, but {expected} comes next")

    log = JournalLog(journal, partition, client_options(config), lost)
    try:
        yield JournalReading(log, await log.open(), config.broker)
    except (KafkaError, OSError, TimeoutError) as error:
        said = str(error) or type(error).__name__
        raise JournalError(f"{journal}[{partition}] at {config.broker} cannot be read: {said}") from None
    finally:
        await log.close()


async def find(config: Settings) -> TopicInfo:
    """The journal's topic.

    Raises
    ------
    BrokerUnreachableError
        No broker answers.
    TopicsError
        There is no journal.
    """
    name = Topics(config.topic_prefix).journal
    return await asyncio.to_thread(
        identify, config.broker, name, config.broker_wait, security_options(config)
    )


def rule_for(found: TopicInfo, partition: int, begin: int) -> Rule:
    """A rule that follows a partition from where it begins."""
    rule = Rule(found.topic, partition, found.partitions)
    check_identity(rule, found)
    if begin > 0:
        rule.skip_to(begin)
    return rule
