"""Waits for schemas: records of a source are read once the registry has said what they are."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from recommender.ingest.sources.registry import Registry, RegistryAway, SchemaUnknown
from recommender.ingest.sources.schema_ids import SchemaId
from recommender.ingest.sources.schema_reader import SchemaReader
from recommender.messages.records import Record

logger = logging.getLogger(__name__)

UNKNOWN_SECONDS = 30.0
RETRY_SECONDS, LONGEST_RETRY_SECONDS = 0.5, 5.0


class SchemaWait:
    """Fetches the schemas of a source's records, and waits where they cannot be had.

    A registry that is away is waited for, however long: its schemas would come, so no record may become a
    dead letter for it. Only this source waits.

    Parameters
    ----------
    name : str
        The source's.
    reader : SchemaReader
    registry : Registry
    clock : function
        Seconds of a clock that never goes back.
    unknown_seconds : float
        How long the registry is asked again for an id that it does not know: its replicas may lag.
    retry_seconds, longest_retry_seconds : float
        Between two questions; of a registry that is away up to the longest.

    Attributes
    ----------
    waits_for : str or None
        Why it waits, as long as it does.
    """

    def __init__(
        self,
        name: str,
        reader: SchemaReader,
        registry: Registry,
        *,
        clock: Callable[[], float] = time.monotonic,
        unknown_seconds: float = UNKNOWN_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
        longest_retry_seconds: float = LONGEST_RETRY_SECONDS,
    ) -> None:
        self._name, self._reader, self._registry, self._clock = name, reader, registry, clock
        self._unknown_seconds = unknown_seconds
        self._retry_seconds, self._longest_retry_seconds = retry_seconds, longest_retry_seconds
        self._given_up: dict[SchemaId, float] = {}
        self.waits_for: str | None = None

    async def __call__(self, records: Sequence[Record]) -> None:
        """Return once all schemas of records are there that can be had."""
        for schema in self._reader.missing(records):
            until = self._given_up.get(schema, self._clock() + self._unknown_seconds)
            await self._fetch(schema, until)

    async def _fetch(self, schema: SchemaId, until: float) -> None:
        pause = self._retry_seconds
        while True:
            try:
                await asyncio.to_thread(self._registry.fetch, schema)
            except SchemaUnknown as error:
                self._is_back()
                if self._clock() >= until:
                    if schema not in self._given_up:
                        logger.warning("source %s: %s; its records are dead letters", self._name, error)
                    self._given_up[schema] = until
                    return
                pause = self._retry_seconds
            except RegistryAway as error:
                if self.waits_for is None:
                    logger.error("source %s waits for its schema registry: %s", self._name, error)
                self.waits_for = str(error)
                pause = min(2 * pause, self._longest_retry_seconds)
            else:
                self._is_back()
                return
            await asyncio.sleep(pause)

    def _is_back(self) -> None:
        if self.waits_for is not None:
            logger.warning("source %s: its schema registry answers again", self._name)
        self.waits_for = None
