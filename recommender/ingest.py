"""From a partition's records to its shard: decode, route, learn; and what has to go elsewhere.

This is everything that happens to a rating, without Kafka: the worker feeds it fetched records and
delivers what it returns. A second pass over the same records does the same to a fresh shard, and nothing
to one that already has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from recommender.messages import BadMessage, Headers, Rating, RatingDecoder, header
from recommender.routing import partition_of
from recommender.shard import Shard

#: On a forwarded rating: the partition and offset it came from, as ``3:1042``.
SOURCE = "recommender-source"
#: Kafka's offsets have 63 bits, and so does what a checkpoint keeps of them.
MAX_OFFSET = 2**62
#: Kafka's offsets are below it.
MAX_OFFSET = 2**63 - 1


class Record(Protocol):
    """What is read of a fetched record; `timestamp` is in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to be delivered; without a partition its key decides."""

    partition: int | None
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: list[tuple[str, bytes]]


@dataclass(slots=True)
class Outcome:
    """What a run of records came to.

    Attributes
    ----------
    learned : int
        Ratings handed to the shard.
    dead_letters, forwards : list of Outgoing
    """

    learned: int = 0
    dead_letters: list[Outgoing] = field(default_factory=list)
    forwards: list[Outgoing] = field(default_factory=list)


class Ingest:
    """Applies records of the ratings topic to shards.

    Parameters
    ----------
    topic : str
    partitions : int
        How many the topic has.
    decoder : RatingDecoder
    """

    def __init__(self, topic: str, partitions: int, decoder: RatingDecoder) -> None:
        self.topic = topic
        self.partitions = partitions
        self._decode: Callable[[bytes | None, Headers], Rating] = decoder.decode

    def apply(self, shard: Shard, records: Sequence[Record]) -> Outcome:
        """Learn a run of consecutive records and move the shard's offset past them.

        Records below the shard's offset were learned before and are skipped.
        """
        outcome = Outcome()
        decode, partitions = self._decode, self.partitions
        ratings: list[Rating] = []
        times: list[float] = []
        for record in records:
            if record.offset < shard.offset:
                continue
            try:
                rating = decode(record.value, record.headers)
            except BadMessage as error:
                outcome.dead_letters.append(self._dead_letter(shard.partition, record, error, "decode"))
                continue
            if partitions > 1 and rating.user not in shard.users:
                owner = partition_of(rating.user, partitions)
                if owner != shard.partition:
                    self._send_on(outcome, shard.partition, owner, record, rating)
                    continue
            if record.headers and not self._is_first(shard, record):
                continue
            ratings.append(rating)
            times.append(record.timestamp / 1000 if rating.timestamp is None else rating.timestamp)
        shard.learn(ratings, times)
        if records:
            shard.offset = max(shard.offset, records[-1].offset + 1)
        outcome.learned = len(ratings)
        return outcome

    def _send_on(self, outcome: Outcome, here: int, owner: int, record: Record, rating: Rating) -> None:
        if header(record.headers, SOURCE) is not None:
            error = BadMessage(
                f"user {rating.user!r} belongs to partition {owner} of {self.partitions}, but the rating "
                f"was forwarded to partition {here}: did the number of partitions change?"
            )
            outcome.dead_letters.append(self._dead_letter(here, record, error, "route"))
            return
        headers = [*record.headers, (SOURCE, f"{here}:{record.offset}".encode())]
        outcome.forwards.append(
            Outgoing(owner, rating.user.encode(), record.value, record.timestamp, headers)
        )

    def _is_first(self, shard: Shard, record: Record) -> bool:
        """Whether a rating is here for the first time; a forwarded one may come again after a crash.

        Whoever forwards does so in the order of its log. So all below the newest have been here.
        """
        source = header(record.headers, SOURCE)
        if source is None:
            return True
        try:
            partition, offset = (int(part) for part in source.split(b":"))
        except ValueError:
            return True  # a header of that name that is not ours
        if not (0 <= partition < self.partitions and 0 <= offset <= MAX_OFFSET):
            return True  # nor is this
        if not (0 <= partition < self.partitions and 0 <= offset < MAX_OFFSET):
            return True
        if offset < shard.sources.get(partition, 0):
            return False
        shard.sources[partition] = offset + 1
        return True

    def _dead_letter(self, partition: int, record: Record, error: Exception, stage: str) -> Outgoing:
        """The record untouched, with what is wrong with it in the headers that Kafka Connect uses."""
        told = {
            "topic": self.topic,
            "partition": str(partition),
            "offset": str(record.offset),
            "exception.class.name": f"{type(error).__module__}.{type(error).__qualname__}",
            "exception.message": str(error)[:1000],
            "stage": stage,
        }
        headers = [*record.headers, *((f"__connect.errors.{name}", told[name].encode()) for name in told)]
        # The client refuses a record that is null in both, which others send: its letter has an empty key.
        key = b"" if record.key is None and record.value is None else record.key
        return Outgoing(partition, key, record.value, record.timestamp, headers)
