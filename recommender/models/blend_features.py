# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""What a blend knows about a user and each candidate, as a row of numbers.

Two kinds of evidence: what other users' histories say around the user's newest items
(`recommender.models.blend_evidence`), and how often and how lately each item was rated, over several
memories.
"""

from __future__ import annotations

import math

import numpy as np

from recommender.history_layout import kernel
from recommender.models.blend_evidence import reading

#: The columns of a row of features, in order.
FEATURES = (
    "sequence",  # sequence neighbours, over the best candidate's
    "log sequence",
    "taste",  # users who share any of the user's last items, for all of their histories; likewise
    "log taste",
    "log popularity",
    "log popularity, 200",  # with a half-life of so many events
    "log popularity, 1000",
    "log popularity, 5000",
    "log popularity, 30000",
    "log positive share",
    "log age",
    "log mixture",  # of what sequence neighbours and lately popular items say, as probabilities
)
#: The columns that know nothing of the user: first, and the one after the last.
POPULARITY = (4, 11)
#: Half-lives of the fading counts, in events.
HALF_LIVES = np.array([200.0, 1000.0, 5000.0, 30000.0])

_RATES = math.log(2.0) / HALF_LIVES
#: What a relative score counts at least, so that its logarithm is finite.
_FLOOR = 1e-3
_UNSAID = math.log(_FLOOR)
#: Logarithm of the smallest fading count that is told from none, and of the positive share of an unrated
#: item.
_FAINT, _UNKNOWN = math.log(0.1), -math.log(2.0)
#: Logarithm of the age of an item that is yet to come.
_NEW = math.log(10.0)

#: Columns of what a survey keeps of each candidate.
VIEWS = 5

# Columns of the item table: ratings that stand, positive ones, the event of the last change, logarithms of
# what is read at each request, and the fading counts with their logarithms.
COUNT, POSITIVES, UPDATED, LOG_COUNT, LOG_SHARE, ROOT, FADING = 0, 1, 2, 3, 4, 5, 6
LOG_FADING = FADING + len(HALF_LIVES)
COLUMNS = LOG_FADING + len(HALF_LIVES)


@kernel
def count_events(positive, event, items, ratings, weights, previous_weights, table):
    """Let each event's item fade until now, then count what was added and what was taken away.

    Which age a replaced or withdrawn rating had is not kept: it takes the mean share with it.
    """
    for e in range(items.size):
        row = table[items[e]]
        passed = np.float64(event + e) - row[UPDATED]
        removed = previous_weights[e] > 0.0
        added = not np.isnan(ratings[e]) and weights[e] > 0.0
        row[POSITIVES] -= np.float64(previous_weights[e] >= positive)
        row[POSITIVES] += np.float64(not np.isnan(ratings[e]) and weights[e] >= positive)
        for b in range(_RATES.size):
            faded = row[FADING + b] * math.exp(-_RATES[b] * passed)
            if removed:
                faded *= (row[COUNT] - 1.0) / row[COUNT]
            faded += np.float64(added)
            row[FADING + b] = faded
            row[LOG_FADING + b] = math.log(max(faded, 1e-30))
        row[UPDATED] = np.float64(event + e)
        row[COUNT] += np.float64(added) - np.float64(removed)
        row[LOG_COUNT] = math.log(row[COUNT] + 1.0)
        row[LOG_SHARE] = math.log((row[POSITIVES] + 1.0) / (row[COUNT] + 2.0))
        row[ROOT] = math.sqrt(row[COUNT] + 10.0)


@reading
def survey(table, now, candidates, stands_for, sums, views, scales):
    """What the rows of all candidates are measured by, before any row can be made.

    Parameters
    ----------
    table : float array, shape (items, COLUMNS)
    now : float
        The number of the next event.
    candidates : int32 array
    stands_for : float array
        For how many each candidate stands where not all items are candidates; empty: each for itself.
    sums : float array, shape (items, 2)
        From `evidence`.
    views : float array, shape (candidates, VIEWS)
        Written: both sums relative to popularity, and the fading counts that the mixture draws from.
    scales : float array, shape (VIEWS + 3,)
        Written: the largest of both sums, and the mixture's share of each of its lists by its total.
    """
    best, most = 1e-300, 1e-300
    once, twice, thrice = 0.0, 0.0, 0.0
    first, second, third = 1e-300, 1e-300, 1e-300
    size = 0.0
    for place in range(candidates.size):
        c, item = np.uint64(place), np.int64(candidates[place])
        fellows = stands_for[c] if stands_for.size > 0 else 1.0
        size += fellows
        if item < 0 or item >= sums.shape[0] or table[np.uint64(item), COUNT] <= 0.0:
            for v in range(views.shape[1]):
                views[c, v] = 0.0
            continue
        i = np.uint64(item)
        said, near = sums[i, 0] / table[i, ROOT], sums[i, 1] / table[i, ROOT]
        best, most = max(best, said), max(most, near)
        # Each rate is a multiple of the slowest, so one exponential serves all.
        slowest = math.exp(-_RATES[3] * (now - table[i, UPDATED]))
        slower = slowest * slowest * slowest
        slower *= slower
        slow = slower * slower
        slow *= slow * slower
        views[c, 0], views[c, 1] = said, near
        views[c, 2] = table[i, FADING + 1] * slow
        views[c, 3] = table[i, FADING + 2] * slower
        views[c, 4] = table[i, FADING + 3] * slowest
        once += fellows * said
        twice += fellows * said * said
        thrice += fellows * said * said * said
        first += fellows * views[c, 2]
        second += fellows * views[c, 3]
        third += fellows * views[c, 4]
    scales[0], scales[1] = best, most
    scales[2] = 0.2 * size / max(once / best, 1e-300)
    scales[3] = 0.3 * size / max(twice / best / best, 1e-300)
    scales[4] = 0.2 * size / max(thrice / best / best / best, 1e-300)
    scales[5], scales[6], scales[7] = 0.1 * size / first, 0.1 * size / second, 0.1 * size / third


@kernel
def _row(items, table, now, item, views, c, scales, features, r):
    """The features of one candidate; an item that nobody has rated is known by its absence."""
    said, near = views[c, 0] / scales[0], views[c, 1] / scales[1]
    features[r, 0] = said
    features[r, 1] = math.log(said + _FLOOR) if said > 0.0 else _UNSAID
    features[r, 2] = near
    features[r, 3] = math.log(near + _FLOOR) if near > 0.0 else _UNSAID
    if item < 0 or item >= table.shape[0] or table[np.uint64(item), COUNT] <= 0.0:
        features[r, 4] = 0.0
        for b in range(_RATES.size):
            features[r, 5 + b] = _FAINT
        features[r, 9], features[r, 10] = _UNKNOWN, _NEW
    else:
        i = np.uint64(item)
        features[r, 4] = table[i, LOG_COUNT]
        passed = now - table[i, UPDATED]
        for b in range(_RATES.size):
            features[r, 5 + b] = max(table[i, LOG_FADING + b] - _RATES[b] * passed, _FAINT)
        features[r, 9] = table[i, LOG_SHARE]
        features[r, 10] = math.log(now - np.float64(items[i].first_event) + 10.0)
    # A candidate drawn from one of several lists, where a product asks all of them to agree. Sequence
    # neighbours speak three times, as they are and sharpened: how far their best stand out differs.
    share = said * (scales[2] + said * (scales[3] + said * scales[4]))
    share += scales[5] * views[c, 2] + scales[6] * views[c, 3] + scales[7] * views[c, 4]
    features[r, 11] = math.log(share + 0.01)


@reading
def fill(h, table, now, candidates, views, scales, features):
    """Rows of features for the candidates, after a `survey`."""
    items = h.items
    for place in range(candidates.size):
        c = np.uint64(place)
        _row(items, table, now, np.int64(candidates[c]), views, c, scales, features, c)


@reading
def weigh(h, table, now, candidates, views, scales, weights, row, scores):
    """The rows' weighted sums, added in the order of the features; `row`, shape (1, features), is room."""
    items = h.items
    for place in range(candidates.size):
        c = np.uint64(place)
        _row(items, table, now, np.int64(candidates[c]), views, c, scales, row, np.uint64(0))
        score = 0.0
        for f in range(weights.size):
            score += row[0, f] * weights[f]
        scores[c] = score
