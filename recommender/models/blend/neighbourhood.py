"""The neighbourhood of a user: others whose histories hold the same items, and what those histories say."""

from __future__ import annotations

import numpy as np

from recommender.history.history import History
from recommender.models.blend.evidence import evidence
from recommender.models.blend.marks import Bits, Sums
from recommender.models.elementary import half_powers, powers
from recommender.models.sequence.kernels import LOOK_BACK, Scratch, newest
from recommender.models.sequence.sequence_knn import Profile, fading_raters

#: Of each older entry of a user, so much fewer raters are asked: they would say less at the same cost.
RATERS_DECAY = 0.9
#: But never fewer than this.
FEWEST_RATERS = 32
#: So many of the newest entries are looked around; the others only tell who has the same taste.
NEAR = 20
#: What a rating counts for taste: its strength, which fades fast, to this power.
LASTING = 0.1
#: Users that may become neighbours, those of the newest items first.
NEIGHBOURS = 1000


class Neighbourhood:
    """Finds a user's neighbours and adds up what they say of items.

    Parameters
    ----------
    history : History
    entries, raters, max_entries, effort : int
        As for `recommender.models.blend.blend.Blend`.
    """

    def __init__(self, history: History, *, entries: int, raters: int, max_entries: int, effort: int) -> None:
        self._history = history
        self._entries, self._max_entries, self._effort = entries, max_entries, effort
        raters = min(raters, history.raters_per_item)
        self._raters = np.maximum(fading_raters(raters, RATERS_DECAY, entries), min(raters, FEWEST_RATERS))
        self._links = int(self._raters.sum())
        self._decays = half_powers(0.8, 2 * LOOK_BACK * entries + 1)
        self._scratch = Scratch(masses=np.float32)

    @property
    def near(self) -> int:
        """The number of a user's newest entries that are looked around."""
        return min(NEAR, self._entries)

    def profile(self, user: int) -> Profile:
        """The user's newest items of positive weight, and how strongly each counts."""
        return self._newest(user, self._entries)

    def near_profile(self, user: int) -> Profile:
        """The newest of them, which are looked around."""
        return self._newest(user, self.near)

    def _newest(self, user: int, entries: int) -> Profile:
        items, strengths = newest(self._history.arrays, user, entries, self._decays)
        return Profile(user, items, strengths)

    def sums(self, profile: Profile, items: int) -> Sums:
        """The evidence of neighbours on the first items, shape (items, 2): see `evidence`."""
        sums: Sums = np.zeros((items, 2), np.float32)
        self.add(profile, sums, None)
        return sums

    def add(self, profile: Profile, sums: Sums, supported: Bits | None, *, fewer: int = 1) -> int:
        """Add what neighbours say to `sums`, and mark their items in `supported` if given.

        So many times fewer neighbours, and entries of them, may be asked. Returns how many entries were read.
        """
        arrays = self._history.arrays
        count = len(profile.items)
        if not count or profile.items.max() >= len(sums):
            return 0
        room = self._scratch.room(arrays, self._links)._replace(limit=NEIGHBOURS // fewer)
        return int(
            evidence(
                arrays,
                profile.user,
                profile.items,
                profile.strengths,
                powers(profile.strengths, LASTING - 1.0),
                self._raters,
                NEAR,
                self._max_entries,
                self._effort // fewer,
                room,
                sums,
                supported,
            )
        )
