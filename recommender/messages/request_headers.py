"""What a request's record says besides the request: who waits for the reply, how long, and who it is."""

from __future__ import annotations

import time

from recommender.messages.records import Outgoing, Record
from recommender.messages.ratings import BadMessage, header
from recommender.messages.responses import Failure

CORRELATION = ("kafka_correlationId", "correlation_id")
REPLY_TOPIC = ("kafka_replyTopic", "reply_to")
DEADLINE = "deadline-ms"
ERROR_CODE = "error-code"
#: On a forwarded request: where it was first.
FORWARDED = "recommender-forwarded"
#: On a request that went back to its topic: where it was first.
RETURNED = "recommender-returned"


def place(record: Record) -> tuple[str, int, int]:
    """Its topic, partition and offset."""
    return record.topic, record.partition, record.offset


def identity(record: Record) -> bytes:
    """What tells a request from others, and is the same when it is read again.

    It is its correlation id, else where it was first.

    Exploration draws by it, and the recommendations log is counted by it.
    """
    return _told(record) or _here(record)


def forwarded(record: Record, partition: int, user: str) -> Outgoing:
    """The request on its way to its user's partition."""
    headers = [*record.headers, (FORWARDED, _here(record))]
    return Outgoing(partition, user.encode(), record.value, record.timestamp, headers)


def returned(record: Record) -> Outgoing:
    """The request on its way back to the end of its partition; it stays the one that it is."""
    headers = list(record.headers)
    if not _told(record):
        headers.append((RETURNED, _here(record)))
    return Outgoing(record.partition, record.key, record.value, record.timestamp, headers)


def _told(record: Record) -> bytes | None:
    headers = record.headers or ()
    return header(headers, *CORRELATION) or header(headers, FORWARDED, RETURNED)


def _here(record: Record) -> bytes:
    return f"{record.partition}:{record.offset}".encode()


def reply_to(record: Record, value: bytes, failure: Failure | None) -> Outgoing:
    """A reply with the request's own correlation headers, whatever they hold."""
    headers = [(name, each) for name, each in record.headers or () if name in CORRELATION]
    if failure is not None:
        headers.append((ERROR_CODE, failure.code.encode()))
    return Outgoing(None, record.key, value, int(time.time() * 1000), headers)


def deadline(record: Record) -> float | None:
    """When the reply is of no more use, in seconds since 1970.

    Raises
    ------
    BadMessage
        The header does not hold milliseconds.
    """
    text = header(record.headers or (), DEADLINE)
    if text is None:
        return None
    try:
        return int(text) / 1000
    except (ValueError, OverflowError):
        shown = text[:64].decode("utf-8", "replace")
        raise BadMessage(f"header {DEADLINE} has value {shown!r}: not milliseconds since 1970") from None
