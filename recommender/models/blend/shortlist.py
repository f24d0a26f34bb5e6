# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The best of a large catalogue, to the bit as if all of it were scored, though few items are.

Three kinds of items can be among them. Those of the newest events are scored. Of those that neighbours speak
of, tables tell how high each can score at most. All others score by what is the same for everybody, and of
them whole cells are bounded at once, see `recommender.models.blend.cells`: the cells are opened from the
highest bound on, until what is left cannot reach the list.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel, njit
from recommender.models.base import FloatArray
from recommender.models.blend.blocks import BLOCK
from recommender.models.blend.bounds import bound_cells, bound_supported
from recommender.models.blend.cells import NEWEST
from recommender.models.blend.features import (
    LATELY,
    UPDATED,
    VIEWS,
    rows,
    survey_most,
    totals_without,
    view,
    weighted,
)
from recommender.models.blend.marks import clear_supported, is_marked, list_marked
from recommender.models.topk import nth_highest, replace_least

#: Of those that neighbours speak of, so many are scored first, to know what the others are up against.
_FIRST = 64


@njit(cache=True)
def clear_marks(m, excluded):
    """Leave all marks 0 that `evidence` and `leading` have set."""
    clear_supported(m)
    for item in excluded:
        m.excluded[item] = 0


class _Scoring(NamedTuple):
    """The parts of scores, the items that wait for theirs, and what was found.

    `heap` has the n highest scores so far, the least of them first; `found` and `scores` have all items that
    were among the n best when they were scored. `counts` tells how many wait and how many were found.
    """

    table: FloatArray
    now: float
    sums: FloatArray
    scales: FloatArray
    weights: FloatArray
    block: FloatArray
    bits: NDArray[np.int64]
    queued: NDArray[np.int32]
    views: FloatArray
    own: FloatArray
    heap: FloatArray
    found: NDArray[np.int32]
    scores: FloatArray
    counts: NDArray[np.int64]


@njit(cache=True)
def leading(table, now, items, totals, weights, m, excluded, c, n, block, bits):
    """The items that score as high as the n-th best, ascending, and their scores.

    Parameters
    ----------
    table, now, weights, block, bits
        As for `weigh`.
    items : int
        How many there are.
    totals : float array, shape (LATELY,)
        See `count_events`.
    m : Marks
        With what `evidence` has said.
    excluded : int32 array, ascending
        Items that are out of the question.
    c : Cells
    n : int
        Fewer than there are items.
    """
    sums = m.sums[:items]
    left, scales = np.empty(LATELY), np.empty(VIEWS + 3)
    totals_without(table, now, excluded, totals, sums, block, bits, np.empty((VIEWS, excluded.size)), left)
    for item in excluded:
        m.excluded[item] = 1
    supported = np.empty(items + 1, np.int32)
    supported = supported[: _candidates(m, supported)]
    views = np.empty((VIEWS, supported.size))
    size = np.float64(items - excluded.size)
    survey_most(table, now, supported, size, left, sums, block, bits, views, scales, False)
    # Of all items there is room, which is used only where no bound helps.
    s = _Scoring(
        table, now, sums, scales, weights, block, bits,
        np.empty(BLOCK, np.int32), np.empty((VIEWS, BLOCK)), np.empty(BLOCK),
        np.full(n, -np.inf), np.empty(items, np.int32), np.empty(items), np.zeros(2, np.int64),
    )  # fmt: skip
    _score_newest(s, m, c)
    live = np.flatnonzero(c.sizes)
    highest, reach = np.empty(c.sizes.size), np.empty(c.sizes.size)
    bounds = np.empty(live.size)
    bound_cells(c, now, live, weights, scales, block, bits, highest, reach, bounds)
    most = np.empty(supported.size)
    bound_supported(supported, views, scales, weights, c, highest, reach, most)
    _score_supported(s, supported, c, most, nth_highest(most, _FIRST) if supported.size > _FIRST else -np.inf)
    possible = bounds >= s.heap[0]
    live, bounds = live[possible], bounds[possible]
    _score_cells(s, m, c, live, bounds, np.argsort(-bounds))
    found, scores = s.found[: s.counts[1]], s.scores[: s.counts[1]]
    best = scores >= s.heap[0]
    found, scores = found[best], scores[best]
    order = np.argsort(found)
    return found[order], scores[order]


@kernel
def _candidates(m, supported):
    """Write the supported items that are not excluded, ascending, and return how many."""
    count = np.uint64(0)
    for place in range(np.uint64(list_marked(m.supported, m.listed))):
        item = m.listed[place]
        supported[count] = item
        # Without a branch, which nobody could foresee.
        count += np.uint64(m.excluded[np.uint64(item)] == 0)
    return np.int64(count)


@kernel
def _enqueue(s, item):
    s.queued[np.uint64(s.counts[0])] = item
    s.counts[0] += 1
    if s.counts[0] == BLOCK:
        _score(s)


@kernel
def _score(s):
    """Score what waits, in the very steps in which all items would be."""
    count = s.counts[0]
    view(s.table, s.now, s.queued, s.sums, s.block, s.bits, 0, count, s.views)
    rows(s.table, s.now, s.queued, s.views, s.scales, s.block, s.bits, 0, count)
    weighted(s.block, s.weights, 0, s.weights.size, 0, count, s.own)
    for k in range(count):
        if s.own[k] >= s.heap[0]:
            s.found[s.counts[1]], s.scores[s.counts[1]] = s.queued[k], s.own[k]
            s.counts[1] += 1
            if s.own[k] > s.heap[0]:
                replace_least(s.heap, s.own[k])
    s.counts[0] = 0


@kernel
def _score_newest(s, m, c):
    """Score the items of the newest events; they lie in no cell."""
    now = np.int64(s.now)
    for event in range(max(now - NEWEST, 0), now):
        item = c.newest[np.uint64(event % c.newest.size)]
        if item < 0 or s.table[np.uint64(item), UPDATED] != np.float64(event):
            continue
        if m.excluded[np.uint64(item)] == 0:
            _enqueue(s, item)
    _score(s)


@kernel
def _score_supported(s, supported, c, most, first):
    """Score those that neighbours speak of and that may be among the best; `first` is the bound of a few."""
    for k in range(supported.size):
        if most[np.uint64(k)] >= first and c.cell[np.uint64(supported[np.uint64(k)])] >= 0:
            _enqueue(s, supported[np.uint64(k)])
    _score(s)
    for k in range(supported.size):
        bound = most[np.uint64(k)]
        if first > bound >= s.heap[0] and c.cell[np.uint64(supported[np.uint64(k)])] >= 0:
            _enqueue(s, supported[np.uint64(k)])
    _score(s)


@kernel
def _score_cells(s, m, c, live, bounds, order):
    """Score the items of cells that nobody speaks of, until no cell may reach the list."""
    for place in order:
        if bounds[place] < s.heap[0]:
            break
        item = c.heads[np.uint64(live[place])]
        while item >= 0:
            if not is_marked(m.supported, item) and m.excluded[np.uint64(item)] == 0:
                _enqueue(s, item)
            item = c.following[np.uint64(item)]
    _score(s)
