"""The progress through one partition of a log, and the counts of its records."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.history.arrays import Arrays
from recommender.journal.block import Source
from recommender.messages.records import Location, Record

Floats = NDArray[np.float64]

#: How far a log may lag behind another that moves on: 30 days, in seconds.
STANDSTILL = 30 * 86_400.0

_INTEGERS = ("offset", "records", "bad", "late")
_TIMES = ("frontier", "first", "last")


@dataclass(slots=True)
class LogProgress:
    """The progress through one partition of a log, and the counts of its records.

    Attributes
    ----------
    offset : int
        The next to read.
    records, bad, late : int
        Read; not understood; too far out of order.
    frontier, first, last : float
        Event times in seconds: what lateness is counted from, the earliest and the latest.
    note : str
        What is wrong with the first bad one.
    """

    offset: int = 0
    records: int = 0
    bad: int = 0
    late: int = 0
    frontier: float = -math.inf
    first: float = math.inf
    last: float = -math.inf
    note: str = ""

    def reached(self, times: Floats, written: Floats, lateness: float) -> NDArray[np.bool_]:
        """Take note of consecutive event times; which are not late. One that is not known is.

        Parameters
        ----------
        times, written : float arrays, shape (records,)
            Event times, and when the records were written; NaN where that is not known.
        lateness : float
        """
        frontiers = _running(self.frontier, _believed(times, written))
        self.frontier = float(frontiers[-1])
        return self._noted(times, times >= frontiers[:-1] - lateness)

    def _noted(self, times: Floats, in_time: NDArray[np.bool_]) -> NDArray[np.bool_]:
        self.first = float(np.fmin.reduce(times, initial=self.first))
        self.last = float(np.fmax.reduce(times, initial=self.last))
        self.late += int(np.count_nonzero(~in_time))
        return in_time

    def lift(self, frontier: float) -> None:
        """Let the frontier be at least there."""
        self.frontier = max(self.frontier, frontier)

    def is_bad(self, record: Record, why: str) -> None:
        """Count a record that is not what its topic holds."""
        self.bad += 1
        self.note = self.note or f"{Location.of(record)}: {why}"

    def state(self) -> Arrays:
        """All of it as arrays."""
        return {
            "integers": np.array([getattr(self, name) for name in _INTEGERS], np.int64),
            "times": np.array([getattr(self, name) for name in _TIMES], np.float64),
            "note": np.frombuffer(self.note.encode(errors="replace"), np.uint8),
        }

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave."""
        for names, values in ((_INTEGERS, state["integers"]), (_TIMES, state["times"])):
            for name, value in zip(names, values.tolist(), strict=True):
                setattr(self, name, value)
        self.note = state["note"].tobytes().decode()


class Reached(NamedTuple):
    """The place up to which a source was read: its frontier, and the time of its last record, in seconds."""

    frontier: float = -math.inf
    written: float = -math.inf


#: A source that gives its first has not been silent.
NEW = Reached(written=math.inf)


@dataclass(slots=True)
class JournalProgress(LogProgress):
    """The same of the journal, where each source is in an order of its own.

    A backlog is written in turns, some hundred ratings of each source, which may be of days. So a rating is
    late if it is too far behind those of its source. A source that gave nothing while the journal was written
    for 30 days is taken to lag at most as much behind the newest.

    Attributes
    ----------
    standstill : float
        How far the journal may be behind a source that gave nothing, in seconds.
    newest : Reached
        By any source.
    floor : float
        Where the frontier of a new source begins.
    sources : dict of Source to Reached
    """

    standstill: float = STANDSTILL
    newest: Reached = field(default_factory=Reached)
    floor: float = -math.inf
    sources: dict[Source, Reached] = field(default_factory=dict)

    def reached_by(
        self, times: Floats, written: Floats, lateness: float, sources: Sequence[Source]
    ) -> NDArray[np.bool_]:
        """Take over records that are each of a source, and mark those in time, as `reached` does."""
        known = _believed(times, written)
        newest = _running(self.newest.frontier, known)
        clock = _running(self.newest.written, np.nan_to_num(written, nan=-np.inf))
        numbers = {source: number for number, source in enumerate(dict.fromkeys(sources))}
        of = np.fromiter(map(numbers.__getitem__, sources), np.int64, len(sources))
        in_time = np.zeros(len(times), np.bool_)
        for source, number in numbers.items():
            rows = np.flatnonzero(of == number)
            before = self.sources.get(source, NEW)
            now = clock[rows + 1]
            silent = now > np.concatenate([[before.written], now[:-1]]) + self.standstill
            least = np.where(silent, newest[rows] - self.standstill, -np.inf)
            own = _running(before.frontier, np.maximum(known[rows], least))
            in_time[rows] = times[rows] >= np.maximum(np.maximum(own[:-1], least), self.floor) - lateness
            self.sources[source] = Reached(float(own[-1]), float(clock[rows[-1] + 1]))
        self.newest = Reached(float(newest[-1]), float(clock[-1]))
        self._find_frontier()
        return self._noted(times, in_time)

    def lift(self, frontier: float) -> None:
        """Let the frontier be at least there, also that of a source which is new."""
        self.floor = max(self.floor, frontier)
        self._find_frontier()

    def _find_frontier(self) -> None:
        silent, least = self.newest.written - self.standstill, self.newest.frontier - self.standstill
        lagging = [
            max(each.frontier, least) if each.written < silent else each.frontier
            for each in self.sources.values()
        ]
        self.frontier = max(self.floor, min(lagging, default=-math.inf))

    def state(self) -> Arrays:
        """All of it as arrays."""
        order = sorted(self.sources)
        topics = b"".join(source.topic_id for source in order)
        return LogProgress.state(self) | {
            "topics": np.frombuffer(topics, np.uint8).reshape(-1, 16),
            "partitions": np.array([source.partition for source in order], np.int64),
            "reached": np.array([self.newest, *map(self.sources.__getitem__, order)], np.float64),
            "floor": np.array([self.floor]),
        }

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave."""
        LogProgress.restore(self, state)
        self.floor = float(np.asarray(state["floor"], np.float64)[0])
        self.newest, *reached = (Reached(*each) for each in state["reached"].tolist())
        topics = (each.tobytes() for each in state["topics"])
        self.sources = dict(zip(map(Source, topics, state["partitions"].tolist()), reached, strict=True))


def _believed(times: Floats, written: Floats) -> Floats:
    """Times that others may be late by: no record is from later than it was written, whatever its clock."""
    return np.nan_to_num(np.where(written > 0.0, np.minimum(times, written), times), nan=-np.inf)


def _running(first: float, times: Floats) -> Floats:
    """The newest before each time, and after the last."""
    return np.maximum.accumulate(np.concatenate([[first], times]))
