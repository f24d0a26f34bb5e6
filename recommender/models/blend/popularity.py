# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The item table of a blend: how often, how lately and how well each item was rated.

All that the features of a candidate need that do not ask who wants it. The counts fade over several memories:
an item's row says how they stood at its last event, and what is left of them now follows from the time that
passed.
"""

from __future__ import annotations

import math

import numpy as np

from recommender.compiled import dividing_kernel, inlined_dividing_kernel, kernel
from recommender.history.events import Events
from recommender.history.history import History
from recommender.models.base import Arrays, FloatArray, IntArray
from recommender.models.blend.blocks import BLOCK, exponentials
from recommender.models.elementary import LOG_2, exp, log_of_normal

#: Half-lives of the fading counts, in events.
HALF_LIVES = np.array([200.0, 1000.0, 5000.0, 30000.0])

RATES = LOG_2 / HALF_LIVES
#: How many of the half-lives, the longest, the mixture draws from.
LATELY = 3
#: What is left of these counts after one event; numbers and no formula, because they enter the state.
_KEPT = np.array([0.9993070929904525, 0.9998613801725043, 0.9999768953608976])
#: A total of what is left when most is taken away is known no better than to this part of it all.
_NO_BETTER = 1e-6
#: What a divisor is at least.
LEAST = 1e-300
#: The number of last events of which the items are known; a power of two.
REMEMBERED = 2048
#: Rows of a new table.
_FIRST_ROWS = 64

# Columns of the item table: ratings that stand, positive ones, the event of the last change, logarithms of
# what is read at each request, the fading counts with their logarithms, and the first rating's event, which
# the history knows too.
COUNT, POSITIVES, UPDATED, LOG_COUNT, LOG_SHARE, ROOT, FADING = 0, 1, 2, 3, 4, 5, 6
LOG_FADING = FADING + len(HALF_LIVES)
FIRST = LOG_FADING + len(HALF_LIVES)
COLUMNS = FIRST + 1


def empty_table(items: int) -> FloatArray:
    """A table of items that nobody has rated, shape (items, COLUMNS).

    Column by column, because a request reads all items of a column.
    """
    table = np.zeros((items, COLUMNS), order="F")
    table[:, FIRST] = np.inf
    return table


class Popularity:
    """Keeps the item table up to date.

    Parameters
    ----------
    history : History
    positive : float
        Events of at least this weight are positive.

    Attributes
    ----------
    table : float array, shape (more than items, COLUMNS)
        Always larger than there are items: kernels are compiled for an array's layout, and an empty table,
        or a part of it that is all of it, has another one.
    totals : float array, shape (LATELY,)
        What the fading counts of all items come to, see `count_events`.
    newest : int32 array, shape (REMEMBERED,)
        Of each of the last events the item, at the remainder of its number; the table says it, too.
    items : int
        How many are known.
    events : int
        How many were counted: the number of the next one.
    """

    def __init__(self, history: History, positive: np.float32) -> None:
        self._history, self._positive = history, positive
        self.table = empty_table(_FIRST_ROWS)
        self.totals = np.zeros(LATELY)
        self.newest = np.zeros(REMEMBERED, np.int32)
        self.items, self.events = 0, 0

    @property
    def now(self) -> float:
        """The number of the next event, as kernels reckon with it."""
        return float(self.events)

    def learn(self, events: Events) -> None:
        """Count the events, at least one, for their items."""
        self.items = max(self.items, int(events.items[0] if len(events) == 1 else events.items.max()) + 1)
        if self.items >= len(self.table):
            larger = empty_table(max(self.items + 1, 2 * len(self.table)))
            larger[: len(self.table)] = self.table
            self.table = larger
        count_events(
            self._positive,
            self.events,
            events.items,
            events.ratings,
            events.weights,
            events.previous_weights,
            self.table,
            self.totals,
            self.newest,
        )
        self.events += len(events)

    def forget(self, items: IntArray) -> None:
        """Let known items be such as nobody has rated yet."""
        self.table[items, :FIRST] = 0.0
        self.table[items, FIRST] = np.inf

    def state(self) -> Arrays:
        """The item `table` and `totals`; how many events there were is for the model to keep."""
        return {"table": self.table[: self.items, :FIRST].copy(), "totals": self.totals.copy()}

    def restore(self, state: Arrays, events: int) -> None:
        """Take over what `state` gave after a number of events; the history knows each item's first event."""
        self.items, self.events = len(state["table"]), events
        self.table = empty_table(max(self.items + 1, _FIRST_ROWS))
        known = self.table[: self.items]
        known[:, :FIRST] = state["table"]
        rated = self._history.arrays.items[: self.items]
        known[:, FIRST] = np.where(rated["events"] > 0, rated["first_event"], np.inf)
        self.totals = state["totals"].astype(np.float64)
        lately = np.flatnonzero((known[:, ROOT] > 0.0) & (known[:, UPDATED] >= events - REMEMBERED))
        self.newest[:] = 0
        self.newest[known[lately, UPDATED].astype(np.int64) % REMEMBERED] = lately


@inlined_dividing_kernel
def left_of(slowest):
    """The rest of each fading count where so much of the slowest one is left: its rate divides all others."""
    slower = slowest * slowest * slowest
    slower *= slower
    slow = slower * slower
    slow *= slow * slower
    fast = slow * slow
    return fast * fast * slow, slow, slower, slowest


@kernel
def count_events(positive, event, items, ratings, weights, previous_weights, table, totals, newest):
    """Let each event's item fade until now, then count what was added and what was taken away.

    Which age a replaced or withdrawn rating had is not kept: it takes the mean share with it. `totals`, shape
    (LATELY,), is what the last fading counts of all items come to at the next event. `newest`, as long as a
    power of two, gets each item at the remainder of the event's number.
    """
    total_b, total_c, total_d = totals[0], totals[1], totals[2]
    for e in range(items.size):
        row = table[items[e]]
        newest[np.uint64(event + e) & np.uint64(newest.size - 1)] = items[e]
        if not np.isnan(ratings[e]):
            row[FIRST] = min(row[FIRST], np.float64(event + e))
        passed = np.float64(event + e) - row[UPDATED]
        removed = previous_weights[e] > 0.0
        added = not np.isnan(ratings[e]) and weights[e] > 0.0
        row[POSITIVES] -= np.float64(previous_weights[e] >= positive)
        row[POSITIVES] += np.float64(not np.isnan(ratings[e]) and weights[e] >= positive)
        kept = (row[COUNT] - 1.0) / row[COUNT] if removed else 1.0
        fast, slow, slower, slowest = left_of(exp(-RATES[3] * passed))
        more = np.float64(added)
        # First all of them, then where they go: so they are made together.
        a = row[FADING] * fast * kept + more
        was_b, was_c, was_d = row[FADING + 1] * slow, row[FADING + 2] * slower, row[FADING + 3] * slowest
        b, c, d = was_b * kept + more, was_c * kept + more, was_d * kept + more
        total_b = (total_b + (b - was_b)) * _KEPT[0]
        total_c = (total_c + (c - was_c)) * _KEPT[1]
        total_d = (total_d + (d - was_d)) * _KEPT[2]
        count = row[COUNT] + more - np.float64(removed)
        positives = row[POSITIVES]
        log_a, log_b = log_of_normal(max(a, 1e-30)), log_of_normal(max(b, 1e-30))
        log_c, log_d = log_of_normal(max(c, 1e-30)), log_of_normal(max(d, 1e-30))
        log_count, log_share = log_of_normal(count + 1.0), log_of_normal((positives + 1.0) / (count + 2.0))
        root = math.sqrt(count + 10.0)
        row[FADING], row[FADING + 1], row[FADING + 2], row[FADING + 3] = a, b, c, d
        row[LOG_FADING], row[LOG_FADING + 1] = log_a, log_b
        row[LOG_FADING + 2], row[LOG_FADING + 3] = log_c, log_d
        row[UPDATED] = np.float64(event + e)
        row[COUNT], row[LOG_COUNT], row[LOG_SHARE], row[ROOT] = count, log_count, log_share, root
    totals[0], totals[1], totals[2] = total_b, total_c, total_d


@kernel
def totals_without(table, now, items, totals, block, bits, left):
    """Write to `left` what `totals` are without these items, all of the table."""
    for t in range(LATELY):
        left[t] = totals[t]
    for begin in range(0, items.size, BLOCK):
        count = min(BLOCK, items.size - begin)
        fade(table, now, items, block, bits, begin, count)
        for k in range(np.uint64(count)):
            for t in range(LATELY):
                left[t] -= block[t, k]
    keep_least(left, totals)


@kernel
def keep_least(left, totals):
    """Let what is left of totals be no less than can be known of them."""
    for t in range(LATELY):
        left[t] = max(left[t], _NO_BETTER * totals[t], LEAST)


@dividing_kernel
def fade(table, now, items, block, bits, begin, count):
    """Write the fading counts that the mixture draws from to the first rows of `block`."""
    for k in range(count):
        i = np.uint64(items[np.uint64(begin + k)])
        block[0, k], block[1, k], block[2, k] = (
            table[i, FADING + 1], table[i, FADING + 2], table[i, FADING + 3],
        )  # fmt: skip
        block[6, k] = -RATES[3] * (now - table[i, UPDATED])
    exponentials(block, bits, 6, 7, count)
    for k in range(count):
        _, slow, slower, slowest = left_of(block[6, k])
        block[0, k] *= slow
        block[1, k] *= slower
        block[2, k] *= slowest
