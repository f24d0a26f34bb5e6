"""Many ratings in memory at 24 bytes each, and their order in time."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.evaluation.datasets.formats import read
from recommender.messages.ratings import Rating

Order = Literal["time", "file"]


class RatingArrays(NamedTuple):
    """The ratings of a data set as arrays of one length.

    Attributes
    ----------
    users, items : array of object
        Ids, each a str.
    ratings : array of float64
        NaN withdraws an earlier one.
    timestamps : array of float64
        Seconds since 1970; NaN where the file has none.
    """

    users: NDArray[np.object_]
    items: NDArray[np.object_]
    ratings: NDArray[np.float64]
    timestamps: NDArray[np.float64]


class Columns:
    """Ratings as columns: ids are numbered, so that each is in memory once.

    Parameters
    ----------
    ratings : iterable of Rating
        Read to its end at once.
    """

    def __init__(self, ratings: Iterable[Rating]) -> None:
        user_codes: dict[str, int] = {}
        item_codes: dict[str, int] = {}
        users, items, values, timestamps = array("i"), array("i"), array("d"), array("d")
        nan = float("nan")
        for user, item, value, timestamp in ratings:
            users.append(user_codes.setdefault(user, len(user_codes)))
            items.append(item_codes.setdefault(item, len(item_codes)))
            values.append(nan if value is None else value)
            timestamps.append(nan if timestamp is None else timestamp)
        self._user_ids, self._item_ids = _texts(user_codes), _texts(item_codes)
        self._users = np.frombuffer(users, dtype=np.intc)
        self._items = np.frombuffer(items, dtype=np.intc)
        self._values = np.frombuffer(values, dtype=np.float64)
        self._timestamps = np.frombuffer(timestamps, dtype=np.float64)

    def __len__(self) -> int:
        """The number of ratings."""
        return len(self._users)

    def __iter__(self) -> Iterator[Rating]:
        """All ratings in order."""
        return self.ratings()

    def ratings(self, start: int = 0, stop: int | None = None) -> Iterator[Rating]:
        """The ratings from position `start` up to, not including, `stop`."""
        stop = len(self) if stop is None else min(stop, len(self))
        for begin in range(start, stop, 4096):
            part = slice(begin, min(begin + 4096, stop))
            for user, item, value, timestamp in zip(
                self._user_ids[self._users[part]],
                self._item_ids[self._items[part]],
                self._values[part].tolist(),
                self._timestamps[part].tolist(),
                strict=True,
            ):
                # Only NaN differs from itself: there is no time, or the rating withdraws another one.
                yield Rating(
                    user,
                    item,
                    value if value == value else None,
                    timestamp if timestamp == timestamp else None,
                )

    def sort_by_time(self) -> None:
        """Sort by timestamp; equal ones keep their order, one without follows the rating before it."""
        known = np.isfinite(self._timestamps)
        times = self._timestamps
        if not known.all():
            last = np.maximum.accumulate(np.where(known, np.arange(len(known)), -1))
            times = np.where(last >= 0, times[last], -np.inf)
        order = np.argsort(times, kind="stable")
        self._users, self._items = self._users[order], self._items[order]
        self._values, self._timestamps = self._values[order], self._timestamps[order]

    def arrays(self, limit: int | None = None) -> RatingArrays:
        """The ratings, or only the first `limit` of them, as arrays."""
        return RatingArrays(
            self._user_ids[self._users[:limit]],
            self._item_ids[self._items[:limit]],
            self._values[:limit].copy(),
            self._timestamps[:limit].copy(),
        )


def load_arrays(path: str | Path, order: Order = "time", limit: int | None = None) -> RatingArrays:
    """A rating file as arrays.

    Parameters
    ----------
    path : str or Path
        A file of any format that `recommender.evaluation.datasets.formats.read` knows.
    order : "time" or "file"
        By timestamp, stably, or as the lines stand.
    limit : int, optional
        Only this many ratings, the first of that order.

    Raises
    ------
    SourceError
        The file cannot be read, or a line is not a rating.
    """
    columns = Columns(itertools.islice(read(path), limit if order == "file" else None))
    if order == "time":
        columns.sort_by_time()
    return columns.arrays(limit)


def _texts(codes: dict[str, int]) -> NDArray[np.object_]:
    texts = np.empty(len(codes), dtype=np.object_)
    texts[:] = list(codes)
    return texts
