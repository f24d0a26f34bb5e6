"""Batches of records made by hand: as a producer in another language may write them, and as none would."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import cramjam
from crc32c import crc32c

HEADER = struct.Struct(">qiibIhiqqqhii")
CRC_AT = 17
ATTRIBUTES_AT = 21
MAGIC_AT = 16
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
TRANSACTIONAL, CONTROL = 0x10, 0x20
TIME = 1_700_000_000_000

Headers = Sequence[tuple[bytes, bytes | None]]


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A record whose header names are bytes; its time is in milliseconds, by default that of its place."""

    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    timestamp: int | None = None


def varint(number: int) -> bytes:
    """A signed number as Kafka writes it."""
    left = (number << 1) ^ (number >> 63)
    written = bytearray()
    while left > 0x7F:
        written.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*written, left])


def sized(content: bytes | None) -> bytes:
    """Bytes with their length in front, or null."""
    return varint(-1) if content is None else varint(len(content)) + content


def encoded(record: RawRecord, delta: int) -> bytes:
    """A record as it stands in a batch."""
    headers = b"".join(sized(name) + sized(content) for name, content in record.headers)
    later = delta if record.timestamp is None else record.timestamp - TIME
    body = b"\0" + varint(later) + varint(delta) + sized(record.key) + sized(record.value)
    return sized(body + varint(len(record.headers)) + headers)


def compressed(content: bytes, codec: str) -> bytes:
    """The content in a codec, as Kafka's clients write it."""
    if codec == "gzip":
        return gzip.compress(content)
    if codec == "snappy":
        return bytes(cramjam.snappy.compress_raw(content))
    if codec == "lz4":
        frame = cramjam.lz4.Compressor(level=1, content_checksum=False, block_linked=False)
        frame.compress(content)
        return bytes(frame.finish())
    return bytes(cramjam.zstd.compress(content)) if codec == "zstd" else content


def batch(
    records: Sequence[RawRecord | bytes],
    base: int = 0,
    *,
    codec: str = "none",
    producer: int = -1,
    attributes: int = 0,
    body: bytes | None = None,
) -> bytes:
    """A batch of format 2.

    Parameters
    ----------
    records : sequence of RawRecord or bytes
        Bytes stand as they are.
    base : int
        Offset of the first; a broker sets its own.
    codec : str
    producer : int
        Its id, if it is idempotent or transactional.
    attributes : int
        Besides the codec.
    body : bytes, optional
        What stands for the records instead.
    """
    if body is None:
        parts = [
            each if isinstance(each, bytes) else encoded(each, delta) for delta, each in enumerate(records)
        ]
        body = compressed(b"".join(parts), codec)
    count = len(records)
    epoch, sequence = (0, 0) if producer >= 0 else (-1, -1)
    attributes |= CODECS.index(codec)
    last = base + count - 1
    times = [each.timestamp for each in records if isinstance(each, RawRecord) and each.timestamp is not None]
    newest = max(times, default=TIME + count - 1)
    fields = (base, HEADER.size + len(body) - 12, -1, 2, 0, attributes, last - base, TIME, newest)
    return sealed(HEADER.pack(*fields, producer, epoch, sequence, count) + body)


def marker(base: int, producer: int, *, commit: bool) -> bytes:
    """The mark of a transaction's end."""
    record = RawRecord(struct.pack(">hi", 0, 0), struct.pack(">hh", 0, int(commit)))
    return batch([record], base, producer=producer, attributes=TRANSACTIONAL | CONTROL)


def sealed(content: bytes) -> bytes:
    """A batch with the checksum of what it now holds."""
    crc = struct.pack(">I", crc32c(content[ATTRIBUTES_AT:]))
    return content[:CRC_AT] + crc + content[ATTRIBUTES_AT:]
