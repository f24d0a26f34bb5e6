"""Long work on the event loop that lets all other work go first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sized

from recommender.worker.demand import Demand

# The processor's time, where it is told finely enough: while others have the processor no work is done.
_coarse = time.get_clock_info("thread_time").resolution > 0.001
clock = time.perf_counter if _coarse else time.thread_time
#: Fewer at a stretch are not worth the calls that a stretch takes.
LEAST = 128
#: Where nobody asks, a stretch may be so many times as long.
CALM = 2.0


async def give_way(within: float) -> None:
    """Let everything else run that is ready to run, and what that makes ready in turn.

    A reply takes a dozen turns of the event loop. Who lets only one turn pass before the next long stretch of
    work makes it wait a dozen times.

    Parameters
    ----------
    within : float
        Go on when all else has used so many seconds of the processor: where something is always ready, long
        work has its share.
    """
    # What is ready to run. Event loops other than asyncio's own do not say; there one turn must do.
    ready: Sized = getattr(asyncio.get_running_loop(), "_ready", ())
    until = clock() + within
    while True:
        await asyncio.sleep(0)
        if not len(ready) or clock() >= until:
            return


class Pace:
    """Parts long work into stretches of a given length, by how long the last ones took.

    Parameters
    ----------
    seconds : float
        How long a stretch may be, while somebody asks.
    demand : Demand
        Whether anybody does.
    """

    def __init__(self, seconds: float, demand: Demand) -> None:
        self._while_asked = seconds
        self._demand = demand
        self._each = 0.0
        self._spent = 0.0

    @property
    def seconds(self) -> float:
        """How long a stretch may be now."""
        return self._while_asked * (1.0 if self._demand.lately else CALM)

    def count(self, most: int) -> int:
        """How many to do next, at most `most`."""
        fitting = int(self.seconds / self._each) if self._each else most
        return min(most, max(LEAST, fitting))

    def is_over(self, count: int, took: float) -> bool:
        """Whether the stretch is over, now that `count` more were done in `took` seconds.

        It ends before it is too long, not after: as many again must still fit in.
        """
        self._each += (took / count - self._each) / (4 if self._each else 1)
        self._spent += took
        over = self._spent + took > self.seconds
        if over:
            self._spent = 0.0
        return over
