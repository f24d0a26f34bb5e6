"""The sources whose ratings are in the journal, and how far each is applied, as arrays for compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.journal import rule_kernels
from recommender.journal.block import Source

_SMALLEST = 16


class SourceTable:
    """Sources, numbered in the order in which they come.

    Attributes
    ----------
    slots : dict of Source to int
        The number of each.
    keys : int64 array, shape (sources, 3)
        The two words of each topic's id, and the partition.
    table : int32 array
        Where compiled code finds a source: see `recommender.journal.rule_kernels.find_slot`.
    applied : int64 array, shape (sources,)
        Up to which offset each is applied.
    loose : bool array, shape (sources,)
        Those whose next block is applied although it may be ahead.
    mapped : uint64 array, shape (sources,)
        The decoder's fingerprint of each one's last block that was applied, where its records are mapped;
        else 0.
    new_are_loose : bool
        The same of those that are not known yet.
    """

    def __init__(self) -> None:
        self.slots: dict[Source, int] = {}
        self.keys = np.zeros((0, 3), np.int64)
        self.table = np.zeros(_SMALLEST, np.int32)
        self.applied = np.zeros(0, np.int64)
        self.loose = np.zeros(0, np.bool_)
        self.mapped = np.zeros(0, np.uint64)
        self.new_are_loose = False
        self._sources: list[Source] = []

    def add(self, source: Source) -> None:
        """Give a source that is not known a number."""
        self.slots[source] = len(self._sources)
        self._sources.append(source)
        words = np.frombuffer(source.topic_id, "<i8").tolist()
        self.keys = np.concatenate([self.keys, np.array([[*words, source.partition]], np.int64)])
        self.applied = np.append(self.applied, 0)
        self.loose = np.append(self.loose, self.new_are_loose)
        self.mapped = np.append(self.mapped, np.uint64(0))
        # A table that is at most half full has short searches.
        size = max(len(self.table), 1 << (2 * len(self._sources) - 1).bit_length())
        self.table = np.zeros(size, np.int32)
        rule_kernels.fill_table(self.keys, self.table)

    def loosen(self) -> None:
        """Let the next block of every source be applied."""
        self.loose[:] = self.new_are_loose = True

    def moved(self, before: NDArray[np.int64]) -> dict[Source, int]:
        """The offset up to which each source is applied that is further than the array said before."""
        moved = self.applied.copy()
        moved[: len(before)] -= before
        return {self._sources[slot]: int(self.applied[slot]) for slot in moved.nonzero()[0].tolist()}

    def state(self) -> dict[str, NDArray[Any]]:
        """All of it as named arrays, the same whatever order the sources came in."""
        order = sorted(self._sources)
        slots = [self.slots[each] for each in order]
        # A state without such sources is what it was before there were any.
        mapped = {"mapped": self.mapped[slots]} if self.mapped.any() else {}
        return {
            "topics": np.frombuffer(b"".join(each.topic_id for each in order), np.uint8).reshape(-1, 16),
            "source_partitions": np.array([each.partition for each in order], np.int64),
            "applied": self.applied[slots],
            "loose": np.append(self.loose[slots], self.new_are_loose),
            **mapped,
        }

    @classmethod
    def of_state(cls, state: dict[str, NDArray[Any]]) -> SourceTable:
        """The table that `state` was taken from."""
        made = cls()
        for topic_id, partition in zip(state["topics"], state["source_partitions"].tolist(), strict=True):
            made.add(Source(topic_id.tobytes(), partition))
        made.applied[:] = state["applied"]
        made.loose[:] = state["loose"][:-1]
        made.mapped[:] = state.get("mapped", 0)
        made.new_are_loose = bool(state["loose"][-1])
        return made
