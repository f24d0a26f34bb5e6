"""The fields of sampled records: where each is, what is in it, and which of them a name may mean."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

#: By their paths, the values of fields.
Found = dict[tuple[str, ...], list[Any]]


def fields_of(rows: Iterable[Mapping[str, Any]], root: str = "") -> Found:
    """The values of fields that are neither objects nor arrays, by their paths."""
    found: Found = defaultdict(list)

    def walk(value: Mapping[str, Any], steps: tuple[str, ...]) -> None:
        for name, inside in value.items():
            if isinstance(inside, dict) and len(steps) < 6:
                walk(inside, (*steps, name))
            elif not isinstance(inside, dict | list):
                found[(*steps, name)].append(inside)

    for row in rows:
        walk(row, (root,) if root else ())
    return dict(found)


def array_with(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> tuple[str, Found]:
    """The array of objects that has an item in each, and the fields of its elements."""
    arrays: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        for name, value in row.items():
            if isinstance(value, list):
                arrays[name] += [each for each in value if isinstance(each, dict)]
    for name, elements in arrays.items():
        inside = fields_of(elements, ".")
        if best_of(inside, names) is not None:
            return name, inside
    return "", {}


def plain(name: str) -> str:
    """A name without case and punctuation."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def best_of(fields: Found, names: Sequence[str], fits: Any = lambda value: True) -> tuple[str, ...] | None:
    """The field whose name comes first among these; of equal ones the outermost."""
    best: tuple[tuple[int, int, int], tuple[str, ...]] | None = None
    for steps, values in fields.items():
        present = [each for each in values if each is not None]
        if not present or not all(map(fits, present)):
            continue
        for rank, name in enumerate(_spellings(steps)):
            if name in names:
                mark = (rank, names.index(name), len(steps)), steps
                best = mark if best is None or mark < best else best
    return None if best is None else best[1]


def _spellings(steps: tuple[str, ...]) -> Iterator[str]:
    """The names that a path may have: ``userid`` for ``user.id``, and its last name."""
    last = plain(steps[-1])
    if len(steps) > 1 and last in ("id", "key", "sku", "name", "uuid", "code", "type"):
        yield plain(steps[-2]) + last
        yield plain(steps[-2])
    yield last


def path_to(steps: tuple[str, ...]) -> str:
    relative = steps[0] == "."
    names = [each if re.fullmatch(r"[^.\"\s@]+", each) else escaped(each) for each in steps[relative:]]
    return "." * relative + ".".join(names)


def escaped(text: str) -> str:
    """A text in double quotes, as JSON, TOML and paths have it."""
    return msgspec.json.encode(text).decode()
