"""The records that go to one partition: in batches, one after the other, and a refused one in parts.

A broker takes or refuses a batch as a whole: for one record without a key, or because together they are
larger than the topic takes. So what is refused goes again in parts, until those to blame stand alone. Java's
producer does the same where a batch is too large.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import TopicPartition

from recommender.kafka.refusals import KEYLESS, REFUSED, InvalidRecord, ProducerEndedError
from recommender.messages.records import Location, Outgoing
from recommender.worker.transport.generations import Generation, Generations

#: Records that are sent together are written in batches of this many bytes: several hundred dead letters,
#: which takes a millisecond.
BATCH_BYTES = 256 * 1024
#: A batch of this many bytes is taken to fit where it is not known what a topic takes. aiokafka's are as
#: large.
SURE_BYTES = 16 * 1024
_UNCOMPRESSED = 0

#: What to write instead of a record that a broker refused with an error; None: nothing.
Lesser = Callable[[Outgoing, Exception], Outgoing | None]


class Filled(NamedTuple):
    """A batch, and how many records are in it."""

    batch: BatchBuilder
    records: int


def fill(records: Iterable[Outgoing], batch_bytes: int) -> Filled:
    """Put records into a batch until it is full; the first one fits in any case.

    Raises
    ------
    Exception
        The first record cannot be written as bytes. The batch ends before a later one of that kind.
    """
    batch = BatchBuilder(batch_bytes, _UNCOMPRESSED)
    added: list[Outgoing] = []
    for each in records:
        record: Any = {
            "timestamp": None if each.timestamp < 0 else each.timestamp,
            "key": each.key,
            "value": each.value,
            "headers": each.headers,
        }
        try:
            is_full = batch.append(**record) is None
        except Exception:
            if not added:
                raise
            return fill(added, batch_bytes)  # of the other one a part may be in it
        if is_full:
            break
        added.append(each)
    batch.close()  # else aiokafka would add to it
    return Filled(batch, len(added))


class Entry(NamedTuple):
    """A record on its way, and what waits for it.

    Attributes
    ----------
    record : Outgoing
    written : asyncio.Future
        Of all records that were added together.
    is_last : bool
        Whether it is the last of these.
    batch_bytes : int
    lesser : function
    """

    record: Outgoing
    written: asyncio.Future[Location]
    is_last: bool
    batch_bytes: int
    lesser: Lesser


class PartitionQueue:
    """Sends the records of one partition in their order, one batch at a time.

    Parameters
    ----------
    tp : TopicPartition
    generations : Generations
    most_bytes : int
        The size of the largest record.
    on_idle : function
        Called when nothing is left.
    on_end : function
        Called with the error when the producer has failed for good.
    """

    def __init__(
        self,
        tp: TopicPartition,
        generations: Generations,
        *,
        most_bytes: int,
        on_idle: Callable[[TopicPartition], None],
        on_end: Callable[[ProducerEndedError], None],
    ) -> None:
        self._tp, self._generations, self._most_bytes = tp, generations, most_bytes
        self._on_idle, self._on_end = on_idle, on_end
        self._waiting: deque[Entry] = deque()
        #: Parts of what was refused: each is a batch, and goes before what waits.
        self._parts: deque[deque[Entry]] = deque()
        self._sending = asyncio.create_task(self._send_all())

    def put(self, records: Sequence[Outgoing], batch_bytes: int, lesser: Lesser) -> asyncio.Future[Location]:
        """Add records, as long as this is not idle.

        Parameters
        ----------
        records : sequence of Outgoing
        batch_bytes : int
            The size of a batch; a larger record has one of its own.
        lesser : function
            What to write instead of a record that is refused.

        Returns
        -------
        asyncio.Future
            Done when the brokers have all of them, or one has failed; with the location of the last one. It
            may be cancelled, which does not stop them.
        """
        written: asyncio.Future[Location] = asyncio.get_running_loop().create_future()
        last = len(records) - 1
        self._waiting.extend(
            Entry(record, written, number == last, batch_bytes, lesser)
            for number, record in enumerate(records)
        )
        return written

    async def wait_idle(self) -> None:
        """Return when nothing is left."""
        await asyncio.wait({self._sending})

    async def _send_all(self) -> None:
        try:
            while self._parts or self._waiting:
                # Before the batch is made: what comes meanwhile goes along.
                generation = await self._generations.usable(self._tp)
                await self._send_next(generation)
        except Exception as error:
            self._fail(self._left(), error)
        finally:
            self._on_idle(self._tp)
            for each in self._left():
                each.written.cancel()

    async def _send_next(self, generation: Generation) -> None:
        """Send the next batch, and take note of what became of it."""
        source = self._parts[0] if self._parts else self._waiting
        size = source[0].batch_bytes
        alike = itertools.takewhile(lambda each: each.batch_bytes == size, source)
        entries: list[Entry] = []
        try:
            batch, count = fill((each.record for each in alike), size)
            entries = self._take(source, count)
            if batch.size() > self._most_bytes:
                raise MessageSizeTooLargeError(
                    f"a record for {self._tp.topic}[{self._tp.partition}] takes {batch.size()} bytes: "
                    f"expected at most {self._most_bytes}"
                )
            first = (await generation.write(self._tp, batch)).offset
        except REFUSED as error:
            self._parts.extendleft(map(deque, reversed(self._parts_of(entries, error))))
        except Exception as error:
            if isinstance(error, ProducerEndedError):
                self._on_end(error)
            self._fail(entries or self._take(source, 1), error)
        except BaseException:
            self._fail(entries, asyncio.CancelledError())
            raise
        else:
            for offset, each in enumerate(entries, first):
                if each.is_last and not each.written.done():
                    each.written.set_result(Location(self._tp.topic, self._tp.partition, offset))

    def _take(self, source: deque[Entry], count: int) -> list[Entry]:
        taken = [source.popleft() for _ in range(count)]
        if self._parts and not self._parts[0]:
            self._parts.popleft()
        return taken

    def _parts_of(self, refused: Sequence[Entry], error: Exception) -> list[Sequence[Entry]]:
        """The batches to send instead of one that was refused, one after the other."""
        if len(refused) == 1 or isinstance(error, KEYLESS):
            # A record without a key is refused in whatever company; of another error one is to blame.
            less = [each.lesser(each.record, error) for each in refused]
            if any(less):
                changed = zip(less, refused, strict=True)
                return [[old if new is None else old._replace(record=new) for new, old in changed]]
        keyed = [each for each in refused if each.record.key is not None]
        if isinstance(error, InvalidRecord) and len(keyed) < len(refused):
            if keyed:
                return [keyed, [each for each in refused if each.record.key is None]]
            self._fail(refused, error)
            return []
        if len(refused) == 1:
            self._fail(refused, error)
            return []
        middle = len(refused) // 2
        return [refused[:middle], refused[middle:]]

    def _left(self) -> list[Entry]:
        left = [*itertools.chain(*self._parts), *self._waiting]
        self._parts.clear()
        self._waiting.clear()
        return left

    def _fail(self, entries: Sequence[Entry], error: BaseException) -> None:
        for each in entries:
            if not each.written.done():
                # A copy each, else raising it adds to the traceback of all.
                each.written.set_exception(copy.copy(error))
