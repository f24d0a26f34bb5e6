r"""Sequence neighbours: other users whose histories hold your newest items close together.

A relative of V-SKNN (Ludewig and Jannach: Evaluation of Session-based Recommendation Algorithms, 2018) and
STAN (Garg et al., SIGIR 2019), over whole histories instead of sessions. It has no parameters to learn and
no state of its own: everything is read from the history, so it is exact at any moment.

With :math:`w` the weight that the feedback policy gave a rating, :math:`n_i` how many users' ratings of item
:math:`i` stand, and :math:`x` positions of entries in a user's history:

1. Each of the user's newest entries :math:`h` of positive weight, lag :math:`k`, has the strength
   :math:`c_h = decay^k w_h / (n_h + 20)^{0.6}`.
2. Each other user :math:`v` with a positive entry of :math:`h` at :math:`x_0`, among the newest raters of
   :math:`h`, has the base :math:`b_v = 0.15 \sum_h c_h`, and
   :math:`m_v(x) = \sum_h c_h \, 0.95^{\max(|x - x_0| - 1, 0)}` over those :math:`h` with
   :math:`|x - x_0| \le 20`, of which those with :math:`x < x_0` count 0.8 times as much.
3. Each positive entry of :math:`v` at :math:`x` adds :math:`w [(m_v(x) + b_v)^{1.5} + b_v^{1.5}]` to its
   item.
4. An item's score is its sum divided by :math:`(n_i + 10)^{0.5}`.

The power makes items that stand close together in one neighbour's sequence count for more than the same
items spread over many neighbours.

Sums are made in one order, so that scores are equal to the bit wherever they are computed: entries of the
user from the newest to the oldest; for each, raters from the newest to the oldest; neighbours in the order
in which they were met first.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.history.events import Events
from recommender.history.history import History
from recommender.models.base import Arrays, FloatArray, IntArray, Model, ModelContext
from recommender.models.elementary import half_powers
from recommender.models.options import between
from recommender.models.sequence import kernels

#: The fewest raters of an entry that may become neighbours, however old the entry is.
LEAST_RATERS = 8


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


class SequenceKNN(Model):
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
        Newest raters of the user's newest item that may become neighbours; the history may keep fewer.
    raters_decay : float
        The share of raters that is left for each older item: their evidence counts less, and costs the same.
    neighbours : int
        Users that may become neighbours, those of the newest items first; later items still add to what is
        known of them.
    max_entries : int
        Newest entries of a neighbour that count; those within a window count in any case.
    effort : int
        Entries read for one request: with more neighbours, fewer of each, equally many.
    """

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
        raters_decay: float = 1.0,
        neighbours: int = 1000,
        max_entries: int = 500,
        effort: int = 200_000,
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
        between(name, "raters_decay", raters_decay, 0.0, 1.0)
        between(name, "neighbours", neighbours, 1, 2**31)
        between(name, "max_entries", max_entries, 0, 2**31 - 1)
        self._history: History = context.history
        between(name, "effort", effort, 0, 2**40)
        self._entries, self._max_entries, self._effort = entries, max_entries, effort
        self._raters = fading_raters(raters, raters_decay, entries)
        self._own, self._item = (own_shrink, own_power), (item_shrink, item_power)
        self._base, self._power = base, power
        # Lags come in halves, because positions are means of two numbers.
        self._decays = half_powers(decay, 2 * kernels.LOOK_BACK * entries + 1)
        self._closeness = kernels.closeness(window_decay, window)
        self._scratch = kernels.Scratch(neighbours)
        self._remembered: tuple[int, int, Evidence] | None = None

    def learn(self, events: Events) -> None:
        """Nothing to learn: the history is the model."""

    @property
    def longest_profile(self) -> int:
        """More items than this a profile must not have."""
        return self._entries

    def profile(self, user: int) -> Profile:
        """The user's newest items and how strongly each is looked for."""
        items, strengths = kernels.newest(self._history.arrays, user, self._entries, self._decays)
        return Profile(user, items, strengths)

    def evidence(self, profile: Profile) -> Evidence:
        """The evidence of this shard's users around a profile, for all items."""
        arrays = self._history.arrays
        both = np.zeros((self._history.item_count, 2))
        kernels.evidence(
            arrays,
            profile.user,
            profile.items,
            profile.strengths,
            self._own[0],
            self._own[1],
            self._raters,
            self._max_entries,
            self._effort,
            self._closeness,
            self._base,
            self._power,
            self._scratch.room(arrays, self._most_links(len(profile.items))),
            both,
        )
        return Evidence(both[:, 0], both[:, 1])

    def _most_links(self, entries: int) -> int:
        return int(np.minimum(self._raters[:entries], self._history.raters_per_item).sum())

    def score_profile(self, profile: Profile, candidates: IntArray) -> FloatArray:
        """Scores of the candidates for a profile."""
        return self._normalised(self.evidence(profile), candidates)

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """Scores of the candidates; all 0 for a user without positive entries."""
        return self._normalised(self._evidence_for(user), candidates)

    def neighbours(self, user: int, candidates: IntArray) -> IntArray:
        """The number of neighbours that contributed to each score."""
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
        kernels.normalise(
            self._history.arrays, evidence.sums, candidates, self._item[0], self._item[1], scores
        )
        return scores

    def state(self) -> Arrays:
        """Empty: the history is the model."""
        return {}

    def restore(self, state: Arrays) -> None:
        """Nothing to take over; what was remembered may belong to another history."""
        self._remembered = None

    @staticmethod
    def warm() -> None:
        """Compile or load the kernels."""
        history = History(4)
        history.append([0, 1, 1], [0, 0, 1], [1.0] * 3, [1.0] * 3, [0.0] * 3)
        SequenceKNN(ModelContext(history)).score(0, np.arange(2, dtype=np.int32))


def fading_raters(raters: int, decay: float, entries: int) -> NDArray[np.int64]:
    """The number of raters of each of the user's entries that may become neighbours, newest entry first."""
    fading = np.floor(raters * half_powers(decay, 2 * entries)[::2]).astype(np.int64)
    limits: NDArray[np.int64] = np.maximum(fading, min(raters, LEAST_RATERS))
    return limits
