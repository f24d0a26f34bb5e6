"""Reads Avro by the schema that it was written with."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any

from recommender.ingest.sources.registry import Schema, require
from recommender.ingest.sources.views import Step, step_into
from recommender.messages.refusals import BadMessage, Kind

#: What is made of numbers that mean more; all others stay numbers or text, which is quicker to read.
_KEPT = ("decimal", "date")

Decode = Callable[[bytes], tuple[Any, Step]]


def avro_decoder(schema: Schema) -> Decode:
    """A reader of values of a schema.

    Raises
    ------
    BadMessage
        The schema is none.
    SourcesError
        fastavro is not installed.
    """
    try:
        import fastavro
        from fastavro.schema import SchemaParseException, UnknownType
    except ImportError as error:
        raise require("avro", error) from None
    named: dict[str, Any] = {}
    try:
        for _, each in _in_order(schema):
            fastavro.parse_schema(_plain(json.loads(each.text)), named_schemas=named)
        parsed = fastavro.parse_schema(_plain(json.loads(schema.text)), named_schemas=named)
    except (SchemaParseException, UnknownType, ValueError, TypeError, KeyError) as error:
        raise BadMessage(f"the schema is no Avro schema: {error}", Kind.SCHEMA) from None
    read = fastavro.schemaless_reader

    def decode(value: bytes) -> tuple[Any, Step]:
        stream = BytesIO(value)
        try:
            found = read(stream, parsed, None)
        except RecursionError:
            raise BadMessage("the value is nested too deeply", Kind.TOO_DEEP) from None
        except Exception as error:  # fastavro's own are many, down to those of struct
            told = str(error) or type(error).__name__
            raise BadMessage(f"the value is not Avro of its schema: {told}", Kind.NOT_AVRO) from None
        if stream.tell() != len(value):
            raise BadMessage(
                f"the value is not Avro of its schema: {len(value) - stream.tell()} bytes are left",
                Kind.NOT_AVRO,
            )
        return found, step_into

    return decode


def _in_order(schema: Schema) -> list[tuple[str, Schema]]:
    """The schemas that one refers to, those that others of them need first."""
    found: dict[str, Schema] = {}
    for name, each in schema.references:
        found |= dict(_in_order(each))
        found.setdefault(name, each)
    return list(found.items())


def _plain(schema: Any) -> Any:
    """A schema without most of its logical types."""
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: _plain(each) for name, each in schema.items() if name not in ("default", "doc")}
    if kept.get("logicalType") not in _KEPT:
        kept.pop("logicalType", None)
    return kept
