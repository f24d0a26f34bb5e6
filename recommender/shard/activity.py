# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""Users or items in the order of their last event, and a clock of the log's own.

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

from recommender.compiled import inlined_kernel, kernel
from recommender.history.arrays import Arrays, enlarge
from recommender.history.instructions import prefetch
from recommender.history.layout import USER

#: The times whose median is the clock's.
RECENT = 15

#: So many places ahead is asked for the neighbours of an index, and twice as many for itself.
_AHEAD = 8

# Places in `ends`: who was active longest ago, and last; 0 where nobody is.
_OLDEST, _NEWEST = 0, 1


class Clock:
    """The log's clock.

    Attributes
    ----------
    now : float
        In seconds; minus infinity until there were enough events.
    """

    def __init__(self) -> None:
        self._recent: list[float] = []
        self.now = -np.inf

    def pass_times(self, times: NDArray[np.float64]) -> None:
        """Take note of the times of events, in the order of the log."""
        newest = times[-RECENT:]
        self._recent = [*self._recent, *newest[np.isfinite(newest)].tolist()][-RECENT:]

    def tick(self) -> None:
        """Let the clock advance to where the last events are; it begins when there are enough of them."""
        if len(self._recent) == RECENT:
            self.now = max(self.now, sorted(self._recent)[RECENT // 2])

    def state(self) -> Arrays:
        """`recent` and `now`."""
        return {"recent": np.array(self._recent), "now": np.array([self.now])}

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave."""
        self._recent = [float(each) for each in state["recent"]]
        self.now = float(state["now"][0])


#: Whom an index comes after, and before whom; places are one more than indices, so that zeros mean nobody.
_LINK = np.dtype([("before", np.int32), ("after", np.int32)])


class _Order(NamedTuple):
    """The arrays, for kernels; `seen` is empty where nobody asks for it."""

    links: NDArray[np.void]
    seen: NDArray[np.float64]
    ends: NDArray[np.int32]


class Activity:
    """The order in which indices were last active, and when by the log's clock: infinity until it ticks.

    Parameters
    ----------
    timed : bool
        Whether it is to be known when.
    """

    def __init__(self, *, timed: bool = True) -> None:
        self._timed = timed
        self._order = _Order(np.zeros(0, _LINK), np.zeros(0), np.zeros(2, np.int32))

    def pass_events(self, indices: NDArray[np.int32]) -> None:
        """Take note of events in the order of the log, by whom or what they were of."""
        if not len(indices):
            return
        size = int(indices.max()) + 1
        enlarge(self._order.links, size)
        if self._timed:
            enlarge(self._order.seen, size)
        _touch(self._order, indices)

    def tick(self, now: float) -> None:
        """Let those have been active now, by the clock, who were since it last ticked."""
        if now > -np.inf and self._timed:
            _tick(self._order, now)

    @property
    def oldest_moment(self) -> float:
        """The time of the oldest last event: infinity if that is not known, or there is none."""
        return next((moment for _, moment in self.oldest()), np.inf)

    def oldest(self) -> Iterator[tuple[int, float]]:
        """All of them, the one who was active longest ago first, and when each was."""
        place = int(self._order.ends[_OLDEST])
        while place:
            yield place - 1, float(self._order.seen[place - 1]) if self._timed else np.inf
            place = int(self._order.links["after"][place - 1])

    def leaving(
        self, excess: int, surplus: int, expired: float, costs: NDArray[np.int32], most: int
    ) -> tuple[NDArray[np.int32], int]:
        """The indices that are to leave next, in the order of their last event.

        Parameters
        ----------
        excess : int
            So many are to leave in any case.
        surplus : int
            So are those whose costs come to this.
        expired : float
            So is everybody who was last active before then.
        costs : int32 array
            By index: what it costs to let one leave, but never less than 1; 1 where it ends before.
        most : int
            Ends with the one who brings the costs to this.

        Returns
        -------
        indices : int32 array
        cost : int
        """
        found = np.empty(most, np.int32)
        count, cost = _leaving(self._order, excess, surplus, expired, costs, most, found)
        return found[:count], int(cost)

    def remove(self, indices: NDArray[np.int32]) -> None:
        """Take some out of the order; those who are not in it are passed over."""
        _remove_all(self._order, indices)

    def state(self, size: int) -> Arrays:
        """`after`, whom each of the first `size` indices is followed by, and so on; see `restore`.

        When each was last active is there only where it is known.
        """
        links, seen, ends = self._order
        before, after = _first(links["before"], size), _first(links["after"], size)
        state = {"before": before, "after": after, "ends": ends.copy()}
        return state | {"seen": _first(seen, size)} if self._timed else state

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave."""
        links = np.zeros(len(state["before"]), _LINK)
        links["before"], links["after"] = state["before"], state["after"]
        seen = state["seen"].astype(np.float64) if self._timed else np.zeros(0)
        self._order = _Order(links, seen, state["ends"].astype(np.int32))


def _first(array: NDArray[np.generic], size: int) -> NDArray[np.generic]:
    copied = np.zeros(size, array.dtype)
    copied[: len(array)] = array[:size]
    return copied


@kernel
def _remove(o, index):
    place = index + 1
    before, after = o.links[index].before, o.links[index].after
    if before == 0 and o.ends[_OLDEST] != place:
        return  # never there
    if before > 0:
        o.links[before - 1].after = after
    else:
        o.ends[_OLDEST] = after
    if after > 0:
        o.links[after - 1].before = before
    else:
        o.ends[_NEWEST] = before
    o.links[index].before, o.links[index].after = 0, 0
    if o.seen.size > 0:
        o.seen[index] = 0.0


@inlined_kernel
def _fetch(o, indices, e):
    """Have those brought near who come some places later, and then their neighbours."""
    if e + 2 * _AHEAD < indices.size:
        prefetch(o.links, np.uint64(indices[e + 2 * _AHEAD]))
    if e + _AHEAD < indices.size and indices[e + _AHEAD] < o.links.size:
        link = o.links[indices[e + _AHEAD]]
        prefetch(o.links, np.uint64(max(link.before - 1, 0)))
        prefetch(o.links, np.uint64(max(link.after - 1, 0)))


@kernel
def _remove_all(o, indices):
    for e in range(indices.size):
        _fetch(o, indices, e)
        if indices[e] < o.links.size:
            _remove(o, np.int64(indices[e]))


@kernel
def _touch(o, indices):
    for e in range(indices.size):
        _fetch(o, indices, e)
        index = np.int64(indices[e])
        if o.ends[_NEWEST] != index + 1:
            _remove(o, index)
            last = o.ends[_NEWEST]
            if last > 0:
                o.links[last - 1].after = index + 1
            else:
                o.ends[_OLDEST] = index + 1
            o.links[index].before, o.links[index].after = last, 0
            o.ends[_NEWEST] = index + 1
        if o.seen.size > 0:
            o.seen[index] = np.inf


@kernel
def _tick(o, now):
    place = np.int64(o.ends[_NEWEST])
    while place > 0 and o.seen[place - 1] == np.inf:
        o.seen[place - 1] = now
        place = np.int64(o.links[place - 1].before)


@kernel
def _leaving(o, excess, surplus, expired, costs, most, found):
    count, cost = 0, 0
    place = np.int64(o.ends[_OLDEST])
    later, passed = place, 0
    while place > 0 and cost < most:
        index = place - 1
        # The walk along the links goes ahead of what is read besides.
        while later > 0 and passed < count + _AHEAD:
            prefetch(costs, np.uint64(later - 1))
            later, passed = np.int64(o.links[later - 1].after), passed + 1
        is_over = o.seen.size > 0 and o.seen[index] < expired
        if count >= excess and cost >= surplus and not is_over:
            break
        found[count] = index
        count += 1
        cost += max(1, np.int64(costs[index])) if index < costs.size else 1
        place = np.int64(o.links[index].after)
    return count, cost


def warm() -> None:
    """Compile or load the kernels."""
    activity, one = Activity(), np.zeros(1, np.int32)
    activity.pass_events(one)
    activity.tick(0.0)
    # A field of several records, since that of one would count as an array of its own.
    for costs in (np.zeros(2, USER)["live"], np.zeros(0, np.int32)):
        activity.leaving(1, 0, 0.0, costs, 1)
    activity.remove(one)
