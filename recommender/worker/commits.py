"""The offsets that are committed to Kafka: what is durable, each once, and never at a bad moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from faust.types import TP


class Commits:
    """Commits offsets.

    While a group shares its partitions anew, Kafka throws a member that commits out of it, and the others
    wait until that member's session is over. So none is committed between `stop` and `go_on`.

    Parameters
    ----------
    commit : function
        Commits next offsets; whether Kafka took them.
    """

    def __init__(self, commit: Callable[[Mapping[TP, int]], Awaitable[bool]]) -> None:
        self._commit = commit
        self._committed: dict[TP, int] = {}
        self._one_at_a_time = asyncio.Lock()
        self._stopped = False

    async def advance(self, topic: str, offsets: Mapping[int, int], *, also_zero: bool = False) -> None:
        """Commit a topic's next offsets by partition, where they are further than before.

        Parameters
        ----------
        topic : str
        offsets : mapping of int to int
        also_zero : bool
            Whether to commit offset 0 as well: it tells that the group was here.
        """
        least = -1 if also_zero else 0
        async with self._one_at_a_time:
            if self._stopped:
                return
            wanted = {TP(topic, partition): offset for partition, offset in offsets.items()}
            new = {tp: offset for tp, offset in wanted.items() if offset > self._committed.get(tp, least)}
            if new and await self._commit(new):
                self._committed.update(new)

    async def stop(self) -> None:
        """Commit nothing more, and wait until what was begun is done."""
        async with self._one_at_a_time:
            self._stopped = True
        self._committed.clear()

    def go_on(self) -> None:
        """Commit again: the partitions are shared out."""
        self._stopped = False
