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

from recommender.compiled import dividing_kernel, kernel, njit
from recommender.models.base import FloatArray
from recommender.models.blend.blocks import BLOCK
from recommender.models.blend.bounds import bound_cells, bound_supported
from recommender.models.blend.cells import NEWEST
from recommender.models.blend.features import VIEWS, rows, survey_told, view, weighted
from recommender.models.blend.marks import Sums, is_marked, list_marked, mark_told
from recommender.models.blend.popularity import LATELY, ROOT, UPDATED, totals_without
from recommender.models.topk import nth_highest, replace_least

#: The number of those that neighbours speak of that are scored first, to know what the others are up against.
_FIRST = 64
#: Stands for no target.
NO_TARGET = -1


class _Scoring(NamedTuple):
    """The parts of scores, the items that wait for theirs, and what was found.

    With a `target` its own score is the only one in `heap`. Else that has the n highest scores so far, the
    least of them first. `found` and `scores` have all items that reached the least of `heap` when they were
    scored. `counts` tells how many wait and how many were found.
    """

    table: FloatArray
    now: float
    sums: Sums
    scales: FloatArray
    weights: FloatArray
    block: FloatArray
    bits: NDArray[np.int64]
    queued: NDArray[np.int32]
    views: FloatArray
    own: FloatArray
    heap: FloatArray
    target: int
    found: NDArray[np.int32]
    scores: FloatArray
    counts: NDArray[np.int64]


@njit(cache=True)
def leading(table, now, items, size, totals, weights, m, marked, excluded, c, n, target, block, bits):
    """The items that score as high as the n-th best, or as a target, ascending, and their scores.

    Parameters
    ----------
    table, now, weights, block, bits
        As for `weigh`.
    items : int
        How many there are.
    size : int
        How many of them are in question, with those that are excluded.
    totals : float array, shape (LATELY,)
        What the fading counts of those come to, see `count_events`.
    m : Marks
        With what `evidence` has said; nothing of it is left. Its `excluded` is 1 where an item is not in
        question.
    marked : bool
        Their `supported` tells of which items it said anything.
    excluded : int32 array, ascending
        Items that are out of the question, too.
    c : Cells
    n : int
        Fewer than there are items; 1 with a target.
    target : int
        An item that is not excluded; `NO_TARGET` for none.
    """
    left, scales = np.empty(LATELY), np.empty(VIEWS + 3)
    totals_without(table, now, excluded, totals, block, bits, left)
    for item in excluded:
        m.excluded[item] = 1
    if not marked:
        mark_told(m, items)
    told = _take_out(table, m, c)
    near, taste, most = m.columns[2, :told], m.columns[3, :told], m.columns[4, :told]
    survey_told(near, taste, told, np.float64(size - excluded.size), left, scales)
    # Of all items there is room, which is used only where no bound helps.
    s = _Scoring(
        table, now, m.sums[:items], scales, weights, block, bits,
        np.empty(BLOCK, np.int32), np.empty((VIEWS, BLOCK)), np.empty(BLOCK),
        np.full(n, -np.inf), target, np.empty(items, np.int32), np.empty(items), np.zeros(2, np.int64),
    )  # fmt: skip
    if target >= 0:
        _score_target(s, m.listed[:told], m.columns[0], m.columns[1])
    _score_newest(s, m, c)
    live = np.flatnonzero(c.sizes)
    highest, reach = np.empty(c.sizes.size), np.empty(c.sizes.size)
    bounds = np.empty(live.size)
    bound_cells(c, now, live, weights, scales, block, bits, highest, reach, bounds)
    bound_supported(near, taste, m.cells[:told], scales, weights, highest, reach, most)
    _score_supported(s, m, most, nth_highest(most, _FIRST) if told > _FIRST else -np.inf)
    possible = bounds >= s.heap[0]
    live, bounds = live[possible], bounds[possible]
    _score_cells(s, m, c, live, bounds, np.argsort(-bounds))
    found, scores = s.found[: s.counts[1]], s.scores[: s.counts[1]]
    best = scores >= s.heap[0]
    found, scores = found[best], scores[best]
    order = np.argsort(found)
    m.supported[:] = 0
    for item in excluded:
        m.excluded[item] = 0
    return found[order], scores[order]


@kernel
def _take_out(table, m, c):
    """List the supported items that are not excluded, ascending, and return how many.

    What neighbours say of each is moved from `sums`, which are left 0, to the first two rows of `columns`.
    The next two are the same relative to popularity, as in `view`; `cells` gets the items' cells.

    One array at a time: what comes from far away for one item is waited for while that for the next comes.
    """
    near, taste, roots, lasting = m.columns[0], m.columns[1], m.columns[2], m.columns[3]
    listed = np.uint64(list_marked(m.supported, m.listed))
    for k in range(listed):
        i = np.uint64(m.listed[k])
        near[k], taste[k] = m.sums[i, 0], m.sums[i, 1]
    for k in range(listed):
        i = np.uint64(m.listed[k])
        m.sums[i, 0], m.sums[i, 1] = 0.0, 0.0
    count = np.uint64(0)
    for k in range(listed):
        item = m.listed[k]
        m.listed[count], near[count], taste[count] = item, near[k], taste[k]
        # Without a branch, which nobody could foresee.
        count += np.uint64(m.excluded[np.uint64(item)] == 0)
    for k in range(count):
        roots[k] = table[np.uint64(m.listed[k]), ROOT]
    for k in range(count):
        m.cells[k] = c.cell[np.uint64(m.listed[k])]
    _relate(near, taste, roots, lasting, count)
    return np.int64(count)


@dividing_kernel
def _relate(near, taste, roots, lasting, count):
    for k in range(count):
        root = roots[k]
        roots[k], lasting[k] = near[k] / root, taste[k] / root


@kernel
def _enqueue(s, item, near, taste):
    """Let an item wait for its score, with what neighbours say of it."""
    s.queued[np.uint64(s.counts[0])] = item
    s.sums[np.uint64(item), 0], s.sums[np.uint64(item), 1] = near, taste
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
        i = np.uint64(s.queued[k])
        s.sums[i, 0], s.sums[i, 1] = 0.0, 0.0
        if s.own[k] >= s.heap[0]:
            s.found[s.counts[1]], s.scores[s.counts[1]] = s.queued[k], s.own[k]
            s.counts[1] += 1
            if s.own[k] > s.heap[0] and (s.target < 0 or s.heap[0] == -np.inf):
                replace_least(s.heap, s.own[k])
    s.counts[0] = 0


@kernel
def _score_target(s, listed, near, taste):
    """Score the target, for what all others are up against; it is found among them once more."""
    place = np.searchsorted(listed, s.target)
    if place < listed.size and listed[place] == s.target:
        _enqueue(s, s.target, near[place], taste[place])
    else:
        _enqueue(s, s.target, 0.0, 0.0)
    _score(s)
    s.counts[1] = 0


@kernel
def _score_newest(s, m, c):
    """Score the items of the newest events that nobody speaks of; they lie in no cell."""
    now = np.int64(s.now)
    for event in range(max(now - NEWEST, 0), now):
        item = c.newest[np.uint64(event % c.newest.size)]
        if item < 0 or s.table[np.uint64(item), UPDATED] != np.float64(event):
            continue
        if m.excluded[np.uint64(item)] == 0 and not is_marked(m.supported, item):
            _enqueue(s, item, 0.0, 0.0)
    _score(s)


@kernel
def _score_supported(s, m, most, first):
    """Score those that neighbours speak of and that may be among the best; `first` is the bound of a few."""
    for k in range(np.uint64(most.size)):
        if most[k] >= first:
            _enqueue(s, m.listed[k], m.columns[0, k], m.columns[1, k])
    _score(s)
    for k in range(np.uint64(most.size)):
        if first > most[k] >= s.heap[0]:
            _enqueue(s, m.listed[k], m.columns[0, k], m.columns[1, k])
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
                _enqueue(s, item, 0.0, 0.0)
            item = c.following[np.uint64(item)]
    _score(s)
