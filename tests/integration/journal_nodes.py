"""What tests of the journal share: sources whose content is known, and nodes that write and follow them.

Run as a program it is a node to be killed: ``python -m tests.integration.journal_nodes BROKER JOURNAL SIZE``.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from recommender.journal.block import Source
from recommender.journal.follower import IDENTITY_SECONDS, PIECE_BYTES, Follower
from recommender.journal.lanes import start_offset
from recommender.journal.outbox import JournalProducer, Send
from recommender.journal.outcome import Followed
from recommender.journal.records import Record
from recommender.journal.rule import Rule
from recommender.journal.writer import JournalWriter
from recommender.kafka.admin import security_options
from recommender.kafka.plain_clients import REQUEST_SECONDS, client_options
from recommender.kafka.topics import identify
from recommender.settings import Settings
from tests.unit.journal.blocks import TOPIC, Row, columns, listed

Rated = tuple[str, str, float | None, float]

#: Records that a source gives at once.
BATCH = 40


def source(partition: int) -> Source:
    """A source partition."""
    return Source(TOPIC, partition)


def row(partition: int, offset: int) -> Row | None:
    """A source's record: mostly a rating, sometimes none, and at some offsets no record."""
    if offset % 11 == 5:
        return None
    user = None if offset % 7 == 3 else f"u{partition}-{offset % 50}"
    return Row(offset, user, f"i{offset}", float(offset % 5 + 1), 1e9 + offset)


def expected(partition: int, size: int) -> list[Rated]:
    """All ratings of a source, in order."""
    rows = (row(partition, offset) for offset in range(size))
    return [(each.user, each.item, each.rating, each.time) for each in rows if each and each.user]


def of_source(rated: Sequence[Rated], partition: int) -> list[Rated]:
    """The ratings of one source among those of all."""
    return [each for each in rated if each[0].startswith(f"u{partition}-")]


@dataclass
class _Target:
    """A partition of the journal, as a node follows it."""

    node: Node
    rule: Rule

    async def take(self, records: Sequence[Record]) -> bool:
        """Follow records."""
        followed = self.rule.follow(records)
        await self.node.take(followed)
        if followed.error is not None:
            raise followed.error
        return True

    def skip_to(self, offset: int) -> None:
        """Go on behind a gap."""
        self.rule.skip_to(offset)

    def begin_again(self, offset: int) -> None:
        """Follow from where everything begins again."""
        raise AssertionError(f"this journal is not rewritten: {offset}")


@dataclass
class Node:
    """Writes sources into the journal, and follows it.

    Attributes
    ----------
    rated : list
        What has counted, in the journal's order.
    reads : list of (int, int)
        Partitions of sources that were read again, and from where.
    """

    config: Settings
    journal: str
    partitions: int = 1
    state: Sequence[dict[str, Any]] | None = None
    allow_gap: bool = False
    identity_seconds: float = IDENTITY_SECONDS
    piece_bytes: int = PIECE_BYTES
    rated: list[Rated] = field(default_factory=list)
    reads: list[tuple[int, int]] = field(default_factory=list)
    rules: list[Rule] = field(init=False)
    followers: list[Follower] = field(init=False)
    writer: JournalWriter = field(init=False)
    running: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rules = [Rule(self.journal, each, self.partitions) for each in range(self.partitions)]
        for rule, state in zip(self.rules, self.state or (), strict=False):
            rule.restore(state)
        options = client_options(self.config)

        def identity() -> Any:
            return identify(self.config.broker, self.journal, 0.0, security_options(self.config))

        self.followers = [
            Follower(
                _Target(self, rule),
                options,
                identity,
                allow_gap=self.allow_gap,
                identity_seconds=self.identity_seconds,
                piece_bytes=self.piece_bytes,
            )
            for rule in self.rules
        ]

    async def take(self, followed: Followed) -> None:
        """Learn."""
        self.rated += listed(followed.rows)
        if hasattr(self, "writer"):
            self.writer.followed()

    def follow(self) -> None:
        """Begin to follow."""
        self.running = [asyncio.create_task(each.run()) for each in self.followers]

    async def caught_up(self) -> None:
        """Return when all that the journal has now is followed; raises what ended following."""
        catching = asyncio.gather(*(each.catch_up() for each in self.followers))
        waited: list[asyncio.Future[Any]] = [catching, *self.running]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        for each in self.running:
            if each.done():
                catching.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await catching
                each.result()
        await catching

    async def read_again(self, of: Source, offset: int) -> None:
        """Read a source from an offset on."""
        self.reads.append((of.partition, offset))
        self.places[of.partition] = offset

    async def write(self, sizes: Sequence[int], pause: float = 0.0) -> None:
        """Own a source of each of these sizes, and write them until all are applied."""
        self.places: dict[int, int] = {}
        for partition in range(len(sizes)):
            applied = min(rule.applied(source(partition)) for rule in self.rules)
            start = start_offset("source", None, applied, sizes[partition], followed_to_end=True)
            self.places[partition] = start
            self.writer.begin(source(partition), start)
        while not self.is_applied(sizes):
            for partition, size in enumerate(sizes):
                await self._write_some(partition, size)
            await asyncio.sleep(pause)

    def is_applied(self, sizes: Sequence[int]) -> bool:
        """Whether all of the sources is applied."""
        return all(
            rule.applied(source(partition)) >= size
            for partition, size in enumerate(sizes)
            for rule in self.rules
        )

    async def _write_some(self, partition: int, size: int) -> None:
        place = self.places[partition]
        batch = [row(partition, offset) for offset in range(place, min(place + BATCH, size))]
        there = [each for each in batch if each is not None]
        if not batch or not there:
            await asyncio.sleep(0.01)
            return
        self.places[partition] = there[-1].offset + 1
        rows, offsets = columns(there)
        # The last record says where the source ends.
        end = size if self.places[partition] >= size - 1 else self.places[partition]
        await self.writer.append(source(partition), there[0].offset, end, rows, offsets)


@contextlib.asynccontextmanager
async def running(
    broker: str | Settings,
    journal: str,
    partitions: int = 1,
    send: Callable[[Send], Send] = lambda send: send,
    on_ack: bool = True,
    request_seconds: float = REQUEST_SECONDS,
    **options: Any,
) -> AsyncIterator[Node]:
    """A node that follows, and may write; `send` wraps what it sends with.

    A block is given up after `request_seconds`.
    """
    config = Settings(broker=broker) if isinstance(broker, str) else broker
    node = Node(config, journal, partitions, **options)
    given_up = {"request_timeout_ms": int(request_seconds * 1000)}
    producer = JournalProducer(journal, client_options(config) | given_up)

    def acknowledged(partition: int, block: Any) -> None:
        node.followers[partition].acknowledged(block)

    node.writer = JournalWriter(
        send(producer),
        node.read_again,
        partitions=partitions,
        rules=lambda: node.rules,
        renew=producer.renew,
        acknowledged=acknowledged if on_ack else None,
    )
    node.follow()
    try:
        yield node
    finally:
        await node.writer.close()
        await producer.close()
        await asyncio.gather(*(each.stop() for each in node.followers))
        await asyncio.gather(*node.running, return_exceptions=True)


def run(scenario: Callable[[], Awaitable[Any]], seconds: float = 60.0) -> Any:
    """Run a scenario, for a bounded time."""
    return asyncio.run(asyncio.wait_for(scenario(), seconds))


async def _main(broker: str, journal: str, sizes: list[int]) -> None:
    """Follow to the end, then write; a line for all that counts then."""
    async with running(broker, journal) as node:
        await node.caught_up()
        take = node.take

        async def tell(followed: Followed) -> None:
            await take(followed)
            print(len(node.rated), flush=True)

        node.take = tell  # type: ignore[method-assign]
        await node.write(sizes, pause=0.03)
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], [int(each) for each in sys.argv[3:]]))
