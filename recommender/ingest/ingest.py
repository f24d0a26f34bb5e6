"""From a partition's records to its shard: decode, route, learn; and what has to go elsewhere.

This is everything that happens to a rating, without Kafka: the worker feeds it fetched records and
delivers what it returns. A second pass over the same records does the same to a fresh shard, and nothing
to one that already has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from recommender.history.id_table import USER
from recommender.ingest.forwarded import SOURCE, source_of
from recommender.messages.partitioning import partition_of, partition_of_bytes
from recommender.messages.ratings import (
    MAX_TIMESTAMP,
    BadMessage,
    Headers,
    Rating,
    RatingDecoder,
    Rows,
    header,
)
from recommender.shard.shard import Shard


class Record(Protocol):
    """What is read of a fetched record; `timestamp` is in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Outgoing(NamedTuple):
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
    skipped : int
        Those that do not teach: 0 or ``"skip"`` of signed ratings.
    dead_letters, forwards : list of Outgoing
    """

    learned: int = 0
    skipped: int = 0
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
        self._decoder = decoder

    def apply(self, shard: Shard, records: Sequence[Record]) -> Outcome:
        """Learn a run of consecutive records and move the shard's offset past them.

        Records below the shard's offset were learned before and are skipped.

        Raises
        ------
        Exception
            The model raised. The shard is in the middle of a record then and of no more use: see
            `recommender.ingest.poison_records`.
        """
        outcome = Outcome()
        if records and records[0].offset < shard.offset:
            records = [record for record in records if record.offset >= shard.offset]
        if not records:
            return outcome
        rows = self._decoder.read(records)
        close = ~rows.plain
        if self.partitions > 1:
            close |= self._foreign(shard, rows)
        if close.any():
            rows = self._look_closely(shard, records, rows, np.flatnonzero(close).tolist(), outcome)
        if np.isnan(rows.times).any():
            _fill_times(rows, records)
        shard.learn_rows(rows)
        shard.offset = records[-1].offset + 1
        outcome.skipped = int(np.count_nonzero(rows.ratings == 0.0)) if self._decoder.skips else 0
        outcome.learned = int(np.count_nonzero(rows.plain)) - outcome.skipped
        return outcome

    def _foreign(self, shard: Shard, rows: Rows) -> NDArray[np.bool_]:
        """Which ratings are of users that belong elsewhere; those that the shard knows do not."""
        foreign = np.zeros(len(rows.plain), np.bool_)
        unknown = rows.plain & (shard.users.find_bytes(rows.text, rows.spans, USER) < 0)
        for place in np.flatnonzero(unknown).tolist():
            begin, end = rows.spans[place, USER : USER + 2].tolist()
            user = rows.text[begin:end].tobytes()
            foreign[place] = partition_of_bytes(user, self.partitions) != shard.partition
        return foreign

    def _look_closely(
        self, shard: Shard, records: Sequence[Record], rows: Rows, places: list[int], outcome: Outcome
    ) -> Rows:
        """Look at some records one by one: what is to be learned here goes into the rows."""
        rows.plain[places], rows.ratings[places], rows.times[places] = False, np.nan, 0.0
        said: list[bytes] = []
        end = len(rows.text)
        for place in places:
            rating = self._look_at(shard, records[place], outcome)
            if rating is None:
                continue
            user, item = rating.user.encode(), rating.item.encode()
            middle = end + len(user)
            rows.plain[place] = True
            rows.spans[place] = end, middle, middle, middle + len(item)
            end = middle + len(item)
            said += user, item
            rows.ratings[place] = np.nan if rating.rating is None else rating.rating
            rows.times[place] = np.nan if rating.timestamp is None else rating.timestamp
        text = np.concatenate([rows.text, np.frombuffer(b"".join(said), np.uint8)])
        text.flags.writeable = False  # a kernel is compiled for one kind
        return rows._replace(text=text)

    def _look_at(self, shard: Shard, record: Record, outcome: Outcome) -> Rating | None:
        """The rating in a record, if it is to be learned here; what goes elsewhere is put into `outcome`."""
        try:
            rating = self._decoder.decode(record.value, record.headers)
        except BadMessage as error:
            outcome.dead_letters.append(self._dead_letter(shard.partition, record, error, b"decode"))
            return None
        if self.partitions > 1 and rating.user not in shard.users:
            owner = partition_of(rating.user, self.partitions)
            if owner != shard.partition:
                self._send_on(outcome, shard.partition, owner, record, rating)
                return None
        return rating if not record.headers or self._is_first(shard, record) else None

    def drop(self, shard: Shard, record: Record, error: Exception, said: str) -> Outcome:
        """Move the shard's offset past a record that it cannot learn; the record's dead letter.

        Parameters
        ----------
        shard : Shard
        record : Record
        error : Exception
            What learning it raised.
        said : str
            What the dead letter says about it.
        """
        shard.offset = record.offset + 1
        return Outcome(dead_letters=[self._dead_letter(shard.partition, record, error, b"learn", said)])

    def _send_on(self, outcome: Outcome, here: int, owner: int, record: Record, rating: Rating) -> None:
        if header(record.headers, SOURCE) is not None:
            error = BadMessage(
                f"user {rating.user!r} belongs to partition {owner} of {self.partitions}, but the rating "
                f"was forwarded to partition {here}: did the number of partitions change?"
            )
            outcome.dead_letters.append(self._dead_letter(here, record, error, b"route"))
            return
        headers = [*record.headers, (SOURCE, f"{here}:{record.offset}".encode())]
        outcome.forwards.append(
            Outgoing(owner, rating.user.encode(), record.value, record.timestamp, headers)
        )

    def _is_first(self, shard: Shard, record: Record) -> bool:
        """Whether a rating is here for the first time; a forwarded one may come again after a crash."""
        source = source_of(record.headers, self.partitions)
        return source is None or shard.forwarded.is_first(*source)

    def _dead_letter(
        self, partition: int, record: Record, error: Exception, stage: bytes, said: str = ""
    ) -> Outgoing:
        """The record untouched, with what is wrong with it in the headers that Kafka Connect uses."""
        message = (said or str(error))[:1000].encode(errors="replace")
        name = f"{type(error).__module__}.{type(error).__qualname__}".encode()
        headers = [
            *record.headers,
            ("__connect.errors.topic", self.topic.encode()),
            ("__connect.errors.partition", b"%d" % partition),
            ("__connect.errors.offset", b"%d" % record.offset),
            ("__connect.errors.exception.class.name", name),
            ("__connect.errors.exception.message", message),
            ("__connect.errors.stage", stage),
        ]
        # The client refuses a record that is null in both, which others send: its letter has an empty key.
        key = b"" if record.key is None and record.value is None else record.key
        return Outgoing(partition, key, record.value, record.timestamp, headers)


def _fill_times(rows: Rows, records: Sequence[Record]) -> None:
    """Ratings that do not say when they were given have their record's timestamp, if it has one."""
    places = np.flatnonzero(np.isnan(rows.times))
    rows.times[places] = written_at([records[place] for place in places.tolist()])


def written_at(records: Sequence[Record]) -> NDArray[np.float64]:
    """When records were written, in seconds; NaN where they do not say.

    The timestamp is mostly its producer's: -1 stands for none, and so does what a rating's could not be.
    """
    seconds = np.array([record.timestamp for record in records], np.float64) / 1000
    return np.where((seconds >= 0.0) & (seconds <= MAX_TIMESTAMP), seconds, np.nan)
