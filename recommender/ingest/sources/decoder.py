"""Decodes a record of a source to its ratings: what the mapping means, record by record.

`recommender.ingest.sources.column_decoder` does the same for many plain records at once, and leaves the
others to this.
"""

from __future__ import annotations

import math
from typing import Any

from recommender.history.rows import FORGET_ITEM, FORGET_USER, NOBODY
from recommender.ingest.sources.documents import Reader
from recommender.ingest.sources.envelopes import IDENTITY, Change, is_batch, open_cloud_event, open_debezium
from recommender.ingest.sources.mapping import OTHERS, EventRule, Meaning, SourceMapping, Steps
from recommender.ingest.sources.outcomes import Row, Skip, SkipReason
from recommender.ingest.sources.paths import ELEMENT, VALUE, Path
from recommender.ingest.sources.values import (
    ABSENT,
    described,
    identifier,
    is_true,
    number,
    scaled,
    seconds_by,
)
from recommender.ingest.sources.views import View, attribute, step_into
from recommender.messages.ratings import SKIP
from recommender.messages.records import Record
from recommender.messages.refusals import BadMessage, Kind

#: The most ratings that one record may give: those that fit into one block of the journal.
MAX_ELEMENTS = 1000
_WITHDRAWN = math.nan
_NOBODY = NOBODY.decode()
_PRECISE = (
    ": Debezium writes decimals so with decimal.handling.mode=precise; set it to double or string in the "
    "connector"
)


class SourceDecoder:
    """Decodes records of one source.

    Parameters
    ----------
    mapping : SourceMapping
    reader : Reader
        Of the values.
    low, high : float
        The worker's scale of ratings.
    skips : bool
        A rating may be ``"skip"``.
    """

    def __init__(
        self, mapping: SourceMapping, reader: Reader, low: float, high: float, *, skips: bool = False
    ) -> None:
        self.mapping = mapping
        self.skips = skips
        self.low, self.high = float(low), float(high)
        self._reader = reader
        self._seconds = seconds_by(mapping.time_unit)
        self._milliseconds = seconds_by("ms")
        self._told: dict[tuple[int, str], str] = {}
        paths = [mapping.user, mapping.item, mapping.rating, mapping.each, mapping.event]
        self._inside = any(isinstance(each, Path) and each.root == VALUE for each in paths)

    def decode(self, record: Record) -> list[Row]:
        """The ratings that a record gives, at least one.

        Raises
        ------
        Skip
            It gives none, and nothing is wrong with it.
        BadMessage
            Something is wrong with it.
        """
        try:
            return self._decode(record)
        except BadMessage as error:
            raise BadMessage(f"{error} of source `{self.mapping.name}`", error.kind) from None

    def _decode(self, record: Record) -> list[Row]:
        if record.value is None:
            raise Skip(SkipReason.NULL_VALUE)
        mapping = self.mapping
        batch = mapping.envelope == "cloudevents" and is_batch(record.headers)
        document, step = (None, None) if batch else self._reader.read(record)
        view = View(record, mapping.topic, document, step)  # type: ignore[arg-type]
        if mapping.envelope == "debezium":
            return self._changed(view, open_debezium(view))
        if mapping.envelope == "cloudevents":
            open_cloud_event(view, batch)
        if mapping.forget:
            self._require_kept(view)
            if mapping.deleted is not None and not is_true(view.at(mapping.deleted)):
                raise Skip(SkipReason.KEPT)
            return [self._forgetting(view, "$" if view.attributes is None else "$.data", None)]
        if self._inside and view.document.__class__ is not dict and view.step is step_into:
            raise BadMessage(f"Expected `object`, got `{described(view.document)}`", Kind.NOT_AN_OBJECT)
        if mapping.each is not None:
            return self._elements(view, mapping.each)
        return [self._row(view, "$" if view.attributes is None else "$.data")]

    def _elements(self, view: View, each: Path) -> list[Row]:
        """One rating for each element; if one is bad the record is."""
        self._require_kept(view, record_only=True)
        elements = view.at(each)
        at = str(each)
        if elements is ABSENT or elements is None:
            raise BadMessage(f"Object missing required field - at `{at}`", Kind.MISSING_FIELD)
        if (
            isinstance(elements, str | bytes)
            or not hasattr(elements, "__len__")
            or isinstance(elements, dict)
        ):
            raise BadMessage(f"Expected `array`, got `{described(elements)}` - at `{at}`", Kind.BAD_FIELD)
        if len(elements) > MAX_ELEMENTS:
            raise BadMessage(
                f"Expected `array` of at most {MAX_ELEMENTS} elements, got {len(elements)} - at `{at}`",
                Kind.TOO_LARGE,
            )
        rows: list[Row] = []
        skip = Skip(SkipReason.EMPTY)
        for place, view.element in enumerate(elements):
            try:
                rows.append(self._row(view, f"{at}[{place}]"))
            except Skip as found:
                skip = found
        if not rows:
            raise skip
        return rows

    def _changed(self, view: View, change: Change) -> list[Row]:
        """The ratings of a change: a row that is gone is withdrawn, and so is one that became another."""
        user, item = self.mapping.user, self.mapping.item
        if self.mapping.forget:
            return [self._gone(view, change)]
        if change.after is None:
            view.document, at = change.before, f"{change.at}.before"
            self._require_kept(view)
            for path in (user, item):
                if view.at(path) is ABSENT or view.at(path) is None:
                    told = self._placed(path, at)
                    raise BadMessage(
                        f"Object missing required field - at `{told}`: {IDENTITY}", Kind.MISSING_FIELD
                    )
            time = self._changed_at(view, change, at)
            return [Row(*self._ids(view, at), _WITHDRAWN, time)]
        view.document, at = change.after, f"{change.at}.after"
        row = self._row(view, at, change)
        if change.before is None:
            return [row]
        view.document = change.before
        ids = [view.at(path) for path in (user, item)]
        if any(each is ABSENT or each is None for each in ids):
            return [row]  # only its key is known
        before = self._ids(view, f"{change.at}.before")
        if before == (row.user, row.item):
            return [row]
        return [Row(*before, _WITHDRAWN, row.time), row]

    def _gone(self, view: View, change: Change) -> Row:
        """A row that forgets whose row is gone."""
        if change.after is not None:
            raise Skip(SkipReason.KEPT)
        view.document, at = change.before, f"{change.at}.before"
        self._require_kept(view)
        path = self._who
        if view.at(path) is ABSENT or view.at(path) is None:
            told = self._placed(path, at)
            raise BadMessage(f"Object missing required field - at `{told}`: {IDENTITY}", Kind.MISSING_FIELD)
        return self._forgetting(view, at, change)

    @property
    def _who(self) -> Path:
        return self.mapping.item if self.mapping.forget == "item" else self.mapping.user

    def _forgetting(self, view: View, at: str, change: Change | None) -> Row:
        """A row that forgets a user or an item."""
        is_item, time = self.mapping.forget == "item", self._time(view, at, change)
        path, kind = self._who, Kind.BAD_ITEM if is_item else Kind.BAD_USER
        identified = identifier(view.at(path), self._placed(path, at), kind)
        if is_item:
            return Row(_NOBODY, identified, _WITHDRAWN, time, FORGET_ITEM)
        return Row(identified, _NOBODY, _WITHDRAWN, time, FORGET_USER)

    def _changed_at(self, view: View, change: Change, at: str) -> float:
        """The time when a row was deleted: its own is older."""
        if change.time is not ABSENT and change.time is not None:
            return self._milliseconds(change.time, f"{change.at}.source.ts_ms")
        return math.nan

    def _row(self, view: View, at: str, change: Change | None = None) -> Row:
        self._require_kept(view)
        rule = self._rule_of(view)
        if rule is Meaning.FORGET:
            return self._forgetting(view, at, change)
        user, item = self._ids(view, at)
        return Row(user, item, self._rated(view, rule, at), self._time(view, at, change))

    def _require_kept(self, view: View, *, record_only: bool = False) -> None:
        """Raise a `Skip` unless all fields of `where` have one of their values."""
        for path, values in self.mapping.where.items():
            if record_only and path.root == ELEMENT:
                continue
            found = view.at(path)
            if found.__class__ in (dict, list) or (found.__class__ is bool, found) not in values:
                raise Skip(SkipReason.WHERE)

    def _ids(self, view: View, at: str) -> tuple[str, str]:
        user, item = self.mapping.user, self.mapping.item
        return (
            identifier(view.at(user), self._placed(user, at), Kind.BAD_USER),
            identifier(view.at(item), self._placed(item, at), Kind.BAD_ITEM),
        )

    def _rule_of(self, view: View) -> EventRule:
        """The meaning of a record's event, where it has one, and nothing says that its row is gone."""
        mapping = self.mapping
        rule: EventRule = Meaning.RATING
        if mapping.event is not None:
            rule = self._rule(view.at(mapping.event))
        if rule is Meaning.SKIP:
            raise Skip(SkipReason.EVENT)
        if rule is Meaning.FORGET:
            return rule
        gone = mapping.deleted is not None and is_true(view.at(mapping.deleted))
        return Meaning.WITHDRAW if gone else rule

    def _rated(self, view: View, rule: EventRule, at: str) -> float:
        """The rating, NaN for a withdrawal."""
        mapping = self.mapping
        if rule is Meaning.WITHDRAW:
            return _WITHDRAWN
        if isinstance(rule, Steps):
            return self._reached(view, rule, at)
        if not isinstance(rule, Meaning):
            return rule
        if not isinstance(mapping.rating, Path):
            return mapping.rating
        return self._rating(view, mapping.rating, at)

    def _rule(self, event: Any) -> EventRule:
        """The meaning of an event's name."""
        rules = self.mapping.events
        if event.__class__ is bytes:
            event = event.decode(errors="replace")
        name = event if event.__class__ is str else (str(event) if event.__class__ is int else None)
        rule = rules.get(name) if name is not None and name != OTHERS else None
        if rule is not None:
            return rule
        rule = rules[OTHERS]
        if rule is Meaning.SKIP:
            raise Skip(SkipReason.EVENT_NOT_LISTED, "" if name is None else name)
        return rule

    def _reached(self, view: View, rule: Steps, at: str) -> float:
        """The highest step that was reached."""
        share = number(view.at(rule.of), self._placed(rule.of, at), Kind.BAD_FIELD)
        if rule.per is not None:
            whole = number(view.at(rule.per), self._placed(rule.per, at), Kind.BAD_FIELD)
            if whole <= 0:
                raise BadMessage(
                    f"Expected a number above 0, got {whole:g} - at `{self._placed(rule.per, at)}`",
                    Kind.BAD_FIELD,
                )
            share /= whole
        reached = [rating for least, rating in rule.at if share >= least]
        if not reached:
            raise Skip(SkipReason.BELOW_STEPS)
        return reached[-1]

    def _rating(self, view: View, path: Path, at: str) -> float:
        found = view.at(path)
        if found is None:
            return _WITHDRAWN
        told = self._placed(path, at)
        if self.skips and found == SKIP:
            return 0.0
        try:
            value = number(found, told, Kind.BAD_RATING)
        except BadMessage as error:
            if self.mapping.envelope == "debezium" and isinstance(found, str | dict):
                raise BadMessage(f"{error}{_PRECISE}", error.kind) from None
            raise
        return scaled(value, self.mapping.scale, self.low, self.high, told)

    def _time(self, view: View, at: str, change: Change | None) -> float:
        path = self.mapping.time
        if path is not None:
            found = view.at(path)
            if found is not ABSENT and found is not None:
                return self._seconds(found, self._placed(path, at))
        if change is not None:
            return self._changed_at(view, change, at)
        if self.mapping.envelope == "cloudevents":
            stamped = (view.attributes or {}).get("time") or attribute(view.record, "time")
            if stamped is not ABSENT:
                return seconds_by("iso")(stamped, "@ce.time")
        return math.nan

    def _placed(self, path: Path, at: str) -> str:
        """The path as errors name it, for a row that is at a place of the record."""
        told = self._told.get((id(path), at))
        if told is None:
            if path.root == VALUE:
                told = path.within("$" if "[" in at else at)
            else:
                told = path.within(at) if path.root == ELEMENT else str(path)
            self._told[id(path), at] = told
        return told
