"""How far one partition of a log was read, and what was in it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.experiments.attribution import Arrays
from recommender.messages.records import Record

Floats = NDArray[np.float64]

_INTEGERS = ("offset", "records", "bad", "late")
_TIMES = ("frontier", "first", "last")


@dataclass(slots=True)
class Progress:
    """How far one partition of a log was read, and what was in it.

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
            Event times, and when the records were written; NaN where that is not known. A record cannot be
            from later than it was written: a wrong clock must not make all others late.
        lateness : float
        """
        if not len(times):
            return np.zeros(0, np.bool_)
        known = np.nan_to_num(np.where(written > 0.0, np.minimum(times, written), times), nan=-np.inf)
        frontiers = np.maximum.accumulate(np.concatenate([[self.frontier], known]))
        in_time = times >= frontiers[:-1] - lateness
        self.frontier = float(frontiers[-1])
        self.first = float(np.fmin.reduce(times, initial=self.first))
        self.last = float(np.fmax.reduce(times, initial=self.last))
        self.late += int(np.count_nonzero(~in_time))
        return in_time

    def is_bad(self, record: Record, why: str) -> None:
        """Count a record that is not what its topic holds."""
        self.bad += 1
        self.note = self.note or f"{record.topic}[{record.partition}] offset {record.offset}: {why}"

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
