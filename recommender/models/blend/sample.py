"""Samples what a blend learns from: events, and items that the user might have chosen instead."""

from __future__ import annotations

import math

import numpy as np

from recommender.compiled import njit
from recommender.models.base import FloatArray, IntArray
from recommender.models.blend import features
from recommender.models.randomness import mix, uniform
from recommender.models.topk import nth_highest

#: A catalogue of up to twice as many items is looked at as a whole.
FEW_ITEMS = 2000

# The sample of events that may be observed: all of the first, then ever fewer, so many over the root of their
# number. More than are, since only some are positive.
_ALL_OF_FIRST, _SAMPLED = 500, 12.0
_SALT = 5

#: After n events there may be this times the root of n observations more than in the beginning.
_OF_ROOT = 4.0
#: What one costs: entries of other users' histories that are read, each candidate as so many, and the rest.
_OF_CANDIDATE, _OF_REST = 20, 10_000
#: So much may be spent in the beginning, and with each event.
_WORK_FIRST, _WORK_OF_EVENT = 20_000_000, 800


@njit(cache=True)
def next_sampled(event):  # type: ignore[no-untyped-def]
    """The first event in the sample, each by its own well-mixed bits."""
    while True:
        drawn = uniform(mix(np.uint64(_SALT), np.uint64(event)))
        if drawn < _ALL_OF_FIRST / max(event, _ALL_OF_FIRST) + _SAMPLED / math.sqrt(event + 1.0):
            return event
        event += 1


class Budget:
    """The number of events that are observed, and their cost.

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
        """Return True if the event of that number may be observed."""
        enough = self.observed >= self._first + _OF_ROOT * math.sqrt(event)
        return not enough and self.work < _WORK_FIRST + _WORK_OF_EVENT * event

    def take(self, read: int, candidates: int) -> None:
        """Count an observation that read so many entries and made so many rows."""
        self.observed += 1
        self.work += read + _OF_CANDIDATE * candidates + _OF_REST


@njit(cache=True)
def list_candidates(table, items, rated, item, candidates):  # type: ignore[no-untyped-def]
    """Write those of the first `items` that somebody has rated and the user has not.

    Returns
    -------
    count : int
    place : int
        Of `item` among them; -1 if it is not.
    """
    excluded = np.zeros(items, np.bool_)
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
    table: FloatArray, items: int, now: int, rated: IntArray, item: int, sums: FloatArray, turn: int
) -> tuple[IntArray, FloatArray, int]:
    """Items that the user might have chosen instead, for how many each stands, and the place of `item`.

    Of a large catalogue that is what neighbours speak of most and what was rated lately, and of the others
    a part, so that looking costs about the same however large it is.

    Parameters
    ----------
    table : float array, shape (at least items, COLUMNS)
        See `recommender.models.blend.features`.
    items : int
        How many there are.
    now : int
        The number of the next event.
    rated : int32 array
        What the user has.
    item : int
        What the user is about to choose.
    sums : float array, shape (at most items, 2)
        From `recommender.models.blend.evidence`.
    turn : int
        Decides which part.
    """
    step = items // FEW_ITEMS
    if step < 2:
        candidates = np.empty(items, np.int32)
        count, place = list_candidates(table, items, rated, item, candidates)
        return candidates[:count], np.ones(count), int(place)
    candidates, sample_weights, relevance = np.empty(items, np.int32), np.empty(items), np.empty(len(sums))
    count, place = _list_in_part(
        table, items, now, rated, item, sums, turn % step, step, relevance, candidates, sample_weights
    )
    return candidates[:count].copy(), sample_weights[:count].copy(), int(place)


@njit(cache=True)
def _list_in_part(table, items, now, rated, item, sums, turn, step, relevance, candidates, sample_weights):  # type: ignore[no-untyped-def]
    """List candidates of a large catalogue; every `step`-th item from `turn` on stands for so many."""
    excluded = np.zeros(items, np.bool_)
    for r in range(rated.size):
        if rated[r] < excluded.size:
            excluded[rated[r]] = True
    for i in range(relevance.size):
        relevance[i] = sums[i, 0] / max(table[i, features.ROOT], 1.0)
    least = nth_highest(relevance, FEW_ITEMS) if relevance.size > FEW_ITEMS else 0.0
    count, place = 0, -1
    for i in range(excluded.size):
        if excluded[i] or table[i, features.COUNT] <= 0.0:
            continue
        sure = i == item or table[i, features.UPDATED] >= now - FEW_ITEMS
        sure = sure or (i < relevance.size and relevance[i] >= least and relevance[i] > 0.0)
        if sure or (i - turn) % step == 0:
            if i == item:
                place = count
            candidates[count], sample_weights[count] = i, 1.0 if sure else np.float64(step)
            count += 1
    return count, place


def warm(table: FloatArray) -> None:
    """Compile or load the kernels, also those that only large catalogues need."""
    rated, sums, candidates = np.zeros(1, np.int32), np.zeros((2, 2)), np.zeros(2, np.int32)
    next_sampled(0)
    list_candidates(table, 2, rated, 0, candidates)
    _list_in_part(table, 2, 0, rated, 0, sums, 0, 1, np.zeros(2), candidates, np.zeros(2))
