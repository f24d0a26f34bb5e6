"""Decodes many plain records in JSON at once by a kernel: ratings whose ids stay where they stand.

Faster than `recommender.ingest.sources.column_decoder`, and of fewer mappings and records. What is not plain
to it is left to that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from recommender.history.rows import Rows
from recommender.ingest import field_json
from recommender.ingest.field_json import ABSENT, INTEGER, NULL, NUMBER, TEXT, Tree, Words
from recommender.ingest.sources.iso_times import seconds_of_marks
from recommender.ingest.sources.mapping import OTHERS, Meaning, SourceMapping
from recommender.ingest.sources.outcomes import SkipReason
from recommender.ingest.sources.paths import VALUE, Path
from recommender.ingest.sources.plain_values import (
    CLOSELY,
    SKIP,
    UNLISTED,
    Floats,
    in_seconds,
    on_scale,
    weights_of,
)
from recommender.messages.ratings import MAX_ID_BYTES, MAX_TIMESTAMP
from recommender.messages.records import Record

#: The columns of what is found.
_USER, _ITEM, _RATING, _TIME, _EVENT = range(5)
_COLUMNS = 5
#: No time that is read many at once has more characters.
_LONGEST_TIME = 40
Marks = NDArray[np.bool_]


class ReadRows(NamedTuple):
    """The outcome of many records.

    Attributes
    ----------
    rows : Rows
        The ratings of those that are plain.
    places : int64 array
        The record of each, ascending.
    closely : list of int
        Those that need a closer look.
    skipped : Counter of SkipReason
    unlisted : Counter of str
        The names of events that are not listed.
    """

    rows: Rows
    places: NDArray[np.int64]
    closely: list[int]
    skipped: Counter[SkipReason]
    unlisted: Counter[str]


class _Found(NamedTuple):
    """Fields of records, as `recommender.ingest.field_json.find_all` has them."""

    text: NDArray[np.uint8]
    kinds: NDArray[np.uint8]
    spans: NDArray[np.int64]
    values: Floats
    plain: Marks

    def texts(self, places: NDArray[np.int64], column: int) -> list[str]:
        """The texts in a column."""
        spans = self.spans[places, 2 * column : 2 * column + 2].tolist()
        return [self.text[begin:end].tobytes().decode() for begin, end in spans]


class FieldDecoder:
    """Decodes plain records in JSON, where a mapping allows it.

    Parameters
    ----------
    mapping : SourceMapping
    low, high : float
        The worker's scale of ratings.
    """

    def __init__(self, mapping: SourceMapping, low: float, high: float) -> None:
        self._mapping = mapping
        self._limits = float(low), float(high)
        rating = None if mapping.event is not None else mapping.rating
        paths = [mapping.user, mapping.item, rating, mapping.time, mapping.event]
        self._columns = [place for place, path in enumerate(paths) if isinstance(path, Path)]
        wanted = {place: paths[place].steps for place in self._columns}  # type: ignore[union-attr]
        self._tree = Tree.of(wanted)
        weights = weights_of(mapping)
        self._words = Words.of(list(weights))
        #: What is none of them is at -1.
        self._weights = np.array([*weights.values(), UNLISTED], np.float64)
        self._others_skip = mapping.events.get(OTHERS) is Meaning.SKIP

    @classmethod
    def of(cls, mapping: SourceMapping, low: float, high: float) -> FieldDecoder | None:
        """The decoder for a mapping that columns can be made for; None where it asks for more than this."""
        more = mapping.where or mapping.forget or mapping.deleted is not None or mapping.each is not None
        ids = mapping.user.root == VALUE and mapping.item.root == VALUE
        plain = mapping.envelope == "none" and mapping.format in ("auto", "json") and ids and not more
        return cls(mapping, low, high) if plain else None

    def read(self, records: Sequence[Record]) -> ReadRows:
        """Decode the plain ones of many records, none of which has a value that is null."""
        found = self._found(records)
        count = len(records)
        skipped: Counter[SkipReason] = Counter()
        unlisted: Counter[str] = Counter()
        kinds, bad, passed = found.kinds, ~found.plain, np.zeros(count, np.bool_)
        rated = self._rated(found, bad)
        if self._mapping.event is not None:
            others = (rated == UNLISTED) & ~bad
            if self._others_skip:
                passed |= others
                skipped[SkipReason.EVENT_NOT_LISTED] += int(np.count_nonzero(others))
                named = np.flatnonzero(others & (kinds[:, _EVENT] == TEXT))
                unlisted.update(found.texts(named, _EVENT))
                unlisted[""] += int(np.count_nonzero(others)) - len(named)
            else:
                bad |= others
            skips = (rated == SKIP) & ~bad
            passed |= skips
            skipped[SkipReason.EVENT] += int(np.count_nonzero(skips))
            bad |= rated == CLOSELY
        for column in (_USER, _ITEM):
            sizes = found.spans[:, 2 * column + 1] - found.spans[:, 2 * column]
            bad |= (kinds[:, column] != TEXT) & (kinds[:, column] != INTEGER)
            bad |= (sizes < 1) | (sizes > MAX_ID_BYTES)
        times = self._times(found, bad)
        bad &= ~passed
        spans = found.spans[:, :4]
        rows = Rows(found.text, np.ascontiguousarray(spans), rated, times, np.ones(count, np.bool_))
        places = np.flatnonzero(~(bad | passed))
        if len(places) < count:
            rows = rows.of(~(bad | passed))
        return ReadRows(rows, places, np.flatnonzero(bad).tolist(), +skipped, +unlisted)

    def _found(self, records: Sequence[Record]) -> _Found:
        values: list[bytes] = [record.value or b"" for record in records]
        count = len(values)
        ends = np.cumsum(np.fromiter(map(len, values), np.int64, count))
        text = np.frombuffer(bytearray().join(values), np.uint8)
        kinds = np.zeros((count, _COLUMNS), np.uint8)
        spans, numbers = np.zeros((count, 2 * _COLUMNS), np.int64), np.zeros((count, _COLUMNS))
        plain = np.zeros(count, np.bool_)
        event = _EVENT if _EVENT in self._columns else -1
        field_json.find_all(text, ends, self._tree, self._words, event, kinds, spans, numbers, plain)
        text.flags.writeable = False  # the kernels that read it are compiled for one kind
        return _Found(text, kinds, spans, numbers, plain)

    def _rated(self, found: _Found, bad: Marks) -> Floats:
        """The rating of each, or what its event means; marks those that need a closer look."""
        mapping = self._mapping
        if mapping.event is not None:
            kinds = found.kinds[:, _EVENT]
            bad |= (kinds == INTEGER) | (kinds == NUMBER)
            return self._weights[np.where(kinds == TEXT, found.values[:, _EVENT], -1.0).astype(np.int64)]
        if not isinstance(mapping.rating, Path):
            return np.full(len(bad), mapping.rating)
        kinds, given = found.kinds[:, _RATING], found.values[:, _RATING]
        number, null = (kinds == INTEGER) | (kinds == NUMBER), kinds == NULL
        rated, within = on_scale(given, mapping.scale, self._limits)
        bad |= ~((number & within) | null)
        rated[null] = math.nan
        return rated

    def _times(self, found: _Found, bad: Marks) -> Floats:
        """Times in seconds, NaN where there is none; marks those that need a closer look."""
        times = np.full(len(bad), math.nan)
        if self._mapping.time is None:
            return times
        unit, kinds = self._mapping.time_unit, found.kinds[:, _TIME]
        given = (kinds != ABSENT) & (kinds != NULL) & ~bad
        texts = np.flatnonzero(given & (kinds == TEXT))
        if unit in ("auto", "iso") and len(texts):
            times[texts] = _seconds_of(found, texts)
        if unit != "iso":
            numbers = given & (kinds != TEXT)
            times[numbers] = in_seconds(found.values[numbers, _TIME], unit)
        bad |= given & ~((times >= 0) & (times <= MAX_TIMESTAMP))
        return times


def _seconds_of(found: _Found, places: NDArray[np.int64]) -> Floats:
    """The times that are written as text at some places."""
    begins, ends = found.spans[places, 2 * _TIME], found.spans[places, 2 * _TIME + 1]
    sizes, seconds = ends - begins, np.full(len(places), math.nan)
    for size in set(sizes.tolist()):
        if not 0 < size <= _LONGEST_TIME:
            continue
        alike = np.flatnonzero(sizes == size)
        seconds[alike] = seconds_of_marks(sliding_window_view(found.text, size)[begins[alike]])
    return seconds
