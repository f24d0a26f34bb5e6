"""Decodes many plain records of a source at once: typed structs, then whole columns.

What is not plain, be it wrong or only unusual, is left to `recommender.ingest.sources.decoder`, which says
what a mapping means: both give the same for every record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from recommender.ingest.sources.columns import NOTHING, Plan, ReadColumns, Reading
from recommender.ingest.sources.decoded_values import ERRORS, Taken, decoded_values
from recommender.ingest.sources.documents import Reader
from recommender.ingest.sources.mapping import SourceMapping
from recommender.ingest.sources.roles import Compiled, Steps, compile_for, document_columns, is_plain
from recommender.ingest.sources.takers import Take, taker_for
from recommender.messages.records import Record
from recommender.messages.refusals import BadMessage

#: Makes a document of a record's value.
Read = Callable[[Record], tuple[Any, Any]]


class ColumnDecoder:
    """Decodes plain records, where a mapping allows it.

    Parameters
    ----------
    mapping : SourceMapping
    low, high : float
        The worker's scale of ratings.
    """

    def __init__(self, mapping: SourceMapping, low: float, high: float) -> None:
        self._mapping = mapping
        self._plan = Plan(mapping, low, high)
        self._compiled: dict[tuple[Steps, bool], Compiled | None] = {}

    @classmethod
    def of(cls, mapping: SourceMapping, low: float, high: float) -> ColumnDecoder | None:
        """The decoder for a mapping; None where each of its records needs a closer look."""
        made = cls(mapping, low, high)
        return made if is_plain(mapping) and made._decoder((), packed=False) is not None else None

    def _decoder(self, prefix: Steps, *, packed: bool) -> Compiled | None:
        if (prefix, packed) not in self._compiled:
            self._compiled[prefix, packed] = compile_for(self._mapping, prefix, packed=packed)
        return self._compiled[prefix, packed]

    def read(self, records: Sequence[Record], *, packed: bool) -> ReadColumns:
        """Decode the plain ones of many records, none of which has a value that is null."""
        prefix = self._prefix(records, packed) if self._plan.debezium else ()
        compiled = self._decoder(prefix, packed=packed)
        if compiled is None or not records:
            return ReadColumns(NOTHING, list(range(len(records))), Counter(), Counter())
        return Reading(self._plan, records, decoded_values(records, compiled, packed=packed)).read()

    def read_documents(self, records: Sequence[Record], reader: Reader) -> ReadColumns:
        """The same of records whose values a reader makes documents of."""
        roles, wanted = document_columns(self._mapping)
        decode, read = reader.alike(records), reader.read
        if decode is not None:
            try:
                documents = [decode(record.value) for record in records]
                take = taker_for(documents[0], wanted)
                if take is not None:
                    rows = list(map(take, documents))
                    taken = Taken(roles, list(range(len(rows))), [], rows, [])
                    return Reading(self._plan, records, taken).read()
            except Exception:
                pass
        return self._read_one_by_one(records, read, roles, wanted)

    def _read_one_by_one(
        self, records: Sequence[Record], read: Read, roles: list[str], wanted: Sequence[Steps]
    ) -> ReadColumns:
        takers: dict[type, Take | None] = {}
        places: list[int] = []
        rows: list[Sequence[Any]] = []
        closely: list[int] = []
        for place, record in enumerate(records):
            try:
                document, _ = read(record)
                kind = document.__class__
                if kind not in takers:
                    takers[kind] = taker_for(document, wanted)
                take = takers[kind]
                if take is None:
                    closely += range(place, len(records))
                    break
                rows.append(take(document))
            except (BadMessage, AttributeError):
                closely.append(place)
                continue
            places.append(place)
        return Reading(self._plan, records, Taken(roles, places, [], rows, closely)).read()

    def _prefix(self, records: Sequence[Record], packed: bool) -> Steps:
        """The steps to Debezium's envelope, judged by the first record: Connect may put one around it."""
        decode: Any = msgspec.msgpack.decode if packed else msgspec.json.decode
        try:
            first = decode(records[0].value) if records else None
        except ERRORS:
            return ()
        return ("payload",) if isinstance(first, dict) and "op" not in first and "payload" in first else ()
