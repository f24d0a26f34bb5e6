"""Ingests a topic's records: valid ratings, decoded and checked, and what has to go to the dead letters.

This is everything that happens to a record of the ratings topic before the journal, without Kafka: the worker
feeds it fetched records and delivers what it returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.history.rows import FORGET_ITEM, FORGET_USER, MERGE, NOBODY, Rows
from recommender.ingest import rating_json
from recommender.ingest.header_names import marked_by
from recommender.messages.content_types import HEADER as CONTENT_TYPE
from recommender.messages.content_types import is_msgpack
from recommender.messages.partitioning import partition_of
from recommender.messages.ratings import (
    MAX_ID_BYTES,
    MAX_RATING_BYTES,
    MAX_TIMESTAMP,
    BadMessage,
    Event,
    Merge,
    Rating,
    RatingDecoder,
)
from recommender.messages.records import Outgoing, Record
from recommender.messages.refusals import BAD_MESSAGE_CLASS, Kind, Refusal
from recommender.messages.unreadable import Unreadable


class BatchDecoder(RatingDecoder):
    """Decodes ratings one by one, and most of them in batches without an object for each."""

    def read(self, records: Sequence[Any]) -> Rows:
        """Decode the plain ones of many records at once, as most producers write them.

        Parameters
        ----------
        records : sequence
            With a `value` and `headers` each.
        """
        values = [record.value for record in records]
        count = len(values)
        try:
            joined = bytearray().join(values)
        except TypeError:  # some are null
            values = [value or b"" for value in values]
            joined = bytearray().join(values)
        text = np.frombuffer(joined, np.uint8)
        lengths = np.fromiter(map(len, values), np.int64, count)
        plain = lengths <= MAX_RATING_BYTES
        plain &= ~marked_by(
            records,
            lambda name: name.lower() == CONTENT_TYPE,
            lambda pair: is_msgpack(pair[1]),
        )
        rows = Rows(text, np.empty((count, 4), np.int64), np.empty(count), np.empty(count), plain)
        limits = (*self.scale, self.skips, float(MAX_TIMESTAMP), MAX_ID_BYTES)
        rating_json.read_all(text, np.cumsum(lengths), *limits, rows.spans, rows.ratings, rows.times, plain)
        text.flags.writeable = False  # the kernels that read it are compiled for one kind
        return rows


@dataclass(slots=True)
class Ingested:
    """The outcome of a run of records.

    Attributes
    ----------
    rows : Rows
        One for each record, unless `places` says otherwise; what is not plain is no rating.
    learned : int
        Valid ratings that teach.
    skipped : int
        Those that do not: 0 or ``"skip"`` of signed ratings.
    dead_letters : list of Outgoing
    refusals : list of Refusal
        Why each dead letter is one.
    places : int64 array, optional
        The record of each row, ascending, where a record may have none or several.
    forgets : int
        Records that say whom to forget or to merge.
    """

    rows: Rows
    learned: int = 0
    skipped: int = 0
    dead_letters: list[Outgoing] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    places: NDArray[np.int64] | None = None
    forgets: int = 0


class Ingest:
    """Reads records of the ratings topic.

    Parameters
    ----------
    topic : str
    decoder : BatchDecoder
    clock : function
        Seconds since 1970: when a rating was given if neither it nor its record says so.
    partitions : int
        Of the journal: only users of one can be merged.
    """

    def __init__(
        self,
        topic: str,
        decoder: BatchDecoder,
        clock: Callable[[], float] = time.time,
        *,
        partitions: int = 1,
    ) -> None:
        self.topic = topic
        self._partitions = partitions
        self._decoder = decoder
        self._clock = clock

    def read(self, partition: int, records: Sequence[Record]) -> Ingested:
        """Read consecutive records of a partition."""
        rows = self._decoder.read(records)
        ingested = Ingested(rows)
        if not rows.plain.all():
            self._look_closely(partition, records, ingested)
            rows = ingested.rows
        untimed = np.flatnonzero(np.isnan(rows.times) & rows.plain)
        if len(untimed):
            written = written_at([records[place] for place in untimed.tolist()])
            rows.times[untimed] = np.where(np.isnan(written), self._clock(), written)
        plain = int(np.count_nonzero(rows.plain))
        ingested.skipped = int(np.count_nonzero(rows.ratings == 0.0)) if self._decoder.skips else 0
        ingested.forgets = len(rows.others())
        ingested.learned = plain - ingested.skipped - ingested.forgets
        return ingested

    def _look_closely(self, partition: int, records: Sequence[Record], ingested: Ingested) -> None:
        """Read the records one by one that are not plain: what is a rating goes into the rows."""
        rows = ingested.rows
        kinds = np.zeros(len(records), np.uint8)
        places = np.flatnonzero(~rows.plain).tolist()
        rows.ratings[places], rows.times[places] = np.nan, 0.0
        ids: list[bytes] = []
        end = len(rows.text)
        for place in places:
            event = self._read_one(partition, records[place], ingested)
            if event is None:
                continue
            value, user, item = None, NOBODY, NOBODY
            if isinstance(event, Rating):
                value = event.rating
            elif isinstance(event, Merge):
                kinds[place] = MERGE
            else:
                kinds[place] = FORGET_ITEM if event.user is None else FORGET_USER
            if event.user is not None:
                user = event.user.encode()
            other = event.guest if isinstance(event, Merge) else event.item
            if other is not None:
                item = other.encode()
            middle = end + len(user)
            rows.plain[place] = True
            rows.spans[place] = end, middle, middle, middle + len(item)
            end = middle + len(item)
            ids += user, item
            rows.ratings[place] = np.nan if value is None else value
            rows.times[place] = np.nan if event.timestamp is None else event.timestamp
        text = np.concatenate([rows.text, np.frombuffer(b"".join(ids), np.uint8)])
        text.flags.writeable = False  # a kernel is compiled for one kind
        ingested.rows = rows._replace(text=text, kinds=kinds if kinds.any() else None)

    def _read_one(self, partition: int, record: Record, ingested: Ingested) -> Event | None:
        """The event of a record; where it has none, its dead letter is put into `ingested`."""
        if isinstance(record, Unreadable):
            ingested.dead_letters.append(unread_letter(record))
            ingested.refusals.append(
                Refusal(Kind.UNREADABLE, self.topic, partition, record.first, record.cause)
            )
            return None
        try:
            event = self._decoder.decode_event(record.value, record.headers)
            if isinstance(event, Merge):
                self._check_shards(event)
            return event
        except BadMessage as error:
            letter = dead_letter(self.topic, partition, record, b"decode", str(error))
            ingested.dead_letters.append(letter)
            ingested.refusals.append(Refusal(error.kind, self.topic, partition, record.offset, str(error)))
            return None

    def _check_shards(self, merge: Merge) -> None:
        """Refuse to merge users of whom no shard knows both."""
        partitions = [partition_of(user, self._partitions) for user in (merge.user, merge.guest)]
        if partitions[0] != partitions[1]:
            raise BadMessage(
                f"user {merge.user!r} and guest {merge.guest!r} are in partitions {partitions[0]} and "
                f"{partitions[1]} of the journal: only users of one partition can be merged - at `$.merge`",
                Kind.BAD_FIELD,
            )


def dead_letter(topic: str, partition: int, record: Record, stage: bytes, reason: str) -> Outgoing:
    """A record untouched, with what is wrong with it in the headers that Kafka Connect uses."""
    headers = [
        *record.headers,
        ("__connect.errors.topic", topic.encode()),
        ("__connect.errors.partition", b"%d" % partition),
        ("__connect.errors.offset", b"%d" % record.offset),
        ("__connect.errors.exception.class.name", BAD_MESSAGE_CLASS.encode()),
        ("__connect.errors.exception.message", reason[:1000].encode(errors="replace")),
        ("__connect.errors.stage", stage),
    ]
    # The client refuses a record that is null in both, which others send: its letter has an empty key.
    key = b"" if record.key is None and record.value is None else record.key
    return Outgoing(partition, key, record.value, record.timestamp, headers)


def unread_letter(record: Unreadable) -> Outgoing:
    """The dead letter of what could not be read: its bytes, under the first offset that it stands for."""
    reason = record.cause if record.first == record.offset else str(record)
    return dead_letter(record.topic, record.partition, record.as_fetched(), b"read", reason)


def written_at(records: Sequence[Record]) -> NDArray[np.float64]:
    """The times when records were written, in seconds; NaN where they do not say.

    The timestamp is mostly its producer's: -1 stands for none, and so does what a rating's could not be.
    """
    seconds = np.array([record.timestamp for record in records], np.float64) / 1000
    return np.where((seconds >= 0.0) & (seconds <= MAX_TIMESTAMP), seconds, np.nan)
