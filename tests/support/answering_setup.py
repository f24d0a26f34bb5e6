"""An answerer with one shard, for the tests of answering."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from recommender.checkpoints.store import CheckpointStore, Identity
from recommender.experiments.log_writer import LogWriter
from recommender.messages.ratings import Rating
from recommender.messages.records import Outgoing
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.worker.answering import Answerer
from recommender.worker.held import Held
from recommender.worker.shards import Shards
from recommender.worker.transport.batch import Batch
from tests.support.doubles import FakeRecord, Sent, until

REQUESTS, RESPONSES = "recommendation-requests", "recommendation-responses"
LOG = "recommendations-log"


class Desk:
    """An answerer whose only shard, of partition 0, knows three ratings; and what it did."""

    def __init__(
        self,
        partitions: int = 1,
        request_wait: float = 600.0,
        options: ShardOptions | None = None,
        logs: bool = False,
    ) -> None:
        store = CheckpointStore(Path("never"), Identity("ratings", "id", partitions))
        self.shards = Shards(options or ShardOptions(), store)
        self.shard = Shard(self.shards.options)
        self.learn(3)
        self.shards.held[0] = Held(self.shard)
        self.sent = Sent()
        self.codes: list[str] = []
        self.logged: list[bool] = []
        self.sought: list[tuple[int, int]] = []
        self.answerer = Answerer(
            self.shards,
            self.sent,
            self._seek,
            requests_topic=REQUESTS,
            responses_topic=RESPONSES,
            partitions=partitions,
            reply_topics=["*-replies"],
            request_wait=request_wait,
            answered=lambda code, seconds: self.codes.append(code),
            log=LogWriter(self.sent, LOG, "default", self.logged.append) if logs else None,
        )
        self.answerer.start_at(0, 0)

    async def _seek(self, partition: int, offset: int) -> None:
        self.sought.append((partition, offset))

    def learn(self, count: int) -> None:
        """Learn so many ratings more."""
        ratings = [
            Rating("rater", f"i{each}", 5, None)
            for each in range(self.shard.offset, self.shard.offset + count)
        ]
        self.shard.learn(ratings, map(float, range(count)))
        self.shard.offset += count

    async def take(self, *records: FakeRecord) -> None:
        """Hand a batch over, without waiting for its replies."""
        fetched: list[Any] = list(records)
        # These records are all that the log has.
        await self.answerer.take(Batch(REQUESTS, records[0].partition, fetched, position=0))

    async def ask(self, *records: FakeRecord) -> list[Outgoing]:
        """Hand a batch over and wait until each request is done with; what went to the response topic."""
        before = len(self.codes)
        await self.take(*records)
        await until(lambda: len(self.codes) >= before + len(records))
        return self.sent.to(RESPONSES)


def request(offset: int = 0, user: str = "rater", headers: Any = (), **fields: Any) -> FakeRecord:
    """A request's record."""
    value = json.dumps({"user": user, **fields}).encode()
    return FakeRecord(offset, value, user.encode(), 0, tuple(headers), REQUESTS)


def body(reply: Outgoing) -> Any:
    """What a reply says."""
    return json.loads(reply.value or b"")


def error_of(reply: Outgoing) -> dict[str, Any]:
    """The error in a failure, whose code must also be the only such header."""
    told = body(reply)
    assert told["ok"] is False
    assert [value for name, value in reply.headers if name == "error-code"] == [
        told["error"]["code"].encode()
    ]
    error: dict[str, Any] = told["error"]
    return error
