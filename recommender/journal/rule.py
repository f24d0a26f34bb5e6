"""The rule by which every worker follows the journal, so that each rating counts once, in order.

The journal may hold a source's ratings twice, in other pieces, or with a piece missing: owners crash, are
replaced, and send again. Of a block that accounts for the source offsets from `from` on, below `to`, with the
source applied up to `applied`:

* ``from > applied``: it is ahead, something before it was lost, and it does not count;
* ``to <= applied``: it is a duplicate, and does not count;
* otherwise its rows with offsets from `applied` on count, and the source is applied up to `to`.

So the state is a function of the journal alone, and equal on all who follow it.

A journal may be rewritten, see `recommender.journal.rewriting`: it then has a second beginning, from which on
it says everything once more. Who follows from there counts the copies of this rewriting as well as what is
no copy; who came from before it passes over the copies, and learns at the mark of its end that the state goes
back to what will be deleted.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.history.arrays import Arrays
from recommender.history.rows import Rows
from recommender.journal import rule_kernels
from recommender.journal.block import BEGINS, COMPLETE, HEADER, HOLD, Head, Source, head_of, mark
from recommender.journal.block_kernels import HEADER_BYTES, ROW_BYTES
from recommender.journal.block_reader import fault_of, fault_of_decoder
from recommender.journal.errors import BlockError, JournalReplaced
from recommender.journal.outcome import Counts, Followed
from recommender.journal.records import Record, offsets_of
from recommender.journal.rule_kernels import DONE, MARKED, NEW_SOURCE, NUMBERS, PASSED, POSITION
from recommender.journal.source_table import SourceTable

_NEVER = np.array([-1, -1, 0], np.int64)

#: A topic id of which nothing is known.
UNKNOWN = bytes(16)


class Rule:
    """The progress of one partition of the journal: how far it was followed, and its sources applied.

    Parameters
    ----------
    journal : str
        The topic's name, for errors.
    partition, partitions : int
        Of the journal.
    journal_id : bytes
        Kafka's id of the journal topic, where it is known.
    decoders : collection of int
        Fingerprints of the decoders whose ratings may be followed, whatever their upper 32 bits; any if it is
        empty.

    Attributes
    ----------
    timestamp : int
        The latest of the blocks that were followed, in milliseconds; -1 before the first.
    origin : int
        The offset of the mark that it was followed from, where a rewriting begins; -1 where there was none.
    rewritten : int
        The same of the last rewriting that is complete; -1 before the first.
    hold : int
        When a rewriting asked those who write to hold, in milliseconds by the journal; -1 where none does
        that is not complete. No part of the state.
    """

    def __init__(
        self,
        journal: str,
        partition: int = 0,
        partitions: int = 1,
        journal_id: bytes = UNKNOWN,
        decoders: Collection[int] = (),
    ) -> None:
        self.journal = journal
        self.partition = partition
        self.partitions = partitions
        self.journal_id = journal_id
        self.timestamp = -1
        self._decoders = np.array(sorted(decoders), np.uint64)
        self._sources = SourceTable()
        self._numbers = np.zeros(NUMBERS, np.int64)
        self._hash = np.zeros(1, np.uint64)
        self.origin = self.rewritten = self.hold = -1
        self._number = 0

    @property
    def is_new(self) -> bool:
        """True if no block was followed yet."""
        return self.hash == 0

    @property
    def is_outdated(self) -> bool:
        """True if the journal was rewritten since, and is to be followed from its new beginning."""
        return self.rewritten > self.origin

    @property
    def position(self) -> int:
        """The offset of the journal that is followed next."""
        return int(self._numbers[POSITION])

    @property
    def hash(self) -> int:
        """A running hash of the offsets and headers of all blocks that were followed.

        Workers that followed the same journal to the same position have the same.
        """
        return int(self._hash[0])

    @property
    def counts(self) -> Counts:
        """Counts of what was followed."""
        _, applied, cut, duplicate, ahead, rows = self._numbers.tolist()
        return Counts(applied, cut, duplicate, ahead, rows)

    @property
    def sources(self) -> dict[Source, int]:
        """The offset up to which each source is applied, of those of which something is."""
        applied = zip(self._sources.slots, self._sources.applied.tolist(), strict=True)
        return {source: offset for source, offset in applied if offset}

    def applied(self, source: Source) -> int:
        """The offset up to which a source is applied; 0 of one that was never seen."""
        slot = self._sources.slots.get(source)
        return 0 if slot is None else int(self._sources.applied[slot])

    def decoder(self, source: Source) -> int:
        """The decoder's fingerprint of a source's last block that was applied, where its records are mapped.

        0 of another one, and of one that was never seen.
        """
        slot = self._sources.slots.get(source)
        return 0 if slot is None else int(self._sources.mapped[slot])

    def follow(self, records: Sequence[Record]) -> Followed:
        """Follow consecutive records; those below the position are passed over.

        Parameters
        ----------
        records : sequence of Record
            At least one, in the order of their offsets.

        Raises
        ------
        BlockError
            The first one that would be followed is not a block that this version can read. If it is a later
            one, those before it are followed first, and the result has the error.
        """
        values = [record.value for record in records]
        try:
            joined = b"".join(values)  # type: ignore[arg-type]
        except TypeError:  # some are null
            values = [value or b"" for value in values]
            joined = b"".join(values)  # type: ignore[arg-type]
        lengths = np.fromiter(map(len, values), np.int64, len(values))  # type: ignore[arg-type]
        room = int(np.maximum(lengths - HEADER_BYTES, 0).sum()) // (ROW_BYTES + 2)
        text, before = np.frombuffer(joined, np.uint8), self._sources.applied.copy()
        columns: Any = (
            np.empty((room, 4), np.int64),
            np.empty(room, np.int32),
            np.empty(room, np.int64),
            np.empty(room, np.uint8),
        )
        outcomes, taken = np.empty(len(values), np.uint8), np.empty(len(values), np.int32)
        written = *columns, outcomes, taken
        reason, done, count = self._follow_all(
            records, text, np.cumsum(lengths), offsets_of(records), written
        )
        error = None
        if reason != DONE:
            error = BlockError(self.journal, self.partition, records[done].offset, self._fault(records[done]))
            if done == 0:
                raise error
        if done:
            # Clocks differ, so the last need not be the newest. It is in the state: no matter how it is cut.
            self.timestamp = max(self.timestamp, max([record.timestamp for record in records[:done]]))
        spans, ratings, times, kinds = (column[:count] for column in columns)
        rows = Rows(
            text,
            spans,
            ratings.view(np.float32),
            times.view(np.float64),
            np.ones(count, np.bool_),
            kinds if kinds.any() else None,
        )
        moved = self._sources.moved(before)
        return Followed(rows, moved, records[:done], outcomes[:done], taken[:done], error)

    def _follow_all(
        self,
        records: Sequence[Record],
        text: NDArray[np.uint8],
        ends: NDArray[np.int64],
        offsets: NDArray[np.int64],
        written: tuple[NDArray[Any], ...],
    ) -> tuple[int, int, int]:
        """Run the loop until all is followed or a block cannot be; new sources are added on the way."""
        sources, done, count = self._sources, 0, 0
        while True:
            reason, done, count = rule_kernels.follow(
                text, ends, offsets, done, count, self._number, sources.keys, sources.table, self._decoders,
                sources.applied, sources.loose, sources.mapped, self._numbers, self._hash, *written,
            )  # fmt: skip
            if reason == MARKED:
                self._pass_mark(head_of(records[done].value or b""), records[done])
                rule_kernels.pass_over(
                    text, ends[done] - HEADER_BYTES, offsets[done], self._numbers, self._hash
                )
                sources, written[4][done], written[5][done] = self._sources, PASSED, 0
                done += 1
            elif reason == NEW_SOURCE:
                sources.add(head_of(records[done].value or b"").source)
            else:
                return reason, done, count

    def _pass_mark(self, head: Head, record: Record) -> None:
        """Take note of a mark that comes next."""
        kind = head.source.partition
        if kind == HOLD:
            self.hold = record.timestamp
        elif kind == COMPLETE:
            self.rewritten, self.hold = max(self.rewritten, head.begin), -1
        elif kind == BEGINS and self.is_new:
            # Nothing is lost, although the journal begins here.
            self._sources = SourceTable()
            self.origin, self._number = record.offset, head.number

    def _fault(self, record: Record) -> str:
        """The reason why a record cannot be followed."""
        return fault_of(record.value) or fault_of_decoder(record.value, self._decoders.tolist())

    def skip_to(self, offset: int) -> None:
        """Continue at an offset beyond the position, because the journal has lost what lies between.

        The next block of each source counts, although it may be ahead: it is not known how far its source was
        applied by what is lost.
        """
        self._numbers[POSITION] = max(offset, self.position)
        self._sources.loosen()

    def state(self) -> Arrays:
        """All of it as named arrays; equal states give equal bytes."""
        # A state without rewritings is what it was before there were any.
        rewriting = {}
        if max(self.origin, self.rewritten) >= 0:
            rewriting["rewriting"] = np.array([self.origin, self.rewritten, self._number], np.int64)
        return {
            **rewriting,
            "journal": np.frombuffer(self.journal_id, np.uint8),
            "place": np.array([self.partition, self.partitions, self.timestamp], np.int64),
            "numbers": self._numbers.copy(),
            "hash": self._hash.copy(),
            **self._sources.state(),
        }

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave.

        Raises
        ------
        JournalReplaced
            It is of another journal, or of another partition of it.
        """
        partition, partitions, timestamp = state["place"].tolist()
        journal_id = state["journal"].tobytes()
        if (partition, partitions) != (self.partition, self.partitions):
            raise JournalReplaced(
                f"{self.journal}[{self.partition}] of {self.partitions} partitions: the saved state is of "
                f"partition {partition} of {partitions}. Another number needs a new journal"
            )
        if UNKNOWN != journal_id != self.journal_id != UNKNOWN:
            raise JournalReplaced(
                f"Topic {self.journal!r} was deleted and created again: its id is "
                f"{uuid.UUID(bytes=self.journal_id)}, the saved state is of {uuid.UUID(bytes=journal_id)}"
            )
        self.journal_id = journal_id if self.journal_id == UNKNOWN else self.journal_id
        self.timestamp = timestamp
        self._sources = SourceTable.of_state(state)
        self._numbers[:] = state["numbers"]
        self.origin, self.rewritten, self._number = state.get("rewriting", _NEVER).tolist()
        self._hash[:] = state["hash"]


def warm() -> None:
    """Compile or load the kernels."""
    Rule("journal").follow([_Warm(), _Warm(1, -1, mark(BEGINS, 1))])


class _Warm(NamedTuple):
    offset: int = 0
    timestamp: int = -1
    value: bytes = HEADER.pack(b"RJB1", 0, 0, 0, 0, 0, 0, 0, 0, UNKNOWN, 0)
