"""The best of many scores, without sorting them all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def contenders(scores: NDArray[np.float64], n: int) -> NDArray[np.intp]:
    """Places of all scores that are as high as the n-th highest, ascending: the best n are among them.

    Parameters
    ----------
    scores : float array, shape (candidates,)
    n : int
        At least 1.

    Returns
    -------
    int array
        More than n of them where scores are tied.
    """
    if n >= len(scores):
        return np.arange(len(scores))
    return np.flatnonzero(scores >= np.partition(scores, len(scores) - n)[len(scores) - n])


def best(
    scores: NDArray[np.float64],
    counts: NDArray[np.integer],
    n: int,
    neighbours: NDArray[np.integer] | None = None,
) -> NDArray[np.intp]:
    """Places of the n highest scores, best first.

    Equal scores are ordered by how many neighbours support them, the more first; then by the item's number
    of ratings, the larger first; and then by place, so that the order never depends on chance.

    Parameters
    ----------
    scores : float array, shape (candidates,)
    counts : int array, shape (candidates,)
        How often each candidate was rated.
    n : int
    neighbours : int array, shape (candidates,), optional

    Returns
    -------
    int array, shape (min(n, candidates),)
    """
    keys = [-scores, -counts.astype(np.int64)]
    if neighbours is not None:
        keys.insert(1, -neighbours.astype(np.int64))
    kept = np.arange(len(scores)) if n >= len(scores) else _least(keys, n)
    return kept[np.lexsort((kept, *(key[kept] for key in reversed(keys))))]


def _least(keys: Sequence[NDArray[np.generic]], n: int) -> NDArray[np.intp]:
    """Places of the n least by the first key, ties by the next ones and then by place; in any order.

    A model that scores most items 0 must not make us sort them all.
    """
    sure: list[NDArray[np.intp]] = []
    tied = np.arange(len(keys[0]))
    for key in keys:
        values = key[tied]
        threshold = values[np.argpartition(values, n - 1)[n - 1]]
        below = tied[values < threshold]
        sure.append(below)
        tied, n = tied[values == threshold], n - len(below)
        if len(tied) == n:
            break
    return np.concatenate([*sure, tied[:n]])
