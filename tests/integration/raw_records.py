"""Batches made by hand into a topic, and the batches that a topic has: past all clients, by Kafka's protocol.

For a broker that is alone, and a topic of which it leads all partitions.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tests.support.kafka import wait_until
from tests.support.record_batches import CODECS, HEADER

_PRODUCE, _PRODUCE_VERSION = 0, 7  # the first that may write zstd
_FETCH, _FETCH_VERSION = 1, 4
_CODEC_BITS = 0x07
#: Of a topic that was made just now: it is not known, or has no leader.
NOT_YET = (3, 5, 6)
_BYTES = 50 * 1024 * 1024


def produce_batch(kafka: str, topic: str, batch: bytes, partition: int = 0) -> int:
    """Have the broker write a batch as it is; the offset of its first record.

    An `AssertionError` says with which code the broker refused it.
    """
    body = (
        struct.pack(">hhi", -1, -1, 30_000)  # in no transaction, acknowledged by all
        + _one_topic(topic)
        + struct.pack(">iii", 1, partition, len(batch))
        + batch
    )

    def write() -> tuple[int, int] | None:
        with _connected(kafka) as connection:
            answer = _asked(connection, _PRODUCE, _PRODUCE_VERSION, body)
        # Behind the correlation id: the one topic with its name, and the number of partitions.
        _, error, offset = struct.unpack_from(">ihq", answer, 4 + 4 + 2 + len(topic) + 4)
        return None if error in NOT_YET else (error, offset)

    error, offset = wait_until(write, 30, f"{topic}[{partition}] has no leader")
    assert error == 0, f"refused with error code {error}"
    return int(offset)


def batches_of(kafka: str, topic: str, partition: int = 0, first: int = 0) -> list[bytes]:
    """All batches from an offset on that a partition has at this moment, as they are in the log."""
    found: list[bytes] = []
    with _connected(kafka) as connection:
        while fetched := _whole(_fetched(connection, topic, partition, first)):
            found += fetched
            header = HEADER.unpack_from(fetched[-1])
            first = header[0] + header[6] + 1
    return found


def codecs_of(batches: Sequence[bytes]) -> list[str]:
    """By which codec each batch is compressed."""
    return [CODECS[HEADER.unpack_from(each)[5] & _CODEC_BITS] for each in batches]


def _fetched(connection: socket.socket, topic: str, partition: int, offset: int) -> bytes:
    body = (
        struct.pack(">iiiib", -1, 0, 0, _BYTES, 0)  # a client that waits for nothing, and takes everything
        + _one_topic(topic)
        + struct.pack(">iiqi", 1, partition, offset, _BYTES)
    )
    answer = _asked(connection, _FETCH, _FETCH_VERSION, body)
    # Behind the correlation id and how long to wait: the one topic, and the number of partitions.
    place = 4 + 4 + 4 + 2 + len(topic) + 4
    _, error, _, _, aborted = struct.unpack_from(">ihqqi", answer, place)
    assert error == 0, f"error code {error} at offset {offset}"
    place += struct.calcsize(">ihqqi") + 16 * max(0, aborted)
    (size,) = struct.unpack_from(">i", answer, place)
    return answer[place + 4 : place + 4 + size]


def _whole(data: bytes) -> list[bytes]:
    found, begin = [], 0
    while begin + HEADER.size <= len(data):
        end = begin + 12 + int(HEADER.unpack_from(data, begin)[1])
        if end > len(data):
            break
        found.append(data[begin:end])
        begin = end
    return found


def _one_topic(topic: str) -> bytes:
    return struct.pack(">ih", 1, len(topic)) + topic.encode()


@contextmanager
def _connected(kafka: str) -> Iterator[socket.socket]:
    host, _, port = kafka.split(",")[0].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        yield connection


def _asked(connection: socket.socket, kind: int, version: int, body: bytes) -> bytes:
    request = struct.pack(">hhih", kind, version, 1, -1) + body  # the client has no name
    connection.sendall(struct.pack(">i", len(request)) + request)
    (size,) = struct.unpack(">i", _received(connection, 4))
    return _received(connection, size)


def _received(connection: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = connection.recv(count - len(found))
        assert part, "the broker closed the connection"
        found += part
    return found
