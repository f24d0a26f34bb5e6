"""Does what several tasks wait for at the same time in one go, instead of between their other steps.

Lists read much memory, which stays in the processor's caches as long as nothing else comes in between.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

#: After this many seconds all else has a turn.
SLICE_SECONDS = 0.005


class Together:
    """Runs functions in the next turn of the event loop, those of all tasks one after the other.

    Parameters
    ----------
    seconds : float
        How long one turn may take; what is left is for the next one.
    """

    def __init__(self, seconds: float = SLICE_SECONDS) -> None:
        self._seconds = seconds
        self._waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()

    async def run(self, work: Callable[[], Result]) -> Result:
        """The result of a function, or what it raises."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Result] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._turn)
        self._waiting.append((work, done))
        return await done

    def _turn(self) -> None:
        until = time.perf_counter() + self._seconds
        while self._waiting:
            work, done = self._waiting.popleft()
            if not done.done():  # else nobody waits any more
                try:
                    done.set_result(work())
                except Exception as error:
                    done.set_exception(error)
            if self._waiting and time.perf_counter() >= until:
                asyncio.get_running_loop().call_soon(self._turn)
                return
