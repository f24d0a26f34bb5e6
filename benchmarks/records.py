"""A replica that learns without Kafka: generated ratings in the guise of fetched records, and of blocks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec
import numpy as np

from benchmarks.data import Chunk, Log, encoded
from recommender.ingest.ingest import BatchDecoder, Ingest
from recommender.journal.block import Packer, Source
from recommender.journal.replica import Replica
from recommender.journal.rule import Rule
from recommender.messages.ratings import Headers
from recommender.settings import Settings
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.worker import ingestor

TOPIC = "ratings"
#: Settings without any bound: whatever a benchmark makes is kept.
UNBOUNDED = {"max_users": 0, "max_items": 0, "max_ratings": 0, "max_ratings_per_user": 0}


class Fetched(msgspec.Struct, gc=False):
    """A record as a consumer hands it over."""

    offset: int
    value: bytes | None
    key: bytes | None = None
    topic: str = TOPIC
    partition: int = 0
    timestamp: int = 0
    headers: Headers = ()


def fetched(chunk: Chunk, offset: int = 0) -> Iterator[Fetched]:
    """The ratings of a chunk as records."""
    for number, (key, value) in enumerate(encoded(chunk), offset):
        yield Fetched(number, value, key)


class Block(NamedTuple):
    """A record of the journal."""

    offset: int
    value: bytes
    timestamp: int = 0


class Learning:
    """A replica, and what feeds it as the worker does: decoded, packed into blocks, followed and learned.

    Parameters
    ----------
    model : str
        As in the settings.
    **settings
        Others of them; what is not named is as by default, but everything is kept.
    """

    def __init__(self, model: str, **settings: Any) -> None:
        options = ShardOptions.of(Settings(model=model, **{**UNBOUNDED, **settings}))
        self.replica = Replica(Rule("journal"), options)
        self.offset = 0
        self._ingest = Ingest(TOPIC, BatchDecoder(options.feedback.low, options.feedback.high))
        self._packer = Packer(Source(bytes(16), 0))

    @property
    def shard(self) -> Shard:
        """The shard that has learned."""
        return self.replica.shard

    def take(self, records: list[Fetched]) -> None:
        """Learn records in runs of the worker's length."""
        for start in range(0, len(records), ingestor.CHUNK):
            run = records[start : start + ingestor.CHUNK]
            rows = self._ingest.read(0, run).rows
            end = self.offset + len(run)
            value = self._packer.pack(self.offset, end, rows, np.arange(self.offset, end))
            self.replica.apply([Block(self.replica.position, value)])
            self.offset = end

    def learn(self, log: Log) -> None:
        """Learn a whole log."""
        for chunk in log:
            records = fetched(chunk, self.offset)
            while part := list(islice(records, 20_000)):
                self.take(part)
