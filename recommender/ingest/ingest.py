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
from recommender.messages.ratings import BadMessage, Headers, Rating, RatingDecoder, Rows, header
from recommender.messages.refusals import BAD_MESSAGE_CLASS, LEARN_FAILED_CLASS, Kind, Refusal
from recommender.messages.unreadable import Unreadable
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
    refusals : list of Refusal
        Why each of the dead letters is one.
    """

    learned: int = 0
    skipped: int = 0
    dead_letters: list[Outgoing] = field(default_factory=list)
    forwards: list[Outgoing] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


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
        rows = self._decoder.read(records, (SOURCE,))
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
        if isinstance(record, Unreadable):
            outcome.dead_letters.append(unread_letter(record))
            outcome.refusals.append(
                Refusal(Kind.UNREADABLE, self.topic, shard.partition, record.first, record.cause)
            )
            return None
        try:
            rating = self._decoder.decode(record.value, record.headers)
        except BadMessage as error:
            self._refuse(outcome, shard.partition, record, b"decode", error.kind, str(error))
            return None
        if self.partitions > 1 and rating.user not in shard.users:
            owner = partition_of(rating.user, self.partitions)
            if owner != shard.partition:
                self._send_on(outcome, shard.partition, owner, record, rating)
                return None
        return rating if not record.headers or self._is_first(shard, record) else None

    def drop(self, shard: Shard, record: Record, said: str) -> Outcome:
        """Move the shard's offset past a record that it cannot learn; the record's dead letter.

        Parameters
        ----------
        shard : Shard
        record : Record
        said : str
            What learning it raised.
        """
        shard.offset = record.offset + 1
        outcome = Outcome()
        self._refuse(outcome, shard.partition, record, b"learn", Kind.LEARN_FAILED, said)
        return outcome

    def _send_on(self, outcome: Outcome, here: int, owner: int, record: Record, rating: Rating) -> None:
        if header(record.headers, SOURCE) is not None:
            reason = (
                f"user {rating.user!r} belongs to partition {owner} of {self.partitions}, but the rating "
                f"was forwarded to partition {here}: did the number of partitions change?"
            )
            self._refuse(outcome, here, record, b"route", Kind.WRONG_PARTITION, reason)
            return
        headers = [*record.headers, (SOURCE, f"{here}:{record.offset}".encode())]
        outcome.forwards.append(
            Outgoing(owner, rating.user.encode(), record.value, record.timestamp, headers)
        )

    def _is_first(self, shard: Shard, record: Record) -> bool:
        """Whether a rating is here for the first time; a forwarded one may come again after a crash."""
        source = source_of(record.headers, self.partitions)
        return source is None or shard.forwarded.is_first(*source)

    def _refuse(
        self, outcome: Outcome, partition: int, record: Record, stage: bytes, kind: Kind, reason: str
    ) -> None:
        """Put the record's dead letter into an outcome, and why it is one."""
        outcome.dead_letters.append(dead_letter(self.topic, partition, record, stage, kind, reason))
        outcome.refusals.append(Refusal(kind, self.topic, partition, record.offset, reason))


def dead_letter(
    topic: str, partition: int, record: Record, stage: bytes, kind: Kind, reason: str
) -> Outgoing:
    """A record untouched, with what is wrong with it in the headers that Kafka Connect uses."""
    name = LEARN_FAILED_CLASS if kind is Kind.LEARN_FAILED else BAD_MESSAGE_CLASS
    headers = [
        *record.headers,
        ("__connect.errors.topic", topic.encode()),
        ("__connect.errors.partition", b"%d" % partition),
        ("__connect.errors.offset", b"%d" % record.offset),
        ("__connect.errors.exception.class.name", name.encode()),
        ("__connect.errors.exception.message", reason[:1000].encode(errors="replace")),
        ("__connect.errors.stage", stage),
    ]
    # The client refuses a record that is null in both, which others send: its letter has an empty key.
    key = b"" if record.key is None and record.value is None else record.key
    return Outgoing(partition, key, record.value, record.timestamp, headers)


def unread_letter(record: Unreadable) -> Outgoing:
    """The dead letter of what could not be read: its bytes, under the first offset that it stands for."""
    reason = record.cause if record.first == record.offset else str(record)
    return dead_letter(record.topic, record.partition, record.as_fetched(), b"read", Kind.UNREADABLE, reason)


def _fill_times(rows: Rows, records: Sequence[Record]) -> None:
    """Ratings that do not say when they were given have their record's timestamp."""
    for place in np.flatnonzero(np.isnan(rows.times)).tolist():
        rows.times[place] = records[place].timestamp / 1000
