"""Ingests a source's records: valid ratings, what is passed over, and dead letters."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.history.rows import Rows, concatenated
from recommender.ingest.header_names import marked_by
from recommender.ingest.ingest import BatchDecoder, Ingested, dead_letter, unread_letter, written_at
from recommender.ingest.sources.column_decoder import ColumnDecoder
from recommender.ingest.sources.columns import NOTHING, Columns, ReadColumns
from recommender.ingest.sources.decoder import SourceDecoder
from recommender.ingest.sources.documents import PlainReader, Reader
from recommender.ingest.sources.field_decoder import FieldDecoder, ReadRows
from recommender.ingest.sources.mapping import SourceMapping
from recommender.ingest.sources.outcomes import Row, Skip, SkipReason
from recommender.messages.content_types import HEADER as CONTENT_TYPE
from recommender.messages.content_types import is_msgpack
from recommender.messages.records import Record
from recommender.messages.refusals import BadMessage, Kind, Refusal
from recommender.messages.unreadable import Unreadable

Places = NDArray[np.int64]


@dataclass(slots=True)
class IngestedSource(Ingested):
    """The outcome of a run of a source's records: each is learned, passed over or a dead letter.

    Attributes
    ----------
    passed : Counter of SkipReason
        Records that were passed over.
    unlisted : Counter of str
        Names of events that are not listed.
    """

    passed: Counter[SkipReason] = field(default_factory=Counter)
    unlisted: Counter[str] = field(default_factory=Counter)


class SourceIngest:
    """Reads records of a source's topic.

    Parameters
    ----------
    mapping : SourceMapping
    low, high : float
        The worker's scale of ratings.
    skips : bool
        A rating may be ``"skip"``.
    reader : Reader, optional
        Of values that have a schema.
    clock : function
        Seconds since 1970: when a rating was given if neither it nor its record says so.
    by_column : bool
        Decode plain records many at once; False decodes each by itself, which is slower and gives the same.
    """

    def __init__(
        self,
        mapping: SourceMapping,
        low: float,
        high: float,
        *,
        skips: bool = False,
        reader: Reader | None = None,
        clock: Callable[[], float] = time.time,
        by_column: bool = True,
    ) -> None:
        self.mapping = mapping
        self.topic = mapping.topic
        self._skips = skips
        self._clock = clock
        self.decoder = SourceDecoder(mapping, reader or PlainReader(mapping.format), low, high, skips=skips)
        self._columns = ColumnDecoder.of(mapping, low, high) if by_column else None
        self._fields = None if self._columns is None else FieldDecoder.of(mapping, low, high)
        self._kernel = BatchDecoder(low, high, skips=skips) if _is_canonical(mapping) else None
        self._reader = reader
        self._documents = mapping.format in ("avro", "protobuf")

    def read(self, partition: int, records: Sequence[Record]) -> IngestedSource:
        """Read consecutive records of a partition."""
        ingested = IngestedSource(_rows(NOTHING))
        ratings = self._canonical(records)
        ingested.places = np.arange(len(records))
        if ratings is None:
            parts, closely = self._plain(records, ingested)
            parts.append(self._look_closely(partition, records, closely, ingested))
            ratings, ingested.places = _merged(parts)
        untimed = np.flatnonzero(np.isnan(ratings.times))
        if len(untimed):
            written = written_at([records[place] for place in ingested.places[untimed].tolist()])
            ratings.times[untimed] = np.where(np.isnan(written), self._clock(), written)
        ingested.rows = ratings
        zeros = int(np.count_nonzero(ratings.ratings == 0.0)) if self._skips else 0
        ingested.passed[SkipReason.RATING] += zeros
        ingested.skipped = ingested.passed.total()
        ingested.forgets = len({int(ingested.places[place]) for place, _ in ratings.others()})
        ingested.learned = len(records) - ingested.skipped - len(ingested.refusals) - ingested.forgets
        return ingested

    def _canonical(self, records: Sequence[Record]) -> Rows | None:
        """Records that are all as the ratings topic has them, which a kernel reads."""
        if self._kernel is None or (self._reader is not None and _has_prefix(records)):
            return None
        rows = self._kernel.read(records)
        if not rows.plain.all():
            return None
        if self.mapping.time is None:
            rows.times[:] = np.nan
        return rows

    def _plain(self, records: Sequence[Record], ingested: IngestedSource) -> tuple[list[_Part], list[int]]:
        """The ratings of plain records, and the places of the others."""
        if self._columns is None:
            return [], list(range(len(records)))
        kept, closely = self._with_values(records, ingested)
        if self._reader is not None and (self._documents or _has_prefix(records)):
            read = self._columns.read_documents(_those(records, kept), self._reader)
            part, kept = _counted(read, kept, ingested)
            return [part], sorted(closely + kept.tolist())
        marked, packed = self._of_one_format(_those(records, kept))
        if not marked.all():
            closely += kept[~marked].tolist()
            kept = kept[marked]
        parts = []
        if self._fields is not None and len(kept) and not packed:
            part, kept = _counted(self._fields.read(_those(records, kept)), kept, ingested)
            parts.append(part)
        if len(kept):
            part, kept = _counted(self._columns.read(_those(records, kept), packed=packed), kept, ingested)
            parts.append(part)
        return parts, sorted(closely + kept.tolist())

    def _with_values(self, records: Sequence[Record], ingested: IngestedSource) -> tuple[Places, list[int]]:
        """The places of records that have a value, and of those that cannot be read."""
        places, values = np.arange(len(records)), [record.value for record in records]
        if None not in values:
            return places, []
        without = [place for place, value in enumerate(values) if value is None]
        closely = [place for place in without if isinstance(records[place], Unreadable)]
        ingested.passed[SkipReason.NULL_VALUE] += len(without) - len(closely)
        return np.delete(places, without), closely

    def _of_one_format(self, records: Sequence[Record]) -> tuple[NDArray[np.bool_], bool]:
        """Marks of the records that are of the format that most have, and whether that is MessagePack."""
        chosen = self.mapping.format
        if chosen != "auto":
            return np.ones(len(records), np.bool_), chosen == "msgpack"
        marked = marked_by(
            records, lambda name: name.lower() == CONTENT_TYPE, lambda pair: is_msgpack(pair[1])
        )
        packed = bool(2 * np.count_nonzero(marked) > len(records))
        return marked == packed, packed

    def _look_closely(
        self, partition: int, records: Sequence[Record], places: Sequence[int], ingested: IngestedSource
    ) -> _Part:
        """Read records one by one."""
        rows: list[Row] = []
        of_rows: list[int] = []
        for place in places:
            record = records[place]
            if isinstance(record, Unreadable):
                ingested.dead_letters.append(unread_letter(record))
                self._refuse(ingested, Kind.UNREADABLE, partition, record.first, record.cause)
                continue
            try:
                found = self.decoder.decode(record)
            except Skip as skip:
                ingested.passed[skip.reason] += 1
                if skip.reason is SkipReason.EVENT_NOT_LISTED:
                    ingested.unlisted[skip.event] += 1
                continue
            except BadMessage as error:
                ingested.dead_letters.append(
                    dead_letter(self.topic, partition, record, b"decode", str(error))
                )
                self._refuse(ingested, error.kind, partition, record.offset, str(error))
                continue
            rows += found
            of_rows += [place] * len(found)
        return _Part(_rows(_columns_of(rows, of_rows)), np.array(of_rows, np.int64))

    def _refuse(self, ingested: IngestedSource, kind: Kind, partition: int, offset: int, reason: str) -> None:
        ingested.refusals.append(Refusal(kind, self.topic, partition, offset, reason))


def _those(records: Sequence[Record], places: Places) -> Sequence[Record]:
    return records if len(places) == len(records) else [records[place] for place in places.tolist()]


def _is_canonical(mapping: SourceMapping) -> bool:
    """Tell whether a source has the fields of the ratings topic, and nothing more is asked of them."""
    paths = str(mapping.user), str(mapping.item), str(mapping.rating)
    more = mapping.each, mapping.event, mapping.deleted, mapping.scale
    return (
        paths == ("$.user", "$.item", "$.rating")
        and (mapping.time is None or str(mapping.time) == "$.timestamp")
        and mapping.time_unit in ("auto", "s")
        and mapping.format in ("auto", "json")
        and mapping.envelope == "none"
        and not mapping.where
        and not mapping.forget
        and not any(each is not None for each in more)
    )


def _has_prefix(records: Sequence[Record]) -> bool:
    """Tell whether a schema's id stands in front of the first value."""
    first = next((record.value for record in records if record.value), b"")
    return first[:1] in (b"\x00", b"\x01")


class _Part(NamedTuple):
    """Some of the ratings, and the record of each."""

    rows: Rows
    places: Places


def _counted(read: ReadColumns | ReadRows, kept: Places, ingested: IngestedSource) -> tuple[_Part, Places]:
    """The ratings of the records at some places, and the places of those that need a closer look."""
    ingested.passed += read.skipped
    ingested.unlisted += read.unlisted
    if isinstance(read, ReadRows):
        rows, places = read.rows, read.places
    else:
        rows, places = _rows(read.columns), np.array(read.columns.places, np.int64)
    return _Part(rows, kept[places]), kept[np.array(read.closely, np.int64)]


def _merged(parts: Sequence[_Part]) -> _Part:
    """All ratings in the order of their records."""
    parts = [part for part in parts if len(part.places)] or list(parts[:1])
    if len(parts) == 1:
        return parts[0]
    places = np.concatenate([part.places for part in parts])
    order = np.argsort(places, kind="stable")
    return _Part(concatenated([part.rows for part in parts]).of(order), places[order])


def _columns_of(rows: Sequence[Row], places: list[int]) -> Columns:
    """Rows as columns."""
    kinds = np.array([row.kind for row in rows], np.uint8)
    return Columns(
        places,
        [row.user for row in rows],
        [row.item for row in rows],
        np.array([row.rating for row in rows], np.float64),
        np.array([row.time for row in rows], np.float64),
        kinds if kinds.any() else None,
    )


def _rows(columns: Columns) -> Rows:
    """Columns as the journal takes them."""
    count = len(columns.places)
    ids = [*columns.users, *columns.items]
    joined = "".join(ids)
    if joined.isascii():
        text, lengths = joined.encode(), np.fromiter(map(len, ids), np.int64, 2 * count)
    else:
        encoded = [each.encode() for each in ids]
        text, lengths = b"".join(encoded), np.fromiter(map(len, encoded), np.int64, 2 * count)
    ends = np.cumsum(lengths)
    begins = ends - lengths
    spans = np.stack([begins[:count], ends[:count], begins[count:], ends[count:]], axis=1)
    return Rows(
        np.frombuffer(text, np.uint8),
        spans,
        columns.ratings,
        columns.times,
        np.ones(count, np.bool_),
        columns.kinds,
    )
