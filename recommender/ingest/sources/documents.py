"""Reads a record's value as what it is: JSON or MessagePack, or what a plugged reader knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from recommender.ingest.sources.views import Step, step_into
from recommender.messages.content_types import MSGPACK, Headers, content_type, is_msgpack
from recommender.messages.nesting import MAX_NESTING, json_is_too_deep, msgpack_is_too_deep
from recommender.messages.ratings import TOO_DEEP
from recommender.messages.records import Record
from recommender.messages.refusals import BadMessage, Kind, refused

#: The largest value that is read, in bytes: more takes too long at a time.
MAX_BYTES = 8 * 1024 * 1024
#: What is said of MessagePack that has no content type.
_MARKED = (("content-type", MSGPACK.encode()),)


class Reader(Protocol):
    """Reads values into documents."""

    def read(self, record: Record) -> tuple[Any, Step]:
        """A document, and how to step into what is no dict.

        Raises
        ------
        BadMessage
            The value cannot be read.
        """

    def alike(self, records: Sequence[Record]) -> Callable[[Any], Any] | None:
        """What makes documents of the values of records that are all written alike, quickly.

        It raises whatever it does where it cannot. None where they are not alike, or that is not known.
        """


class PlainReader:
    """Reads JSON and MessagePack.

    Parameters
    ----------
    format : str
        ``json``, ``msgpack``, or ``auto``: JSON unless the content type says MessagePack.
    """

    def __init__(self, format: str = "auto") -> None:  # noqa: A002 (the file's own word)
        self._format = format

    def is_packed(self, record: Record) -> bool:
        """Tell whether a record's value is MessagePack."""
        if self._format == "auto":
            return is_msgpack(content_type(record.headers))
        return self._format == "msgpack"

    def read(self, record: Record) -> tuple[Any, Step]:
        """See `Reader`."""
        return self.read_value(record.value or b"", record.headers or (), packed=self.is_packed(record))

    def alike(self, records: Sequence[Record]) -> Callable[[Any], Any] | None:
        """See `Reader`."""
        if not records or max(len(record.value or b"") for record in records) > MAX_NESTING:
            return None
        kinds = {self.is_packed(record) for record in records}
        if len(kinds) > 1:
            return None
        return msgspec.msgpack.decode if kinds.pop() else msgspec.json.decode

    def read_value(self, value: bytes, headers: Headers = (), *, packed: bool = False) -> tuple[Any, Step]:
        """The same of a value by itself."""
        refuse_size(value)
        if is_too_deep(value, packed=packed):
            raise BadMessage(TOO_DEEP, Kind.TOO_DEEP)
        decode: Callable[[bytes], Any] = msgspec.msgpack.decode if packed else msgspec.json.decode
        try:
            return decode(value), step_into
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise refused(error, value, _MARKED if packed else headers) from None


def refuse_size(value: bytes) -> None:
    """Raise a `BadMessage` if a value is too large."""
    if len(value) > MAX_BYTES:
        raise BadMessage(f"the value has {len(value)} bytes: expected at most {MAX_BYTES}", Kind.TOO_LARGE)


def is_too_deep(value: bytes, *, packed: bool) -> bool:
    """Tell whether a value is nested too deeply, whatever the interpreter could read."""
    return len(value) > MAX_NESTING and (msgpack_is_too_deep if packed else json_is_too_deep)(value)
