"""A shard that learns without Kafka: generated ratings in the guise of fetched records."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import msgspec

from benchmarks.data import Chunk, Log, encoded
from recommender.ingest.batch_decoder import BatchDecoder
from recommender.ingest.ingest import Ingest, Outcome
from recommender.messages.ratings import Headers
from recommender.settings import Settings
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.worker import learning

TOPIC = "ratings"


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


class Learning:
    """A shard, and what feeds it as the worker does.

    Parameters
    ----------
    model : str
        As in the settings.
    **settings
        Others of them; what is not named is as by default.
    """

    def __init__(self, model: str, **settings: Any) -> None:
        options = ShardOptions.of(Settings(model=model, **settings))
        self.shard = Shard(options)
        self._ingest = Ingest(TOPIC, 1, BatchDecoder(options.feedback.low, options.feedback.high))

    def take(self, records: list[Fetched]) -> Outcome | None:
        """Learn records in runs of the worker's length."""
        outcome = None
        for start in range(0, len(records), learning.CHUNK):
            outcome = self._ingest.apply(self.shard, records[start : start + learning.CHUNK])
        return outcome

    def learn(self, log: Log) -> None:
        """Learn a whole log."""
        for chunk in log:
            records = fetched(chunk, self.shard.offset)
            while part := list(islice(records, 20_000)):
                self.take(part)
