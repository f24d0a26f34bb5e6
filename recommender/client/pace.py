"""The pace of a replay: at a rate, or by the times of the ratings."""

from __future__ import annotations

import time

from recommender.errors import SourceError
from recommender.messages.ratings import Event

#: How far a replay that fell behind its rate may hurry.
BURST_SECONDS = 0.1


class Pace:
    """The times at which ratings are due, on the monotonic clock.

    Parameters
    ----------
    rate : float or None
        At most this many ratings a second.
    speed : float or None
        This many times real time, by the times of the ratings.
    """

    def __init__(self, rate: float | None, speed: float | None) -> None:
        self._interval = 1 / rate if rate else 0.0
        self._speed = speed
        self._next = self._start = time.monotonic()
        self._first: float | None = None

    def due(self, rating: Event) -> float:
        """The time at which a rating is due; 0 for at once.

        Raises
        ------
        SourceError
            The pace follows the ratings' times, and there are none.
        """
        due = 0.0
        if self._interval:
            # The time lost while the broker was away is not made up for.
            due = max(self._next, time.monotonic() - BURST_SECONDS)
            self._next = due + self._interval
        if self._speed is not None:
            if self._first is None:
                if rating.timestamp is None:
                    raise SourceError(f"The ratings have no timestamps, which speed {self._speed:g} needs")
                self._first, self._start = rating.timestamp, time.monotonic()
            if rating.timestamp is not None:
                due = max(due, self._start + (rating.timestamp - self._first) / self._speed)
        return due
