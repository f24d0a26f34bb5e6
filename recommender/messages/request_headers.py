"""The headers of a request: correlation id, reply topic, deadline."""

from __future__ import annotations

import time
from dataclasses import dataclass

from recommender.messages.ratings import BadMessage, Headers
from recommender.messages.records import Outgoing, Record
from recommender.messages.responses import Failure

CORRELATION = ("kafka_correlationId", "correlation_id")
REPLY_TOPIC = ("kafka_replyTopic", "reply_to")
REPLY_PARTITION = "kafka_replyPartition"
DEADLINE = "deadline-ms"
ERROR_CODE = "error-code"
#: On a forwarded request: where it was first.
FORWARDED = "recommender-forwarded"
#: On a request that went back to its topic: where it was first, and how long it has waited, in milliseconds.
RETURNED = "recommender-returned"
WAITED = "recommender-waited"


@dataclass(frozen=True, slots=True)
class RequestHeaders:
    """The headers of a request.

    Of several with one name the last counts, as in Kafka's own clients. A header that is null says nothing,
    so the other name of the same header counts.

    Attributes
    ----------
    correlation : tuple of (str, bytes or None)
        All correlation headers, in their order and whatever they hold, as a reply repeats them.
    correlation_id, reply_topic : bytes or None
    place : bytes
        The record's partition and offset.
    forwarded, returned : bytes or None
        Where it was first.
    """

    correlation: tuple[tuple[str, bytes | None], ...]
    correlation_id: bytes | None
    reply_topic: bytes | None
    place: bytes
    forwarded: bytes | None
    returned: bytes | None
    _reply_partition: bytes | None
    _deadline: bytes | None
    _waited: bytes | None

    @classmethod
    def of(cls, record: Record) -> RequestHeaders:
        """Read the headers of a record."""
        headers = record.headers or ()
        last = dict(headers)
        return cls(
            correlation=tuple((name, value) for name, value in headers if name in CORRELATION),
            correlation_id=_first(last, *CORRELATION),
            reply_topic=_first(last, *REPLY_TOPIC),
            place=f"{record.partition}:{record.offset}".encode(),
            forwarded=last.get(FORWARDED),
            returned=last.get(RETURNED),
            _reply_partition=last.get(REPLY_PARTITION),
            _deadline=last.get(DEADLINE),
            _waited=last.get(WAITED),
        )

    @property
    def identity(self) -> bytes:
        """The name of a request, which is the same when it is read again.

        It is its correlation id, else where it was first. Exploration draws by it, and the recommendations
        log is counted by it.
        """
        return self.correlation_id or self.forwarded or self.returned or self.place

    @property
    def reply_partition(self) -> int | None:
        """The partition of the reply topic that the reply must go to, if the request names one.

        Spring writes four bytes, big-endian; NestJS writes decimal digits. No topic has the 800 million
        partitions that four digits would be in Spring's way.

        Raises
        ------
        BadMessage
            The header holds neither.
        """
        value = self._reply_partition
        if value is None:
            return None
        if value.isdigit() and len(value) <= MAX_DIGITS:
            return int(value)
        if len(value) == 4:
            return int.from_bytes(value, "big", signed=True)
        raise BadMessage(
            f"header {REPLY_PARTITION} has value {_shown(value)}: not a partition, as four bytes or in digits"
        )

    @property
    def deadline(self) -> float | None:
        """The time after which the reply is of no more use, in seconds since 1970.

        Raises
        ------
        BadMessage
            The header does not hold milliseconds.
        """
        text = self._deadline
        if text is None:
            return None
        try:
            # Python also reads 1_000.
            return int(text.replace(b"_", b"?")) / 1000
        except (ValueError, OverflowError):
            raise BadMessage(
                f"header {DEADLINE} has value {_shown(text)}: not milliseconds since 1970"
            ) from None

    @property
    def waited(self) -> float:
        """The seconds that the request has waited for learning on another worker; 0 if no header tells."""
        text = self._waited or b""
        return int(text) / 1000 if text.isdigit() and len(text) <= MAX_DIGITS else 0.0


#: Numbers in headers that have more digits than this mean nothing.
MAX_DIGITS = 10


def _first(headers: dict[str, bytes], *names: str) -> bytes | None:
    return next((value for name in names if (value := headers.get(name)) is not None), None)


def _shown(value: bytes) -> str:
    return repr(value[:64].decode("utf-8", "replace"))


def forwarded(record: Record, partition: int) -> Outgoing:
    """The request on its way to its user's partition; it keeps its key, which the reply must have."""
    headers: Headers = [*record.headers, (FORWARDED, RequestHeaders.of(record).place)]
    return Outgoing(partition, record.key, record.value, record.timestamp, list(headers))


def returned(record: Record, waited: float = 0.0) -> Outgoing:
    """The request on its way back to the end of its partition; it stays the one that it is.

    Parameters
    ----------
    record : Record
    waited : float
        How long it has waited for learning by now, in seconds.
    """
    asked = RequestHeaders.of(record)
    headers = [each for each in record.headers if each[0] != WAITED]
    if asked.identity == asked.place:
        headers.append((RETURNED, asked.place))
    if waited:
        headers.append((WAITED, b"%d" % (waited * 1000)))
    return Outgoing(record.partition, record.key, record.value, record.timestamp, headers)


def reply_to(
    record: Record, asked: RequestHeaders, value: bytes, failure: Failure | None, partition: int | None = None
) -> Outgoing:
    """A reply with the request's own key and correlation headers, whatever they hold."""
    headers: list[tuple[str, bytes]] = list(asked.correlation)  # type: ignore[arg-type]
    if failure is not None:
        headers.append((ERROR_CODE, failure.code.encode()))
    return Outgoing(partition, record.key, value, int(time.time() * 1000), headers)
