"""A place in a log that cannot be read as records: what it stands for, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

#: As `recommender.messages.ratings` has them: a value may be null all the same.
Headers = Sequence[tuple[str, bytes]]


@dataclass(slots=True)
class Fetched:
    """A record of a log."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(slots=True)
class Unreadable:
    r"""A stand-in for a record that was fetched and cannot be read.

    A reader of the log passes it as any record. It has no value, so nothing is learned from it even where
    nobody asks what it is.

    Attributes
    ----------
    topic : str
    partition, offset : int
        The last offset that it stands for.
    first : int
        The first one: a batch that cannot be cut into records stands for all of them.
    cause : str
        Why it cannot be read.
    content : bytes or None
        The value where the record has one, else the record or the batch as it was fetched.
    key : bytes or None
    headers : Headers
        Those that could be read; bytes of a name that are not UTF-8 are written as ``\xff``.
    timestamp : int
        In milliseconds; -1 where it is not known.
    value : None
    """

    topic: str
    partition: int
    offset: int
    first: int
    cause: str
    content: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    timestamp: int = -1
    value: bytes | None = field(default=None, init=False)

    def as_fetched(self) -> Fetched:
        """A record with its bytes as value, at the first offset."""
        return Fetched(
            self.topic, self.partition, self.first, self.timestamp, self.key, self.content, self.headers
        )

    def __str__(self) -> str:
        one = self.first == self.offset
        span = f"offset {self.offset}" if one else f"offsets {self.first} to {self.offset}"
        return f"{self.topic}[{self.partition}] {span}: {self.cause}"
