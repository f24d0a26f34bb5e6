"""Reads values that were written by a schema: of a registry, or of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from recommender.ingest.sources.avro import avro_decoder
from recommender.ingest.sources.documents import PlainReader, refuse_size
from recommender.ingest.sources.mapping import SourceMapping, SourcesError
from recommender.ingest.sources.protobuf import ProtobufSchema
from recommender.ingest.sources.registry import Registry, Schema
from recommender.ingest.sources.schema_ids import SchemaId, Written, written
from recommender.ingest.sources.views import Step
from recommender.messages.records import Record
from recommender.messages.refusals import BadMessage, Kind

#: What decodes the content of a value.
Decode = Callable[[Written], tuple[Any, Step]]
_KINDS = {"avro": "AVRO", "protobuf": "PROTOBUF"}


class SchemaReader:
    """Reads values, each by its own schema; a `Reader`.

    Parameters
    ----------
    mapping : SourceMapping
    registry : Registry, optional
        Without one, all values are of the schema that the mapping names.
    """

    def __init__(self, mapping: SourceMapping, registry: Registry | None) -> None:
        self._mapping, self._registry = mapping, registry
        self._decoders: dict[SchemaId, Decode | BadMessage] = {}
        self._plain = PlainReader(mapping.format if mapping.format in ("json", "msgpack") else "auto")
        self._own = self._of_file() if mapping.schema else None

    def _of_file(self) -> Decode:
        mapping = self._mapping
        try:
            text = Path(mapping.schema).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SourcesError(
                f"source `{mapping.name}`: schema has value {mapping.schema!r}: cannot be read ({error})"
            ) from None
        try:
            return self._decoder(Schema(_KINDS[mapping.format], text), indexed=False)
        except BadMessage as error:
            raise SourcesError(f"source `{mapping.name}`: {mapping.schema}: {error}") from None

    def missing(self, records: Sequence[Record]) -> list[SchemaId]:
        """The schemas of records that have to be fetched before these are read."""
        if self._registry is None:
            return []
        found: dict[SchemaId, None] = {}
        for record in records:
            try:
                schema = written(record).schema if record.value is not None else None
            except BadMessage:
                continue
            if schema is not None and schema not in self._decoders:
                found[schema] = None
        return [each for each in found if self._registry.known(each) is None]

    def read(self, record: Record) -> tuple[Any, Step]:
        """See `recommender.ingest.sources.documents.Reader`."""
        refuse_size(record.value or b"")
        if self._registry is None:
            if self._own is not None:
                return self._own(Written(None, record.value or b""))
            return self._plain.read(record)
        found = written(record)
        if found.schema is None:
            return self._without(record)
        decode = self._decoders.get(found.schema)
        if decode is None:
            decode = self._of_registry(found.schema)
        if isinstance(decode, BadMessage):
            raise BadMessage(str(decode), decode.kind)
        return decode(found)

    def _without(self, record: Record) -> tuple[Any, Step]:
        """A value that says nothing of a schema."""
        if self._own is not None:
            return self._own(Written(None, record.value or b""))
        if self._mapping.format in _KINDS:
            raise BadMessage(
                "the value has no schema id, neither in front nor in a header, and the source no `schema`",
                Kind.SCHEMA,
            )
        return self._plain.read(record)

    def _of_registry(self, schema_id: SchemaId) -> Decode | BadMessage:
        assert self._registry is not None
        schema = self._registry.known(schema_id)
        if schema is None:
            return BadMessage(f"{self._registry.url} knows no schema {schema_id}", Kind.SCHEMA)
        decode: Decode | BadMessage
        try:
            decode = self._decoder(schema, indexed=True)
        except BadMessage as error:
            decode = BadMessage(f"schema {schema_id}: {error}", error.kind)
        self._decoders[schema_id] = decode
        return decode

    def _decoder(self, schema: Schema, *, indexed: bool) -> Decode:
        if schema.kind == "AVRO":
            avro = avro_decoder(schema)
            return lambda found: avro(found.content)
        if schema.kind == "PROTOBUF":
            messages = ProtobufSchema(schema, self._mapping.message)
            return lambda found: messages.decode(found.content, found.indexes, indexed=indexed)
        if schema.kind == "JSON":
            reader = PlainReader("json")
            return lambda found: reader.read_value(found.content)
        raise BadMessage(f"a schema of type {schema.kind}: expected AVRO, PROTOBUF or JSON", Kind.SCHEMA)
