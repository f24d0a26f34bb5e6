# mypy: allow-untyped-defs, allow-untyped-calls
"""A copy of a history that is taken while the history continues to learn, in slices of a few milliseconds.

A copy in one go would hold learning up for as long as hundreds of megabytes take. So users are copied a slice
at a time, and learning continues between slices. A second round copies those who changed during the first,
and a last step, in which nothing may change any more, those who changed during the second. A running
virtual machine is moved to another host in this way (Clark et al., Live migration of virtual machines, 2005).

Whether a user changed shows in two numbers: each of the rating events adds to `events`, and a withdrawal,
which does not, takes from `live`. Segments that moved belong to users who changed. Of a user who is forgotten
the history tells, since somebody else may have the same numbers next.
"""

from __future__ import annotations

import numpy as np

from recommender.compiled import kernel
from recommender.history.history import History
from recommender.history.kernels import copy
from recommender.history.layout import ENTRIES, RINGS, USER_COUNT, HistoryArrays, empty_arrays
from recommender.history.state import State, packed

#: Entries copied at a stretch: 2 MB, about a millisecond.
SLICE = 1 << 17
#: Rounds before the last step.
ROUNDS = 2


class HistorySnapshot:
    """A copy in the making.

    Parameters
    ----------
    history : History
        It may learn between two calls, but not during one.
    slice_entries : int
        Entries copied at a stretch.
    """

    def __init__(self, history: History, slice_entries: int = SLICE) -> None:
        self._history, self._slice = history, slice_entries
        history.copies.add(self)
        arrays = history.arrays
        # Empty arrays cost nothing until they are written to; tables and free segments are not needed.
        self._copy = empty_arrays()._replace(
            users=np.zeros(len(arrays.users), arrays.users.dtype),
            items=np.empty_like(arrays.items),
            **{name: np.empty_like(getattr(arrays, name)) for name in _ARENAS},
        )
        self._round, self._user, self._ring, self._ready = 0, 0, 0, 0
        if arrays.meta[ENTRIES] <= self._slice:
            self._round, self._ring = ROUNDS, len(arrays.ring_users)

    def advance(self) -> bool:
        """Copy a slice; False when it is time to finish."""
        if self._round >= ROUNDS:
            return False
        arrays = self._fitted()
        if self._ready < int(self._history.arrays.meta[ENTRIES]):
            # The first users have entries all over the memory, which is cleared where it is written to first.
            for name in _ENTRIES:
                getattr(arrays, name)[self._ready : self._ready + self._slice] = 0
            self._ready += self._slice
            return True
        rings = int(self._history.arrays.meta[RINGS])
        if self._ring < rings:
            # They are copied again in the end, because any user may change any of them. This makes their
            # memory ready, which costs more than the copy.
            self._copy_rings(self._ring, self._ring + self._slice)
            self._ring += self._slice
            return True
        self._user = int(copy_changed(self._history.arrays, arrays, self._user, self._slice))
        if self._user >= self._history.user_count:
            self._round, self._user = self._round + 1, 0
        return True

    def forget_user(self, user: int) -> None:
        """Copy the user again, whatever the numbers say."""
        users = self._copy.users
        if user < len(users):
            users["events"][user] = -1

    def finish(self) -> None:
        """Copy what changed since. Needs no `advance` before, but is the quicker for it."""
        self._history.copies.discard(self)
        arrays, source = self._fitted(), self._history.arrays
        copy_changed(source, arrays, 0, np.iinfo(np.int64).max)
        self._copy_rings(0, int(source.meta[RINGS]))
        np.copyto(arrays.items[: len(source.items)], source.items)
        np.copyto(arrays.meta, source.meta)

    def state(self) -> State:
        """The result of `History.state` as of `finish`; meanwhile the history may learn. Once only."""
        state = packed(self._copy, self._history.raters_per_item)
        del self._copy  # as large as the state
        return state

    def _copy_rings(self, start: int, stop: int) -> None:
        source, arrays = self._history.arrays, self._copy
        stop = min(stop, int(source.meta[RINGS]))
        np.copyto(arrays.ring_users[start:stop], source.ring_users[start:stop])
        np.copyto(arrays.ring_entries[start:stop], source.ring_entries[start:stop])

    def _fitted(self) -> HistoryArrays:
        """The copy's arrays, as long as the history's have grown."""
        arrays = self._copy
        for name in ("users", "items", *_ARENAS):
            wanted, array = len(getattr(self._history.arrays, name)), getattr(arrays, name)
            if len(array) < wanted:
                array.resize(wanted, refcheck=False)
        return arrays


_ENTRIES = ("entry_items", "entry_ratings", "entry_weights", "entry_positions")
_ARENAS = (*_ENTRIES, "ring_users", "ring_entries")


@kernel
def copy_changed(source, to, user, budget):
    """Copy changed users from `user` on until `budget` entries are copied; the next user."""
    while user < source.meta[USER_COUNT] and budget > 0:
        u = source.users[user]
        if u.events != to.users[user].events or u.live != to.users[user].live:
            used = np.int64(u.used)
            copy(source.entry_items, u.start, to.entry_items, u.start, used)
            copy(source.entry_ratings, u.start, to.entry_ratings, u.start, used)
            copy(source.entry_weights, u.start, to.entry_weights, u.start, used)
            copy(source.entry_positions, u.start, to.entry_positions, u.start, used)
            to.users[user] = u
            budget -= used
        budget -= 1
        user += 1
    return user


def warm() -> None:
    """Compile or load the kernel."""
    HistorySnapshot(History(1)).finish()
