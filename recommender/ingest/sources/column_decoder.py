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
from recommender.ingest.sources.roles import (
    Compiled,
    Steps,
    before_of,
    compile_for,
    document_columns,
    is_plain,
)
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
        before = before_of(self._mapping) if self._plan.debezium else None
        decode = reader.alike(records)
        if decode is not None:
            try:
                documents = [decode(record.value) for record in records]
                take = taker_for(documents[0], wanted)
            except Exception:
                take = None
            if take is not None:
                taken = Taken(roles, [], [], [], [], None, typed=False)
                for place, document in enumerate(documents):
                    try:
                        taken.rows.append(take(document))
                    except (AttributeError, TypeError):  # an object on the way is null, or is none
                        taken.closely.append(place)
                        continue
                    taken.structs.append(document)
                    taken.places.append(place)
                return self._judged(records, taken, before)
        return self._read_one_by_one(records, reader.read, roles, wanted, before)

    def _judged(self, records: Sequence[Record], taken: Taken, before: Sequence[Steps] | None) -> ReadColumns:
        """The outcome of records whose documents were taken apart."""
        if before is not None and taken.structs:
            taken = taken._replace(take_before=taker_for(taken.structs[0], before))
        return Reading(self._plan, records, taken).read()

    def _read_one_by_one(
        self,
        records: Sequence[Record],
        read: Read,
        roles: list[str],
        wanted: Sequence[Steps],
        before: Sequence[Steps] | None,
    ) -> ReadColumns:
        takers: dict[type, Take | None] = {}
        taken = Taken(roles, [], [], [], [], None, typed=False)
        for place, record in enumerate(records):
            try:
                document, _ = read(record)
                kind = document.__class__
                if kind not in takers:
                    takers[kind] = taker_for(document, wanted)
                take = takers[kind]
                if take is None:
                    taken.closely.extend(range(place, len(records)))
                    break
                row = take(document)
            except (BadMessage, AttributeError):
                taken.closely.append(place)
                continue
            taken.rows.append(row)
            taken.structs.append(document)
            taken.places.append(place)
        return self._judged(records, taken, before)

    def _prefix(self, records: Sequence[Record], packed: bool) -> Steps:
        """The steps to Debezium's envelope, judged by the first record: Connect may put one around it."""
        decode: Any = msgspec.msgpack.decode if packed else msgspec.json.decode
        try:
            first = decode(records[0].value) if records else None
        except ERRORS:
            return ()
        return ("payload",) if isinstance(first, dict) and "op" not in first and "payload" in first else ()
