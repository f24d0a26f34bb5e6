"""Positive ratings of each item in each of the last hours."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.models.base import FloatArray, IntArray

HOUR = 3600.0
#: Pieces of an hour's counts that are kept apart before they are added up.
PIECES = 64
#: Sums are made again after this many seconds, in which they may lack what is new.
FRESH_SECONDS = 1.0


class _Piece(NamedTuple):
    items: IntArray
    counts: NDArray[np.int64]


class HourlyCounts:
    """Positive ratings by item and hour; what is older than `hours` is forgotten.

    The newest hour is that of the newest rating, not of the clock: where nobody rates nothing changes. Times
    of the future are no times.

    Parameters
    ----------
    hours : int
    """

    def __init__(self, hours: int) -> None:
        self.hours = hours
        self._by_hour: dict[int, list[_Piece]] = {}
        self._newest = 0
        self._sums: dict[int, tuple[float, int, FloatArray]] = {}

    @property
    def pieces(self) -> int:
        """The number of pieces that are kept."""
        return sum(map(len, self._by_hour.values()))

    def add(self, items: IntArray, times: NDArray[np.float64], now: float | None = None) -> None:
        """Count ratings, given when each was given in seconds since 1970."""
        latest = (time.time() if now is None else now) + HOUR
        known = (times >= 0) & (times <= latest)
        hours = np.floor(times[known] / HOUR).astype(np.int64)
        items = items[known]
        for hour in np.unique(hours).tolist():
            if hour > self._newest - self.hours:
                found, counts = np.unique(items[hours == hour], return_counts=True)
                self._put(hour, _Piece(found, counts))
        for hour in [each for each in self._by_hour if each <= self._newest - self.hours]:
            del self._by_hour[hour]

    def forget(self, item: int) -> None:
        """Count nothing of an item any more, whose index may be another one's next."""
        for hour, pieces in self._by_hour.items():
            kept = [(piece, piece.items != item) for piece in pieces]
            self._by_hour[hour] = [_Piece(piece.items[other], piece.counts[other]) for piece, other in kept]
        self._sums.clear()

    def _put(self, hour: int, piece: _Piece) -> None:
        self._newest = max(self._newest, hour)
        pieces = self._by_hour.setdefault(hour, [])
        pieces.append(piece)
        if len(pieces) > PIECES:
            items, places = np.unique(np.concatenate([each.items for each in pieces]), return_inverse=True)
            counts = np.zeros(len(items), np.int64)
            np.add.at(counts, places, np.concatenate([each.counts for each in pieces]))
            self._by_hour[hour] = [_Piece(items, counts)]

    def sums(self, hours: int, items: int, now: float | None = None) -> FloatArray:
        """Positive ratings of each of the first `items` items in the newest `hours` hours, shape (items,)."""
        now = time.monotonic() if now is None else now
        made, count, found = self._sums.get(hours, (-np.inf, 0, np.zeros(0)))
        if now - made > FRESH_SECONDS or count != items:
            found = np.zeros(items)
            for hour, pieces in self._by_hour.items():
                if hour > self._newest - hours:
                    for piece in pieces:
                        inside = piece.items < items
                        found[piece.items[inside]] += piece.counts[inside]
            self._sums[hours] = now, items, found
        return found
