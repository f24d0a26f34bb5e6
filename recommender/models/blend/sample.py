"""Samples what a blend learns from: events, and items that the user might have chosen instead."""

from __future__ import annotations

import math

import numpy as np

from recommender.compiled import kernel, njit
from recommender.models.base import FloatArray
from recommender.models.blend.marks import empty_marks, is_marked, list_marked, mark
from recommender.models.blend.popularity import COUNT, REMEMBERED, ROOT, UPDATED, empty_table
from recommender.models.randomness import mix, uniform

#: A catalogue of up to twice as many items is looked at as a whole.
FEW_ITEMS = 2000

# The sample of events that may be observed: all of the first, then ever fewer, with a chance of the second
# number over the root of the event's. More than are observed, since only some are positive.
_ALL_OF_FIRST, _SAMPLED = 500, 12.0
_SALT = 5

#: After n events there may be this times the root of n observations more than in the beginning; half of that
#: for what the root grows after the second number, when the weights have come to rest.
_OF_ROOT, _AT_REST = 4.0, 100_000
#: The number of bins by the first bits of a number, its exponent and three of its fraction; the lowest bin
#: ends at the 120th power of a half.
_BINS, _SHIFT, _LOWEST = 1024, np.int64(49), np.int64(8 * (1023 - 120))

#: The cost of one, in entries of other users' histories that are read: of each candidate, and of the rest.
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
        """Return True if there may be an observation after so many events.

        Those that take away what left by a bound do not count: a stream within bounds has two events for each
        rating, and would spend twice as much on each.
        """
        early, root = math.sqrt(min(event, _AT_REST)), math.sqrt(event)
        enough = self.observed >= self._first + 0.5 * _OF_ROOT * (early + root)
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
        if not excluded[i] and table[i, COUNT] > 0.0:
            if i == item:
                place = count
            candidates[count] = i
            count += 1
    return count, place


@njit(cache=True)
def all_candidates(table, items, rated, item):  # type: ignore[no-untyped-def]
    """Return what `sampled_candidates` does, of a catalogue that is looked at as a whole: all of it."""
    candidates = np.empty(items, np.int32)
    count, place = list_candidates(table, items, rated, item, candidates)
    return candidates[:count], np.ones(count), place


@njit(cache=True)
def sampled_candidates(table, items, now, rated, item, m, newest, turn):  # type: ignore[no-untyped-def]
    """Items that the user might have chosen instead, for how many each stands, and the place of `item`.

    Of a large catalogue that is what neighbours speak of most and what was rated lately, and of the others
    a part, so that looking costs about the same however large it is.

    Parameters
    ----------
    table : float array, shape (at least items, COLUMNS)
        See `recommender.models.blend.popularity`.
    items : int
        How many there are, at least twice `FEW_ITEMS`.
    now : int
        The number of the next event.
    rated : int32 array
        What the user has.
    item : int
        What the user is about to choose; -1 is its place if it is no candidate.
    m : Marks
        With what `evidence` has said.
    newest : int32 array, shape (REMEMBERED,)
        Of each of the last events the item, at the remainder of its number.
    turn : int
        Decides which part.
    """
    step = items // FEW_ITEMS
    _pick_supported(table, m)
    for event in range(max(now - FEW_ITEMS, 0), now):
        other = newest[event % REMEMBERED]
        if table[other, UPDATED] == np.float64(event):
            mark(m.picked, other)
    mark(m.picked, item)
    for each in rated:
        if each < items:
            m.excluded[each] = 1
    # Those that are there for themselves are told from the others by the bits that are set so far.
    sure = m.picked.copy()
    for other in range(turn % step, items, step):
        mark(m.picked, other)
    size = list_marked(m.picked, m.listed)
    candidates, sample_weights = np.empty(size, np.int32), np.empty(size)
    count, place = 0, -1
    for k in range(size):
        i = m.listed[k]
        if m.excluded[i] != 0 or table[i, COUNT] <= 0.0:
            continue
        if i == item:
            place = count
        candidates[count], sample_weights[count] = i, 1.0 if is_marked(sure, i) else np.float64(step)
        count += 1
    m.picked[:] = 0
    for each in rated:
        if each < items:
            m.excluded[each] = 0
    return candidates[:count], sample_weights[:count], place


@njit(cache=True)
def _nth_highest(numbers, n):  # type: ignore[no-untyped-def]
    """The n-th highest of numbers that are not negative.

    Counted by their first bits, which tell how large they are: then only those that share these with the one
    that is sought are put in order.
    """
    bits = numbers.view(np.int64)
    counts = np.zeros(_BINS, np.int64)
    for number in bits:
        counts[_bin(number)] += 1
    above, bin_ = 0, _BINS - 1
    while above + counts[bin_] < n:
        above += counts[bin_]
        bin_ -= 1
    same, count = np.empty(counts[bin_]), 0
    for k in range(bits.size):
        if _bin(bits[k]) == bin_:
            same[count] = numbers[k]
            count += 1
    place = count - (n - above)
    return np.partition(same, place)[place]


@kernel
def _bin(bits):  # type: ignore[no-untyped-def]
    return min(max((bits >> _SHIFT) - _LOWEST, np.int64(0)), np.int64(_BINS - 1))


@njit(cache=True)
def _pick_supported(table, m):  # type: ignore[no-untyped-def]
    """Pick those of which neighbours say most."""
    count, told = list_marked(m.supported, m.listed), 0
    relevance = np.empty(count)
    for k in range(count):
        i = np.uint64(m.listed[k])
        relevance[k] = m.sums[i, 0] / max(table[i, ROOT], 1.0)
        told += relevance[k] > 0.0
    # Of few the least is the least of all, which need not be found.
    least = _nth_highest(relevance, FEW_ITEMS) if told > FEW_ITEMS else 0.0
    for k in range(count):
        if relevance[k] >= least and relevance[k] > 0.0:
            mark(m.picked, m.listed[k])


def warm(table: FloatArray) -> None:
    """Compile or load the kernels, also those that only large catalogues need."""
    rated, newest, items = np.zeros(1, np.int32), np.zeros(REMEMBERED, np.int32), 2 * FEW_ITEMS
    next_sampled(0)
    all_candidates(table, 2, rated, 0)
    sampled_candidates(empty_table(items + 1), items, 0, rated, 0, empty_marks(items), newest, 0)
