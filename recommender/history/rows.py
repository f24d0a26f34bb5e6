"""Ratings as arrays, in the order of a log."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


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
    """

    text: NDArray[np.uint8]
    spans: NDArray[np.int64]
    ratings: NDArray[np.float64]
    times: NDArray[np.float64]
    plain: NDArray[np.bool_]

    def part(self, first: int, last: int) -> Rows:
        """The rows from `first` on, below `last`."""
        rows = slice(first, last)
        return Rows(self.text, self.spans[rows], self.ratings[rows], self.times[rows], self.plain[rows])

    def ids(self, column: int) -> list[str]:
        """The users (column 0) or the items (2) as text; empty where nothing is known."""
        text = self.text.tobytes()
        return [text[begin:end].decode() for begin, end in self.spans[:, column : column + 2].tolist()]
