"""Says how the worker is, check by check, each in a sentence."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from recommender.errors import RecommenderError
from recommender.web.health import FAILING, OK, WARNING, Check
from recommender.worker.broker_watch import BrokerWatch
from recommender.worker.checkpointing import Checkpointing
from recommender.worker.following import Following
from recommender.worker.loop_watch import LoopWatch
from recommender.worker.replicas import Replicas
from recommender.worker.request_consumer import RequestConsumer
from recommender.worker.source_progress import SourceTopic
from recommender.worker.verdict import BROKER

#: A worker that has not been at the end of the journal for this long is not ready, in seconds.
READY_LAG_SECONDS = 30.0


class Health:
    """The checks of a worker.

    Parameters
    ----------
    following : Following
    requests : RequestConsumer
    replicas : Replicas
    checkpointing : Checkpointing
    broker : BrokerWatch
    loop : LoopWatch
    failure : function
        Why the worker is about to end, if it is.
    reads : function
        The partitions of the ratings topic that this worker reads.
    sources : function
        The topics that have a table.
    """

    def __init__(
        self,
        following: Following,
        requests: RequestConsumer,
        replicas: Replicas,
        checkpointing: Checkpointing,
        broker: BrokerWatch,
        loop: LoopWatch,
        failure: Callable[[], RecommenderError | None],
        reads: Callable[[], Collection[int]],
        sources: Callable[[], Sequence[SourceTopic]] = tuple,
    ) -> None:
        self._following, self._requests, self._replicas = following, requests, replicas
        self._checkpointing, self._broker, self._loop = checkpointing, broker, loop
        self._failure, self._reads, self._sources = failure, reads, sources

    def alive(self) -> str:
        """A sentence that says that the event loop turns: else there would be no answer."""
        return self._loop.summary()

    def checks(self) -> list[Check]:
        """Every check, the gravest first. What fails makes the worker not ready; a warning does not."""
        return [
            self._digests(),
            self._running(),
            self._journal(),
            self._request_group(),
            self._ratings(),
            *self._of_sources(),
            self._store(),
            self._brokers(),
        ]

    def _digests(self) -> Check:
        differs = self._checkpointing.differs
        if differs:
            return Check("digests", FAILING, next(iter(differs.values())))
        return Check("digests", OK, "no other worker has saved another state than this one's")

    def _running(self) -> Check:
        failure = self._failure()
        return (
            Check("worker", FAILING, str(failure)) if failure else Check("worker", OK, "nothing has failed")
        )

    def _journal(self) -> Check:
        behind = self._following.behind(READY_LAG_SECONDS)
        if behind:
            return Check("journal", FAILING, behind)
        positions = [f"{held.replica} up to offset {held.replica.position}" for held in self._replicas]
        return Check("journal", OK, "followed: " + (", ".join(positions) or "nothing, as a standby"))

    def _request_group(self) -> Check:
        not_joined = self._requests.not_joined
        if not_joined:
            return Check("requests", FAILING, not_joined)
        partitions = self._requests.partitions
        if not partitions:
            return Check("requests", OK, "a standby: other workers have all partitions of the requests")
        return Check("requests", OK, f"answers {_listed(partitions)}")

    def _ratings(self) -> Check:
        partitions = self._reads()
        if not partitions:
            return Check("ratings", OK, "reads none: other workers write the ratings into the journal")
        return Check("ratings", OK, f"reads {_listed(partitions)}")

    def _of_sources(self) -> list[Check]:
        """A check of each source. Never failing: while one waits all others are learned."""
        found = []
        for each in self._sources():
            level, says = OK, f"reads {_listed(each.reads)} of {each.topic}"
            if each.waits_for:
                level, says = WARNING, f"source {each.name} waits: {each.waits_for}"
            elif not each.reads:
                says = f"reads none of {each.topic}: other workers do"
            found.append(Check(f"source {each.name}", level, says))
        return found

    def _store(self) -> Check:
        """Never failing: a worker that learns and answers without saving is better than none."""
        errors = self._checkpointing.errors
        if errors:
            said = errors[min(errors)]
            return Check(
                "checkpoints", WARNING, f"checkpoints cannot be written, so a restart takes longer: {said}"
            )
        saved = [held.saved_at for held in self._replicas if held.saved >= 0]
        if not saved:
            return Check("checkpoints", OK, "none was saved yet")
        return Check(
            "checkpoints", OK, f"the newest was saved {max(0.0, time.time() - max(saved)):.0f} s ago"
        )

    def _brokers(self) -> Check:
        gone = self._broker.gone_seconds
        if gone is not None:
            says = f"no broker at {self._broker.broker} has answered for {gone:.0f} s"
            return Check(BROKER, WARNING, says)
        return Check(BROKER, OK, f"{self._broker.broker} answers")


def _listed(partitions: Collection[int]) -> str:
    plural = "" if len(partitions) == 1 else "s"
    return f"partition{plural} {', '.join(map(str, sorted(partitions)))}"
