"""Reads the ratings and the recommendations log from where a join has got to, up to where they end now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kafka.errors import KafkaError

from recommender.errors import RecommenderError
from recommender.experiments.log_join import JoinedLogs
from recommender.experiments.log_progress import Progress
from recommender.kafka.admin import open_admin, security_options
from recommender.kafka.log_reader import LogReader
from recommender.kafka.topics import Topics, identify
from recommender.messages.records import Record
from recommender.retraining.log_replay import POLL_RECORDS, reading
from recommender.settings import Settings

#: Told how many records of how many were read.
Advance = Callable[[int, int], None]


class ReadingError(RecommenderError):
    """The logs cannot be read, or not from where a saved state ends."""


@dataclass(frozen=True, slots=True)
class Logs:
    """The two topics as they are: their names, their ids and how many partitions each has."""

    ratings: str
    recommendations: str
    ratings_id: str
    recommendations_id: str
    partitions: int


def find(settings: Settings) -> Logs:
    """The two topics.

    Raises
    ------
    BrokerUnreachableError
        No broker answers.
    ReadingError
        One of them does not exist, or their numbers of partitions differ.
    """
    names, security = Topics(settings.topic_prefix), security_options(settings)
    with open_admin(settings.broker, 0.0, security) as admin:
        try:
            present = set(admin.list_topics())
        except KafkaError as error:
            raise ReadingError(f"Kafka at {settings.broker} does not list its topics: {error}") from None
    if names.ratings not in present:
        raise ReadingError(f"There is no topic {names.ratings} at {settings.broker}: nothing was rated yet")
    if names.recommendations not in present:
        raise ReadingError(
            f"There is no topic {names.recommendations} at {settings.broker}: `recommender topics` creates "
            "it, and a worker with two or more RECOMMENDER_ARMS writes to it"
        )
    ratings, recommendations = (
        identify(settings.broker, name, 0.0, security) for name in (names.ratings, names.recommendations)
    )
    if ratings.partitions != recommendations.partitions:
        raise ReadingError(
            f"{ratings.topic} has {ratings.partitions} partitions and {recommendations.topic} has "
            f"{recommendations.partitions}: expected equal numbers, since both are keyed by user"
        )
    return Logs(
        ratings.topic,
        recommendations.topic,
        ratings.topic_id,
        recommendations.topic_id,
        ratings.partitions,
    )


def read(settings: Settings, logs: Logs, joined: JoinedLogs, advance: Advance) -> list[str]:
    """Read both topics from where `joined` has got to, up to the ends that they have now.

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
    """
    with reading(settings) as ratings, reading(settings) as recommendations:
        both = (
            _Log(ratings, logs.ratings, joined.ratings, joined.take_ratings),
            _Log(recommendations, logs.recommendations, joined.recommendations, joined.take_recommendations),
        )
        # Both at one moment, and before anything is read.
        ranges = [_ranges(log) for log in both]
        gaps = [gap for log, known in zip(both, ranges, strict=True) for gap in _gaps(log, known)]
        lengths = [sum(each.left for each in known) for known in ranges]
        for partition in range(logs.partitions):
            pair = [(log, known[partition]) for log, known in zip(both, ranges, strict=True)]
            _read_pair(pair, partition, joined, lambda: advance(sum(lengths) - _left(ranges), sum(lengths)))
    joined.settle_at_ends()
    return gaps


@dataclass(frozen=True, slots=True)
class _Log:
    """One of the topics and what its records are given to."""

    reader: LogReader
    topic: str
    progress: list[Progress]
    take: Callable[[int, list[Record]], None]


@dataclass(slots=True)
class _Range:
    """What is to be read of one partition."""

    first: int
    offset: int
    end: int
    written: int

    @property
    def left(self) -> int:
        return max(0, self.end - self.offset)


def _left(ranges: list[list[_Range]]) -> int:
    return sum(each.left for known in ranges for each in known)


def _ranges(log: _Log) -> list[_Range]:
    """What is to be read of each partition as of this moment."""
    spans = log.reader.spans(log.topic, range(len(log.progress)))
    return [
        _Range(span.begins, max(span.begins, each.offset), span.ends, span.written)
        for span, each in zip(spans, log.progress, strict=True)
    ]


def _gaps(log: _Log, ranges: list[_Range]) -> list[str]:
    """In words, what was not read before it expired."""
    gaps = []
    for number, (progress, known) in enumerate(zip(log.progress, ranges, strict=True)):
        place = f"{log.topic}[{number}]"
        if progress.offset > known.written:
            raise ReadingError(
                f"{place} ends at offset {known.written}, but was read up to offset {progress.offset} "
                "before: records are gone; another --state starts over"
            )
        if 0 < progress.offset < known.first:
            gaps.append(
                f"{place}: offsets {progress.offset} to {known.first - 1} expired before they were read"
            )
    return gaps


def _read_pair(
    pair: list[tuple[_Log, _Range]], partition: int, joined: JoinedLogs, advance: Callable[[], None]
) -> None:
    """Read one partition of both topics, always of the one that is behind by event time.

    So what has to be held in memory is bounded. A consumer for each, since one that pauses partitions may
    never go on with them (seen with kafka-python 3.0.12).
    """
    for log, known in pair:
        log.reader.start(log.topic, partition, known.offset)
    (ratings, of_ratings), (recommendations, of_recommendations) = pair
    while of_ratings.left or of_recommendations.left:
        behind = joined.ahead(partition) > 0
        if of_recommendations.left and (behind or not of_ratings.left):
            _poll(recommendations, partition, of_recommendations)
        else:
            _poll(ratings, partition, of_ratings)
        joined.settle()
        advance()


def _poll(log: _Log, partition: int, known: _Range) -> None:
    """Read on in one partition."""
    records = log.reader.read(POLL_RECORDS)
    # Also past what is no record, as the marks of transactions.
    known.offset = log.reader.position
    # What came after the look at the ends is for the next time: both logs end at one moment.
    log.take(partition, [record for record in records if record.offset < known.end])
