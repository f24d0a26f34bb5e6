"""Reads the file of the sources: TOML, a table for each topic."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path as File
from typing import Any

from recommender.ingest.sources.mapping import OTHERS, EventRule, Meaning, SourceMapping, SourcesError, Steps
from recommender.ingest.sources.paths import ELEMENT, Path
from recommender.ingest.sources.tables import (
    RATINGS,
    Table,
    are_numbers,
    is_number,
    require_different,
    tables_of,
)

FORMATS = ("auto", "json", "msgpack", "avro", "protobuf")
ENVELOPES = ("none", "debezium", "cloudevents")
UNITS = ("auto", "s", "ms", "us", "ns", "iso")
KEYS = (
    *(
        "kind",
        "topic",
        "format",
        "envelope",
        "schema",
        "message",
        "user",
        "item",
        "rating",
        "scale",
        "time",
        "time_unit",
    ),
    *("each", "event", "events", "where", "deleted", "forget", "start"),
)
#: What a table may say that is to be forgotten, and the keys that it has no use for then.
FORGOTTEN = ("", "user", "item")
OF_RATINGS = ("rating", "scale", "each", "event", "events")
#: What errors call sources that are in the setting itself.
INLINE = "RECOMMENDER_SOURCES"


def load(setting: str, low: float, high: float, named: str = INLINE) -> list[SourceMapping]:
    """Read the sources.

    Parameters
    ----------
    setting : str
        The name of a file, or the TOML itself where it begins with ``[``; empty: no sources.
    low, high : float
        The worker's scale of ratings.
    named : str
        What gave the setting.

    Raises
    ------
    SourcesError
        There is no such file, or something in it cannot be; names the file, the table and the nearest key.
    """
    return parse(*text_of(setting, named), low, high) if setting.strip() else []


def text_of(setting: str, named: str = INLINE) -> tuple[str, str]:
    """The text of the sources, and what errors call it; a `SourcesError` if there is no such file."""
    if setting.lstrip().startswith("["):
        return setting, named
    try:
        return File(setting).read_text("utf-8"), setting
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SourcesError(f"{named} has value {setting!r}: cannot read this file ({why})") from None


def parse(text: str, name: str, low: float, high: float) -> list[SourceMapping]:
    """Read the sources of ratings in a text of TOML; `name` is what errors call the file."""
    tables = [RatingsTable(name, *each, (low, high)) for each in tables_of(text, name).items()]
    found = [each.mapping() for each in tables if each.kind == RATINGS]
    require_different(name, ((each.topic, each.name) for each in found))
    return found


class RatingsTable(Table):
    """One table whose records are ratings."""

    def mapping(self) -> SourceMapping:
        """The mapping that the table describes."""
        content = self._content
        self._require_known(content, KEYS)
        self._require_for_envelope()
        events = self._events()
        envelope = self._choice("envelope", ENVELOPES)
        event = self._path("event")
        if event is None and events and envelope == "cloudevents":
            event = Path.parse("@ce.type")
        if (event is None) != (not events):
            lacking = "event" if events else "events"
            raise self._error(f"`{lacking}` is missing: expected both `event` and [{self._name}.events]")
        mapping = SourceMapping(
            name=self._name,
            topic=self._text("topic") or self._name,
            user=self._path("user") or Path.parse("user"),
            item=self._path("item") or Path.parse("item"),
            rating=self._rating(),
            format=self._choice("format", FORMATS),
            envelope=envelope,
            scale=self._interval("scale"),
            time=self._path("time"),
            time_unit=self._choice("time_unit", UNITS),
            each=self._path("each"),
            event=event,
            events=events,
            where=self._where(),
            deleted=self._path("deleted"),
            forget=self._forget(),
            start=self._start(),
            schema=self._text("schema"),
            message=self._text("message"),
        )
        self._require_consistent(mapping)
        return mapping

    def _require_for_envelope(self) -> None:
        if self._content.get("envelope") == "debezium" and "each" in self._content:
            raise self._error("`each` is not for envelope debezium: a row is one rating")

    def _forget(self) -> str:
        if "forget" not in self._content:
            return ""
        value = self._content["forget"]
        if value not in FORGOTTEN[1:]:
            raise self._bad("forget", value, "user or item")
        for key in OF_RATINGS:
            if key in self._content:
                raise self._error(f"`{key}` is for ratings: a table with `forget` has none")
        return str(value)

    def _require_consistent(self, mapping: SourceMapping) -> None:
        paths: dict[str, Path | float | None] = {
            "user": mapping.user,
            "item": mapping.item,
            "time": mapping.time,
            "event": mapping.event,
        }
        paths |= {"deleted": mapping.deleted, "rating": mapping.rating}
        paths |= {f"where {path}": path for path in mapping.where}
        for rule in mapping.events.values():
            if isinstance(rule, Steps):
                paths |= {"of": rule.of, "per": rule.per}
        for key, path in paths.items():
            if isinstance(path, Path) and path.root == ELEMENT and mapping.each is None:
                raise self._error(
                    f"{key} begins with a dot: expected `each`, the array in whose elements it is"
                )
        if mapping.each is not None and mapping.each.root == ELEMENT:
            raise self._error("each begins with a dot: expected the path of an array in the record")
        if mapping.schema and mapping.format not in ("avro", "protobuf"):
            raise self._error("schema is for format avro or protobuf")
        if mapping.message and mapping.format != "protobuf":
            raise self._error("message is for format protobuf")
        if mapping.scale is not None and not isinstance(mapping.rating, Path):
            raise self._error("scale is for ratings that are read: `rating` is a number here")

    def _rating(self) -> Path | float:
        value = self._content.get("rating", "rating")
        return self._on_scale("rating", value) if is_number(value) else self._parsed("rating", value)

    def _on_scale(self, key: str, value: float) -> float:
        low, high = self._scale
        if not low <= value <= high:
            expected = f"{low:g} to {high:g}, the scale of ratings (RECOMMENDER_RATING_MIN and _MAX)"
            raise self._bad(key, value, expected)
        return float(value)

    def _start(self) -> str | float:
        value = self._content.get("start", "earliest")
        if value in ("earliest", "latest"):
            return str(value)
        try:
            moment = datetime.fromisoformat(value) if isinstance(value, str) else value
            if isinstance(moment, date) and not isinstance(moment, datetime):
                moment = datetime(moment.year, moment.month, moment.day)
            return float(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp())
        except (ValueError, AttributeError, TypeError):
            raise self._bad("start", value, "earliest, latest or a time as 2026-01-31T12:00:00Z") from None

    def _events(self) -> dict[str, EventRule]:
        content = self._content.get("events", {})
        if not isinstance(content, dict):
            raise self._bad("events", content, f"a table [{self._name}.events]")
        found = {name: self._rule(name, value) for name, value in content.items()}
        return {OTHERS: Meaning.SKIP, **found} if found else {}

    def _rule(self, name: str, value: object) -> EventRule:
        key = f"events {name!r}"
        if is_number(value):
            return self._on_scale(key, value)
        if isinstance(value, str) and value in list(Meaning):
            return Meaning(value)
        if isinstance(value, dict):
            return self._steps(key, value)
        raise self._bad(key, value, 'a number, "skip", "withdraw", "rating", "forget" or {of, per, at}')

    def _steps(self, key: str, value: Mapping[str, Any]) -> Steps:
        self._require_known(value, ("of", "per", "at"), f"{key}: ")
        at = value.get("at")
        if "of" not in value or not isinstance(at, list) or not at:
            raise self._bad(key, value, "{of = PATH, per = PATH, at = [[share, rating], ...]}")
        for each in at:
            if not are_numbers(each, 2):
                raise self._bad(f"{key} at", each, "[share, rating]")
            self._on_scale(f"{key} at", each[1])
        shares = [each[0] for each in at]
        if shares != sorted(set(shares)):
            raise self._bad(f"{key} at", shares, "ascending shares")
        per = value.get("per")
        return Steps(
            self._parsed(f"{key} of", value["of"]),
            None if per is None else self._parsed(f"{key} per", per),
            tuple((float(share), float(rating)) for share, rating in at),
        )
