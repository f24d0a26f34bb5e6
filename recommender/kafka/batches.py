"""Fetched bytes as records: those that count, in order, and a way past what cannot be read.

The parsers of Kafka's clients are used as they are. What is around them is written here, since the clients'
own ends at the first record that cannot be parsed, and never gets past it.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from recommender.kafka.codecs import CannotRead, decompressed
from recommender.kafka.salvage import salvaged
from recommender.messages.unreadable import Unreadable

#: A batch of format 2, up to its records: see the guide to Kafka's protocol, "Record Batch".
HEADER = struct.Struct(">qiibIhiqqqhii")
#: All formats begin with an offset and a length, and have their number at one place.
_OFFSET, _LENGTH = struct.Struct(">q"), struct.Struct(">i")
_PREFIX = _OFFSET.size + _LENGTH.size
_MAGIC_AT = 16
#: The attributes' second byte, of two.
_ATTRIBUTES_END = 22
_CODEC_BITS = 0x07
_NEWEST = 2
#: The shortest batch of each format.
_LEAST = {0: 26, 1: 34, _NEWEST: HEADER.size}
_CONTROL = struct.Struct(">HH")
_ABORT = 0


class Parser(NamedTuple):
    """A function with which a client parses a batch of records.

    Attributes
    ----------
    batch : callable
        Takes the bytes of a batch of format 2, and gives something to iterate over.
    legacy : callable
        The same for the older formats, of which it takes the number as well.
    """

    batch: Callable[[memoryview], Any]
    legacy: Callable[[memoryview, int], Any]


class Position(Protocol):
    """A reader that is told how far the bytes were read."""

    next_fetch_offset: int


class Place(Protocol):
    """A partition, as all clients have it."""

    topic: str
    partition: int


def unpack(
    position: Position, place: Place, data: bytes, aborted: Iterable[tuple[int, int]], parser: Parser
) -> Iterator[Any]:
    """The records from a position on that are not of aborted transactions, as the parser makes them.

    What cannot be read is an `Unreadable`. Where a whole batch is one, reading ends after it, to be fetched
    again from there: what it said of transactions is not known.

    Parameters
    ----------
    position : Position
        Its ``next_fetch_offset`` is moved past each record before that is given, and past what is none.
    place : Place
        Where the bytes are from.
    data : bytes
        Batches as a fetch brought them; the last one may be cut off.
    aborted : iterable of (int, int)
        Producer id and first offset of transactions that were aborted, as the fetch said.
    parser : Parser
    """
    transactions = _Transactions(aborted)
    fetched, begin, size = memoryview(data), 0, len(data)
    while begin < size:
        end = _end(fetched, begin, size)
        if end is None:
            if begin == 0:
                # Kafka sends at least one whole batch, so this is none, and nothing says how long it is.
                yield _whole(position, place, data, position.next_fetch_offset, "no whole batch")
            return
        raw, begin = fetched[begin:end], end
        try:
            batch = _opened(raw, parser)
            shown = batch.producer_id is None or batch.producer_id < 0 or transactions.show(batch)
        except MemoryError:
            raise
        except Exception as error:
            last = _last(raw, fetched[end:], position.next_fetch_offset)
            yield _whole(position, place, bytes(raw), last, str(error))
            return
        if shown:
            yield from _records(position, place, batch, raw, parser)
        # Compaction may have removed its last records.
        behind = batch.next_offset if raw[_MAGIC_AT] == _NEWEST else _OFFSET.unpack_from(raw)[0] + 1
        position.next_fetch_offset = max(behind, position.next_fetch_offset)


def _records(position: Position, place: Place, batch: Any, raw: memoryview, parser: Parser) -> Iterator[Any]:
    """The records of a batch; those behind one that the parser ends at are cut out by hand."""
    expected = position.next_fetch_offset
    try:
        if raw[_MAGIC_AT] == _NEWEST and raw[_ATTRIBUTES_END] & _CODEC_BITS:
            batch = parser.batch(_uncompressed(raw))
        for record in batch:
            offset = record.offset
            # A batch is sent whole, also to a reader that asks for its end.
            if offset >= expected:
                position.next_fetch_offset = expected = offset + 1
                yield record
        return
    except MemoryError:
        raise
    except Exception as error:
        cause = str(error) or type(error).__name__
    for record in salvaged(raw, HEADER, place, expected, cause):
        if record.offset >= expected:
            position.next_fetch_offset = expected = record.offset + 1
            yield record


def _end(data: memoryview, begin: int, size: int) -> int | None:
    """The end of the batch that begins here; None if it is not among the bytes."""
    if size - begin < _PREFIX:
        return None
    end: int = begin + _PREFIX + _LENGTH.unpack_from(data, begin + _OFFSET.size)[0]
    return end if begin + _MAGIC_AT < end <= size else None


def _opened(raw: memoryview, parser: Parser) -> Any:
    """A batch whose checksum is right."""
    magic = raw[_MAGIC_AT]
    if magic not in _LEAST:
        raise CannotRead(f"the batch has format {magic}: expected at most {_NEWEST}")
    if len(raw) < _LEAST[magic]:
        raise CannotRead(f"the batch has {len(raw)} bytes: expected at least {_LEAST[magic]}")
    batch = parser.batch(raw) if magic == _NEWEST else parser.legacy(raw, magic)
    if not batch.validate_crc():
        raise CannotRead("the checksum is wrong: bytes of the batch have changed since it was sent")
    return batch


def _uncompressed(raw: memoryview) -> memoryview:
    """The same batch without its codec; its checksum is still that of the compressed one."""
    header, attributes = bytes(raw[: HEADER.size]), raw[_ATTRIBUTES_END]
    plain = bytes([attributes & ~_CODEC_BITS])
    records = decompressed(attributes & _CODEC_BITS, bytes(raw[HEADER.size :]))
    return memoryview(b"".join((header[:_ATTRIBUTES_END], plain, header[_ATTRIBUTES_END + 1 :], records)))


def _last(raw: memoryview, behind: memoryview, expected: int) -> int:
    """The last offset of a batch whose header may be wrong, but never before the one that is expected."""
    if len(behind) >= _OFFSET.size:
        following = int(_OFFSET.unpack_from(behind)[0])
        if following > expected:
            return following - 1
    if len(raw) >= HEADER.size:
        header = HEADER.unpack_from(raw)
        # Two numbers that say the same are not both wrong.
        if header[6] == header[12] - 1:
            return max(int(header[0] + header[6]), expected)
    return expected


def _whole(position: Position, place: Place, raw: bytes, last: int, cause: str) -> Unreadable:
    first, position.next_fetch_offset = position.next_fetch_offset, last + 1
    return Unreadable(place.topic, place.partition, last, first, cause, raw)


class _Transactions:
    """The transactions that were aborted, at the offset at which a partition is read.

    Parameters
    ----------
    aborted : iterable of (int, int)
        Producer id and first offset.
    """

    def __init__(self, aborted: Iterable[tuple[int, int]]) -> None:
        self._coming = deque(sorted(aborted, key=lambda each: each[1]))
        self._aborted: set[int] = set()

    def show(self, batch: Any) -> bool:
        """Move on to a batch of a producer that has an id; whether its records count."""
        while self._coming and self._coming[0][1] < batch.next_offset:
            self._aborted.add(self._coming.popleft()[0])
        if batch.is_control_batch:
            _, kind = _CONTROL.unpack_from(next(iter(batch)).key)
            if kind == _ABORT:
                self._aborted.discard(batch.producer_id)
            return False
        return not (batch.is_transactional and batch.producer_id in self._aborted)
