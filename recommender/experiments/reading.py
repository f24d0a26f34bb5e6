"""Reads the journal and the recommendations log from where a join has got to, up to where they end now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kafka.errors import KafkaError

from recommender.errors import RecommenderError
from recommender.experiments.log_join import JoinedLogs
from recommender.experiments.log_progress import LogProgress
from recommender.kafka.admin import open_admin, security_options
from recommender.kafka.log_reader import LogReader, Span, reading_logs
from recommender.kafka.topics import TopicInfo, Topics, identify
from recommender.messages.records import Record
from recommender.settings import Settings

POLL_RECORDS = 2_000

#: Told how many records of how many were read.
Advance = Callable[[int, int], None]


class ReadingError(RecommenderError):
    """The logs cannot be read, or not from where a saved state ends."""


@dataclass(frozen=True, slots=True)
class Logs:
    """The two topics as they are."""

    journal: TopicInfo
    recommendations: TopicInfo


def find(settings: Settings) -> Logs:
    """The two topics.

    Raises
    ------
    BrokerUnreachableError
        No broker answers.
    ReadingError
        One of them does not exist.
    """
    names, security = Topics(settings.topic_prefix), security_options(settings)
    with open_admin(settings.broker, 0.0, security) as admin:
        try:
            present = set(admin.list_topics())
        except KafkaError as error:
            raise ReadingError(f"Kafka at {settings.broker} does not list its topics: {error}") from None
    for name, writes in (
        (names.journal, "workers write the ratings to it"),
        (names.recommendations, "a worker with two or more RECOMMENDER_ARMS writes to it"),
    ):
        if name not in present:
            raise ReadingError(
                f"There is no topic {name} at {settings.broker}: `recommender topics` creates it, and "
                f"{writes}"
            )
    found = [
        identify(settings.broker, name, 0.0, security) for name in (names.journal, names.recommendations)
    ]
    return Logs(*found)


def read(settings: Settings, logs: Logs, joined: JoinedLogs, advance: Advance) -> list[str]:
    """Read both topics from where `joined` has got to, up to the ends that they have now.

    Always the partition that is furthest behind by event time is read on, so what has to be held in memory is
    bounded.

    Parameters
    ----------
    settings : Settings
    logs : Logs
    joined : JoinedLogs
    advance : callable
        Told again and again how many records of how many were read.

    Returns
    -------
    list of str
        Records that were there once and are not any more.

    Raises
    ------
    ReadingError
        A topic ends before what was read of it.
    LogReadError
        The broker stops answering, or retention overtakes the reading.
    BlockError
        A record of the journal is not a block that this version can read.
    """
    security = security_options(settings)
    with (
        reading_logs(settings.broker, security) as journal,
        reading_logs(settings.broker, security) as recommendations,
    ):
        # All at one moment, and before anything is read.
        parts = _parts(journal, logs.journal.topic, joined.journal, joined.take_blocks)
        blocks = len(parts)
        parts += _parts(
            recommendations, logs.recommendations.topic, joined.recommendations, joined.take_recommendations
        )
        gaps = [gap for part in parts if (gap := part.gap())]
        for part in parts[:blocks]:
            joined.skip_journal(part.partition, part.offset)
        total = sum(part.left for part in parts)
        while unread := [part for part in parts if part.left]:
            min(unread, key=lambda part: part.progress.frontier).read()
            if joined.has_grown:
                joined.settle(part.progress for part in parts if not part.left)
            advance(total - sum(part.left for part in parts), total)
    joined.settle_at_ends()
    return gaps


@dataclass(slots=True)
class _Part:
    """A partition of one of the topics, and what its records are given to."""

    reader: LogReader
    topic: str
    partition: int
    span: Span
    progress: LogProgress
    take: Callable[[int, Sequence[Record]], None]
    offset: int

    @property
    def left(self) -> int:
        """The number of offsets that are still to be read."""
        return max(0, self.span.ends - self.offset)

    def gap(self) -> str:
        """Describe what was not read before it expired; empty if that is nothing."""
        begins, written, reached = self.span.begins, self.span.written, self.progress.offset
        place = f"{self.topic}[{self.partition}]"
        if reached > written:
            raise ReadingError(
                f"{place} ends at offset {written}, but was read up to offset {reached} before: records are "
                "gone; another --state starts over"
            )
        if 0 < reached < begins:
            return f"{place}: offsets {reached} to {begins - 1} expired before they were read"
        return ""

    def read(self) -> None:
        """Read on."""
        self.reader.turn_to(self.topic, self.partition, self.offset)
        records = self.reader.read(POLL_RECORDS)
        # Also past what is no record, as the marks of transactions.
        self.offset = self.reader.position
        # What came after the look at the ends is for the next time: all end at one moment.
        records = [record for record in records if record.offset < self.span.ends]
        if records:
            self.take(self.partition, records)


def _parts(
    reader: LogReader,
    topic: str,
    progress: Sequence[LogProgress],
    take: Callable[[int, Sequence[Record]], None],
) -> list[_Part]:
    spans = reader.spans(topic, range(len(progress)))
    return [
        _Part(reader, topic, partition, span, each, take, max(span.begins, each.offset))
        for partition, (span, each) in enumerate(zip(spans, progress, strict=True))
    ]
