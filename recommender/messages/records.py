"""Records as they are fetched, and as they are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from recommender.messages.content_types import Headers


class Record(Protocol):
    """The fields of a fetched record that are read; `timestamp` is in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Located(Protocol):
    """Something that has a place in a topic."""

    @property
    def topic(self) -> str:
        """The topic's name."""

    @property
    def partition(self) -> int:
        """The partition's number."""

    @property
    def offset(self) -> int:
        """The offset in the partition."""


class Location(NamedTuple):
    """The place of a record.

    Examples
    --------
    >>> str(Location("ratings", 3, 1042))
    'ratings[3] offset 1042'
    """

    topic: str
    partition: int
    offset: int

    @classmethod
    def of(cls, located: Located) -> Location:
        """The location of a record, or of whatever else has one."""
        return cls(located.topic, located.partition, located.offset)

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}] offset {self.offset}"


class Outgoing(NamedTuple):
    """A record to be delivered; without a partition its key decides."""

    partition: int | None
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: list[tuple[str, bytes]]


#: Sends a record to a topic; what it returns is awaited until Kafka has the record.
Send = Callable[[str, Outgoing], Awaitable[Awaitable[object]]]
#: The same without waiting for anything first: None where it is not known yet whether the topic exists.
SendKnown = Callable[[str, Outgoing], asyncio.Future[Any] | None]
