"""A journal in memory, for the tests of what follows it and answers from it."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence

from recommender.journal.block import Source
from recommender.journal.fingerprint import fingerprint
from recommender.kafka.topics import TopicInfo
from recommender.messages.ratings import Rating
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from tests.unit.journal.blocks import TOPIC, Block, Row, packed

#: The journal as Kafka knows it.
FOUND = TopicInfo("ratings-journal", 1, str(uuid.UUID(bytes=TOPIC)))
#: The ratings' only partition.
SOURCE = Source(TOPIC, 0)


def decoder_of(feedback: Feedback) -> int:
    """The fingerprint of what reads ratings for a policy."""
    return fingerprint(feedback.low, feedback.high, skips=feedback.skips)


class Journal:
    """A partition of the journal.

    Attributes
    ----------
    blocks : list of Block
    """

    def __init__(self, feedback: Feedback | None = None) -> None:
        self.blocks: list[Block] = []
        self._decoder = decoder_of(feedback or ShardOptions().feedback)
        self._ends: dict[Source, int] = {}

    def add(
        self, ratings: Iterable[Rating], source: Source = SOURCE, stamp: int = 0, at: int | None = None
    ) -> Block:
        """Add a block of ratings that continue their source, or begin at an offset of it.

        Parameters
        ----------
        ratings : iterable of Rating
        source : Source
        stamp : int
            When the broker got it, in milliseconds.
        at : int, optional
        """
        begin = self._ends.get(source, 0) if at is None else at
        rows = [
            Row(offset, each.user, each.item, each.rating, each.timestamp or 0.0)
            for offset, each in enumerate(ratings, begin)
        ]
        end = begin + len(rows)
        self._ends[source] = max(end, self._ends.get(source, 0))
        block = Block(len(self.blocks), packed(rows, begin, end, source, self._decoder), stamp)
        self.blocks.append(block)
        return block


def ratings(first: int, count: int) -> list[Rating]:
    """Ratings of few users and items, so that some are changed or withdrawn."""
    return [
        Rating(f"u{each % 5}", f"i{each * each % 11}", None if each % 9 == 8 else each % 5 + 1, float(each))
        for each in range(first, first + count)
    ]


def journal_of(sizes: Sequence[int], stamps: Sequence[int] = ()) -> Journal:
    """A journal with a block of each size; stamps are in milliseconds."""
    made, first = Journal(), 0
    for place, size in enumerate(sizes):
        made.add(ratings(first, size), stamp=stamps[place] if stamps else 0)
        first += size
    return made
