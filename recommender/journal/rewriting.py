"""Rewrites a partition of the journal without those who are forgotten, while workers write and follow it.

A copy of the journal is appended to the journal itself, and what lies before the copy is deleted. So all that
workers know of it stays: its topic and id, its offsets, which only grow, the names of checkpoints.

1. A mark says that rewriting number n **begins**. It stands at offset B, as the first record of a segment:
   brokers delete whole segments.
2. All blocks below B that count are appended once more as **copies** of number n, each with the range of
   source offsets that it accounted for, without the rows of those who are forgotten below B. Only those who
   follow from B count copies; for them everything begins there. All others pass over them.
3. Meanwhile workers append blocks. For those who follow from B a block is ahead while the copies have not
   come so far; then it is copied, too, until what counts from B on reaches as far, for every source, as what
   counts from the old beginning. That stays so: from there both count the same rows of the same blocks. Where
   blocks keep coming faster than that, a third kind of mark asks writers to **hold** for a moment
   (`recommender.journal.holding`).
4. A mark says that rewriting n, which began at B, is **complete**. Whoever follows from before B knows then
   that the state goes back to what will be deleted, and learns everything from B on again, alongside; the two
   states change places at the same offset (`recommender.worker.adoption`).
5. Everything below B is deleted. Whoever is still there, as a worker that starts with an old checkpoint,
   finds that the journal begins with such a mark, so that nothing is missing, and follows from B. Checkpoints
   from before B are of no use any more: they are deleted with the first one that is saved after it
   (`recommender.checkpoints.store`).

So the state stays a function of the journal: of all that can be read from its beginning. Copies have the
order of the original; only blocks that came meanwhile may stand before copies of other sources.

**Kills.** A rewriting that is not complete is passed over by all. The next one begins at another B, with
another number, from the old beginning. If it is complete and nothing was deleted yet, the same happens. A
worker that dies while it takes over continues from its checkpoint, whose state knows of the rewriting, and
learns again.

**Two at once.** Each has its own number, so none counts the copies of the other. Both may become complete:
then that of the larger B is followed. If one deletes what the other still reads, that one ends with an error.

**Written twice.** A range of a source that was copied may be written again behind B, with rows of those who
are forgotten. Nobody counts it, but it would stay. That happens only within moments of the first time, as
where a worker died, and is looked for until the copy is complete: then the rewriting ends with an error, and
is to be begun again.

**Several partitions.** Each is rewritten by itself: a user is forgotten in one of them, an item in all.

A journal that has lost its beginning is not rewritten, as states hold more than it says.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple

from recommender.journal.block import BEGINS, COMPLETE, HOLD, Source, is_beginning, mark
from recommender.journal.copies import Copies, Copy, CopySender, repeated
from recommender.journal.errors import JournalError
from recommender.journal.forgotten import Forgotten
from recommender.journal.outbox import JournalProducer
from recommender.journal.outcome import Followed
from recommender.journal.reading import JournalReading, reading, rule_for
from recommender.journal.records import Record
from recommender.journal.rule import Rule
from recommender.kafka.log_cutting import fresh_segment
from recommender.kafka.plain_clients import client_options
from recommender.kafka.topics import TopicInfo
from recommender.settings import Settings

#: How long blocks that keep coming are caught up with, and how long before those who write are asked to hold.
PATIENCE, CALM = 120.0, 10.0
#: How long the records are waited for that say whom to forget.
WAIT_SECONDS = 30.0
_WAIT_MILLISECONDS = 20

#: Told how many records were read, and how many there are.
Advance = Callable[[int, int], None]


class Rewritten(NamedTuple):
    """The outcome of a partition.

    Attributes
    ----------
    partition : int
    begin : int
        Where it begins now; -1 where nobody is forgotten, and it stays as it is.
    forgotten : int
        How many users and items are in it no more, and guests of those users.
    blocks, rows : int
        How many blocks were copied, and how many rows they have.
    left_out : int
        How many rows they are without.
    """

    partition: int
    begin: int = -1
    forgotten: int = 0
    blocks: int = 0
    rows: int = 0
    left_out: int = 0


async def rewrite(
    config: Settings,
    found: TopicInfo,
    partition: int,
    wanted: Mapping[Source, int] | None = None,
    advance: Advance = lambda *_: None,
    *,
    patience: float = PATIENCE,
    calm: float = CALM,
) -> Rewritten:
    """Append a copy of a partition without those who are forgotten; what lies before it is not deleted yet.

    Parameters
    ----------
    config : Settings
    found : TopicInfo
        The journal.
    partition : int
    wanted : mapping of Source to int, optional
        Offsets of records that say whom to forget: they are waited for.
    advance : function
    patience : float
        How long blocks that keep coming are caught up with, in seconds.
    calm : float
        After how many of them, again and again, writers are asked to hold.

    Raises
    ------
    JournalError
        It cannot be read or written, or has lost its beginning; or what is copied keeps being written. The
        journal says the same as before then.
    """
    producer = JournalProducer(found.topic, client_options(config))
    try:
        async with reading(config, found.topic, partition) as log:
            await producer.start()
            work = _Rewriting(config, found, partition, log, producer)
            return await work.run(wanted or {}, advance, patience, calm)
    finally:
        await producer.close()


class _Rewriting:
    """The rewriting of one partition."""

    def __init__(
        self,
        config: Settings,
        found: TopicInfo,
        partition: int,
        log: JournalReading,
        producer: JournalProducer,
    ) -> None:
        self._config, self._found, self._partition = config, found, partition
        self._place = f"{found.topic}[{partition}]"
        self._log = log
        self._number = secrets.randbelow((1 << 16) - 1) + 1
        self._forgotten = Forgotten()
        self._copies = Copies(self._forgotten, self._number)
        self._sending = CopySender(producer, partition, self._place)

    async def run(
        self, wanted: Mapping[Source, int], advance: Advance, patience: float, calm: float
    ) -> Rewritten:
        bounds = self._log.bounds
        await self._require_whole(bounds.begin)
        rule = rule_for(self._found, self._partition, bounds.begin)
        await self._note(rule, bounds.end)
        await self._wait_for(rule, wanted)
        if not self._forgotten.any_noted:
            return Rewritten(self._partition)
        async with fresh_segment(self._config, self._found.topic):
            begin = await self._sending.send(mark(BEGINS, self._number))
        await self._note(rule, begin)
        self._forgotten.settle()
        old = await self._copy(bounds.begin, begin, advance)
        await self._catch_up(old, begin, patience, calm)
        await self._sending.send(mark(COMPLETE, self._number, begin))
        sent = self._sending
        return Rewritten(self._partition, begin, len(self._forgotten), sent.blocks, sent.rows, sent.left_out)

    async def _require_whole(self, begin: int) -> None:
        """Make sure that the journal says all that its followers know."""
        if begin == 0:
            return
        async with aclosing(self._log.records(begin, begin + 1)) as batches:
            async for records in batches:
                if is_beginning(records[0].value):
                    return
        raise JournalError(
            f"{self._place} begins at offset {begin}: what came before is deleted, but workers know it. A "
            "journal that is bounded by RECOMMENDER_JOURNAL_RETENTION is not rewritten: who is forgotten "
            "leaves it when that time is over"
        )

    async def _followed(self, rule: Rule, stop: int) -> AsyncIterator[tuple[Followed, int]]:
        """Yield what counts up to an offset, with the number of its first row among all that count."""
        if rule.position >= stop:
            return
        async with aclosing(self._log.records(rule.position, stop)) as batches:
            async for records in batches:
                first = rule.counts.rows
                yield _follow(rule, records), first

    async def _note(self, rule: Rule, stop: int) -> None:
        async for followed, first in self._followed(rule, stop):
            self._forgotten.note(followed.rows, first)

    async def _wait_for(self, rule: Rule, wanted: Mapping[Source, int]) -> None:
        """Wait until records are in the journal that say whom to forget."""
        until = time.monotonic() + WAIT_SECONDS
        self._log.seek(rule.position)
        while any(rule.applied(source) <= offset for source, offset in wanted.items()):
            if time.monotonic() > until:
                raise JournalError(
                    f"{self._place} does not have the records yet that say whom to forget, after "
                    f"{WAIT_SECONDS:.0f} s: does a worker run?"
                )
            first, records = rule.counts.rows, await self._log.more(_WAIT_MILLISECONDS)
            if records:
                self._forgotten.note(_follow(rule, records).rows, first)

    async def _copy(self, first: int, begin: int, advance: Advance) -> Rule:
        """Append copies of what counts below where they begin; the rule that says what does."""
        old = rule_for(self._found, self._partition, first)
        async for followed, number in self._followed(old, begin):
            for copy in self._copies.of(followed, number, cleanse=True):
                await self._sending.queue(copy)
            advance(old.position - first, begin - first)
        return old

    async def _catch_up(self, old: Rule, begin: int, patience: float, calm: float) -> None:
        """Follow from both beginnings, and copy what came meanwhile, until the same counts from both."""
        new = rule_for(self._found, self._partition, begin)
        reached, left = dict(self._copies.reached), deque[Copy]()
        until, hold = time.monotonic() + patience, time.monotonic() + calm
        self._log.seek(begin)
        while True:
            records = await self._log.more(_WAIT_MILLISECONDS)
            if records:
                self._refuse_repeated(records, reached)
                first = old.counts.rows
                left += self._copies.of(_follow(old, records), first, cleanse=False)
                _follow(new, records)
            if new.position <= await self._sending.answered():
                continue
            left = deque(each for each in left if new.applied(each.source) < each.end)
            if not left:
                break
            if time.monotonic() > until:
                raise JournalError(
                    f"{self._place} takes ratings faster than they can be copied, for {patience:.0f} s: run "
                    "this again at a quieter time. The journal says the same as before"
                )
            for each in left:
                await self._sending.queue(each)
            if time.monotonic() > hold:
                # Right after the copies, which are what is left to do.
                await self._sending.send(mark(HOLD, self._number))
                hold = time.monotonic() + calm
        if new.sources != old.sources:
            raise JournalError(f"{self._place} was not copied as a whole: run this again")

    def _refuse_repeated(self, records: Sequence[Record], reached: Mapping[Source, int]) -> None:
        """Make sure that nothing of those who are forgotten was written once more."""
        offset = repeated(records, reached, self._forgotten)
        if offset is not None:
            raise JournalError(
                f"{self._place} got ratings of somebody who is forgotten once more while it was copied, at "
                f"offset {offset}: run this again"
            )


def _follow(rule: Rule, records: Sequence[Record]) -> Followed:
    followed = rule.follow(records)
    if followed.error is not None:
        raise followed.error
    return followed
