"""Values that typed decoding takes out of many records, on their way into columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from recommender.ingest.sources.documents import is_too_deep
from recommender.ingest.sources.roles import Compiled
from recommender.messages.nesting import MAX_NESTING
from recommender.messages.records import Record

#: What decoding raises of a value that is wrong, or only unusual.
ERRORS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AttributeError, TypeError)


class Taken(NamedTuple):
    """Values of the records that can be decoded, and the records that need a closer look.

    Attributes
    ----------
    roles : list of str
        Of the columns.
    places : list of int
        The record of each row, ascending.
    structs : list
        The document of each row.
    rows : list of sequence
    closely : list of int
        The records that need a closer look.
    take_before : function, optional
        User and item of a row before its change, out of a document.
    typed : bool
        The values are of the types that columns may have.
    """

    roles: list[str]
    places: list[int]
    structs: list[Any]
    rows: list[Sequence[Any]]
    closely: list[int]
    take_before: Callable[[Any], Any] | None = None
    typed: bool = True


def decoded_values(records: Sequence[Record], compiled: Compiled, *, packed: bool) -> Taken:
    """Decode records by their types."""
    decode, take, roles, before = compiled
    values: list[Any] = [record.value for record in records]
    deep: set[int] = set()
    if max(map(len, values)) > MAX_NESTING:
        deep = {place for place, value in enumerate(values) if is_too_deep(value, packed=packed)}
    if not deep:
        try:
            structs = list(map(decode, values))
            return Taken(roles, list(range(len(values))), structs, list(map(take, structs)), [], before)
        except ERRORS:
            pass  # one of them: all once more, one by one
    found = Taken(roles, [], [], [], [], before)
    for place, value in enumerate(values):
        try:
            struct = decode(value)
            row = take(struct)
        except ERRORS:
            found.closely.append(place)
            continue
        if place in deep:
            found.closely.append(place)
            continue
        found.places.append(place)
        found.structs.append(struct)
        found.rows.append(row)
    return found
