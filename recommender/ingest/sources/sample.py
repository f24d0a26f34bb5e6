"""The newest records of a topic, and what a mapping would make of them."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from recommender.ingest.sources.configured import reader_of
from recommender.ingest.sources.documents import PlainReader, Reader
from recommender.ingest.sources.item_decoder import ItemDecoder
from recommender.ingest.sources.items_file import ItemsMapping
from recommender.ingest.sources.mapping import SourceMapping, SourcesError
from recommender.ingest.sources.outcomes import Skip
from recommender.ingest.sources.registry import Registry, RegistryAway, SchemaUnknown
from recommender.ingest.sources.schema_reader import SchemaReader
from recommender.ingest.sources.source_ingest import SourceIngest
from recommender.kafka.log_reader import LogReader
from recommender.messages.partitioning import partition_of_bytes
from recommender.messages.refusals import BadMessage, Refusal

#: At most this many records are decoded at a time, as by a worker.
_RUN = 1000


class Sample(NamedTuple):
    """Some of a topic's newest records.

    Attributes
    ----------
    records : list of Record
        Those of each partition, in the order of their offsets.
    written : int
        How many records the topic has about.
    partitions : int
    """

    records: list[Any]
    written: int
    partitions: int


def newest(reader: LogReader, topic: str, partitions: int, most: int) -> Sample:
    """Read the newest records of a topic, from all of its partitions alike.

    Raises
    ------
    LogReadError
        It cannot be read.
    """
    spans = reader.spans(topic, range(partitions))
    each = -(-most // partitions)
    records: list[Any] = []
    for partition, span in enumerate(spans):
        reader.start(topic, partition, max(span.begins, span.ends - each))
        while reader.position < span.ends:
            records += reader.read(_RUN)
    return Sample(records[: max(most, 1)], sum(span.ends - span.begins for span in spans), partitions)


@dataclass(slots=True)
class Outcome:
    """The outcome of mapping a sample.

    Attributes
    ----------
    records, learned, skipped : int
    users, items : set of str
    ratings : Counter of float or None
        None withdraws.
    times : list of float
        The first and the last.
    reasons : Counter of str
        Why records are skipped.
    events : Counter of str
        Names that are not listed.
    refusals : list of Refusal
        One for each record that is rejected.
    keys : Counter of bool
        Whether records that teach have their user's id as key.
    """

    records: int = 0
    learned: int = 0
    forgets: int = 0
    skipped: int = 0
    users: set[str] = field(default_factory=set)
    items: set[str] = field(default_factory=set)
    ratings: Counter[float | None] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    refusals: list[Refusal] = field(default_factory=list)
    keys: Counter[bool] = field(default_factory=Counter)

    @property
    def rejected(self) -> float:
        """The share of records that are rejected, in percent."""
        return 100 * len(self.refusals) / self.records if self.records else 0.0


def reader_for(
    mapping: SourceMapping, records: Sequence[Any], registry: Registry | None
) -> SchemaReader | None:
    """A reader of these records by their schemas, once these are fetched; None where they have none.

    Raises
    ------
    SourcesError
        The registry does not answer.
    """
    reader = reader_of(mapping, registry)
    if reader is not None and registry is not None:
        for schema in reader.missing(records):
            try:
                registry.fetch(schema)
            except SchemaUnknown:
                pass
            except RegistryAway as error:
                raise SourcesError(f"The schema registry does not answer: {error}") from None
    return reader


def judge(
    mapping: SourceMapping,
    records: Sequence[Any],
    low: float,
    high: float,
    *,
    skips: bool = False,
    registry: Registry | None = None,
) -> Outcome:
    """Map records.

    Raises
    ------
    SourcesError
        The registry does not answer.
    """
    reader = reader_for(mapping, records, registry)
    ingest, found = SourceIngest(mapping, low, high, skips=skips, reader=reader), Outcome()
    for partition in sorted({record.partition for record in records}):
        theirs = [record for record in records if record.partition == partition]
        for begin in range(0, len(theirs), _RUN):
            _add(found, ingest, partition, theirs[begin : begin + _RUN])
    return found


def judge_items(mapping: ItemsMapping, records: Sequence[Any]) -> Outcome:
    """Map records that say what is known of items."""
    decoder, found = ItemDecoder(mapping), Outcome(len(records))
    for record in records:
        try:
            found.items.update(item for item, _ in decoder.decode(record))
            found.learned += 1
        except Skip as skip:
            found.skipped += 1
            found.reasons[str(skip.reason)] += 1
        except BadMessage as error:
            place = mapping.topic, record.partition, record.offset
            found.refusals.append(Refusal(error.kind, *place, str(error)))
    return found


def unread(records: Sequence[Any], reader: Reader | None) -> Counter[str]:
    """Count the reasons why values of records cannot be read."""
    reader, found = reader or PlainReader(), Counter[str]()
    for record in records:
        try:
            if record.value is None:
                found["they are null"] += 1
            else:
                reader.read(record)
        except BadMessage as error:
            found[str(error)] += 1
    return found


def _add(found: Outcome, ingest: SourceIngest, partition: int, records: Sequence[Any]) -> None:
    ingested = ingest.read(partition, records)
    assert ingested.places is not None
    ratings = ingested.rows.are_ratings
    rows, places = ingested.rows.of(ratings), ingested.places[ratings]
    users = rows.ids(0)
    found.records += len(records)
    found.learned += ingested.learned
    found.forgets += ingested.forgets
    found.skipped += ingested.skipped
    found.users.update(users)
    found.items.update(rows.ids(2))
    found.ratings.update(None if np.isnan(each) else float(each) for each in rows.ratings)
    if len(rows.times):
        times = [*found.times, float(rows.times.min()), float(rows.times.max())]
        found.times = [min(times), max(times)]
    found.reasons.update({str(reason): count for reason, count in ingested.passed.items() if count})
    found.events += ingested.unlisted
    found.refusals += ingested.refusals
    for place, user in zip(places.tolist(), users, strict=True):
        key = records[place].key
        found.keys[key is not None and key == user.encode()] += 1


def partitioner(records: Sequence[Any], partitions: int) -> str | None:
    """The rule by which the records' keys were given their partitions.

    Returns
    -------
    str or None
        None where nothing can be said: one partition, or no keys.
    """
    keyed = [record for record in records if record.key]
    if partitions < 2 or not keyed:
        return None
    if all(partition_of_bytes(each.key, partitions) == each.partition for each in keyed):
        return "murmur2, as Kafka's own producers"
    if all(zlib.crc32(each.key) % partitions == each.partition for each in keyed):
        return "CRC32, as librdkafka's producers"
    return "neither murmur2 nor CRC32 of the key"
