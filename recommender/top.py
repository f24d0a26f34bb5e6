"""The best of many scores, without sorting them all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def best(scores: NDArray[np.float64], counts: NDArray[np.integer], n: int) -> NDArray[np.intp]:
    """Places of the n highest scores, best first.

    Equal scores are ordered by the item's number of ratings, the larger first, and then by place, so that
    the order never depends on chance.

    Parameters
    ----------
    scores : float array, shape (candidates,)
    counts : int array, shape (candidates,)
        How often each candidate was rated.
    n : int

    Returns
    -------
    int array, shape (min(n, candidates),)
    """
    kept = np.arange(len(scores))
    if n < len(scores):
        threshold = scores[np.argpartition(-scores, n - 1)[n - 1]]
        above, tied = np.flatnonzero(scores > threshold), np.flatnonzero(scores == threshold)
        room = n - len(above)
        if room < len(tied):  # a model that scores most items 0 must not make us sort them all
            keys = counts[tied].astype(np.int64) * len(scores) - tied
            tied = tied[np.argpartition(-keys, room - 1)[:room]]
        kept = np.concatenate([above, tied])
    order = np.lexsort((kept, -counts[kept].astype(np.int64), -scores[kept]))
    return kept[order[:n]]
