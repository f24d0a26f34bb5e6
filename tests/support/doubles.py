"""What the tests of the worker's rooms share: records, ratings and a `send` that remembers."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings

from recommender.messages.partitioning import partition_of
from recommender.messages.ratings import Headers, Rating
from recommender.messages.records import Outgoing

#: Few examples: the suite must stay quick.
few = settings(max_examples=50)
#: For properties whose examples cost milliseconds each.
fewer = settings(few, max_examples=15)


@dataclass
class FakeRecord:
    """A fetched record."""

    offset: int
    value: bytes | None
    key: bytes | None = None
    timestamp: int = 1000
    headers: Headers = ()
    topic: str = "ratings"
    partition: int = 0


@dataclass
class Sent:
    """A `send` that keeps what was sent, and can fail or keep the broker's answer back.

    Attributes
    ----------
    all : list of (str, Outgoing)
        Topic and record, in the order of sending.
    fails : function
        The error with which sending to a topic fails, or None. Called for each record.
    held : list of Future or None
        If it is a list, answers wait in it until the test completes them.
    """

    all: list[tuple[str, Outgoing]] = field(default_factory=list)
    fails: Callable[[str], Exception | None] = lambda topic: None
    held: list[asyncio.Future[Any]] | None = None

    async def __call__(self, topic: str, outgoing: Outgoing) -> asyncio.Future[Any]:
        return self.known(topic, outgoing)

    def known(self, topic: str, outgoing: Outgoing) -> asyncio.Future[Any]:
        """Send to a topic that is known."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        error = self.fails(topic)
        if error is not None:
            answer.set_exception(error)
            return answer
        self.all.append((topic, outgoing))
        if self.held is None:
            answer.set_result(None)
        else:
            self.held.append(answer)
        return answer

    async def together(self, topic: str, records: Sequence[Outgoing]) -> None:
        """Send many; returns when all of them were answered."""
        await asyncio.gather(*[await self(topic, each) for each in records])

    def hold(self) -> list[asyncio.Future[Any]]:
        """From now on answers wait in the list that is returned."""
        self.held = []
        return self.held

    def to(self, topic: str) -> list[Outgoing]:
        """What was sent to a topic."""
        return [outgoing for name, outgoing in self.all if name == topic]


async def until(condition: Callable[[], object]) -> None:
    """Let other tasks run until a condition holds; the test's own timeout ends what never does."""
    while not condition():  # noqa: ASYNC110 - whatever makes it true sets no event
        await asyncio.sleep(0)


@functools.cache
def users_of(partition: int, partitions: int) -> list[str]:
    """Three users of a partition."""
    users = map(str, itertools.count())
    return list(itertools.islice((each for each in users if partition_of(each, partitions) == partition), 3))


def rating_value(user: str, item: str, rating: float | None = 5, **more: Any) -> bytes:
    """A rating as it comes over the wire."""
    return json.dumps({"user": user, "item": item, "rating": rating, **more}).encode()


def rating_records(ratings: Iterable[Rating], first: int = 0) -> list[FakeRecord]:
    """Records of consecutive offsets that hold these ratings."""
    return [
        FakeRecord(
            offset,
            rating_value(each.user, each.item, each.rating, timestamp=each.timestamp),
            each.user.encode(),
        )
        for offset, each in enumerate(ratings, first)
    ]
