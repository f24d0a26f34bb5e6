"""Follows a partition of the journal: what is fetched goes through the rule to a target, which learns it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from recommender.journal.block import is_beginning
from recommender.journal.changes import Changes
from recommender.journal.errors import JournalError, JournalGap, JournalShorter
from recommender.journal.identity import IdentityWatch
from recommender.journal.log import JournalLog
from recommender.journal.outbox import Acknowledged
from recommender.journal.records import Record, pieces
from recommender.journal.rule import Rule
from recommender.kafka.admin import BrokerUnreachableError
from recommender.kafka.topics import TopicInfo

logger = logging.getLogger(__name__)

#: Blocks of this many bytes together are followed and delivered at once: some six thousand ratings.
PIECE_BYTES = 1 << 17
#: While nothing comes, records that are no blocks are noticed after this time.
IDLE_MILLISECONDS = 200
#: While nothing comes, the broker is asked whether it is there.
ASK_SECONDS = 1.0
RETRY_SECONDS = 0.5
IDENTITY_SECONDS = 30.0


class Target(Protocol):
    """Takes the records of a partition of the journal."""

    @property
    def rule(self) -> Rule:
        """The rule: how far it has followed, of which partition of which journal."""

    async def take(self, records: Sequence[Record]) -> bool:
        """Follow consecutive records; what comes next is handed over when this returns.

        Returns
        -------
        bool
            False where the journal has to be read again from the rule's position.
        """

    def skip_to(self, offset: int) -> None:
        """Continue at an offset beyond the position, because the journal has lost what lies between."""

    def begin_again(self, offset: int) -> None:
        """Drop what was followed, and follow from an offset where the journal says everything once more."""


class Follower:
    """Follows one partition of the journal from where its target is.

    Parameters
    ----------
    target : Target
        An error that it raises ends `run`.
    options : mapping
        See `recommender.kafka.plain_clients.client_options`.
    identify : function
        The journal's topic as it is now, see `recommender.kafka.topics.identify`; called in a thread.
    allow_gap : bool
        Continue where the journal has lost blocks that come next.
    piece_bytes : int
        How many bytes of blocks are followed and delivered at once.
    identity_seconds : float
        How often the journal's id is looked up: a topic that is created again under its name has another one.
    """

    def __init__(
        self,
        target: Target,
        options: Mapping[str, Any],
        identify: Callable[[], TopicInfo],
        *,
        allow_gap: bool = False,
        piece_bytes: int = PIECE_BYTES,
        identity_seconds: float = IDENTITY_SECONDS,
    ) -> None:
        self._target = target
        rule = target.rule
        self._identity = IdentityWatch(lambda: target.rule, identify, identity_seconds)
        self._allow_gap, self._piece_bytes = allow_gap, piece_bytes
        self._log = JournalLog(rule.journal, rule.partition, options, self._lost_meanwhile)
        self._acknowledged: deque[Acknowledged] = deque()
        self._changes = Changes()
        self._woken: asyncio.Future[None] | None = None
        self._written = -1
        self._stopping = False
        self._running = self._ended = False
        self._read_to = 0
        self._gone_since: float | None = None
        self._heard = 0.0

    @property
    def rule(self) -> Rule:
        """The rule, at the offset up to which the journal is followed."""
        return self._target.rule

    @property
    def reached(self) -> int:
        """All of the journal below this offset is followed, or is no block."""
        return max(self.rule.position, self._read_to)

    @property
    def lag(self) -> int:
        """Records of the journal that are not followed, as of the last fetch."""
        return max(0, self._log.highwater - self.reached)

    @property
    def ahead(self) -> int:
        """Blocks that are not followed, up to the last that this process has written."""
        return max(0, self._written + 1 - self.reached)

    @property
    def lag_seconds(self) -> float:
        """The age of the last block that was followed, while there are others behind it; else 0."""
        return max(0.0, time.time() - self.rule.timestamp / 1000) if self.lag else 0.0

    async def run(self) -> None:
        """Follow until `stop`.

        Raises
        ------
        JournalError
            What comes next cannot be followed: a block is damaged or of a newer version, blocks are lost, or
            it is another journal.
        TopicsError
            There is no journal at the start.
        """
        self._stopping, self._running, self._ended = False, True, False
        try:
            while not self._stopping:
                try:
                    await self._follow_once()
                except OffsetOutOfRangeError:
                    logger.debug("%s has no offset %d", self._place, self.reached)
                except (KafkaError, OSError, TimeoutError, BrokerUnreachableError) as error:
                    self._is_gone(error)
                    await self._sleep(RETRY_SECONDS)
                finally:
                    await self._log.close()
        finally:
            self._running, self._ended = False, True
            self._changes.notify()

    async def stop(self) -> None:
        """Let `run` return once what it has begun is delivered."""
        self._stopping = True
        self._wake()
        while self._running:
            await self._changes.wait()

    async def catch_up(self) -> int:
        """Return when all is followed that the journal has at this moment; the position then.

        It waits for a broker that is away.

        Raises
        ------
        JournalError
            `run` has ended.
        """
        end = None
        while end is None or self.reached < end:
            if end is None:
                with contextlib.suppress(KafkaError, OSError, TimeoutError):
                    end = (await self._log.bounds()).end
                    continue
            if self._ended:
                raise JournalError(f"{self._place} is not followed any more")
            await self._changes.wait()
        return self.rule.position

    def acknowledged(self, block: Acknowledged) -> None:
        """Follow a block that this process has written, before it is fetched.

        That is possible where it is the one that comes next. Else nothing happens: it is fetched.
        """
        self._written = max(self._written, block.offset)
        if self._running and block.offset >= self.rule.position:
            self._acknowledged.append(block)
            self._wake()

    async def keep_up(self, blocks: int) -> None:
        """Return when fewer than so many blocks are left to follow up to the last that was written here.

        At once where nothing is followed.
        """
        while self._running and self.ahead >= blocks:
            await self._changes.wait()

    @property
    def _place(self) -> str:
        return f"{self.rule.journal}[{self.rule.partition}]"

    async def _follow_once(self) -> None:
        """Follow until something is wrong with the connection."""
        await self._identity.check()
        bounds = await self._log.open()
        position = self.rule.position
        if position > bounds.end:
            raise JournalShorter(
                f"{self._place} ends at offset {bounds.end}, but was followed up to {position}: it was "
                "truncated. What is saved of it fits only up to its end"
            )
        if position < bounds.begin:
            await self._reach(bounds.begin)
        self._log.seek(self.rule.position)
        self._changes.notify()
        identity = asyncio.create_task(self._identity.run())
        try:
            await self._follow(identity)
        finally:
            identity.cancel()
            await asyncio.wait([identity])

    async def _follow(self, identity: asyncio.Task[None]) -> None:
        while not self._stopping:
            fetching = self._log.fetch(IDLE_MILLISECONDS)
            self._woken = asyncio.get_running_loop().create_future()
            if not self._acknowledged:
                waited: list[asyncio.Future[Any]] = [fetching, self._woken, identity]
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if identity.done():
                identity.result()
            await self._apply_acknowledged()
            if not fetching.done():
                self._read_to = await self._log.read_to()
            elif await self._log.taken(self.rule.position):
                self._is_back()
                await self._take(fetching.result())
            self._changes.notify()

    async def _take(self, records: Sequence[Record]) -> None:
        """Follow what was fetched."""
        if not records:
            if time.monotonic() - self._heard > ASK_SECONDS:
                await self._log.bounds()
                self._heard = time.monotonic()
            self._read_to = self._log.position
            return
        self._heard = time.monotonic()
        new = bisect_left(records, self.rule.position, key=lambda record: record.offset)
        for piece in pieces(records[new:], self._piece_bytes):
            if not await self._apply(piece) or self._stopping:
                return
        self._read_to = self._log.position

    async def _apply_acknowledged(self) -> None:
        """Follow what was written here, as far as it comes next."""
        blocks: list[Acknowledged] = []
        position = self.rule.position
        while self._acknowledged:
            block = self._acknowledged.popleft()
            if block.offset == position:
                blocks.append(block)
                position += 1
        for piece in pieces(blocks, self._piece_bytes):
            if not await self._apply(piece):
                return

    async def _apply(self, piece: Sequence[Record]) -> bool:
        """Hand records over; False where they are read again from an earlier offset."""
        taken = await self._target.take(piece)
        self._changes.notify()
        if not taken:
            self._acknowledged.clear()
            self._read_to = 0
            self._log.seek(self.rule.position)
        return taken

    def _lost_meanwhile(self, expected: int, begin: int) -> None:
        """Connect again: then it is looked at how the journal begins."""
        raise OffsetOutOfRangeError(f"{self._place} begins at offset {begin}, not at {expected}")

    async def _reach(self, begin: int) -> None:
        """Continue where the journal begins, beyond the position."""
        first = await self._log.first(begin)
        if first is None or not is_beginning(first.value):
            self._lost(self.rule.position, begin)
        elif self.rule.is_new:
            self._target.skip_to(begin)
        else:
            logger.warning("%s was rewritten: it is followed again from offset %d", self._place, begin)
            self._target.begin_again(begin)
            self._acknowledged.clear()
            self._read_to = 0

    def _lost(self, expected: int, begin: int) -> None:
        """Continue where the journal begins, if that is allowed."""
        said = f"{self._place} begins at offset {begin}, but offset {expected} comes next: blocks are lost"
        if not self._allow_gap and self.rule.is_new:
            raise JournalGap(
                f"{said}. There is no checkpoint to begin with: set RECOMMENDER_CHECKPOINTS to where another "
                "worker's are, or copy them; or --allow-gap follows what is left, and knows less than others"
            )
        if not self._allow_gap:
            raise JournalGap(f"{said}. --allow-gap follows what is left; a newer checkpoint has all")
        logger.warning("%s; following what is left", said)
        self._target.skip_to(begin)

    def _is_gone(self, error: Exception) -> None:
        if self._gone_since is None:
            self._gone_since = time.monotonic()
            said = str(error) or type(error).__name__
            logger.error("%s cannot be read: %s; following continues when it can", self._place, said)

    def _is_back(self) -> None:
        if self._gone_since is not None:
            away = time.monotonic() - self._gone_since
            logger.warning("%s is read again after %.0f s", self._place, away)
            self._gone_since = None

    async def _sleep(self, seconds: float) -> None:
        """Sleep, unless it is to stop."""
        self._woken = asyncio.get_running_loop().create_future()
        if not self._stopping:
            await asyncio.wait([self._woken], timeout=seconds)

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)
