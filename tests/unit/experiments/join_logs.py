"""Logs of ratings and recommendations for tests of their join."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from recommender.experiments.log_join import JoinedLogs
from recommender.journal.block import Source
from recommender.journal.rule import Rule
from recommender.messages.recommendations_log import LoggedPlace, LoggedRecommendation
from recommender.shard.feedback import Feedback
from tests.support.doubles import FakeRecord
from tests.unit.experiments.joins import WINDOW, Key, Shown, plain
from tests.unit.journal.blocks import OTHER, TOPIC, Row, packed

SOURCES = [Source(TOPIC, 0), Source(TOPIC, 1), Source(OTHER, 0)]

LATENESS = 8.0

GRADED = Feedback.parse("graded:4")

#: When Kafka got the records: later than any event.
NOW = 1000.0


def record(
    topic: str, partition: int, offset: int, value: bytes | None, timestamp: int = int(NOW * 1000)
) -> FakeRecord:
    return FakeRecord(offset, value, None, timestamp, (), topic, partition)


def block(
    *ratings: tuple[str, str, float | None, float], begin: int = 0, source: Source = SOURCES[0]
) -> bytes:
    """Ratings of consecutive offsets of a source."""
    rows = [Row(offset, *each) for offset, each in enumerate(ratings, begin)]
    return packed(rows, begin, begin + len(rows), source)


def logged(shown: Shown) -> bytes:
    places = [LoggedPlace(*place) for place in shown.places]
    return LoggedRecommendation(*shown[:4], f"{shown.arm}-model", shown.time, places).encode()


def fetched(topic: str, values: Sequence[bytes | None], partition: int = 0) -> list[FakeRecord]:
    return [record(topic, partition, offset, value) for offset, value in enumerate(values)]


def logs_of(
    *,
    partitions: int = 1,
    log_partitions: int = 1,
    feedback: Feedback = GRADED,
    window: float = WINDOW,
    **limits: Any,
) -> JoinedLogs:
    rules = [Rule("rated", partition, partitions) for partition in range(partitions)]
    return JoinedLogs(rules, log_partitions, feedback, window=window, lateness=LATENESS, **limits)


def one(joined: JoinedLogs) -> tuple[Key, tuple[int, int, int]]:
    """The only row of counts."""
    (row,) = plain(joined.counts()).items()
    return row


def shown_once(joined: JoinedLogs, user: str = "u", time: float = 10.0) -> None:
    joined.take_recommendations(0, fetched("shown", [logged(Shown(user, "r", "e", "a", time, ("x",)))]))
