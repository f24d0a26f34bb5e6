"""What a blend looks at to learn from: which events, and which items the user might have chosen instead."""

from __future__ import annotations

import numpy as np

from recommender.compiled import njit
from recommender.models.base import FloatArray, IntArray
from recommender.models.blend import features
from recommender.models.randomness import mix, uniform

#: A catalogue of up to twice as many items is looked at as a whole.
FEW_ITEMS = 2000

# The sample of events to look at: all of the first, then ever fewer, never less than one in so many.
_ALL_OF_FIRST, _SAMPLED = 2000, 500
_SALT = 5


@njit(cache=True)
def next_sampled(event):  # type: ignore[no-untyped-def]
    """The first event in the sample, each by its own well-mixed bits."""
    while True:
        drawn = uniform(mix(np.uint64(_SALT), np.uint64(event)))
        if drawn < 1.0 / _SAMPLED + _ALL_OF_FIRST / max(event, _ALL_OF_FIRST):
            return event
        event += 1


@njit(cache=True)
def listed(table, rated, item, candidates):  # type: ignore[no-untyped-def]
    """Write the items that somebody has rated and the user has not.

    Returns
    -------
    count : int
    place : int
        Of `item` among them; -1 if it is not.
    """
    closed = np.zeros(table.shape[0], np.bool_)
    for r in range(rated.size):
        if rated[r] < closed.size:
            closed[rated[r]] = True
    count, place = 0, -1
    for i in range(closed.size):
        if not closed[i] and table[i, features.COUNT] > 0.0:
            if i == item:
                place = count
            candidates[count] = i
            count += 1
    return count, place


def contestants(
    table: FloatArray, now: int, rated: IntArray, item: int, sums: FloatArray, turn: int
) -> tuple[IntArray, FloatArray, int]:
    """Items that the user might have chosen instead, for how many each stands, and the place of `item`.

    Of a large catalogue that is what neighbours speak of most and what was rated lately, and of the others
    a part, so that looking costs about the same however large it is.

    Parameters
    ----------
    table : float array, shape (items, COLUMNS)
        See `recommender.models.blend.features`.
    now : int
        The number of the next event.
    rated : int32 array
        What the user has.
    item : int
        What the user is about to choose.
    sums : float array, shape (items, 2)
        From `recommender.models.blend.evidence`; may be shorter than the table.
    turn : int
        Decides which part.
    """
    items = len(table)
    step = items // FEW_ITEMS
    if step < 2:
        candidates = np.empty(items, np.int32)
        count, place = listed(table, rated, item, candidates)
        return candidates[:count], np.ones(count), int(place)
    open_ = table[:, features.COUNT] > 0.0
    open_[rated[rated < items]] = False
    sure = table[:, features.UPDATED] >= now - FEW_ITEMS
    said = sums[:, 0] / np.maximum(table[: len(sums), features.ROOT], 1.0)
    least = np.partition(said, -FEW_ITEMS)[-FEW_ITEMS] if len(said) > FEW_ITEMS else 0.0
    sure[: len(sums)] |= (said >= least) & (said > 0.0)
    sure[item] = True
    drawn = sure.copy()
    drawn[turn % step :: step] = True
    candidates = np.flatnonzero(open_ & drawn).astype(np.int32)
    place = int(np.searchsorted(candidates, item)) if open_[item] else -1
    return candidates, np.where(sure[candidates], 1.0, float(step)), place
