"""Measures for how long at a time the event loop is held up: nothing is answered meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import deque

#: Between two looks, in seconds.
LOOK_SECONDS = 0.5
#: Looks that are remembered: a minute.
LOOKS = 120


class LoopWatch:
    """Sleeps, and measures how much later than asked it wakes."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._late: deque[float] = deque(maxlen=LOOKS)

    @property
    def up_seconds(self) -> float:
        """The seconds for which the worker has run."""
        return time.monotonic() - self._started

    @property
    def held_up(self) -> float:
        """The longest time of the last minute that the loop was held up, in seconds."""
        return max(self._late, default=0.0)

    async def measure(self) -> None:
        """Look once; to be called again and again."""
        before = time.monotonic()
        await asyncio.sleep(LOOK_SECONDS)
        self._late.append(max(0.0, time.monotonic() - before - LOOK_SECONDS))

    def summary(self) -> str:
        """The state of the loop, in a sentence."""
        return (
            f"the event loop turns: up for {self.up_seconds:.0f} s, and held up for at most "
            f"{self.held_up * 1000:.0f} ms in the last minute"
        )
