r"""Sequence neighbours: other users whose histories hold your newest items close together.

A relative of V-SKNN (Ludewig and Jannach: Evaluation of Session-based Recommendation Algorithms, 2018) and
STAN (Garg et al., SIGIR 2019), over whole histories instead of sessions. It has no parameters to learn and
no state of its own: everything is read from the history, so it is exact at any moment.

With :math:`w` the weight that the feedback policy gave a rating, :math:`n_i` how many users' ratings of item
:math:`i` stand, and :math:`x` positions of entries in a user's history:

1. Each of the user's newest entries :math:`h` of positive weight, lag :math:`k`, has the strength
   :math:`c_h = decay^k w_h / (n_h + 20)^{0.6}`.
2. Each other user :math:`v` with a positive entry of :math:`h` at :math:`x_0`, among the newest raters of
   :math:`h`, has the base :math:`b_v = 0.15 \sum_h c_h`, and :math:`m_v(x) = \sum_h c_h \, 0.95^{\max(|x - x_0| - 1, 0)}`
   over those :math:`h` with :math:`|x - x_0| \le 20`.
3. Each positive entry of :math:`v` at :math:`x` adds :math:`w [(m_v(x) + b_v)^{1.5} + b_v^{1.5}]` to its item.
4. An item's score is its sum divided by :math:`(n_i + 10)^{0.5}`.

The power makes items that stand close together in one neighbour's sequence count for more than the same
items spread over many neighbours.

Sums are made in one order, so that scores are equal to the bit wherever they are computed: entries of the
user from the newest to the oldest; for each, raters from the newest to the oldest; neighbours in the order
in which they were met first.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recommender.history import Events, History, HistoryArrays
from recommender.history_kernels import ITEM_COUNT, LONGEST, USER_COUNT
from recommender.models.base import NEVER, Arrays, FloatArray, IntArray, ModelContext
from recommender.models.options import between

#: Up to this many entries for each that is wanted are looked through for those of positive weight.
LOOK_BACK = 4


class Profile(NamedTuple):
    """The user side of a score: what to look for, in whichever shard's item side.

    Attributes
    ----------
    user : int
        Whose it is, to be left out of the neighbours; -1 in a shard that does not hold the user.
    items : int32 array
        The newest items of positive weight, newest first.
    strengths : float64 array
        decay^lag times the rating's weight.
    """

    user: int
    items: IntArray
    strengths: FloatArray


class Evidence(NamedTuple):
    """The item side of a score; shards' evidence adds up, item by item.

    Attributes
    ----------
    sums : float64 array, shape (items,)
        What neighbours said, not yet divided by the item's popularity.
    neighbours : float64 array, shape (items,)
        How many of them said it.
    """

    sums: FloatArray
    neighbours: FloatArray


class SequenceKNN:
    """Scores from other users' histories around the user's newest items; see the module.

    Parameters
    ----------
    entries : int
        Newest entries of the user that are looked at.
    decay : float
        What an entry counts less than the next newer one.
    window : int
        How far from a shared item, in events, a neighbour's other items count as close.
    window_decay : float
        What each further event of distance costs.
    base : float
        Share with which the rest of a neighbour's history counts.
    power : float
        Exponent for each neighbour.
    own_shrink, own_power, item_shrink, item_power : float
        The normalisations by popularity: 20, 0.6, 10 and 0.5 above.
    raters : int
        Newest raters of each of the user's items that may become neighbours; the history may keep fewer.
    walked : int
        Newest entries of a neighbour that count; those within a window count in any case.
    """

    reads_history_to_learn = False

    def __init__(
        self,
        context: ModelContext,
        *,
        entries: int = 20,
        decay: float = 0.8,
        window: int = 20,
        window_decay: float = 0.95,
        base: float = 0.15,
        power: float = 1.5,
        own_shrink: float = 20.0,
        own_power: float = 0.6,
        item_shrink: float = 10.0,
        item_power: float = 0.5,
        raters: int = 256,
        walked: int = 500,
    ) -> None:
        name = "sequence-knn"
        between(name, "entries", entries, 1, 1000)
        between(name, "decay", decay, 0.0, 1.0)
        between(name, "window", window, 0, 10_000)
        between(name, "window_decay", window_decay, 0.0, 1.0)
        between(name, "base", base, 0.0, 100.0)
        between(name, "power", power, 0.1, 10.0)
        for option, value in (("own_shrink", own_shrink), ("item_shrink", item_shrink)):
            between(name, option, value, 0.0, 1e9)
        for option, value in (("own_power", own_power), ("item_power", item_power)):
            between(name, option, value, 0.0, 10.0)
        between(name, "raters", raters, 1, 1_000_000)
        between(name, "walked", walked, 0, 2**31 - 1)
        self._history: History = context.history
        self._entries, self._raters, self._walked = entries, raters, walked
        self._own, self._item = (own_shrink, own_power), (item_shrink, item_power)
        self._base, self._power = base, power
        # Lags and distances come in halves, because positions are means of two numbers.
        self._decays = np.array([decay ** (k / 2) for k in range(2 * LOOK_BACK * entries + 1)])
        self._closeness = np.array([window_decay ** max(d / 2 - 1, 0.0) for d in range(2 * window + 1)])
        self._scratch = _Scratch()
        self._remembered: tuple[int, int, Evidence] | None = None

    def learn(self, events: Events) -> None:
        """Nothing to learn: the history is the model."""

    def profile(self, user: int) -> Profile:
        """The user's newest items and how strongly each is looked for."""
        items, strengths = _profile(self._history.arrays, user, self._entries, self._decays)
        return Profile(user, items, strengths)

    def evidence(self, profile: Profile) -> Evidence:
        """What this shard's users say to a profile, for all of its items."""
        arrays = self._history.arrays
        both = np.zeros((self._history.item_count, 2))
        _evidence(
            arrays,
            profile.user,
            profile.items,
            profile.strengths,
            self._own[0],
            self._own[1],
            self._raters,
            self._walked,
            self._closeness,
            self._base,
            self._power,
            self._scratch.room(arrays, len(profile.items) * min(self._raters, self._history.raters_per_item)),
            both,
        )
        return Evidence(both[:, 0], both[:, 1])

    def score_profile(self, profile: Profile, candidates: IntArray) -> FloatArray:
        """Scores of the candidates for a profile."""
        return self._normalised(self.evidence(profile), candidates)

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """Scores of the candidates; all 0 for a user without positive entries."""
        return self._normalised(self._evidence_for(user), candidates)

    def neighbours(self, user: int, candidates: IntArray) -> IntArray:
        """How many neighbours contributed to each score."""
        found = np.zeros(len(candidates), np.int32)
        known = (candidates >= 0) & (candidates < self._history.item_count)
        found[known] = self._evidence_for(user).neighbours[candidates[known]]
        return found

    def _evidence_for(self, user: int) -> Evidence:
        # The last answer is kept, because a reply asks for scores and then for neighbours.
        event = self._history.event_count
        if self._remembered is None or self._remembered[:2] != (user, event):
            self._remembered = user, event, self.evidence(self.profile(user))
        return self._remembered[2]

    def _normalised(self, evidence: Evidence, candidates: IntArray) -> FloatArray:
        scores = np.empty(len(candidates))
        _normalise(self._history.arrays, evidence.sums, candidates, self._item[0], self._item[1], scores)
        return scores

    def next_observation(self, event: int) -> int:
        """Never."""
        return NEVER

    def observe(self, user: int, item: int, weight: float) -> None:
        """Nothing to see."""

    def state(self) -> Arrays:
        """Empty: the history is the model."""
        return {}

    def restore(self, state: Arrays) -> None:
        """Nothing to take over; what was remembered may belong to another history."""
        self._remembered = None


class _Touches(NamedTuple):
    """Room for one request's neighbours, in the order in which they are met.

    `place` (users,) is 0 or the neighbour's number plus one, `mass` (longest segment,) is 0: both are left so. A
    neighbour's touches, one for each shared item, are linked from `head` to `tail`.
    """

    place: NDArray[np.int32]
    mass: FloatArray
    user: NDArray[np.int32]
    strength: FloatArray
    head: NDArray[np.int32]
    tail: NDArray[np.int32]
    slot: NDArray[np.int32]
    share: FloatArray
    following: NDArray[np.int32]


class _Scratch:
    """Keeps `_Touches` from request to request."""

    def __init__(self) -> None:
        self._touches = self._made(0, 0, 0)

    @staticmethod
    def _made(users: int, longest: int, touches: int) -> _Touches:
        return _Touches(
            np.zeros(users, np.int32),
            np.zeros(longest),
            np.zeros(touches, np.int32),
            np.zeros(touches),
            np.zeros(touches, np.int32),
            np.zeros(touches, np.int32),
            np.zeros(touches, np.int32),
            np.zeros(touches),
            np.zeros(touches, np.int32),
        )

    def room(self, arrays: HistoryArrays, touches: int) -> _Touches:
        longest = int(arrays.meta[LONGEST])
        have = self._touches
        if len(arrays.users) > len(have.place) or longest > len(have.mass) or touches > len(have.user):
            self._touches = self._made(
                max(len(arrays.users), len(have.place)),
                max(longest, len(have.mass)),
                max(touches, len(have.user)),
            )
        return self._touches


@njit(cache=True)
def _profile(h, user, wanted, decays):  # type: ignore[no-untyped-def]
    """Newest items of positive weight and their strengths, newest first.

    Lags count the entries in between; entries of one position share their mean. They are counted among
    the newest `LOOK_BACK * wanted` entries, and from the newest entry's own.
    """
    items = np.empty(wanted, np.int32)
    strengths = np.empty(wanted, np.float64)
    found = 0
    if user >= 0 and user < h.meta[USER_COUNT]:
        start, slot = h.users[user].start, np.int64(h.users[user].used) - 1
        left = min(np.int64(h.users[user].live), LOOK_BACK * wanted)
        ranks = 0  # entries before the run
        newest = -1
        while left > 0 and found < wanted:
            while h.entry_items[start + slot] < 0:
                slot -= 1
            position = h.entry_positions[start + slot]
            size, oldest = 0, slot
            while oldest >= 0 and size < left and h.entry_positions[start + oldest] == position:
                size += np.int64(h.entry_items[start + oldest] >= 0)
                oldest -= 1
            lag = 2 * ranks + size - 1
            if newest < 0:
                newest = lag
            for s in range(slot, oldest, -1):
                weight = np.float64(h.entry_weights[start + s])
                if h.entry_items[start + s] >= 0 and weight > 0.0 and found < wanted:
                    items[found] = h.entry_items[start + s]
                    strengths[found] = decays[lag - newest] * weight
                    found += 1
            ranks += size
            left -= size
            slot = oldest
    return items[:found], strengths[:found]


# Making no arrays spares the reference counts at each use of one.
_kernel = njit(cache=True, _nrt=False)


@_kernel
def _raised(value, power):  # type: ignore[no-untyped-def]
    return value * math.sqrt(value) if power == 1.5 else value**power


@_kernel
def _meet(users, items, ring_users, ring_entries, weights, own_user, item, share, raters, t, met, touches):  # type: ignore[no-untyped-def]
    """Link the item's newest raters, and return how many neighbours and touches there are now."""
    capacity, start, events = np.int64(items[item].capacity), items[item].start, items[item].events
    ring = events % max(capacity, 1)
    for _ in range(min(events, capacity, raters)):
        ring = (ring if ring > 0 else capacity) - 1
        user = np.int64(ring_users[np.uint64(start + ring)])
        if user < 0 or user == own_user:
            continue
        slot = ring_entries[np.uint64(start + ring)]
        if weights[np.uint64(users[np.uint64(user)].start + slot)] <= 0:
            continue
        n = np.int64(t.place[np.uint64(user)]) - 1
        if n < 0:
            n = met
            met += 1
            t.place[np.uint64(user)] = met
            t.user[np.uint64(n)] = user
            t.strength[np.uint64(n)] = 0.0
            t.head[np.uint64(n)] = touches
        else:
            t.following[np.uint64(t.tail[np.uint64(n)])] = touches
        t.tail[np.uint64(n)] = touches
        t.slot[np.uint64(touches)] = slot
        t.share[np.uint64(touches)] = share
        t.following[np.uint64(touches)] = -1
        t.strength[np.uint64(n)] += share
        touches += 1
    return met, touches


@_kernel
def _spread(positions, start, used, slot, share, closeness, mass):  # type: ignore[no-untyped-def]
    """Add one touch to the masses of the entries around it; the first and last slot of them."""
    reach = closeness.size - 1
    centre = np.int64(positions[np.uint64(start + slot)])
    low = slot
    while low >= 0:
        distance = centre - positions[np.uint64(start + low)]
        if distance > reach:
            break
        mass[np.uint64(low)] += share * closeness[np.uint64(distance)]
        low -= 1
    high = slot + 1
    while high < used:
        distance = positions[np.uint64(start + high)] - centre
        if distance > reach:
            break
        mass[np.uint64(high)] += share * closeness[np.uint64(distance)]
        high += 1
    return low + 1, high - 1


@_kernel
def _tell(entry_items, weights, start, begin, end, mass, base, power, both):  # type: ignore[no-untyped-def]
    """Add a neighbour's entries that are near enough to a shared item, and clear their masses."""
    alone = _raised(base, power)
    for s in range(np.uint64(begin), np.uint64(max(begin, end))):
        near = mass[s]
        mass[s] = 0.0
        item = np.int64(entry_items[np.uint64(start) + s])
        value = np.float64(weights[np.uint64(start) + s]) * (_raised(near + base, power) + alone)
        if item >= 0 and value > 0.0:
            both[np.uint64(item), 0] += value
            both[np.uint64(item), 1] += 1.0


@_kernel
def _tell_alone(entry_items, weights, start, begin, end, alone, both):  # type: ignore[no-untyped-def]
    """Add a neighbour's entries that are near none."""
    for s in range(np.uint64(begin), np.uint64(max(begin, end))):
        item = np.int64(entry_items[np.uint64(start) + s])
        value = np.float64(weights[np.uint64(start) + s]) * alone
        if item >= 0 and value > 0.0:
            both[np.uint64(item), 0] += value
            both[np.uint64(item), 1] += 1.0


@_kernel
def _first_walked(entry_items, start, used, live, walked):  # type: ignore[no-untyped-def]
    """The slot from which on the newest `walked` entries lie."""
    if walked >= live:
        return np.int64(0)
    if used == live:
        return used - walked
    slot = used
    while walked > 0:
        slot -= 1
        walked -= np.int64(entry_items[start + slot] >= 0)
    return slot


@_kernel
def _evidence(
    h, own_user, items, strengths, shrink, exponent, raters, walked, closeness, base_share, power, t, both
):  # type: ignore[no-untyped-def]
    """Let all neighbours of a profile speak: sums and counts for each item, into `both`."""
    entry_items, weights, positions, users = h.entry_items, h.entry_weights, h.entry_positions, h.users
    met, touches = np.int64(0), np.int64(0)
    for k in range(items.size):
        if items[k] < h.meta[ITEM_COUNT]:
            share = strengths[k] / (np.float64(h.items[items[k]].count) + shrink) ** exponent
            met, touches = _meet(
                users,
                h.items,
                h.ring_users,
                h.ring_entries,
                weights,
                own_user,
                items[k],
                share,
                raters,
                t,
                met,
                touches,
            )
    for n in range(met):
        user = t.user[n]
        t.place[user] = 0
        start, used, live = users[user].start, np.int64(users[user].used), np.int64(users[user].live)
        base = base_share * t.strength[n]
        alone = 2.0 * _raised(base, power)
        first = _first_walked(entry_items, start, used, live, np.int64(walked))
        low, high = used, np.int64(-1)
        touch = np.int64(t.head[n])
        while touch >= 0:
            lowest, highest = _spread(
                positions, start, used, np.int64(t.slot[touch]), t.share[touch], closeness, t.mass
            )
            low, high = min(low, lowest), max(high, highest)
            if lowest < first:
                # Too old to be walked: told when all its masses are in.
                t.slot[touch] = -1 - t.slot[touch]
            touch = np.int64(t.following[touch])
        _tell_alone(entry_items, weights, start, first, low, alone, both)
        _tell_alone(entry_items, weights, start, max(first, high + 1), used, alone, both)
        _tell(entry_items, weights, start, max(first, low), high + 1, t.mass, base, power, both)
        touch = np.int64(t.head[n])
        while low < first and touch >= 0:
            if t.slot[touch] < 0:
                _tell_old(
                    entry_items, weights, positions, start, first, -1 - np.int64(t.slot[touch]), closeness.size - 1,
                    base, power, t.mass, both
                )  # fmt: skip
            touch = np.int64(t.following[touch])


@_kernel
def _tell_old(entry_items, weights, positions, start, first, slot, reach, base, power, mass, both):  # type: ignore[no-untyped-def]
    """Add the entries of one window that are older than what is walked; each once."""
    alone = _raised(base, power)
    centre = np.int64(positions[start + slot])
    begin = slot
    while begin > 0 and centre - positions[start + begin - 1] <= reach:
        begin -= 1
    s = begin
    while s < first and positions[start + s] - centre <= reach:
        if mass[s] > 0.0:
            item = np.int64(entry_items[start + s])
            value = np.float64(weights[start + s]) * (_raised(mass[s] + base, power) + alone)
            if item >= 0 and value > 0.0:
                both[item, 0] += value
                both[item, 1] += 1.0
            mass[s] = 0.0
        s += 1


@_kernel
def _normalise(h, sums, candidates, shrink, exponent, scores):  # type: ignore[no-untyped-def]
    for c in range(candidates.size):
        item = candidates[c]
        scores[c] = 0.0
        if item >= 0 and item < sums.size and sums[item] > 0.0:
            divisor = np.float64(h.items[item].count) + shrink
            scores[c] = sums[item] / (math.sqrt(divisor) if exponent == 0.5 else divisor**exponent)


def warm() -> None:
    """Compile or load the kernels."""
    history = History(4)
    history.append([0, 1, 1], [0, 0, 1], [1.0] * 3, [1.0] * 3, [0.0] * 3)
    SequenceKNN(ModelContext(history)).score(0, np.arange(2, dtype=np.int32))
