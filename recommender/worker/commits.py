"""The offsets that are committed to Kafka: what is durable, each once, and never during a rebalance."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

#: A partition, of one topic by its number.
Place = TypeVar("Place", bound=Hashable)


class Commits(Generic[Place]):
    """Commits the offsets of a group.

    While a group rebalances, Kafka throws a member that commits out of it, and the others wait until that
    member's session is over. So nothing is committed between `stop` and `resume`.

    Parameters
    ----------
    commit : function
        Commits next offsets by partition; whether Kafka took them.
    least : int
        Offsets up to this one are not worth committing: -1 where offset 0 tells that the group was here.
    """

    def __init__(self, commit: Callable[[Mapping[Place, int]], Awaitable[bool]], least: int = 0) -> None:
        self._commit = commit
        self._least = least
        self._committed: dict[Place, int] = {}
        self._one_at_a_time = asyncio.Lock()
        self._stopped = False

    async def advance(self, offsets: Mapping[Place, int]) -> None:
        """Commit next offsets by partition, where they are further than before."""
        async with self._one_at_a_time:
            if self._stopped:
                return
            known = self._committed
            new = {each: offset for each, offset in offsets.items() if offset > known.get(each, self._least)}
            if new and await self._commit(new):
                known.update(new)

    async def stop(self) -> None:
        """Commit nothing more, and wait until what was begun is done."""
        async with self._one_at_a_time:
            self._stopped = True
        self._committed.clear()

    def resume(self) -> None:
        """Commit again: the rebalance is over."""
        self._stopped = False
