"""Values that were written by a schema: Avro, Protobuf and JSON, behind ids of all kinds, and bare."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from google.protobuf import descriptor_pb2

from recommender.ingest.sources.configured import reader_of
from recommender.ingest.sources.mapping import SourcesError
from recommender.ingest.sources.protobuf import ProtobufSchema
from recommender.ingest.sources.registry import Registry, Schema
from recommender.ingest.sources.schema_ids import SchemaId, indexes_of, written
from recommender.ingest.sources.source_ingest import IngestedSource, SourceIngest
from recommender.messages.refusals import BadMessage, Kind
from recommender.messages.unreadable import Fetched
from recommender.settings import Settings
from tests.unit.ingest.sources.records import HIGH, LOW, STAMP, mapping, ratings, reason, record
from tests.unit.ingest.sources.schema_texts import AVRO, COMMON, PROTO

NOW = STAMP / 1000
SOURCE = '[s]\nformat = "avro"\ntime = "at"'


Schemas = Mapping[Any, Schema]


class Known(Registry):
    """A registry that has been asked for all of these."""

    def __init__(self, schemas: Schemas) -> None:
        super().__init__("http://registry")
        self._known = {
            name if isinstance(name, SchemaId) else SchemaId(name): schema for name, schema in schemas.items()
        }


def read(text: str, schemas: Schemas, *records: Fetched) -> IngestedSource:
    source = mapping(text)
    reader = reader_of(source, Known(schemas))
    assert reader is not None
    return SourceIngest(source, LOW, HIGH, reader=reader).read(0, records)


def avro(value: dict[str, Any], schema: Any = None) -> bytes:
    out = BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(schema or AVRO), value)
    return out.getvalue()


def rating(**changes: Any) -> dict[str, Any]:
    at = datetime.datetime(2020, 9, 13, 12, 26, 40, tzinfo=datetime.UTC)
    base = {"user": "u", "item": 7, "rating": Decimal("4.50"), "at": at}
    return {**base, "day": datetime.date(2020, 9, 13), "more": {"a b": "i"}, "kind": "B", **changes}


REGISTERED: dict[int | str, Schema] = {1: Schema("AVRO", json.dumps(AVRO))}
CONTENT_4 = [("apicurio.value.contentId", b"\x00" * 7 + b"\x04")]
TIMESTAMP = "google/protobuf/timestamp.proto"
GUID = bytes(range(16))
NAMED: dict[int | str, Schema] = {"00010203-0405-0607-0809-0a0b0c0d0e0f": REGISTERED[1]}
GLOBAL = {SchemaId(7, is_global=True): REGISTERED[1]}


@pytest.mark.parametrize(
    ("schemas", "prefix", "headers"),
    [
        (REGISTERED, b"\x00\x00\x00\x00\x01", []),
        (REGISTERED, b"", [("__value_schema_id", b"\x00\x00\x00\x00\x01")]),
        (NAMED, b"\x01" + GUID, []),
        (NAMED, b"", [("__value_schema_id", b"\x01" + GUID)]),
        (REGISTERED, b"", [("apicurio.value.contentId", b"\x00" * 7 + b"\x01")]),
        (GLOBAL, b"", [("apicurio.value.globalId", b"\x00" * 7 + b"\x07")]),
        (GLOBAL, b"\x00" * 8 + b"\x07", []),
    ],
    ids=["prefix", "header", "GUID", "GUID in a header", "content id", "global id", "8 bytes"],
)
def test_where_a_schema_is_named(
    schemas: Schemas, prefix: bytes, headers: Sequence[tuple[str, bytes]]
) -> None:
    found = read(SOURCE, schemas, record(prefix + avro(rating()), headers=headers))
    assert ratings(found) == [("u", "7", 4.5, 1.6e9)]


def test_what_avro_has_besides_records() -> None:
    value = record(b"\x00\x00\x00\x00\x01" + avro(rating(user=None)))
    assert "Expected `str | int`, got `null` - at `$.user`" in reason(read(SOURCE, REGISTERED, value))
    day = read('[s]\nformat = "avro"\nuser = \'more."a b"\'\nitem = "kind"\ntime = "day"', REGISTERED, value)
    assert ratings(day) == [("i", "B", 4.5, 1_599_955_200.0)]
    map_ = read('[s]\nformat = "avro"\nitem = "more"', REGISTERED, record(b"\0\0\0\0\x01" + avro(rating())))
    assert "got `object` - at `$.item`" in reason(map_) or "`$.more`" in reason(map_)


def test_a_schema_that_evolves() -> None:
    more = {**AVRO, "fields": [*AVRO["fields"], {"name": "new", "type": "string"}]}
    renamed = json.loads(json.dumps(AVRO).replace('"user"', '"who"'))
    schemas = {**REGISTERED, 2: Schema("AVRO", json.dumps(more)), 3: Schema("AVRO", json.dumps(renamed))}
    values = [
        b"\0\0\0\0\x01" + avro(rating()),
        b"\0\0\0\0\x02" + avro({**rating(user="v"), "new": "x"}, more),
        b"\0\0\0\0\x03" + avro({**rating(), "who": "w"}, renamed),
    ]
    found = read(SOURCE, schemas, *(record(each, offset=at) for at, each in enumerate(values)))
    assert [each[0] for each in ratings(found)] == ["u", "v"]
    assert reason(found) == "Object missing required field - at `$.user` of source `s`"


def test_references() -> None:
    inner = {"type": "record", "name": "User", "fields": [{"name": "id", "type": "string"}]}
    outer = {
        "type": "record",
        "name": "R",
        "fields": [{"name": "user", "type": "User"}, {"name": "item", "type": "string"}],
    }
    whole = {**outer, "fields": [{"name": "user", "type": inner}, outer["fields"][1]]}
    schema = Schema("AVRO", json.dumps(outer), (("User", Schema("AVRO", json.dumps(inner))),))
    value = b"\0\0\0\0\x01" + avro({"user": {"id": "u"}, "item": "i"}, whole)
    found = read('[s]\nformat = "avro"\nuser = "user.id"\nrating = 3', {1: schema}, record(value))
    assert [each[:3] for each in ratings(found)] == [("u", "i", 3.0)]


def message(**fields: Any) -> bytes:
    """A Rating of `PROTO`."""
    made = ProtobufSchema(proto()).message_class((1,))(**fields)
    found: bytes = made.SerializeToString()
    return found


def proto() -> Schema:
    return Schema("PROTOBUF", PROTO, (("common.proto", Schema("PROTOBUF", COMMON)),))


PROTOBUF = '[s]\nformat = "protobuf"\nuser = "userId"\nitem = "product.sku"\nrating = "stars"\ntime = "at"'


def test_protobuf() -> None:
    value = message(user_id="u", product={"sku": 7}, stars={"value": 4.5}, at={"seconds": 1_600_000_000})
    schemas: dict[int | str, Schema] = {1: proto()}
    prefix = b"\0\0\0\0\x01"
    # The second message of the file: one index, which is 1.
    found = read(PROTOBUF, schemas, record(prefix + b"\x02\x02" + value))
    assert ratings(found) == [("u", "7", 4.5, 1.6e9)]
    header = [("__value_schema_id", prefix + b"\x02\x02")]
    assert read(PROTOBUF, schemas, record(value, headers=header)).learned == 1
    assert "`$.product.sku`" in reason(
        read(PROTOBUF, schemas, record(prefix + b"\x02\x02" + message(user_id="u")))
    )
    snake = PROTOBUF.replace("userId", "user_id")
    assert read(snake, schemas, record(prefix + b"\x02\x02" + value)).learned == 1


def test_protobuf_as_apicurios_serializers_write_it() -> None:
    value = message(user_id="u", product={"sku": 7}, stars={"value": 4.5}, at={"seconds": 1_600_000_000})
    schemas: dict[int | str, Schema] = {4: proto()}
    name, ref = ("apicurio.protobuf.type", b"Rating"), b"\x08\x0a\x06Rating"
    for found in (
        read(PROTOBUF, schemas, record(value, headers=[*CONTENT_4, name])),
        read(PROTOBUF, schemas, record(ref + value, headers=CONTENT_4)),
        read(PROTOBUF, schemas, record(b"\0\0\0\0\x04" + ref + value)),
        read(PROTOBUF + '\nmessage = "shop.v1.Rating"', schemas, record(value, headers=CONTENT_4)),
    ):
        assert ratings(found) == [("u", "7", 4.5, 1.6e9)]
    # Where nothing says which it is, it is the first.
    other = PROTOBUF.replace("userId", "x").replace("product.sku", "x").replace('"stars"', "3")
    first = ProtobufSchema(proto()).message_class((0,))(x="w").SerializeToString()
    found = read(other, schemas, record(first, headers=CONTENT_4))
    assert [each[:3] for each in ratings(found)] == [("w", "w", 3.0)]


def test_protobuf_inside_messages_enums_and_repeated_fields() -> None:
    prefix, schemas = b"\0\0\0\0\x01", {1: proto()}
    value = message(user_id="u", lines=[{"sku": 1}, {"sku": 2}], kind=1)
    text = (
        '[s]\nformat = "protobuf"\nuser = "user_id"\neach = "lines"\nitem = ".sku"\nevent = "kind"\n'
        "[s.events]\nBOUGHT = 5"
    )
    found = read(text, schemas, record(prefix + b"\x02\x02" + value))
    assert [each[:3] for each in ratings(found)] == [("u", "1", 5.0), ("u", "2", 5.0)]
    inner = ProtobufSchema(proto()).message_class((0, 0))(user="u", item="i", rating=2).SerializeToString()
    found = read('[s]\nformat = "protobuf"', schemas, record(prefix + b"\x04\x00\x00" + inner))
    assert [each[:3] for each in ratings(found)] == [("u", "i", 2.0)]


def test_protobuf_that_is_registered_as_a_descriptor() -> None:
    file = descriptor_pb2.FileDescriptorProto(name="r.proto", syntax="proto3", dependency=[TIMESTAMP])
    made = file.message_type.add(name="R")
    for number, name in enumerate(("user", "item"), 1):
        made.field.add(name=name, number=number, type=9, label=1)
    schema = Schema("PROTOBUF", base64.b64encode(file.SerializeToString()).decode())
    value = b"\0\0\0\0\x01\x00" + b"\x0a\x01u\x12\x01i"
    found = read('[s]\nformat = "protobuf"\nrating = 3', {1: schema}, record(value))
    assert [each[:3] for each in ratings(found)] == [("u", "i", 3.0)]


def test_json_behind_an_id_and_without_one() -> None:
    body = b'{"user": "u", "item": "i", "rating": 3}'
    schemas: dict[int | str, Schema] = {1: Schema("JSON", "{}")}
    found = read("[s]", schemas, record(b"\0\0\0\0\x01" + body), record(body), record(b"\0\0\0\0\x01" + body))
    assert [each[:3] for each in ratings(found)] == [("u", "i", 3.0)] * 3


def test_schemas_of_files(tmp_path: Path) -> None:
    (tmp_path / "r.avsc").write_text(json.dumps(AVRO), "utf-8")
    (tmp_path / "r.proto").write_text(COMMON + "message R { string user = 1; string item = 2; }", "utf-8")
    source = mapping(f'{SOURCE}\nschema = "{tmp_path}/r.avsc"')
    found = SourceIngest(source, LOW, HIGH, reader=reader_of(source, None)).read(0, [record(avro(rating()))])
    assert ratings(found) == [("u", "7", 4.5, 1.6e9)]
    source = mapping(
        f'[s]\nformat = "protobuf"\nmessage = "shop.v1.R"\nrating = 3\nschema = "{tmp_path}/r.proto"'
    )
    found = SourceIngest(source, LOW, HIGH, reader=reader_of(source, None)).read(
        0, [record(b"\x0a\x01u\x12\x01i")]
    )
    assert [each[:3] for each in ratings(found)] == [("u", "i", 3.0)]


@pytest.mark.parametrize(
    ("value", "headers", "kind", "told"),
    [
        (
            avro(rating())[:-1],
            [("__value_schema_id", b"\0\0\0\0\x01")],
            Kind.NOT_AVRO,
            "not Avro of its schema",
        ),
        (b"\0\0\0\0\x01" + avro(rating()) + b"x", [], Kind.NOT_AVRO, "1 bytes are left"),
        (b"\0\0\0\0\x01", [], Kind.NOT_AVRO, "not Avro of its schema"),
        (b"\0\0\0\0\x09xxx", [], Kind.SCHEMA, "http://registry knows no schema 9"),
        (b"\0\0\0\0\x02xxx", [], Kind.SCHEMA, "schema 2: the schema is no Avro schema"),
        (b"\0\0\0\0\x03xxx", [], Kind.SCHEMA, "schema 3: the schema is no Protobuf schema"),
        (b"\0\0\0\0\x04\x00xxx", [], Kind.NOT_PROTOBUF, "not Protobuf of its schema"),
        (b"\0\0\0\0\x04\x02\x7f", [], Kind.SCHEMA, "no message of indexes [-64]"),
        (b"\0\0\0\0\x04\xff", [], Kind.SCHEMA, "indexes of the Protobuf message are cut off"),
        (b"\0\0\0\0\x05x", [], Kind.SCHEMA, "a schema of type THRIFT: expected AVRO, PROTOBUF or JSON"),
        (b"\0\0", [], Kind.SCHEMA, "no whole schema id"),
        (b"{}", [], Kind.SCHEMA, "the value has no schema id"),
        (b"x", [("apicurio.value.globalId", b"\0" * 8)], Kind.SCHEMA, "knows no schema of global id 0"),
        (b"x", [*CONTENT_4, ("apicurio.protobuf.type", b"No")], Kind.SCHEMA, "the schema has no message No"),
    ],
)
def test_what_cannot_be_read_by_its_schema(
    value: bytes, headers: Sequence[tuple[str, bytes]], kind: Kind, told: str
) -> None:
    schemas: dict[int | str, Schema] = {
        **REGISTERED,
        2: Schema("AVRO", '{"type": "recrod"}'),
        3: Schema("PROTOBUF", "massage R {}"),
        4: proto(),
        5: Schema("THRIFT", ""),
    }
    found = read(SOURCE, schemas, record(value, headers=headers))
    assert told in reason(found)
    assert found.refusals[0].kind is kind
    assert found.dead_letters[0].value == value


def test_indexes() -> None:
    assert indexes_of(b"\x00rest") == ((0,), 1)
    assert indexes_of(b"\x04\x02\x00rest") == ((1, 0), 3)
    with pytest.raises(BadMessage):
        indexes_of(b"\xfe\xff\xff\xff\x0f")


def test_a_value_that_says_nothing() -> None:
    assert written(record(b'{"a": 1}')).schema is None


def test_a_format_with_schemas_needs_some() -> None:
    with pytest.raises(SourcesError, match="has format avro: expected RECOMMENDER_REGISTRY, or `schema`"):
        reader_of(mapping(SOURCE), None)
    with pytest.raises(SourcesError, match=r"schema has value 'no\.avsc': cannot be read"):
        reader_of(mapping(f'{SOURCE}\nschema = "no.avsc"'), None)
    assert reader_of(mapping("[a]"), None) is None
    assert "s3cret" not in repr(Settings(registry_password="s3cret"))
