"""Reads values that were written by a schema: of a registry, or of a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from recommender.ingest.header_names import marked_by
from recommender.ingest.sources.avro import avro_decoder
from recommender.ingest.sources.documents import MAX_BYTES, PlainReader, refuse_size
from recommender.ingest.sources.mapping import SourceMapping, SourcesError
from recommender.ingest.sources.protobuf import ProtobufSchema
from recommender.ingest.sources.registry import Registry, Schema
from recommender.ingest.sources.schema_ids import CONTENT_ID, GLOBAL_ID, HEADER, SchemaId, Written, written
from recommender.ingest.sources.views import Step
from recommender.messages.records import Record
from recommender.messages.refusals import BadMessage, Kind

#: What decodes the content of a value.
Decode = Callable[[Written], tuple[Any, Step]]
_NAMING = (HEADER, CONTENT_ID, GLOBAL_ID)
_KINDS = {"avro": "AVRO", "protobuf": "PROTOBUF"}


class _Decoder(NamedTuple):
    """What reads values of one schema.

    Attributes
    ----------
    read : Decode
        One by one.
    like : function
        Of a value and where its content begins: where all values like it begin to differ, and what makes a
        document of each whole value.
    """

    read: Decode
    like: Callable[[bytes, int], tuple[int, Callable[[bytes], Any]]]


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
        self._decoders: dict[SchemaId, _Decoder | BadMessage] = {}
        self._plain = PlainReader(mapping.format if mapping.format in ("json", "msgpack") else "auto")
        self._own = self._of_file() if mapping.schema else None

    def _of_file(self) -> _Decoder:
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
        for record in _different(records):
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
                return self._own.read(Written(None, record.value or b""))
            return self._plain.read(record)
        found = written(record)
        if found.schema is None:
            return self._without(record)
        decode = self._decoders.get(found.schema)
        if decode is None:
            decode = self._of_registry(found.schema)
        if isinstance(decode, BadMessage):
            raise BadMessage(str(decode), decode.kind)
        return decode.read(found)

    def alike(self, records: Sequence[Record]) -> Callable[[Any], Any] | None:
        """See `recommender.ingest.sources.documents.Reader`."""
        value = records[0].value if records else None
        if value is None or max(len(record.value or b"") for record in records) > MAX_BYTES:
            return None
        if self._registry is None:
            return self._own.like(value, 0)[1] if self._own is not None else None
        if marked_by(records, _NAMING.__contains__, lambda pair: True).any():
            return None
        try:
            found = written(records[0])
            decoder = None if found.schema is None else self._decoders.get(found.schema)
            if not isinstance(decoder, _Decoder):
                return None  # it is read for the first time, or cannot be
            begin, decode = decoder.like(value, len(value) - len(found.content))
        except BadMessage:
            return None
        front = value[:begin]
        others = [1 for record in records if not (record.value or b"").startswith(front)]
        return None if others else decode

    def _without(self, record: Record) -> tuple[Any, Step]:
        """A value that says nothing of a schema."""
        if self._own is not None:
            return self._own.read(Written(None, record.value or b""))
        if self._mapping.format in _KINDS:
            raise BadMessage(
                "the value has no schema id, neither in front nor in a header, and the source no `schema`",
                Kind.SCHEMA,
            )
        return self._plain.read(record)

    def _of_registry(self, schema_id: SchemaId) -> _Decoder | BadMessage:
        assert self._registry is not None
        schema = self._registry.known(schema_id)
        if schema is None:
            return BadMessage(f"{self._registry.url} knows no schema {schema_id}", Kind.SCHEMA)
        decode: _Decoder | BadMessage
        try:
            decode = self._decoder(schema, indexed=True)
        except BadMessage as error:
            decode = BadMessage(f"schema {schema_id}: {error}", error.kind)
        self._decoders[schema_id] = decode
        return decode

    def _decoder(self, schema: Schema, *, indexed: bool) -> _Decoder:
        if schema.kind == "AVRO":
            avro = avro_decoder(schema)
            return _Decoder(lambda found: avro(found.content), _behind(avro))
        if schema.kind == "PROTOBUF":
            return _of_messages(ProtobufSchema(schema, self._mapping.message), indexed=indexed)
        if schema.kind == "JSON":
            read = PlainReader("json").read_value
            return _Decoder(lambda found: read(found.content), _behind(read))
        raise BadMessage(f"a schema of type {schema.kind}: expected AVRO, PROTOBUF or JSON", Kind.SCHEMA)


def _behind(decode: Callable[[bytes], tuple[Any, Step]]) -> Any:
    """See `_Decoder.like`, of values whose content nothing else is in front of than their schema's id."""

    def like(value: bytes, begin: int) -> tuple[int, Callable[[bytes], Any]]:
        return begin, lambda each: decode(each[begin:])[0]

    return like


def _of_messages(messages: ProtobufSchema, *, indexed: bool) -> _Decoder:
    def like(value: bytes, begin: int) -> tuple[int, Callable[[bytes], Any]]:
        size, read = messages.like(value[begin:], indexed=indexed)
        front = begin + size
        return front, (lambda each: read(each[front:])) if front else read

    return _Decoder(
        lambda found: messages.decode(found.content, found.indexes, indexed=indexed, named=found.message),
        like,
    )


def _different(records: Sequence[Record]) -> Sequence[Record]:
    """Records that may name different schemas: of those that do so in front one for each number."""
    fronts: dict[bytes, Record] = {}
    found: list[Record] = []
    in_headers = marked_by(records, _NAMING.__contains__, lambda pair: True).tolist()
    for record, in_header in zip(records, in_headers, strict=True):
        front = (record.value or b"")[:5]
        if in_header:
            found.append(record)
        elif front[:1] == b"\x00" and any(front):
            fronts.setdefault(front, record)
        elif front[:1] in (b"\x00", b"\x01"):
            found.append(record)
    return [*fronts.values(), *found]
