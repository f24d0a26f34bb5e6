"""Reads the file of the sources: TOML, a table for each topic."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path as File
from typing import Any, TypeGuard

from recommender.ingest.sources.mapping import OTHERS, EventRule, Meaning, SourceMapping, SourcesError, Steps
from recommender.ingest.sources.paths import ELEMENT, Path, PathError

FORMATS = ("auto", "json", "msgpack", "avro", "protobuf")
ENVELOPES = ("none", "debezium", "cloudevents")
UNITS = ("auto", "s", "ms", "us", "ns", "iso")
#: What a table's records are about.
RATINGS, ITEMS, IMPRESSIONS = "ratings", "items", "impressions"
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


def load(setting: str, low: float, high: float) -> list[SourceMapping]:
    """Read the sources.

    Parameters
    ----------
    setting : str
        The name of a file, or the TOML itself where it begins with ``[``; empty: no sources.
    low, high : float
        The worker's scale of ratings.

    Raises
    ------
    SourcesError
        There is no such file, or something in it cannot be; names the file, the table and the nearest key.
    """
    return parse(*text_of(setting), low, high) if setting.strip() else []


def text_of(setting: str) -> tuple[str, str]:
    """The text of the sources, and what errors call it; a `SourcesError` if there is no such file."""
    if setting.lstrip().startswith("["):
        return setting, INLINE
    try:
        return File(setting).read_text("utf-8"), setting
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise SourcesError(f"{INLINE} has value {setting!r}: cannot read this file ({why})") from None


def parse(text: str, name: str, low: float, high: float) -> list[SourceMapping]:
    """Read the sources of ratings in a text of TOML; `name` is what errors call the file."""
    tables = [Table(name, *each, (low, high)) for each in tables_of(text, name).items()]
    found = [each.mapping() for each in tables if each.kind == RATINGS]
    require_different(name, ((each.topic, each.name) for each in found))
    return found


def tables_of(text: str, name: str) -> dict[str, Any]:
    """All tables in a text of TOML, by their names."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SourcesError(f"{name} is not TOML: {error}") from None
    if not tables:
        raise SourcesError(f"{name} has no table: expected one for each topic")
    return tables


def require_different(name: str, tables: Iterable[tuple[str, str]]) -> None:
    """Raise a `SourcesError` if two tables, given as (topic, name), read one topic."""
    topics: dict[str, str] = {}
    for topic, table in tables:
        if topic in topics:
            raise SourcesError(
                f"{name}: [{topics[topic]}] and [{table}] both read topic {topic!r}: expected "
                "one table for each topic. One table can tell records apart with `where` or `event`"
            )
        topics[topic] = table


class Table:
    """One table of the file, and how errors name it.

    Attributes
    ----------
    kind : str
        `RATINGS`, `ITEMS` or `IMPRESSIONS`.
    """

    def __init__(self, file: str, name: str, content: Any, scale: tuple[float, float]) -> None:
        self._file, self._name, self._scale = file, name, scale
        if not isinstance(content, dict):
            raise SourcesError(f"{file}: {name} has value {content!r}: expected a table [{name}]")
        self._content: dict[str, Any] = content
        self.kind = self._choice("kind", (RATINGS, ITEMS, IMPRESSIONS))

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

    def _error(self, told: str) -> SourcesError:
        return SourcesError(f"{self._file}: [{self._name}]: {told}")

    def _bad(self, key: str, value: object, expected: str) -> SourcesError:
        return self._error(f"{key} has value {value!r}: expected {expected}")

    def _require_known(self, names: Iterable[str], known: tuple[str, ...], where: str = "") -> None:
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
                raise self._error(f"{where}{name!r} is no key; the nearest is {near!r}")

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

    def _text(self, key: str) -> str:
        value = self._content.get(key, "")
        if not isinstance(value, str):
            raise self._bad(key, value, "text")
        return value

    def _choice(self, key: str, choices: tuple[str, ...]) -> str:
        value = self._content.get(key, choices[0])
        if value not in choices:
            raise self._bad(key, value, f"one of {', '.join(choices)}")
        return str(value)

    def _path(self, key: str) -> Path | None:
        value = self._content.get(key)
        return None if value is None else self._parsed(key, value)

    def _parsed(self, key: str, value: object) -> Path:
        if not isinstance(value, str):
            raise self._bad(key, value, "a path")
        try:
            return Path.parse(value)
        except PathError as error:
            raise self._error(f"{key} has value {value!r}: {error}") from None

    def _interval(self, key: str) -> tuple[float, float] | None:
        value = self._content.get(key)
        if value is None:
            return None
        if not _are_numbers(value, 2) or not value[0] < value[1]:
            raise self._bad(key, value, "[low, high]")
        return float(value[0]), float(value[1])

    def _rating(self) -> Path | float:
        value = self._content.get("rating", "rating")
        return self._on_scale("rating", value) if _is_number(value) else self._parsed("rating", value)

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

    def _where(self) -> dict[Path, frozenset[object]]:
        content = self._content.get("where", {})
        if not isinstance(content, dict):
            raise self._bad("where", content, "{path = [values]}")
        found: dict[Path, frozenset[object]] = {}
        for path, values in _flat(content):
            known = [each for each in values if isinstance(each, str | int | float)]
            if len(known) != len(values) or not values:
                raise self._bad(f"where {path}", values, "a list of texts, numbers or true and false")
            found[self._parsed("where", path)] = frozenset((type(each) is bool, each) for each in known)
        return found

    def _events(self) -> dict[str, EventRule]:
        content = self._content.get("events", {})
        if not isinstance(content, dict):
            raise self._bad("events", content, f"a table [{self._name}.events]")
        found = {name: self._rule(name, value) for name, value in content.items()}
        return {OTHERS: Meaning.SKIP, **found} if found else {}

    def _rule(self, name: str, value: object) -> EventRule:
        key = f"events {name!r}"
        if _is_number(value):
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
            if not _are_numbers(each, 2):
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


def _flat(content: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, list[Any]]]:
    """TOML reads ``{a.b = [...]}`` as nested tables: paths and their values."""
    for name, value in content.items():
        path = f"{before}.{_quoted(name)}" if before else name
        if isinstance(value, dict):
            yield from _flat(value, path)
        else:
            yield path, value if isinstance(value, list) else [value]


def _quoted(name: str) -> str:
    return f'"{name}"' if "." in name else name


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_numbers(value: object, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(map(_is_number, value))
