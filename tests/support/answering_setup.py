"""An answerer with one replica, for the tests of answering."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from recommender.checkpoints.identity import Identity
from recommender.checkpoints.store import CheckpointStore
from recommender.experiments.log_writer import LogLimits, LogWriter
from recommender.journal.block import Source
from recommender.journal.replica import Replica
from recommender.journal.rule import Rule
from recommender.messages.ratings import Rating
from recommender.messages.records import Outgoing
from recommender.messages.unreadable import Unreadable
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard
from recommender.worker.answering import Answerer
from recommender.worker.answers import MAX_WAITING, Answers
from recommender.worker.replicas import HeldReplica, Replicas
from tests.support.doubles import FakeRecord, Sent, until
from tests.support.journals import SOURCE, Journal

REQUESTS, RESPONSES = "recommendation-requests", "recommendation-responses"
LOG = "recommendations-log"


class Desk:
    """An answerer whose only replica knows three ratings; and what it did.

    Parameters
    ----------
    partitions : int
        Of the ratings topic.
    replicas : int
        Partitions of the journal, of which the first one is here.
    """

    def __init__(
        self,
        partitions: int = 1,
        request_wait: float = 600.0,
        options: ShardOptions | None = None,
        logs: bool = False,
        log_limits: LogLimits | None = None,
        replicas: int = 1,
        max_waiting: int = MAX_WAITING,
        **limits: Any,
    ) -> None:
        options = options or ShardOptions()
        store = CheckpointStore(Path("never"), Identity("ratings-journal", "id", replicas))
        rule = Rule("ratings-journal", 0, replicas)
        self.journal = Journal(options.feedback)
        self.replicas = Replicas(options, store, lambda partition: rule, replicas)
        self.held = HeldReplica(Replica(rule, options), store, caught_up=True)
        self.replicas.hold(0, self.held)
        self.rated, self.partitions = 0, partitions
        self.learn(3)
        self.sent = Sent()
        self.codes: list[str] = []
        self.logged: list[bool] = []
        self.buried: list[Unreadable] = []
        self.bury: Callable[[Unreadable], Awaitable[None]] = self._bury
        self.answers = Answers(
            self.replicas, SOURCE.topic_id, lambda: self.partitions, max_waiting=max_waiting
        )
        self.answerer = Answerer(
            self.answers,
            self.sent,
            requests_topic=REQUESTS,
            responses_topic=RESPONSES,
            reply_topics=["*-replies"],
            request_wait=request_wait,
            answered=lambda code, seconds: self.codes.append(code),
            bury=lambda record: self.bury(record),
            log=LogWriter(self.sent, LOG, "default", self.logged.append, log_limits) if logs else None,
            **{"send_known": self.sent.known, **limits},
        )
        self.start_at(0, 0)

    async def _bury(self, record: Unreadable) -> None:
        self.buried.append(record)

    @property
    def shard(self) -> Shard:
        """What answers."""
        return self.held.replica.shard

    def start_at(
        self,
        partition: int,
        committed: int | None,
        begins: int = 0,
        ends: int | None = None,
        *young: int | None,
    ) -> int:
        """Where to read a partition's requests from."""
        return self.answerer.progress.start_at(partition, committed, begins, ends, *(young or (None,)))

    def done(self) -> dict[int, int]:
        """What may be committed."""
        return self.answerer.progress.done()

    def keep_only(self, partitions: set[int]) -> None:
        """Have no other partitions of the request topic any more."""
        self.answerer.progress.keep_only(partitions)

    def learn(self, count: int, partition: int = 0) -> None:
        """Learn so many ratings more of a partition of the ratings topic."""
        items = range(self.rated, self.rated + count)
        self.rated += count
        ratings = [Rating("rater", f"i{each}", 5, float(each)) for each in items]
        self.held.replica.apply([self.journal.add(ratings, Source(SOURCE.topic_id, partition))])

    async def take(self, *records: Any) -> None:
        """Hand records over, without waiting for their replies."""
        fetched: Sequence[Any] = records
        await self.answerer.take(records[0].partition, fetched)

    async def ask(self, *records: Any) -> list[Outgoing]:
        """Hand records over and wait until each request is done with; what went to the response topic."""
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
