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

#: A registry's replicas may lag, so that one of them does not know an id yet: for so long it is asked again.
UNKNOWN_SECONDS = 30.0
#: Between two questions, in seconds; of a registry that is away up to so many.
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
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._reader, self._registry, self._clock = name, reader, registry, clock
        self._given_up: dict[SchemaId, float] = {}
        self.waits_for: str | None = None

    async def __call__(self, records: Sequence[Record]) -> None:
        """Return once all schemas of records are there that can be had."""
        for schema in self._reader.missing(records):
            until = self._given_up.get(schema, self._clock() + UNKNOWN_SECONDS)
            await self._fetch(schema, until)

    async def _fetch(self, schema: SchemaId, until: float) -> None:
        pause = RETRY_SECONDS
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
                pause = RETRY_SECONDS
            except RegistryAway as error:
                if self.waits_for is None:
                    logger.error("source %s waits for its schema registry: %s", self._name, error)
                self.waits_for = str(error)
                pause = min(2 * pause, LONGEST_RETRY_SECONDS)
            else:
                self._is_back()
                return
            await asyncio.sleep(pause)

    def _is_back(self) -> None:
        if self.waits_for is not None:
            logger.warning("source %s: its schema registry answers again", self._name)
        self.waits_for = None
