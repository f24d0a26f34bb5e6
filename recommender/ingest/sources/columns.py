"""Judges the columns of many plain records of a source: which are ratings, which are passed over."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.ingest.sources.decoded_values import Taken
from recommender.ingest.sources.mapping import OTHERS, Meaning, SourceMapping
from recommender.ingest.sources.outcomes import SkipReason
from recommender.ingest.sources.paths import KEY, Path
from recommender.ingest.sources.plain_values import (
    CLOSELY,
    SKIP,
    UNLISTED,
    Floats,
    Judged,
    allowed,
    decoded,
    ids_of,
    on_scale,
    times_of,
    weights_of,
)
from recommender.messages.records import Record

#: Types that columns of documents may have, by role; None: nothing is there.
_USUAL: dict[str, set[type]] = {
    "rating": {int, float, type(None)},
    "time": {int, float, str, datetime, type(None)},
    "event": {str, type(None)},
    "deleted": {bool, type(None)},
    "where": {str, int, float, bool, type(None)},
    "op": {str},
    "before": {dict, type(None)},
    "changed": {int, type(None)},
}

Marks = NDArray[np.bool_]


class Columns(NamedTuple):
    """Ratings of records.

    Attributes
    ----------
    places : list of int
        The record of each, ascending.
    users, items : list of str
    ratings, times : float64 arrays
        NaN withdraws; NaN where nothing says when.
    kinds : uint8 array, optional
        See `recommender.history.rows`; None where all are ratings.
    """

    places: list[int]
    users: list[str]
    items: list[str]
    ratings: Floats
    times: Floats
    kinds: NDArray[np.uint8] | None = None


class ReadColumns(NamedTuple):
    """The outcome of many records.

    Attributes
    ----------
    columns : Columns
        The ratings of those that are plain.
    closely : list of int
        Those that need a closer look.
    skipped : Counter of SkipReason
    unlisted : Counter of str
        The names of events that are not listed.
    """

    columns: Columns
    closely: list[int]
    skipped: Counter[SkipReason]
    unlisted: Counter[str]


class Plan:
    """A mapping, prepared for columns.

    Parameters
    ----------
    mapping : SourceMapping
    low, high : float
        The worker's scale of ratings.
    """

    def __init__(self, mapping: SourceMapping, low: float, high: float) -> None:
        self.mapping = mapping
        self.limits = float(low), float(high)
        self.debezium = mapping.envelope == "debezium"
        self.weights = weights_of(mapping)
        self.where = [allowed(values) for values in mapping.where.values()]


class Reading:
    """Some records on their way into columns."""

    def __init__(self, plan: Plan, records: Sequence[Record], taken: Taken) -> None:
        self._plan, self._mapping = plan, plan.mapping
        self._records, self._taken = records, taken
        self.places, self.closely = taken.places, taken.closely
        self.skipped: Counter[SkipReason] = Counter()
        self.unlisted: Counter[str] = Counter()
        columns = list(zip(*taken.rows, strict=True)) if taken.rows else [()] * len(taken.roles)
        self._columns: dict[str, Any] = dict(zip(taken.roles, columns, strict=True))
        if taken.take_before is not None:
            self._columns["document"] = taken.structs

    def read(self) -> ReadColumns:
        """Judge the columns, beginning with what passes records over."""
        self._look_at_types()
        self._look_at_changes()
        self._pass_over()
        self._rate()
        users = self._ids(self._mapping.user, "user")
        items = self._ids(self._mapping.item, "item")
        times = self._times()
        bad = np.zeros(len(self.places), np.bool_)
        bad[users.bad + items.bad + times.bad] = True
        self._columns |= {"user": users.column, "item": items.column, "time": times.column}
        self._drop(bad)
        found = self._columns
        rated, time = (np.array(found[name], np.float64) for name in ("rated", "time"))
        columns = Columns(self.places, list(found["user"]), list(found["item"]), rated, time)
        return ReadColumns(columns, sorted(self.closely), self.skipped, self.unlisted)

    def _drop(self, bad: Marks, reason: SkipReason | None = None) -> None:
        """Skip some records for a reason, or without one leave them to a closer look."""
        count = int(np.count_nonzero(bad))
        if not count:
            return
        if reason is None:
            self.closely += compress(self.places, bad)
        else:
            self.skipped[reason] += count
        keep = ~bad
        self.places = list(compress(self.places, keep))
        self._columns = {role: list(compress(column, keep)) for role, column in self._columns.items()}

    def _look_at_types(self) -> None:
        """Leave what is of unusual types to a closer look; typed decoding has done so."""
        if self._taken.typed:
            return
        bad = np.zeros(len(self.places), np.bool_)
        for role, column in self._columns.items():
            usual = _USUAL.get(role.partition(" ")[0])
            if usual is not None and not set(map(type, column)) <= usual:
                bad |= np.fromiter((type(value) not in usual for value in column), np.bool_)
        self._drop(bad)

    def _look_at_changes(self) -> None:
        """Select Debezium's plain changes: those that leave the row's user and item as they were."""
        take_before = self._taken.take_before
        if take_before is None:
            return
        column = self._columns
        befores = column["before"]
        bad = np.fromiter((operation not in ("c", "r", "u") for operation in column["op"]), np.bool_)
        for place, before in enumerate(befores):
            if before is not None:
                try:
                    ids = tuple(take_before(column["document"][place]))
                except AttributeError:
                    ids = ()
                # True is no id, but equals 1.
                same = ids == (column["user"][place], column["item"][place]) and bool not in map(type, ids)
                bad[place] |= not same
        self._drop(bad)

    def _pass_over(self) -> None:
        """Pass records over that `where` or their event say nothing is to be learned from."""
        for number, (values, mixed) in enumerate(self._plan.where):
            column = self._columns[f"where {number}"]
            if mixed:
                bad = [(value.__class__ is bool, value) not in values for value in column]
            else:
                bad = [value not in values for value in column]
            self._drop(np.array(bad, np.bool_), SkipReason.WHERE)
        if self._mapping.event is None:
            return
        weights, events = self._plan.weights, self._columns["event"]
        codes = np.array([weights.get(event, UNLISTED) for event in events], np.float64)
        others = codes == UNLISTED
        if others.any() and self._mapping.events[OTHERS] is Meaning.SKIP:
            self.unlisted.update(event or "" for event in compress(events, others))
        self._columns["rated"] = codes
        if self._mapping.events[OTHERS] is Meaning.SKIP:
            self._drop(others, SkipReason.EVENT_NOT_LISTED)
        else:
            self._drop(others)
        self._drop(np.array(self._columns["rated"], np.float64) == SKIP, SkipReason.EVENT)
        self._drop(np.array(self._columns["rated"], np.float64) == CLOSELY)

    def _rate(self) -> None:
        """Give each record its rating on the worker's scale."""
        mapping, count = self._mapping, len(self.places)
        bad = np.zeros(count, np.bool_)
        if mapping.event is not None:
            rated = np.array(self._columns["rated"], np.float64)
        elif isinstance(mapping.rating, Path):
            column = self._columns["rating"]
            bad = np.fromiter((value is None for value in column), np.bool_, count)
            given = np.array([math.nan if value is None else value for value in column], np.float64)
            rated, within = on_scale(given, mapping.scale, self._plan.limits)
            bad |= ~within
        else:
            rated = np.full(count, mapping.rating)
        if mapping.deleted is not None:
            gone = np.array([value is True for value in self._columns["deleted"]], np.bool_)
            rated[gone], bad[gone] = math.nan, False
        self._columns["rated"] = rated
        self._drop(bad)

    def _ids(self, path: Path, role: str) -> Judged:
        """Ids as text."""
        if path.root == KEY:
            return ids_of([decoded(self._records[place].key) for place in self.places])
        return ids_of(self._columns[role])

    def _times(self) -> Judged:
        """Times in seconds; NaN where a record has none."""
        changed = self._plan.debezium and self._mapping.time is None
        role = "changed" if changed else "time"
        if role not in self._columns:
            return Judged(np.full(len(self.places), math.nan), [])
        # Where a change has none, a closer look finds that of the change itself.
        unit = "ms" if changed else self._mapping.time_unit
        return times_of(self._columns[role], unit, required=self._plan.debezium)


NOTHING = Columns([], [], [], np.zeros(0), np.zeros(0))
