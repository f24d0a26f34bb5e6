"""Cuts a batch into records by hand, where a client's parser ends at one of them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from recommender.kafka.codecs import CannotRead, decompressed
from recommender.messages.unreadable import Headers, Unreadable

_CODEC_BITS = 0x07
#: The broker's time instead of the producer's.
_LOG_APPEND_TIME = 0x08
_MAX_VARINT_BITS = 63


class Place(Protocol):
    """A partition, as all clients have it."""

    topic: str
    partition: int


@dataclass(slots=True)
class Salvaged:
    """A record that was cut out by hand, with what the clients' own have."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    checksum: None = None


def salvaged(
    raw: memoryview, header: struct.Struct, place: Place, first: int, cause: str
) -> Iterator[Salvaged | Unreadable]:
    """The records of a batch, each as far as it can be read.

    Parameters
    ----------
    raw : memoryview
        The batch, whose checksum is right.
    header : struct.Struct
        What comes before the records.
    place : Place
        Where it is from.
    first : int
        The offset from which it is read: what cannot be cut stands for all from there on.
    cause : str
        What the parser said.
    """
    fields = header.unpack_from(raw)
    base, attributes, last_delta, begun, newest, count = (fields[each] for each in (0, 5, 6, 7, 8, 12))
    of_broker = bool(attributes & _LOG_APPEND_TIME)
    last = base + last_delta

    def rest(first: int, cause: str) -> Unreadable:
        return Unreadable(place.topic, place.partition, max(last, first), first, cause, bytes(raw))

    try:
        codec, data = attributes & _CODEC_BITS, raw[header.size :]
        records = memoryview(decompressed(codec, bytes(data))) if codec else data
    except CannotRead as error:
        yield rest(first, str(error))
        return
    offset, reader = base - 1, _Reader(records)
    for _ in range(count):
        begin = reader.at
        try:
            body = reader.sized()
        except CannotRead:
            yield rest(max(first, offset + 1), cause)
            return
        record = _Record(place, base, offset + 1, last, newest if of_broker else begun, of_broker)
        yield (found := record.read(body, bytes(records[begin : reader.at]), cause))
        offset = found.offset


@dataclass(slots=True)
class _Record:
    """A record about to be read.

    Attributes
    ----------
    expected, last : int
        Its offset is not before the one and not behind the other.
    time : int
        What its time is counted from, or the broker's.
    """

    place: Place
    base: int
    expected: int
    last: int
    time: int
    of_broker: bool

    def read(self, body: memoryview, whole: bytes, cause: str) -> Salvaged | Unreadable:
        reader = _Reader(body)
        try:
            reader.skip(1)  # attributes, of which there are none
            delta = reader.varint()
            offset = self.base + reader.varint()
            if not self.expected <= offset <= self.last:
                raise CannotRead(f"its offset is {offset}, expected {self.expected} to {self.last}")
            key, value = reader.nullable(), reader.nullable()
            named = [(reader.named(), reader.nullable()) for _ in range(reader.count())]
            if not reader.at_end:
                raise CannotRead("bytes are left behind its headers")
        except CannotRead as error:
            said = f"the record cannot be read: {error} ({cause})"
            here = self.place.topic, self.place.partition
            return Unreadable(*here, self.expected, self.expected, said, whole)
        timestamp = self.time if self.of_broker else self.time + delta
        headers: list[tuple[str, Any]] = [
            (name.decode(errors="backslashreplace"), content) for name, content in named
        ]
        bad = [name for name, _ in named if not _is_utf8(name)]
        if bad:
            said = f"a header's name is not UTF-8: {bad[0][:64]!r}"
            here = self.place.topic, self.place.partition
            return Unreadable(*here, offset, offset, said, value, key, headers, timestamp)
        return Salvaged(offset, timestamp, int(self.of_broker), key, value, headers)


class _Reader:
    """Reads the parts of a record, one after the other."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.at = 0

    @property
    def at_end(self) -> bool:
        return self.at == len(self._data)

    def skip(self, count: int) -> None:
        self.take(count)

    def take(self, count: int) -> memoryview:
        if count < 0 or count > len(self._data) - self.at:
            raise CannotRead(f"{count} bytes expected at byte {self.at} of {len(self._data)}")
        self.at += count
        return self._data[self.at - count : self.at]

    def varint(self) -> int:
        value = shift = 0
        while shift <= _MAX_VARINT_BITS:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
            shift += 7
        raise CannotRead(f"an integer of more than 64 bits before byte {self.at}")

    def sized(self) -> memoryview:
        return self.take(self.varint())

    def nullable(self) -> bytes | None:
        size = self.varint()
        return None if size < 0 else bytes(self.take(size))

    def named(self) -> bytes:
        return bytes(self.sized())

    def count(self) -> int:
        count = self.varint()
        if not 0 <= count <= len(self._data):
            raise CannotRead(f"{count} headers in {len(self._data)} bytes")
        return count


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True
