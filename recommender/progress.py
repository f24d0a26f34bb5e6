"""How far the requests of a partition are answered."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """Which requests of one partition have their reply.

    Attributes
    ----------
    next : int
        The offset after the newest request that was begun.
    open : set of int
        Offsets of requests that were begun and have no reply yet.
    """

    next: int
    open: set[int] = field(default_factory=set)

    @property
    def done(self) -> int:
        """The offset below which every request has its reply."""
        return min(self.open, default=self.next)
