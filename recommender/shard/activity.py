# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Users in the order of their last event, and a clock that a log carries itself.

The order is a doubly linked list over indices, in arrays, so that an event moves its user to the end in some
ten nanoseconds, and who is next to leave is known without a search.

The clock is the median of the times of the last `RECENT` events, and never goes back. A record that claims to
be of ten years ahead, or of ten years ago, moves it no further than its neighbours do; it takes a majority of
the last `RECENT` to carry it off. Where a log pauses for a year the clock is there after half of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import kernel
from recommender.history.arrays import grown

#: The times whose median is the clock's.
RECENT = 15

# Places in `ends`: who was active longest ago, and last; 0 where nobody is.
_OLDEST, _NEWEST = 0, 1


class _Order(NamedTuple):
    """The arrays, for kernels; places are one more than indices, so that zeros mean nobody."""

    before: NDArray[np.int32]
    after: NDArray[np.int32]
    seen: NDArray[np.float64]
    ends: NDArray[np.int32]


class Activity:
    """The order in which users were last active, and when by the log's clock."""

    def __init__(self) -> None:
        none = np.zeros(0, np.int32)
        self._order = _Order(none, none, np.zeros(0), np.zeros(2, np.int32))
        self._recent: list[float] = []
        #: The log's clock, in seconds.
        self.now = -np.inf

    def pass_events(self, users: NDArray[np.int32], times: NDArray[np.float64]) -> None:
        """Take note of events in the order of the log; users are active as of the clock before them."""
        if not len(users):
            return
        size = int(users.max()) + 1
        if size > len(self._order.seen):
            before, after, seen, ends = self._order
            self._order = _Order(grown(before, size), grown(after, size), grown(seen, size), ends)
        _touch(self._order, users, self.now)
        self._recent = [*self._recent, *times[-RECENT:][np.isfinite(times[-RECENT:])].tolist()][-RECENT:]

    def tick(self) -> None:
        """Let the clock go on to where the last events are; it begins when there are enough of them."""
        if len(self._recent) < RECENT:
            return
        begins = self.now == -np.inf
        self.now = max(self.now, sorted(self._recent)[RECENT // 2])
        if begins:
            seen = self._order.seen
            seen[seen == -np.inf] = self.now

    def oldest(self) -> Iterator[tuple[int, float]]:
        """All users, the one who was active longest ago first, and when each was."""
        place = int(self._order.ends[_OLDEST])
        while place:
            yield place - 1, float(self._order.seen[place - 1])
            place = int(self._order.after[place - 1])

    def remove(self, user: int) -> None:
        """Take a user out of the order."""
        if user < len(self._order.seen):
            _remove(self._order, user)

    def state(self, size: int) -> dict[str, NDArray[np.generic]]:
        """`after`, whom each of the first `size` indices is followed by, and so on; see `restore`."""
        before, after, seen, ends = self._order
        return {
            "before": grown(before, size)[:size].copy(),
            "after": grown(after, size)[:size].copy(),
            "seen": grown(seen, size)[:size].copy(),
            "ends": ends.copy(),
            "recent": np.array(self._recent),
            "now": np.array([self.now]),
        }

    def restore(self, state: dict[str, NDArray[np.generic]]) -> None:
        """Take over what `state` gave."""
        self._order = _Order(
            state["before"].astype(np.int32),
            state["after"].astype(np.int32),
            state["seen"].astype(np.float64),
            state["ends"].astype(np.int32),
        )
        self._recent = [float(each) for each in state["recent"]]
        self.now = float(state["now"][0])


@kernel
def _remove(o, user):
    place = user + 1
    before, after = o.before[user], o.after[user]
    if before == 0 and o.ends[_OLDEST] != place:
        return  # never there
    if before > 0:
        o.after[before - 1] = after
    else:
        o.ends[_OLDEST] = after
    if after > 0:
        o.before[after - 1] = before
    else:
        o.ends[_NEWEST] = before
    o.before[user], o.after[user], o.seen[user] = 0, 0, 0.0


@kernel
def _touch(o, users, now):
    for e in range(users.size):
        user = np.int64(users[e])
        if o.ends[_NEWEST] != user + 1:
            _remove(o, user)
            last = o.ends[_NEWEST]
            if last > 0:
                o.after[last - 1] = user + 1
            else:
                o.ends[_OLDEST] = user + 1
            o.before[user], o.after[user] = last, 0
            o.ends[_NEWEST] = user + 1
        o.seen[user] = now


def warm() -> None:
    """Compile or load the kernels."""
    activity = Activity()
    activity.pass_events(np.zeros(1, np.int32), np.zeros(1))
    activity.remove(0)
