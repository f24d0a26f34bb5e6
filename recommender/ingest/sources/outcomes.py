"""Outcomes of a source's records."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from recommender.history.rows import RATING


class SkipReason(StrEnum):
    """Reasons why a sound record is no rating: few, so that they can be labels."""

    NULL_VALUE = "null_value"
    #: A transaction's mark or a logical message of Debezium, or a truncated table.
    NO_CHANGE = "no_change"
    WHERE = "where"
    EVENT = "event"
    EVENT_NOT_LISTED = "event_not_listed"
    BELOW_STEPS = "below_steps"
    EMPTY = "empty"
    #: A row that is not gone, of a table that says who is to be forgotten.
    KEPT = "kept"
    #: 0 or ``"skip"`` of signed ratings: these reach the journal.
    RATING = "rating"


class Skip(Exception):
    """A record, or an element of one, that is passed over.

    Attributes
    ----------
    reason : SkipReason
    event : str
        The event's name, where it is one that is not listed.
    """

    def __init__(self, reason: SkipReason, event: str = "") -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.event = event


class Row(NamedTuple):
    """A rating that a record gives; `rating` is NaN to withdraw, `time` is NaN where nothing says when.

    Of another kind it says who is to be forgotten, see `recommender.history.rows`.
    """

    user: str
    item: str
    rating: float
    time: float
    kind: int = RATING
