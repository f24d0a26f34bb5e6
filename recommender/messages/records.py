"""Records as they are fetched, and as they are sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, Protocol

from recommender.messages.content_types import Headers


class Record(Protocol):
    """What is read of a fetched record; `timestamp` is in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Outgoing(NamedTuple):
    """A record to be delivered; without a partition its key decides."""

    partition: int | None
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: list[tuple[str, bytes]]


#: Sends a record to a topic; what it returns is awaited until Kafka has the record.
Send = Callable[[str, Outgoing], Awaitable[Awaitable[object]]]
