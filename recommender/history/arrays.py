"""Arrays by name, and arrays that grow as users and items come."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

#: A part of a state: arrays by name.
Arrays = dict[str, NDArray[np.generic]]
Number = TypeVar("Number", bound=np.generic)


def grown(array: NDArray[Number], least: int) -> NDArray[Number]:
    """The array itself if it has `least` rows, else a copy with at least twice its rows, zero at the end."""
    if least <= len(array):
        return array
    larger = np.zeros((max(least, 2 * len(array), 64), *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger
