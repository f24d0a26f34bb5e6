"""The fields that typed decoding takes from a value for a mapping: where, and as which types."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from recommender.ingest.sources.mapping import SourceMapping
from recommender.ingest.sources.paths import KEY, VALUE, Path
from recommender.ingest.sources.structs import compiled, getter

_ID: Any = str | int
_NUMBER: Any = int | float
_FIELD: Any = str | int | float | bool

Steps = tuple[str, ...]


class Compiled(NamedTuple):
    """A decoder of values, which takes columns out of them.

    Attributes
    ----------
    decode : function
    take : function
        The columns' values, in the order of `roles`. It raises an AttributeError where an object on the way
        is null.
    roles : list of str
    take_before : function, optional
        User and item of a row before its change.
    """

    decode: Callable[[bytes], Any]
    take: Callable[[Any], tuple[Any, ...]]
    roles: list[str]
    take_before: Callable[[Any], tuple[Any, ...]] | None


def is_plain(mapping: SourceMapping) -> bool:
    """Tell whether records of a mapping can be decoded as columns."""
    if mapping.forget:
        return False
    beside = [mapping.time, mapping.event, mapping.deleted, mapping.rating, *mapping.where]
    inside = all(path.root == VALUE for path in beside if isinstance(path, Path))
    ids = all(
        path.root == VALUE or (path.root == KEY and not path.steps) for path in (mapping.user, mapping.item)
    )
    return inside and ids and mapping.each is None and mapping.envelope != "cloudevents"


def document_columns(mapping: SourceMapping) -> tuple[list[str], list[Steps]]:
    """The roles of columns that are taken out of documents, and where each is."""
    columns = _columns(mapping, (), packed=False)
    return list(columns), [steps for steps, _ in columns.values()]


def before_of(mapping: SourceMapping, prefix: Steps = ()) -> list[Steps]:
    """The steps to user and item of a row before its change."""
    return [(*prefix, "before", *path.steps) for path in (mapping.user, mapping.item)]


def compile_for(mapping: SourceMapping, prefix: Steps, *, packed: bool) -> Compiled | None:
    """Compile the decoder of a mapping.

    Parameters
    ----------
    mapping : SourceMapping
    prefix : tuple of str
        Where the document begins in the value, as in Kafka Connect's ``payload``.
    packed : bool
        For MessagePack.

    Returns
    -------
    Compiled or None
        None where two paths are in each other's way.
    """
    columns = _columns(mapping, prefix, packed=packed)
    fields = {steps: kind for steps, kind in columns.values() if kind is not None}
    if len(fields) < sum(kind is not None for _, kind in columns.values()):
        return None  # two roles at one place
    before = before_of(mapping, prefix)
    debezium = mapping.envelope == "debezium"
    if debezium and any(path.root == KEY for path in (mapping.user, mapping.item)):
        return None
    if debezium:
        fields |= dict.fromkeys(before, _ID)
    struct = compiled(fields)
    if struct is None:
        return None
    decoder: Any = msgspec.msgpack.Decoder(struct) if packed else msgspec.json.Decoder(struct)
    roles = list(columns)
    wanted = [columns[role][0] for role in roles]
    if len(wanted) == 1:  # of one an attrgetter makes no tuple
        roles, wanted = roles * 2, wanted * 2
    return Compiled(
        decoder.decode, getter(fields, wanted), roles, getter(fields, before) if debezium else None
    )


def _columns(mapping: SourceMapping, prefix: Steps, *, packed: bool) -> dict[str, tuple[Steps, Any]]:
    """The place and type of each column, by its role; None: an object."""
    debezium = mapping.envelope == "debezium"
    row = (*prefix, "after") if debezium else prefix
    columns: dict[str, tuple[Steps, Any]] = {}

    def add(role: str, path: Path | float | None, kind: Any) -> None:
        if isinstance(path, Path) and path.root == VALUE:
            columns[role] = (*row, *path.steps), kind

    add("user", mapping.user, _ID)
    add("item", mapping.item, _ID)
    add("rating", mapping.rating, _NUMBER)
    # MessagePack has a type for times; as text they are quicker to read many at once.
    texts = (datetime if packed else str) if mapping.time_unit in ("auto", "iso") else int
    add("time", mapping.time, _NUMBER | texts)
    add("event", mapping.event, str)
    add("deleted", mapping.deleted, bool)
    for number, path in enumerate(mapping.where):
        add(f"where {number}", path, _FIELD)
    if debezium:
        columns["op"] = (*prefix, "op"), str
        columns["before"] = (*prefix, "before"), None
        if mapping.time is None:
            columns["changed"] = (*prefix, "source", "ts_ms"), int
    return columns
