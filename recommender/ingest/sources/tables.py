"""Tables of the file of the sources, and their keys: typed, and errors that name the nearest."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from recommender.ingest.sources.mapping import SourcesError
from recommender.ingest.sources.paths import Path, PathError

#: What a table's records are about.
RATINGS, ITEMS, IMPRESSIONS = "ratings", "items", "impressions"


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

    def _error(self, told: str) -> SourcesError:
        return SourcesError(f"{self._file}: [{self._name}]: {told}")

    def _bad(self, key: str, value: object, expected: str) -> SourcesError:
        return self._error(f"{key} has value {value!r}: expected {expected}")

    def _require_known(self, names: Iterable[str], known: tuple[str, ...], where: str = "") -> None:
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
                raise self._error(f"{where}{name!r} is no key; the nearest is {near!r}")

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
        if not are_numbers(value, 2) or not value[0] < value[1]:
            raise self._bad(key, value, "[low, high]")
        return float(value[0]), float(value[1])

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


def is_number(value: object) -> TypeGuard[float]:
    """Return True of a number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def are_numbers(value: object, count: int) -> bool:
    """Return True of a list of so many numbers."""
    return isinstance(value, list) and len(value) == count and all(map(is_number, value))
