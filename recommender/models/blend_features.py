# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""What a blend knows about a user and each candidate, as a row of numbers.

Two kinds of evidence, kept apart because shards will share the item side: what other users' histories say
around the user's newest items (sequence neighbours, and plain co-occurrence in the same walk), and how
often and how lately each item was rated, over several memories.
"""

from __future__ import annotations

import math

import numpy as np

from recommender.history_layout import kernel
from recommender.models.sequence_kernels import meet, raised, spread

#: The columns of a row of features, in order.
FEATURES = (
    "sequence",  # sequence neighbours, over the best candidate's
    "log sequence",
    "co-occurrence",  # how much of the user's newest items stands near it in others' histories, likewise
    "log co-occurrence",
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

#: Up to this distance the windows of a neighbour are walked as one.
_SPAN = 512

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


@kernel
def evidence(h, own_user, items, strengths, raters, closeness, t, sums):
    """Add what other users' histories say around `items` to `sums`, shape (items of the shard, 2).

    Column 0 is the sequence neighbours' sum (see `recommender.models.sequence_knn`), of entries within the
    window alone; column 1 sums each neighbour's strength once for each such entry.
    """
    users = h.users
    met, touches = np.int64(0), np.int64(0)
    for k in range(items.size):
        share = strengths[k] / (np.float64(h.items[items[k]].count) + 20.0) ** 0.6
        met, touches = meet(
            users, h.items, h.ring_users, h.ring_entries, h.entry_weights,
            own_user, items[k], share, raters, t, met, touches,
        )  # fmt: skip
    for n in range(met):
        user = t.user[n]
        t.place[user] = 0
        start, used = users[user].start, np.int64(users[user].used)
        low, high = used, np.int64(-1)
        touch = np.int64(t.head[n])
        while touch >= 0:
            lowest, highest = spread(
                h.entry_positions, start, used, np.int64(t.slot[touch]), t.share[touch], closeness, t.mass
            )
            low, high = min(low, lowest), max(high, highest)
            t.slot[touch], t.last[touch] = lowest, highest
            touch = np.int64(t.following[touch])
        if high - low < _SPAN:
            _tell(h.entry_items, h.entry_weights, start, low, high + 1, t.mass, t.strength[n], sums)
            continue
        # In a long history the windows lie far apart; what they share is told once.
        touch = np.int64(t.head[n])
        while touch >= 0:
            first, last = np.int64(t.slot[touch]), np.int64(t.last[touch])
            _tell(h.entry_items, h.entry_weights, start, first, last + 1, t.mass, t.strength[n], sums)
            touch = np.int64(t.following[touch])


@kernel
def _tell(entry_items, weights, start, begin, end, mass, strength, sums):
    base = 0.15 * strength
    alone = raised(base, 1.5)
    for s in range(np.uint64(begin), np.uint64(max(begin, end))):
        near = mass[s]
        mass[s] = 0.0
        item = np.int64(entry_items[np.uint64(start) + s])
        weight = np.float64(weights[np.uint64(start) + s])
        if near > 0.0 and item >= 0 and weight > 0.0:
            sums[np.uint64(item), 0] += weight * (raised(near + base, 1.5) + alone)
            sums[np.uint64(item), 1] += weight * strength


@kernel
def fill(h, table, now, candidates, stands_for, sums, lately, features):
    """Rows of features for the candidates; an item that nobody has rated is known by its absence.

    Where not all items are candidates, `stands_for` says for how many each stands. `lately`, shape
    (candidates, 3), is room for counts.
    """
    best, most = 1e-300, 1e-300
    for c in range(candidates.size):
        item = candidates[c]
        if 0 <= item < sums.shape[0] and sums[item, 0] > 0.0:
            best = max(best, sums[item, 0] / table[item, ROOT])
            most = max(most, sums[item, 1] / table[item, ROOT])
    for place in range(candidates.size):
        c, item = np.uint64(place), np.int64(candidates[place])
        if item < 0 or item >= sums.shape[0] or table[np.uint64(item), COUNT] <= 0.0:
            _fill_unrated(features, c, lately)
            continue
        i = np.uint64(item)
        said, near = sums[i, 0] / table[i, ROOT] / best, sums[i, 1] / table[i, ROOT] / most
        features[c, 0] = said
        features[c, 1] = math.log(said + _FLOOR) if said > 0.0 else _UNSAID
        features[c, 2] = near
        features[c, 3] = math.log(near + _FLOOR) if near > 0.0 else _UNSAID
        features[c, 4] = table[i, LOG_COUNT]
        passed = now - table[i, UPDATED]
        for b in range(_RATES.size):
            features[c, 5 + b] = max(table[i, LOG_FADING + b] - _RATES[b] * passed, _FAINT)
        features[c, 9] = table[i, LOG_SHARE]
        features[c, 10] = math.log(now - np.float64(h.items[i].first_event) + 10.0)
        # Each rate is a multiple of the slowest, so one exponential serves all.
        slowest = math.exp(-_RATES[3] * passed)
        slower = slowest * slowest * slowest
        slower *= slower
        slow = slower * slower
        slow *= slow * slower
        lately[c, 0] = table[i, FADING + 1] * slow
        lately[c, 1] = table[i, FADING + 2] * slower
        lately[c, 2] = table[i, FADING + 3] * slowest
    _mix(stands_for, lately, features)


@kernel
def _fill_unrated(features, c, lately):
    for f in range(features.shape[1]):
        features[c, f] = 0.0
    features[c, 1], features[c, 3] = _UNSAID, _UNSAID
    for b in range(_RATES.size):
        features[c, 5 + b] = _FAINT
    features[c, 9], features[c, 10] = _UNKNOWN, math.log(10.0)
    lately[c, 0], lately[c, 1], lately[c, 2] = 0.0, 0.0, 0.0


@kernel
def _mix(stands_for, lately, features):
    """The last column: a candidate drawn from one of several lists, where a product asks all of them to
    agree.

    Sequence neighbours speak three times, as they are and sharpened, since how far their best stand out
    differs.
    """
    once, twice, thrice = 1e-300, 1e-300, 1e-300
    first, second, third = 1e-300, 1e-300, 1e-300
    size = 0.0
    for place in range(features.shape[0]):
        c = np.uint64(place)
        said, fellows = features[c, 0], stands_for[c]
        size += fellows
        once += fellows * said
        twice += fellows * said * said
        thrice += fellows * said * said * said
        first += fellows * lately[c, 0]
        second += fellows * lately[c, 1]
        third += fellows * lately[c, 2]
    once, twice, thrice = 0.2 * size / once, 0.3 * size / twice, 0.2 * size / thrice
    first, second, third = 0.1 * size / first, 0.1 * size / second, 0.1 * size / third
    for place in range(features.shape[0]):
        c = np.uint64(place)
        said = features[c, 0]
        share = said * (once + said * (twice + said * thrice))
        share += first * lately[c, 0] + second * lately[c, 1] + third * lately[c, 2]
        features[c, 11] = math.log(share + 0.01)
