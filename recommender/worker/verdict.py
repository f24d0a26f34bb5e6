"""The state of the worker in one plain sentence: the first line of its page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from recommender.web.health import FAILING, OK, WARNING, Check

#: The check that brokers answer.
BROKER = "broker"
#: Less is no lag worth a word, in seconds.
PROMPT_SECONDS = 1.0


class Figures(NamedTuple):
    """The facts that the sentence is made of.

    Attributes
    ----------
    ratings, replies : float
        A second.
    events : int
        Ratings that are learned.
    lag_records, lag_seconds : float
        Of the ratings topic and the journal, the larger one.
    saved_age : float or None
        Seconds since the newest checkpoint.
    standby : bool
        No partition is read here, of neither topic.
    """

    ratings: float
    replies: float
    events: int
    lag_records: int
    lag_seconds: float
    saved_age: float | None
    standby: bool


def verdict(checks: Sequence[Check], figures: Figures) -> dict[str, str]:
    """The sentence and its level: `OK`, `WARNING` or `FAILING`."""
    for level, words in ((FAILING, "Not ready:"), (WARNING, "Working, but")):
        for each in checks:
            if each.level == level:
                # Without a broker nothing is learned, and only HTTP is answered.
                words = "Waiting for Kafka, and losing nothing:" if each.name == BROKER else words
                return {"level": level, "says": f"{words} {each.says}."}
    return {"level": OK, "says": _well(figures)}


def _well(figures: Figures) -> str:
    if not figures.events:
        return "Ready, and waiting for the first rating."
    parts = [_learning(figures)]
    if figures.replies >= 0.5:
        parts.append(f"answering {_number(figures.replies)} requests a second")
    if figures.standby:
        parts.append("a standby that reads no partition")
    if figures.saved_age is not None:
        parts.append(f"saved {_duration(figures.saved_age)} ago")
    return ", ".join(parts) + "."


def _learning(figures: Figures) -> str:
    if figures.lag_records and figures.lag_seconds >= PROMPT_SECONDS:
        behind = f"{_duration(figures.lag_seconds)} behind"
    else:
        behind = "up to date"
    if figures.ratings >= 0.5:
        return f"Learning {_number(figures.ratings)} ratings a second, {behind}"
    if figures.lag_records:
        return f"{figures.lag_records:,} records wait to be learned, {behind}"
    return f"Up to date: all {figures.events:,} ratings are learned"


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _duration(seconds: float) -> str:
    """Seconds in the largest unit of which there are two."""
    for unit, name in ((86400, "days"), (3600, "hours"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
