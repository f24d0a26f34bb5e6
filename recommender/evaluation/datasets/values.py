"""Numbers and times in rating files: how they are read, and which of them a worker would refuse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from recommender.errors import SourceError
from recommender.messages import contract
from recommender.messages.ratings import MAX_TIMESTAMP, SURE_CHARACTERS, Rating

#: The value of a rating where the file has no such column: the interaction itself.
IMPLICIT_RATING = 1.0

Unit = Literal["s", "ms", "us", "ns"]
#: How many of each unit a second has.
UNITS: dict[Unit, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_NAMES = dict(zip(contract.UNITS, list(UNITS)[1:], strict=True))


class Bounds:
    """The ratings that a worker takes, where that is asked for.

    Parameters
    ----------
    path : Path
        What errors name.
    unit : Unit
        Of the file's times.
    scale : (float, float) or None
        Of ratings; None takes everything.

    Attributes
    ----------
    per_second : float
        How many of the file's units a second has.
    limits : tuple of float
        The lowest and the highest rating, the earliest and the latest time, and a number of
        characters with which no id is too long: within them there is nothing to check.
    """

    def __init__(self, path: Path, unit: Unit, scale: tuple[float, float] | None) -> None:
        self.path = path
        self.per_second = UNITS[unit]
        self.limits = (-math.inf, math.inf, -math.inf, math.inf, math.inf)
        self._scale = scale
        if scale is not None:
            self.limits = (*scale, 0.0, float(MAX_TIMESTAMP), float(SURE_CHARACTERS))

    def check(self, number: int, rating: Rating) -> None:
        """Refuse the rating of a line that a worker would refuse.

        Raises
        ------
        SourceError
        """
        fault = self._scale and contract.fault(rating, self._scale)
        if not fault:
            return
        unit = contract.unit_of(rating.timestamp or 0.0) if fault.startswith("timestamp") else ""
        hint = ""
        if unit and self.per_second == 1:
            hint = f"; --time-unit {_NAMES[unit]} reads them"
        elif fault.startswith("rating"):
            hint = "; RECOMMENDER_FEEDBACK, RECOMMENDER_RATING_MIN and _MAX say what the worker takes"
        raise SourceError(f"{self.path} line {number}: {fault}{hint}")


def seconds_of(text: str) -> float | None:
    """A date and time as ISO 8601 writes them, in seconds since 1970; None where the text is none."""
    try:
        when = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def wrong_number(
    path: Path, number: int, row: Sequence[str], rating_at: int, timestamp_at: int
) -> tuple[float, float]:
    """The rating and the time of a row whose time is a date; else what is wrong with its numbers.

    Raises
    ------
    SourceError
        The text names which of them is none.
    """
    rating = _number(path, number, "rating", row[rating_at]) if rating_at >= 0 else IMPLICIT_RATING
    text = row[timestamp_at]
    when = seconds_of(text)
    if when is None:
        _number(path, number, "timestamp", text, " and no date as in 2024-05-01T12:00:00Z")
        raise AssertionError("unreachable: some number was wrong")
    return rating, when


def _number(path: Path, line: int, name: str, text: str, otherwise: str = "") -> float:
    try:
        value = float(text)
    except ValueError:
        raise SourceError(f"{path} line {line}: {name} {text[:80]!r} is not a number{otherwise}") from None
    if not math.isfinite(value):
        raise SourceError(f"{path} line {line}: {name} {text[:80]!r} is not finite")
    return value
