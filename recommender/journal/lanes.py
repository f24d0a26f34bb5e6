"""The blocks of one source partition: sent, acknowledged, and when to go back. Knows no Kafka.

The owner of a source partition sends ranges of it that continue one another. From this follows: if the first
begins where the source was applied, or before, an acknowledged block is an applied block, since none before
it is missing. So what may be committed is where the acknowledged blocks end, in order and with none failed
before. It ends with the first block that fails: those behind it are ahead and do not count. Then no more is
sent, and when all that is in flight is answered the source is read again from where it is applied.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from recommender.journal.block import Source
from recommender.journal.errors import SourceShorter


@dataclass(slots=True)
class Flight:
    """A range of source offsets whose blocks are on their way to the journal.

    Attributes
    ----------
    end : int
        One past the last offset.
    pending : int
        Blocks that are not answered.
    failed : bool
        A block was refused, or it is not known what became of it.
    """

    end: int
    pending: int
    failed: bool = False


class Lane:
    """The blocks of one source partition, from one owner.

    Parameters
    ----------
    source : Source
    offset : int
        Where it begins: at most up to where the source is applied.
    partitions : int
        Of the journal.

    Attributes
    ----------
    next : int
        The offset at which the next range begins.
    acked : int
        All below it is in the journal, in order: it may be committed.
    stopped : bool
        Nothing more is sent until the source is read again.
    """

    def __init__(self, source: Source, offset: int, partitions: int = 1) -> None:
        self.source = source
        self._partitions = partitions
        self.restart(offset)

    def restart(self, offset: int) -> None:
        """Begin again at an offset; nothing is in flight."""
        self.next = self.acked = offset
        self.stopped = False
        self._broken = False
        self._flights: deque[Flight] = deque()
        # Of each partition of the journal: where the last acknowledged block stands, and its range's end.
        self._landed = [(-1, offset)] * self._partitions
        self._gap = (-1, -1)

    @property
    def in_flight(self) -> bool:
        """True if a block is not answered."""
        return bool(self._flights)

    def believes(self, first: int) -> bool:
        """Return True if records that begin at an offset continue what was sent.

        A client may lose records between two fetches, so a gap is believed only if reading again from `next`
        finds the same.
        """
        before, self._gap = self._gap, (self.next, first)
        return first <= self.next or before == self._gap

    def send(self, end: int) -> Flight:
        """Take note that the range from `next` to `end` is on its way."""
        flight = Flight(end, self._partitions)
        self._flights.append(flight)
        self.next = end
        return flight

    def answer(self, flight: Flight, partition: int, offset: int | None) -> None:
        """Take note of the answer for one block: where it stands in the journal, or None if it failed."""
        flight.pending -= 1
        if offset is None:
            flight.failed = self.stopped = True
        elif offset >= self._landed[partition][0]:
            self._landed[partition] = offset, flight.end
        while self._flights and self._flights[0].pending == 0:
            first = self._flights.popleft()
            self._broken |= first.failed
            if not self._broken:
                self.acked = first.end

    def check(self, partition: int, position: int, applied: int) -> bool:
        """Return True if the source is applied as far as its acknowledged blocks say; if not, the lane stops.

        Parameters
        ----------
        partition, position : int
            How far a partition of the journal was followed.
        applied : int
            Up to which offset the source is applied there.
        """
        offset, end = self._landed[partition]
        if 0 <= offset < position and applied < end:
            self.stopped = True
            return False
        return True

    def is_followed(self, partition: int, position: int) -> bool:
        """Return True if a partition of the journal was followed past the last acknowledged block."""
        return self._landed[partition][0] < position

    def restart_offset(self, applied: dict[int, int]) -> int:
        """The offset from which to read again.

        Parameters
        ----------
        applied : dict of int to int
            Up to which offset the source is applied, by those partitions of the journal that are followed
            here, past the last block that was acknowledged.
        """
        if len(applied) == self._partitions:
            return min(applied.values())
        return min([self.acked, *applied.values()])


def start_offset(
    place: str, committed: int | None, applied: int | None, end: int, *, followed_to_end: bool
) -> int:
    """The offset at which a new owner of a source partition begins.

    Parameters
    ----------
    place : str
        The partition, for errors: ``topic[partition]``.
    committed : int or None
        What the group has committed.
    applied : int or None
        Up to which offset the source is applied, by the least that is followed here; None where the owner
        does not follow all of the journal.
    end : int
        Where the source ends now.
    followed_to_end : bool
        Whether the journal was followed to its end, as of after the partition was assigned.

    Raises
    ------
    SourceShorter
        The source ends before the place where it would be read.
    """
    start = committed or 0
    if applied is not None:
        # What is committed and not applied was acknowledged and then lost: it is sent again.
        start = applied if followed_to_end else max(start, applied)
    if start > end:
        raise SourceShorter(
            f"{place} ends at offset {end}, but offset {start} comes next: the topic was truncated, or "
            "created again under its id. What is written to it now would be taken for duplicates"
        )
    return start
