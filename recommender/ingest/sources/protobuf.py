"""Reads Protobuf by the schema that it was written with, compiled when it is first met."""

from __future__ import annotations

import base64
import binascii
import importlib
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC
from pathlib import Path
from typing import Any

from recommender.ingest.sources.registry import Schema, require
from recommender.ingest.sources.schema_ids import indexes_of, named_in_front
from recommender.ingest.sources.values import ABSENT
from recommender.ingest.sources.views import Step
from recommender.messages.refusals import BadMessage, Kind

_FILE = "value.proto"
_GOOGLE = "google/protobuf/"


class ProtobufSchema:
    """The messages of a schema's file.

    Parameters
    ----------
    schema : Schema
        Its text, or a file's descriptor in base64, as some clients register it.
    message : str
        The name of the message where no index says which it is; empty: the first.

    Raises
    ------
    BadMessage
        The schema cannot be used.
    SourcesError
        protobuf or grpcio-tools is not installed.
    """

    def __init__(self, schema: Schema, message: str = "") -> None:
        try:
            from google.protobuf import descriptor_pool, message_factory
            from google.protobuf.message import DecodeError
        except ImportError as error:
            raise require("protobuf", error) from None
        self._message, self._class_of = message, message_factory.GetMessageClass
        self._error: type[Exception] = DecodeError
        self._classes: dict[tuple[int, ...], Any] = {}
        self._pool: Any = descriptor_pool.DescriptorPool()
        added: set[str] = set()
        try:
            for each in _files(schema):
                if each.name not in added:
                    added.add(each.name)
                    self._pool.AddSerializedFile(each.SerializeToString())
                self._file = each
            self._places = {each.name: (index,) for index, each in enumerate(self._file.message_type)}
        except BadMessage:
            raise
        except (TypeError, ValueError, KeyError) as error:
            raise BadMessage(f"the Protobuf schema cannot be used: {error}", Kind.SCHEMA) from None

    def decode(
        self, content: bytes, indexes: bytes | None, *, indexed: bool, named: str | None = None
    ) -> tuple[Any, Step]:
        """The message in a value.

        Parameters
        ----------
        content : bytes
        indexes : bytes or None
            Where they are in a header.
        indexed : bool
            Whether they are in front of the content where they are in no header.
        named : str, optional
            The name of the message in its file, as Apicurio's headers have it, or in front of the content.

        Raises
        ------
        BadMessage
            It is no message of this schema.
        """
        path, begin = self._located(content, indexes, indexed, named)
        made = self.message_class(path)
        try:
            return made.FromString(content[begin:] if begin else content), step_into_message
        except self._error as error:
            raise BadMessage(f"the value is not Protobuf of its schema: {error}", Kind.NOT_PROTOBUF) from None

    def like(self, content: bytes, *, indexed: bool) -> tuple[int, Callable[[bytes], Any]]:
        """The number of bytes in front of messages like one, and a reader of such messages alone."""
        path, begin = self._located(content, None, indexed, None)
        return begin, self.message_class(path).FromString

    def _located(
        self, content: bytes, indexes: bytes | None, indexed: bool, named: str | None
    ) -> tuple[tuple[int, ...], int]:
        """The message of the file that it is, and the place in the content where it begins."""
        in_front = None
        if named is not None or (indexed and indexes is None):
            in_front = named_in_front(content)
        if in_front is not None and in_front[0] in self._places:
            return self._place(in_front[0]), in_front[1]
        if named is not None:
            return self._place(named), 0
        if indexes is not None:
            return indexes_of(indexes)[0], 0
        return indexes_of(content) if indexed else ((), 0)

    def _place(self, named: str) -> tuple[int, ...]:
        """The indexes of a message of the file; none of one without a name."""
        if named and named not in self._places:
            raise BadMessage(f"the schema has no message {named}", Kind.SCHEMA)
        return self._places.get(named, ())

    def message_class(self, path: tuple[int, ...]) -> Any:
        """The class of the message at a path of indexes, as Confluent's prefix has them.

        Raises
        ------
        BadMessage
            The schema has none there.
        """
        if path not in self._classes:
            try:
                descriptor = self._pool.FindMessageTypeByName(self._named(path))
            except (KeyError, IndexError):
                told = self._message if not path else f"of indexes {list(path)}"
                raise BadMessage(f"the schema has no message {told}", Kind.SCHEMA) from None
            self._classes[path] = self._class_of(descriptor)
        return self._classes[path]

    def _named(self, path: tuple[int, ...]) -> str:
        if not path and self._message:
            return self._message
        names, messages = [self._file.package] if self._file.package else [], self._file.message_type
        for index in path or (0,):
            if index < 0:
                raise IndexError(index)
            names.append(messages[index].name)
            messages = messages[index].nested_type
        return ".".join(names)


def as_dict(message: Any) -> dict[str, Any]:
    """A message as its fields by their names."""
    from google.protobuf.json_format import MessageToDict

    found: dict[str, Any] = MessageToDict(message, preserving_proto_field_name=True)
    return found


def step_into_message(value: Any, name: str) -> Any:
    """The value at a name of a message, in the words of JSON: `ABSENT` where nothing is set."""
    descriptor = getattr(value, "DESCRIPTOR", None)
    if descriptor is None:
        return value[name] if hasattr(value, "keys") and name in value else ABSENT
    field = descriptor.fields_by_name.get(name) or descriptor.fields_by_camelcase_name.get(name)
    if field is None or (field.has_presence and not value.HasField(field.name)):
        return ABSENT
    found = getattr(value, field.name)
    if field.enum_type is not None and isinstance(found, int):
        known = field.enum_type.values_by_number.get(found)
        return known.name if known is not None else found
    inside = getattr(found, "DESCRIPTOR", None)
    if inside is not None and inside.full_name.startswith("google.protobuf."):
        if inside.full_name == "google.protobuf.Timestamp":
            return found.ToDatetime(UTC)
        if inside.full_name.endswith("Value") and hasattr(found, "value"):
            return found.value
    return found


def _files(schema: Schema) -> Iterator[Any]:
    """The descriptors of a schema's files, those that others need first, its own last."""
    from google.protobuf import descriptor_pb2
    from google.protobuf.message import DecodeError

    try:
        described = descriptor_pb2.FileDescriptorProto.FromString(
            base64.b64decode(schema.text, validate=True)
        )
    except (binascii.Error, ValueError, DecodeError):
        yield from _compiled(schema)
        return
    for _, each in schema.references:
        yield from _files(each)
    for needed in described.dependency:
        yield from _well_known(needed)
    yield described


def _well_known(name: str) -> Iterator[Any]:
    """The descriptors of a file that comes with protobuf, and of those that it needs."""
    from google.protobuf import descriptor_pb2

    if not name.startswith(_GOOGLE):
        return
    module = importlib.import_module(name.removesuffix(".proto").replace("/", ".") + "_pb2")
    found = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(found)
    for needed in found.dependency:
        yield from _well_known(needed)
    yield found


def _compiled(schema: Schema) -> Iterator[Any]:
    """The descriptors of a schema that is text."""
    try:
        from google.protobuf import descriptor_pb2
        from grpc_tools import protoc
    except ImportError as error:
        raise require("protobuf", error) from None
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name, each in [*_texts(schema), (_FILE, schema)]:
            file = (place / name).resolve()
            if not file.is_relative_to(place.resolve()):
                raise BadMessage(f"the schema refers to {name!r}: expected a file's name", Kind.SCHEMA)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(each.text, "utf-8")
        known = Path(protoc.__file__).parent / "_proto"
        out = place / "descriptors"
        given = [
            "protoc",
            f"-I{place}",
            f"-I{known}",
            "--include_imports",
            f"--descriptor_set_out={out}",
            _FILE,
        ]
        if protoc.main(given) != 0:
            raise BadMessage("the schema is no Protobuf schema", Kind.SCHEMA)
        yield from descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file


def _texts(schema: Schema) -> Iterator[tuple[str, Schema]]:
    for name, each in schema.references:
        yield from _texts(each)
        yield name, each
