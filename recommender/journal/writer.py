"""Appends to the journal: ranges of source partitions become blocks, in order; what is lost is sent again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from recommender.history.rows import Rows
from recommender.journal.block import Packer, Source
from recommender.journal.holding import Holding
from recommender.journal.lanes import Lane
from recommender.journal.outbox import RETRY_SECONDS, Acknowledged, Outbox, Send
from recommender.journal.rule import Rule

logger = logging.getLogger(__name__)

#: How long a revoked source's blocks are waited for, in seconds.
REVOKE_SECONDS = 2.0

#: Reads a source partition again from an offset.
ReadAgain = Callable[[Source, int], Awaitable[None]]


class JournalWriter:
    """Appends the ratings of the source partitions that this worker owns.

    Dead letters of a range must be acknowledged before the range is handed to `append`: it counts as done
    once its block is there.

    Parameters
    ----------
    send : Send
        Such as `recommender.journal.outbox.JournalProducer`.
    read_again : ReadAgain
        Called when a source has to be read again. What it brings is handed to `append`; what was fetched
        before may be handed over, too, and is dropped.
    partitions : int
        Of the journal.
    rules : function
        Those that are followed in the same process, as they are now; `followed` is to be called whenever they
        have moved.
    renew : function, optional
        Called after a block has failed, and all that was in flight is answered: makes a new producer.
    acknowledged : function, optional
        Called with the journal's partition and each block that is in it: see `Follower.acknowledged`.
    lost : function, optional
        Called with source offsets that are not there, from the first to the one after the last, before they
        are accounted for: transactions and compaction leave such gaps, and so does what has expired. It may
        raise.
    clock : function
        Seconds since 1970.
    retry_seconds : float
        From a failure to the first attempt to make a new producer.

    Attributes
    ----------
    returns : int
        How often a source was read again.
    """

    def __init__(
        self,
        send: Send,
        read_again: ReadAgain,
        *,
        partitions: int = 1,
        rules: Callable[[], Sequence[Rule]] = tuple,
        renew: Callable[[], Awaitable[None]] | None = None,
        acknowledged: Callable[[int, Acknowledged], None] | None = None,
        lost: Callable[[Source, int, int], Awaitable[None]] | None = None,
        clock: Callable[[], float] = time.time,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._outbox = Outbox(
            send,
            renew=renew,
            acknowledged=acknowledged,
            failed=self._stop_all,
            answered=self._compare,
            clock=clock,
            retry_seconds=retry_seconds,
        )
        self._read_again, self._lost = read_again, lost
        self._partitions, self._rules = partitions, rules
        self._holding = Holding(clock)
        self._lanes: dict[Source, Lane] = {}
        self._packers: dict[Source, Packer] = {}
        self._returning: dict[Source, asyncio.Task[None]] = {}
        self.returns = 0

    @property
    def in_flight(self) -> int:
        """Blocks that are not answered."""
        return self._outbox.in_flight

    @property
    def error(self) -> str | None:
        """The reason why the journal takes no blocks, while it takes none."""
        return self._outbox.error

    def begin(self, source: Source, offset: int, decoder: int = 0) -> None:
        """Own a source partition from now on.

        Parameters
        ----------
        source : Source
        offset : int
            What `recommender.journal.lanes.start_offset` says.
        decoder : int
            Fingerprint of what decides how its records are decoded.
        """
        self._forget(source)
        self._lanes[source] = Lane(source, offset, self._partitions)
        self._packers[source] = Packer(source, decoder, self._partitions)
        if self._outbox.must_renew:
            self._stop_all()

    def next_offset(self, source: Source) -> int | None:
        """The offset at which the next range of a source begins; None while it waits to be read again."""
        lane = self._lanes.get(source)
        return None if lane is None or lane.stopped else lane.next

    def committable(self) -> dict[Source, int]:
        """The offset up to which each source is in the journal, and may be committed."""
        return {source: lane.acked for source, lane in self._lanes.items()}

    async def expects(self, source: Source, first: int) -> bool:
        """Tell whether records that begin at an offset come next; if some may lie before, go back to those.

        To be asked before anything is written on account of them: what is read again would be written twice.
        """
        lane = self._lanes.get(source)
        if lane is None or lane.stopped:
            return False
        if lane.believes(first):
            return True
        logger.debug("%s: fetched from offset %d, expected %d; reading again", source, first, lane.next)
        await self._read_again(source, lane.next)
        return False

    async def append(
        self, source: Source, first: int, end: int, rows: Rows, offsets: NDArray[np.int64]
    ) -> bool:
        """Send what was fetched of a source partition; returns when all of it is on its way.

        Parameters
        ----------
        source : Source
        first : int
            The offset of the first record that was fetched, also if that is no rating.
        end : int
            One past the last.
        rows : Rows
            The ratings; those that are not plain are passed over. The others have times.
        offsets : int64 array
            The source offset of each row, ascending.

        Returns
        -------
        bool
            False where not all of it was sent: it was sent before, or it will be read again, or somebody
            else owns the source now.

        Raises
        ------
        ValueError
            A row cannot be written, see `Packer.pack`.
        """
        async with self._outbox.order:
            lane = self._lanes.get(source)
            if lane is None or lane.stopped or end <= lane.next:
                return False
            if lane.believes(first):
                if first > lane.next and self._lost is not None:
                    await self._lost(source, lane.next, first)
                return await self._send(lane, end, rows, offsets)
        logger.debug("%s: fetched from offset %d, expected %d; reading again", source, first, lane.next)
        await self._read_again(source, lane.next)
        return False

    async def _send(self, lane: Lane, end: int, rows: Rows, offsets: NDArray[np.int64]) -> bool:
        """Send a lane's next range in blocks; whether all of it was sent."""
        for block_end, blocks in self._packers[lane.source].pack_range(lane.next, end, rows, offsets):
            if not await self._may_send(lane):
                return False
            await self._outbox.send(lane, block_end, blocks)
        return not lane.stopped

    async def _may_send(self, lane: Lane) -> bool:
        """Wait until fewer blocks are in flight; return True if the lane is still the same then."""
        while self._is_ours(lane) and not lane.stopped:
            held = self._holding.left()
            if not held and self._outbox.has_room(self._partitions):
                return True
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(held or None):
                    await self._outbox.changes.wait()
        return False

    def followed(self) -> None:
        """Compare what was acknowledged with what the rules say, and go back where it is not applied."""
        self._holding.look(self._rules())
        for lane in self._lanes.values():
            self._compare(lane)
        self._outbox.changes.notify()

    def _compare(self, lane: Lane) -> None:
        for rule in self._rules():
            lane.check(rule.partition, rule.position, rule.applied(lane.source))
        if lane.stopped:
            self._return(lane)

    def _stop_all(self) -> None:
        for lane in self._lanes.values():
            lane.stopped = True
            self._return(lane)

    def _return(self, lane: Lane) -> None:
        """Go back in the background."""
        if self._is_ours(lane) and lane.source not in self._returning:
            self._returning[lane.source] = asyncio.create_task(self._go_back(lane))

    async def _go_back(self, lane: Lane) -> None:
        """Wait until all is answered and followed, then read again from where the source is applied."""
        self.returns += 1
        while True:
            if self._outbox.must_renew:
                await self._outbox.renew()
            elif lane.in_flight or not self._is_followed(lane):
                await self._outbox.changes.wait()
            else:
                break
        offset = lane.restart_offset({rule.partition: rule.applied(lane.source) for rule in self._rules()})
        lane.restart(offset)
        self._returning.pop(lane.source, None)
        logger.info("source partition %d is read again from offset %d", lane.source.partition, offset)
        try:
            await self._read_again(lane.source, offset)
        except Exception:
            # What is fetched next is beyond this offset, and asks again.
            logger.exception("source partition %d cannot be read again", lane.source.partition)

    def _is_followed(self, lane: Lane) -> bool:
        return all(lane.is_followed(rule.partition, rule.position) for rule in self._rules())

    async def revoke(self, sources: Collection[Source], within: float = REVOKE_SECONDS) -> dict[Source, int]:
        """Give source partitions away: send nothing more of them, and wait a while for what is in flight.

        Returns
        -------
        dict of Source to int
            What may be committed of each.
        """
        lanes = [self._lanes[source] for source in sources if source in self._lanes]
        for source in sources:
            self._forget(source)
        try:
            async with asyncio.timeout(within):
                while any(lane.in_flight for lane in lanes):
                    await self._outbox.changes.wait()
        except TimeoutError:
            logger.warning("some blocks were not answered within %g s; the next owner sends them", within)
        return {lane.source: lane.acked for lane in lanes}

    async def close(self) -> dict[Source, int]:
        """Give all source partitions away."""
        return await self.revoke(list(self._lanes))

    def _forget(self, source: Source) -> None:
        self._lanes.pop(source, None)
        self._packers.pop(source, None)
        returning = self._returning.pop(source, None)
        if returning is not None:
            returning.cancel()
        self._outbox.changes.notify()

    def _is_ours(self, lane: Lane) -> bool:
        return self._lanes.get(lane.source) is lane
