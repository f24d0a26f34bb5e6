"""Wakes those who wait for something to have changed."""

from __future__ import annotations

import asyncio


class Changes:
    """Tells all who wait that something has changed; each looks for itself whether it is enough."""

    def __init__(self) -> None:
        self._waiting: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Return at the next change."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await waiter

    def notify(self) -> None:
        """Wake all who wait now."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.done():
                each.set_result(None)
