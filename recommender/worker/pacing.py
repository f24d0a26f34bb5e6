"""Slices long-running work, so that it does not starve the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from recommender.worker.transport.event_loop import ready

# The processor's time, where it is measured finely enough: while others have the processor no work is done.
_coarse = time.get_clock_info("thread_time").resolution > 0.001
clock = time.perf_counter if _coarse else time.thread_time
#: Fewer records in a slice are not worth the calls that a slice takes.
MIN_RECORDS = 128
#: Where no requests come, a slice may be this many times as long.
IDLE_FACTOR = 2.0
#: Requests are taken to come as long as one came in this many seconds.
REQUESTS_SECONDS = 10.0
#: How many tasks of each event loop give way now.
_giving: Counter[int] = Counter()


async def give_way(within: float, clock: Callable[[], float] = clock) -> None:
    """Let everything else run that is ready, and what that makes ready in turn.

    A reply needs about a dozen iterations of the loop; yielding only once between slices would delay it by a
    dozen slices. Tasks that give way at the same time do not wait for each other.

    Parameters
    ----------
    within : float
        Continue when all else has used this many seconds of the processor: where something is always ready,
        long work has its share.
    clock : function
        Tells those seconds.
    """
    others, loop = ready(), id(asyncio.get_running_loop())
    until = clock() + within
    _giving[loop] += 1
    try:
        while True:
            await asyncio.sleep(0)
            # Each other task that gives way is ready, too.
            if len(others) < _giving[loop] or clock() >= until:
                return
    finally:
        _giving[loop] -= 1


class RecentRequests:
    """Remembers whether requests came lately."""

    def __init__(self, seconds: float = REQUESTS_SECONDS) -> None:
        self._seconds = seconds
        self._last = -seconds

    def note(self) -> None:
        """Requests came just now."""
        self._last = time.monotonic()

    @property
    def any(self) -> bool:
        """Return True if requests came lately."""
        return time.monotonic() - self._last < self._seconds


class Pace:
    """Cuts long work into slices of a given length, by how long the last ones took.

    Parameters
    ----------
    seconds : float
        How long a slice may be, while requests come.
    requests : RecentRequests
    """

    def __init__(self, seconds: float, requests: RecentRequests) -> None:
        self._while_asked = seconds
        self._requests = requests
        self._each = 0.0
        self._spent = 0.0

    @property
    def seconds(self) -> float:
        """The length of a slice now, in seconds."""
        return self._while_asked * (1.0 if self._requests.any else IDLE_FACTOR)

    def count(self, most: int) -> int:
        """The number of records to do next, at most `most`."""
        fitting = int(self.seconds / self._each) if self._each else most
        return min(most, max(MIN_RECORDS, fitting))

    def is_over(self, count: int, took: float) -> bool:
        """Return True if the slice is over, now that `count` more were done in `took` seconds.

        It ends before it is too long, not after: as many again must still fit in.
        """
        self._each += (took / count - self._each) / (4 if self._each else 1)
        self._spent += took
        over = self._spent + took > self.seconds
        if over:
            self._spent = 0.0
        return over
