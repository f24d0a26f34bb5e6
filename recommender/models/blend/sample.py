"""What a blend looks at to learn from: which events, and which items the user might have chosen instead."""

from __future__ import annotations

import math

import numpy as np

from recommender.compiled import njit
from recommender.models.base import FloatArray, IntArray
from recommender.models.blend import features
from recommender.models.randomness import mix, uniform

#: A catalogue of up to twice as many items is looked at as a whole.
FEW_ITEMS = 2000

# The sample of events that may be observed: all of the first, then ever fewer, so many over the root of their
# number. More than are, since only some are positive.
_ALL_OF_FIRST, _SAMPLED = 500, 12.0
_SALT = 5

#: After n events there may be this times the root of n observations more than in the beginning.
_OF_ROOT = 4.0
#: What one costs: entries of other users' histories that are read, each candidate as so many, and the rest.
_OF_CANDIDATE, _OF_REST = 30, 60_000
#: So much may be spent in the beginning, and with each event.
_WORK_FIRST, _WORK_OF_EVENT = 50_000_000, 2_500


@njit(cache=True)
def next_sampled(event):  # type: ignore[no-untyped-def]
    """The first event in the sample, each by its own well-mixed bits."""
    while True:
        drawn = uniform(mix(np.uint64(_SALT), np.uint64(event)))
        if drawn < _ALL_OF_FIRST / max(event, _ALL_OF_FIRST) + _SAMPLED / math.sqrt(event + 1.0):
            return event
        event += 1


class Budget:
    """How many events are observed, and at what cost.

    Many in the beginning, when everything is to be learned, and then as the root of the stream's length: so
    what is known is renewed for ever, and yet the share of the time that goes into it falls. Where each
    takes long, because histories are long or items many, there are fewer.

    Parameters
    ----------
    first : float
        Observations that may be made at once.

    Attributes
    ----------
    observed : int
        How many were made.
    work : int
        What they cost, in entries read.
    """

    def __init__(self, first: float) -> None:
        self._first = first
        self.observed, self.work = 0, 0

    def allows(self, event: int) -> bool:
        """Whether the event of that number may be observed."""
        enough = self.observed >= self._first + _OF_ROOT * math.sqrt(event)
        return not enough and self.work < _WORK_FIRST + _WORK_OF_EVENT * event

    def take(self, read: int, candidates: int) -> None:
        """Count an observation that read so many entries and made so many rows."""
        self.observed += 1
        self.work += read + _OF_CANDIDATE * candidates + _OF_REST


@njit(cache=True)
def list_candidates(table, rated, item, candidates):  # type: ignore[no-untyped-def]
    """Write the items that somebody has rated and the user has not.

    Returns
    -------
    count : int
    place : int
        Of `item` among them; -1 if it is not.
    """
    excluded = np.zeros(table.shape[0], np.bool_)
    for r in range(rated.size):
        if rated[r] < excluded.size:
            excluded[rated[r]] = True
    count, place = 0, -1
    for i in range(excluded.size):
        if not excluded[i] and table[i, features.COUNT] > 0.0:
            if i == item:
                place = count
            candidates[count] = i
            count += 1
    return count, place


def sampled_candidates(
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
        count, place = list_candidates(table, rated, item, candidates)
        return candidates[:count], np.ones(count), int(place)
    open_ = table[:, features.COUNT] > 0.0
    open_[rated[rated < items]] = False
    sure = table[:, features.UPDATED] >= now - FEW_ITEMS
    relevance = sums[:, 0] / np.maximum(table[: len(sums), features.ROOT], 1.0)
    least = np.partition(relevance, -FEW_ITEMS)[-FEW_ITEMS] if len(relevance) > FEW_ITEMS else 0.0
    sure[: len(sums)] |= (relevance >= least) & (relevance > 0.0)
    sure[item] = True
    drawn = sure.copy()
    drawn[turn % step :: step] = True
    candidates = np.flatnonzero(open_ & drawn).astype(np.int32)
    place = int(np.searchsorted(candidates, item)) if open_[item] else -1
    return candidates, np.where(sure[candidates], 1.0, float(step)), place
