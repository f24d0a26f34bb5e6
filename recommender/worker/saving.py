"""What a worker makes durable, and when: checkpoints, and the offsets of what is saved and answered."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from recommender.kafka.topics import Topics
from recommender.worker.answering import Answerer
from recommender.worker.commits import Commits
from recommender.worker.shards import Shards

#: How long what is under way may take when partitions are about to move or the worker stops, in seconds:
#: requests that are being answered, and then saving. Whoever comes next waits for it.
HAND_OVER_SECONDS = 2.0


class Saving:
    """Saves shards, and commits offsets.

    Parameters
    ----------
    shards : Shards
    answerer : Answerer
    commits : Commits
    topics : Topics
    """

    def __init__(self, shards: Shards, answerer: Answerer, commits: Commits, topics: Topics) -> None:
        self._shards = shards
        self._answerer = answerer
        self._commits = commits
        self._topics = topics
        self._under_way: set[asyncio.Task[bool]] = set()

    async def save(self) -> None:
        """Save what was learned, and commit how far that is."""
        await self._shards.save_all(self._commit_ratings)

    async def commit_replies(self) -> None:
        """Commit how far requests are answered; also where there were none, as a group that comes anew
        passes over old ones.
        """
        await self._commits.advance(self._topics.requests, self._answerer.done(), also_zero=True)

    async def settle(self, within: float = HAND_OVER_SECONDS) -> None:
        """Finish what is under way and make it durable, as far as that takes no longer than it may.

        Replies come first: those that are not committed are given again by the partition's next owner, while
        what is not saved is only learned again. A store that is slow, as far away ones may be, goes on being
        written beside what comes next.

        Parameters
        ----------
        within : float
            How long answering, and then saving, may take, in seconds.
        """
        await self._answerer.hand_over(within)
        await self.commit_replies()
        saving = asyncio.create_task(self._shards.save_all(self._commit_ratings, within))
        self._under_way.add(saving)
        saving.add_done_callback(self._under_way.discard)
        await asyncio.wait([saving], timeout=within)
        if saving.done():
            saving.result()
        await self.commit_replies()

    async def _commit_ratings(self, offsets: Mapping[int, int]) -> None:
        await self._commits.advance(self._topics.ratings, offsets)
