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
    current : bool
        Nobody else can have had the partition since this last caught up with what is committed.
    """

    next: int
    open: set[int] = field(default_factory=set)
    current: bool = True

    def catch_up(self, committed: int) -> None:
        """Leave alone what others have answered while they had the partition.

        Parameters
        ----------
        committed : int
            The offset below which every request has its reply, as the group knows.
        """
        self.open = {offset for offset in self.open if offset >= committed}
        self.next = max(self.next, committed)
        self.current = True

    @property
    def done(self) -> int:
        """The offset below which every request has its reply."""
        return min(self.open, default=self.next)
