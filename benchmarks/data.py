"""Generated ratings of the shape of MovieLens: how active users are, how popular items, in which order.

MovieLens itself may not be passed on, and nothing that is measured here depends on who likes what.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import orjson
from numba import njit
from numpy.typing import NDArray

#: Shares of the ratings 1 to 5 in MovieLens.
VALUES = (0.06, 0.11, 0.27, 0.34, 0.22)
#: One user in so many comes back; all others rate in one sitting.
RETURNING = 5
VISITS = 5
#: How much of a part of the log a sitting lasts.
SITTING = 0.02


@dataclass(frozen=True, slots=True)
class Shape:
    """The shape of a log.

    Attributes
    ----------
    users, items, ratings : int
        About so many ratings; exactly as many as `Log` says.
    typical : float
        Median of ratings by user, above the least.
    spread : float
        Standard deviation of the logarithm of that.
    least, most : int
        Bounds of ratings by user.
    shift, cutoff : float
        An item of popularity rank r is chosen with weight exp(-r / cutoff) / (r + shift): Zipf's law with a
        flat top and a thin end, which is what MovieLens has.
    """

    users: int
    items: int
    ratings: int
    typical: float = 48.0
    spread: float = 1.38
    least: int = 20
    most: int = 9254
    shift: float = 50.0
    cutoff: float = 3500.0


ML_20M = Shape(138_493, 26_744, 20_000_263)
#: Of the size of MovieLens 100K; `repeated` makes more of it.
ML_100K = Shape(943, 1_682, 100_000, typical=45.0, spread=1.15, most=737, shift=60.0, cutoff=500.0)


def repeated(shape: Shape, ratings: int) -> Shape:
    """The same items and habits with as many users as `ratings` take."""
    return replace(shape, users=max(1, round(shape.users * ratings / shape.ratings)), ratings=ratings)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive ratings: parallel arrays of user and item numbers, values and seconds."""

    users: NDArray[np.int32]
    items: NDArray[np.int32]
    ratings: NDArray[np.float32]
    times: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.users)


class Log:
    """A generated log, made anew at each pass, part by part, so that it never lies in memory.

    Nobody rates an item twice.

    Parameters
    ----------
    shape : Shape
    seed : int
    part : int
        Ratings in one chunk, about.
    """

    def __init__(self, shape: Shape, seed: int = 0, part: int = 1_000_000) -> None:
        self.shape = shape
        self.parts = max(1, round(shape.ratings / part))
        self._seed = seed
        random = np.random.default_rng(seed)
        self._counts = _activity(shape, random)
        ranks = np.arange(1, shape.items + 1)
        weights = np.exp(-ranks / shape.cutoff) / (ranks + shape.shift)
        self._cumulated = np.cumsum(weights) / weights.sum()
        self._names = random.permutation(shape.items).astype(np.int32)
        self._visits = self._plan(random)

    def __len__(self) -> int:
        return int(self._counts.sum())

    def _plan(self, random: np.random.Generator) -> list[NDArray[np.int64]]:
        """The visits of each part: rows of user, first and last of the user's own ratings."""
        users = np.arange(self.shape.users)
        home = random.integers(0, self.parts, self.shape.users)
        rows = []
        for visit in range(VISITS):
            back = users % RETURNING == 0
            begins = np.where(back, self._counts * visit // VISITS, 0)
            ends = np.where(back, self._counts * (visit + 1) // VISITS, self._counts if visit == 0 else 0)
            where = (home + back * visit * (1 + users % 7)) % self.parts
            rows.append(np.stack([where, users, begins, ends], axis=1)[ends > begins])
        table = np.concatenate(rows)
        return [table[table[:, 0] == part][:, 1:] for part in range(self.parts)]

    def __iter__(self) -> Iterator[Chunk]:
        for part, visits in enumerate(self._visits):
            random = np.random.default_rng((self._seed, part))
            users = np.repeat(visits[:, 0], visits[:, 2] - visits[:, 1]).astype(np.int32)
            items = np.empty(len(users), np.int32)
            stamps = np.full(self.shape.items, -1, np.int64)
            _choose(visits, self._cumulated, self._seed, stamps, items)
            when = _sittings(visits, random)
            order = np.argsort(when, kind="stable")
            values = random.choice(np.arange(1, 6), len(users), p=VALUES).astype(np.float32)
            seconds = 900_000_000 + (1_000_000 * (part + when[order])).astype(np.int64)
            yield Chunk(users[order], self._names[items[order]], values, seconds)

    def head(self, count: int) -> Chunk:
        """The first `count` ratings, or all where there are fewer."""
        chunks, found = [], 0
        for chunk in self:
            chunks.append(chunk)
            found += len(chunk)
            if found >= count:
                break
        return Chunk(*(np.concatenate([getattr(each, name) for each in chunks])[:count] for name in _COLUMNS))


_COLUMNS = ("users", "items", "ratings", "times")


def _activity(shape: Shape, random: np.random.Generator) -> NDArray[np.int64]:
    """Ratings of each user: log-normal above the least, scaled to the total."""
    drawn = np.exp(random.normal(np.log(shape.typical), shape.spread, shape.users))
    most = min(shape.most, shape.items)
    wanted = max(shape.ratings - shape.least * shape.users, shape.users)
    for _ in range(20):
        drawn *= wanted / np.minimum(drawn, most - shape.least).sum()
    counts = shape.least + np.minimum(drawn, most - shape.least).astype(np.int64)
    return np.minimum(counts, shape.items)


def _sittings(visits: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.float64]:
    """The time of each rating of each visit, as a share of its part of the log."""
    counts = visits[:, 2] - visits[:, 1]
    begins = np.repeat(random.random(len(visits)) * (1 - SITTING), counts)
    ends = np.cumsum(counts)
    place = np.arange(len(begins)) - np.repeat(ends - counts, counts)
    # Several ratings fall into one second, as where a page of items is rated at once.
    return begins + SITTING * (place // 3 * 3) / np.repeat(np.maximum(counts, 1), counts)


@njit(cache=True)
def _choose(visits, cumulated, seed, stamps, items):  # type: ignore[no-untyped-def]
    """The items of each visit. A user's choices depend on the user alone: a later visit makes them again."""
    place = 0
    for row in range(len(visits)):
        user, begin, end = visits[row]
        np.random.seed((seed * 1_000_003 + user) % (2**31))  # noqa: NPY002 (compiled code has no Generator)
        chosen = 0
        while chosen < end:
            item = min(np.searchsorted(cumulated, np.random.random()), len(cumulated) - 1)  # noqa: NPY002
            if stamps[item] == row:
                continue
            stamps[item] = row
            if chosen >= begin:
                items[place] = item
                place += 1
            chosen += 1


def encoded(chunk: Chunk) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each rating, as the ratings topic has them."""
    columns = (chunk.users, chunk.items, chunk.ratings, chunk.times)
    for user, item, rating, second in zip(*(column.tolist() for column in columns), strict=True):
        value = {"user": str(user), "item": str(item), "rating": rating, "timestamp": second}
        yield str(user).encode(), orjson.dumps(value)
