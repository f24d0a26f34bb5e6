"""An experiment's report, what it rests on, and what to mind: for a person and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from recommender.errors import RecommenderError
from recommender.experiments import report as experiment
from recommender.experiments.log_join import JoinedLogs
from recommender.experiments.log_progress import LogProgress
from recommender.experiments.reading import Logs
from recommender.experiments.report import Report
from recommender.experiments.statistics import CONFIDENCE, RESAMPLES
from recommender.settings import Settings
from recommender.shard.options import arms_of


class SummaryError(RecommenderError):
    """Nothing to report, or not what was asked for."""


@dataclass(frozen=True, slots=True)
class Read:
    """The part of one topic that was read; times in seconds since 1970, None if there was nothing.

    Of the journal, records are its ratings that count.
    """

    topic: str
    records: int
    bad: int
    late: int
    first: float | None
    last: float | None
    offsets: list[int]
    note: str
    unit: str

    @classmethod
    def of(cls, topic: str, progress: Sequence[LogProgress], unit: str) -> Read:
        """Sum up all partitions."""
        first, last = min(each.first for each in progress), max(each.last for each in progress)
        known = math.isfinite(first)
        return cls(
            topic,
            sum(each.records for each in progress),
            sum(each.bad for each in progress),
            sum(each.late for each in progress),
            first if known else None,
            last if known else None,
            [each.offset for each in progress],
            next((each.note for each in progress if each.note), ""),
            unit,
        )

    def as_json(self) -> dict[str, Any]:
        """Convert to a plain dictionary."""
        names = ("topic", "records", "bad", "late", "first", "last", "offsets")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Summary:
    """A report and what it rests on.

    Attributes
    ----------
    experiment : str
    report : Report
    window : float
        In seconds.
    since, until : float or None
    ratings, recommendations : Read
    warnings : list of str
        What to mind.
    """

    experiment: str
    report: Report
    window: float
    since: float | None
    until: float | None
    ratings: Read
    recommendations: Read
    warnings: list[str]

    def as_json(self) -> dict[str, Any]:
        """Convert to plain dictionaries and lists."""
        return {
            "experiment": self.experiment,
            "window": self.window,
            "since": self.since,
            "until": self.until,
            "confidence": CONFIDENCE,
            "resamples": RESAMPLES,
            **self.report.as_json(),
            "read": {"ratings": self.ratings.as_json(), "recommendations": self.recommendations.as_json()},
            "warnings": self.warnings,
        }


def summary(
    config: Settings,
    logs: Logs,
    joined: JoinedLogs,
    *,
    name: str | None,
    base: str | None,
    window: float,
    since: float | None,
    until: float | None,
) -> Summary:
    """Report on one experiment.

    Parameters
    ----------
    config : Settings
        Its own experiment and the order of its arms are the default ones.
    logs, joined
        What was read.
    name, base : str, optional
        The experiment, and the arm that the others are compared with.
    window, since, until : float
        With which `joined` was made.

    Raises
    ------
    SummaryError
        The log is empty or has no such experiment or arm.
    """
    ratings = Read.of(logs.journal.topic, joined.journal, "rating")
    recommendations = Read.of(logs.recommendations.topic, joined.recommendations, "record")
    if recommendations.first is None:
        raise SummaryError(_nothing(recommendations))
    counts = joined.counts()
    known = [counts.names["experiment"][number] for number in np.unique(counts.rows["experiment"])]
    chosen = _chosen(known, name, config.experiment, logs.recommendations.topic)
    mine = counts.of(chosen)
    # An arm that was only shown where it was named is none of those that are compared, unless there is no
    # other.
    given = mine.rows[mine.rows["forced"] == 0]
    rows = given if len(given) else mine.rows
    shown = [mine.names["arm"][number] for number in np.unique(rows["arm"])]
    told = experiment.report(mine, _order(config, chosen, shown, base))
    warnings = _warnings(told, ratings, recommendations, [each for each in known if each != chosen])
    return Summary(chosen, told, window, since, until, ratings, recommendations, warnings)


def _nothing(log: Read) -> str:
    if log.records:
        return f"None of the {log.records:,} records of {log.topic} is a recommendation; {log.note}"
    return (
        f"{log.topic} has no records: nothing was recommended yet by a worker with two or more "
        "RECOMMENDER_ARMS, or with RECOMMENDER_RECOMMENDATIONS_LOG=on"
    )


def _chosen(known: list[str], name: str | None, default: str, topic: str) -> str:
    if not known:
        raise SummaryError(f"{topic} has no recommendation between --since and --until")
    shown = ", ".join(repr(each) for each in known)
    if name is not None:
        if name not in known:
            raise SummaryError(f"{topic} has no recommendation of experiment {name!r}; it has {shown}")
        return name
    if default in known or len(known) == 1:
        return default if default in known else known[0]
    raise SummaryError(f"{topic} has several experiments: choose one of {shown} with --experiment")


def _order(config: Settings, chosen: str, shown: list[str], base: str | None) -> tuple[str, ...]:
    """The arms that were shown: the base first, then as the settings have them, then by name."""
    if base is not None and base not in shown:
        raise SummaryError(f"experiment {chosen!r} has no arm {base!r}; it has {', '.join(shown)}")
    own = arms_of(config).names if config.experiment == chosen else ()
    first = {name: place for place, name in enumerate(own)}
    return tuple(sorted(shown, key=lambda name: (name != base, first.get(name, len(first)), name)))


def _warnings(told: Report, ratings: Read, recommendations: Read, others: list[str]) -> list[str]:
    found = []
    for log in (ratings, recommendations):
        if log.bad:
            found.append(
                f"{_count(log.bad, log.unit)} of {log.topic} could not be used; the first: {log.note}"
            )
        if log.late:
            found.append(
                f"{_count(log.late, log.unit)} of {log.topic} left out: further behind the newest before "
                "them than --lateness allows"
            )
    if len(told.arms) == 1:
        found.append(f"only arm {told.arms[0].name!r} was shown: there is nothing to compare it with")
    if not any(group.attributed for group in told.arms):
        when = f"They are from {span(recommendations)}; ratings: {span(ratings)}."
        found.append(f"no recommended item was rated within the window after it was recommended. {when}")
    elif any(not group.attributed for group in told.arms):
        without = ", ".join(repr(group.name) for group in told.arms if not group.attributed)
        found.append(f"nothing that was recommended by {without} was rated: no difference can be told")
    if others:
        found.append(f"the log has other experiments, too: {', '.join(map(repr, others))} (--experiment)")
    return found


def _count(count: int, unit: str) -> str:
    return f"1 {unit}" if count == 1 else f"{count:,} {unit}s"


def span(log: Read) -> str:
    """The times from which and to which a log was read."""
    if log.first is None or log.last is None:
        return "none"
    return f"{_moment(log.first)} to {_moment(log.last)}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
