"""Ratings as arrays, in the order of a log, and what else a log says: whom to forget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.history.texts import joined

#: Kinds of rows: a rating, whom to forget, and which guest (in place of the item) is which user.
RATING, FORGET_USER, FORGET_ITEM, MERGE = range(4)
#: What stands for the id that a row of another kind does not have: no id is empty.
NOBODY = b"*"


def spanned(ids: list[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A text of ids, a user and an item in turns, and where they stand, as `Rows` have both."""
    text, ends = joined(ids)
    bounds = np.concatenate([[0], ends])
    return text, np.stack([bounds[0:-1:2], bounds[1::2], bounds[1::2], bounds[2::2]], axis=1)


class Rows(NamedTuple):
    """Many ratings as arrays.

    Attributes
    ----------
    text : uint8 array
        UTF-8, in which the ids stand.
    spans : int64 array, shape (ratings, 4)
        Where in the text the user begins and ends, then the item.
    ratings : float64 array
        NaN withdraws.
    times : float64 array
        In seconds; NaN where the producer did not say.
    plain : bool array
        Where this is False nothing is known yet: `recommender.messages.ratings.RatingDecoder.decode` has to
        look at the record.
    kinds : uint8 array, optional
        What each row is; None where all are ratings. A row of another kind has the rating NaN, and `NOBODY`
        in place of the id that it is not about.
    """

    text: NDArray[np.uint8]
    spans: NDArray[np.int64]
    ratings: NDArray[np.float64]
    times: NDArray[np.float64]
    plain: NDArray[np.bool_]
    kinds: NDArray[np.uint8] | None = None

    def part(self, first: int, last: int) -> Rows:
        """The rows from `first` on, below `last`."""
        rows = slice(first, last)
        kinds = None if self.kinds is None else _unless_ratings(self.kinds[rows])
        return Rows(
            self.text, self.spans[rows], self.ratings[rows], self.times[rows], self.plain[rows], kinds
        )

    @property
    def are_ratings(self) -> NDArray[np.bool_]:
        """Marks of the rows that are ratings."""
        return np.ones(len(self.ratings), np.bool_) if self.kinds is None else self.kinds == RATING

    def ratings_alone(self) -> Rows:
        """The rows that are ratings."""
        if self.kinds is None:
            return self
        return self.of(self.kinds == RATING)

    def of(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> Rows:
        """The rows that are marked, or at some places."""
        kinds = None if self.kinds is None else _unless_ratings(self.kinds[kept])
        return Rows(
            self.text, self.spans[kept], self.ratings[kept], self.times[kept], self.plain[kept], kinds
        )

    def others(self) -> list[tuple[int, int]]:
        """The place and the kind of each row that is no rating."""
        if self.kinds is None:
            return []
        places = np.flatnonzero((self.kinds != RATING) & self.plain)
        return list(zip(places.tolist(), self.kinds[places].tolist(), strict=True))

    def id_at(self, place: int, column: int) -> str:
        """The user (column 0) or the item (2) of a row."""
        begin, end = self.spans[place, column : column + 2].tolist()
        return self.text[begin:end].tobytes().decode()

    def ids(self, column: int) -> list[str]:
        """The users (column 0) or the items (2) as text; empty where nothing is known."""
        text = self.text.tobytes()
        return [text[begin:end].decode() for begin, end in self.spans[:, column : column + 2].tolist()]


def concatenated(parts: Sequence[Rows]) -> Rows:
    """The rows of all parts, of which there is one at least, one after the other."""
    text = np.concatenate([part.text for part in parts])
    text.flags.writeable = False  # the kernels that read it are compiled for one kind
    begins = np.cumsum([0, *(len(part.text) for part in parts[:-1])])
    return Rows(
        text,
        np.concatenate([part.spans + begin for part, begin in zip(parts, begins, strict=True)]),
        np.concatenate([part.ratings for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.plain for part in parts]),
        _unless_ratings(
            np.concatenate(
                [
                    np.zeros(len(part.ratings), np.uint8) if part.kinds is None else part.kinds
                    for part in parts
                ]
            )
        ),
    )


def _unless_ratings(kinds: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    return kinds if kinds.any() else None
