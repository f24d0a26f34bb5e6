# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""What a blend knows about a user and each candidate, as a row of numbers.

Two kinds of evidence, kept apart because shards will share the item side: what other users' histories say around
the user's newest items (sequence neighbours, and plain co-occurrence in the same walk), and how often and how
lately each item was rated, over several memories.
"""

from __future__ import annotations

import math

import numpy as np

from recommender.models.sequence_kernels import meet as _meet
from recommender.models.sequence_kernels import raised as _raised
from recommender.models.sequence_kernels import spread as _spread

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
    "log time since last",
    "log mixture",  # of what sequence neighbours and lately popular items say, as probabilities
)
#: Half-lives of the fading counts, in events.
HALF_LIVES = np.array([200.0, 1000.0, 5000.0, 30000.0])

_RATES = math.log(2.0) / HALF_LIVES
#: What a relative score counts at least, so that its logarithm is finite.
_FLOOR = 1e-3
#: Logarithm of the smallest fading count that is told from none.
_FAINT = math.log(0.1)

#: Up to this distance the windows of a neighbour are walked as one.
_SPAN = 512

# Columns of the item table.
COUNT, POSITIVES, UPDATED, LOG_COUNT, LOG_SHARE, FADING = 0, 1, 2, 3, 4, 5
COLUMNS = FADING + len(HALF_LIVES)


@kernel
def count_events(positive, event, items, ratings, weights, previous_weights, table):
    """Let each event's item fade until now, then count what was added and what was taken away.

    Which age a replaced or withdrawn rating had is not kept: it takes the mean share with it. Fading counts are
    kept as logarithms, so that reading them costs no function call.
    """
    for e in range(items.size):
        row = table[items[e]]
        passed = np.float64(event + e) - row[UPDATED]
        removed = previous_weights[e] > 0.0
        added = not np.isnan(ratings[e]) and weights[e] > 0.0
        row[POSITIVES] -= np.float64(previous_weights[e] >= positive)
        row[POSITIVES] += np.float64(not np.isnan(ratings[e]) and weights[e] >= positive)
        for b in range(_RATES.size):
            faded = math.exp(row[FADING + b] - _RATES[b] * passed) if row[COUNT] > 0.0 else 0.0
            if removed:
                faded *= max(row[COUNT] - 1.0, 0.0) / row[COUNT]
            faded += np.float64(added)
            row[FADING + b] = math.log(max(faded, 1e-30))
        row[UPDATED] = np.float64(event + e)
        row[COUNT] += np.float64(added) - np.float64(removed)
        row[LOG_COUNT] = math.log(row[COUNT] + 1.0)
        row[LOG_SHARE] = math.log((row[POSITIVES] + 1.0) / (row[COUNT] + 2.0))


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
            own_user, items[k], share, raters[k], t, met, touches,
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
def fill(h, table, now, candidates, sums, features):
    """Rows of features for the candidates; an item never seen has those of one never rated."""
    best, most = 1e-300, 1e-300
    for c in range(candidates.size):
        item = candidates[c]
        if 0 <= item < sums.shape[0] and sums[item, 0] > 0.0:
            root = math.sqrt(np.float64(h.items[item].count) + 10.0)
            best = max(best, sums[item, 0] / root)
            most = max(most, sums[item, 1] / root)
    faint, unsaid = _FAINT, math.log(_FLOOR)
    for c in range(candidates.size):
        item = candidates[c]
        row = features[c]
        row[0], row[1], row[2], row[3] = 0.0, unsaid, 0.0, unsaid
        if not 0 <= item < sums.shape[0]:
            for b in range(_RATES.size):
                row[5 + b] = faint
            row[4], row[9] = 0.0, -math.log(2.0)
            row[10] = math.log(10.0)
            row[11] = math.log(now + 3.0)
            continue
        if sums[item, 0] > 0.0:
            root = math.sqrt(np.float64(h.items[item].count) + 10.0)
            row[0] = sums[item, 0] / root / best
            row[1] = math.log(row[0] + _FLOOR)
            row[2] = sums[item, 1] / root / most
            row[3] = math.log(row[2] + _FLOOR)
        row[4] = table[item, LOG_COUNT]
        passed = now - table[item, UPDATED]
        for b in range(_RATES.size):
            row[5 + b] = max(table[item, FADING + b] - _RATES[b] * passed, faint)
        if table[item, COUNT] <= 0.0:
            for b in range(_RATES.size):
                row[5 + b] = faint
        row[9] = table[item, LOG_SHARE] if table[item, COUNT] > 0.0 else -math.log(2.0)
        row[10] = math.log(now - np.float64(h.items[item].first_event) + 10.0)
        row[11] = math.log(now - np.float64(h.items[item].last_event) + 3.0)
    _mix(features)


@kernel
def _mix(features):
    """The last column: one list of candidates drawn from several, where a product would ask all of them to agree.

    Sequence neighbours speak three times, as they are and sharpened, since how far their best stand out differs.
    """
    once, twice, thrice, first, second, third = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for c in range(features.shape[0]):
        row = features[c]
        once += row[0]
        twice += row[0] ** 2
        thrice += row[0] ** 3
        first += math.exp(row[6])
        second += math.exp(row[7])
        third += math.exp(row[8])
    said = 1.0 if once > 0.0 else 0.0
    once, twice, thrice = max(once, 1e-300), max(twice, 1e-300), max(thrice, 1e-300)
    for c in range(features.shape[0]):
        row = features[c]
        neighbours = 0.2 * row[0] / once + 0.3 * row[0] ** 2 / twice + 0.2 * row[0] ** 3 / thrice
        popular = math.exp(row[6]) / first + math.exp(row[7]) / second + math.exp(row[8]) / third
        row[12] = math.log(features.shape[0] * (said * neighbours + 0.1 * popular) + 0.01)
