"""A worker of three is killed: how long is it until every request is answered again?

100 requests a second come to all partitions; one worker gets SIGKILL. Kafka notices when the session is
over, so what counts is how much longer it takes until the last request that had to wait has its reply. A
request that is never answered makes the turn fail.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

import numpy as np

from benchmarks.contest import Goal, Metric, Options, Outcome, Turn, Values, compete
from benchmarks.data import ML_100K, repeated
from benchmarks.editions import HERE, editions
from benchmarks.installation import PATIENCE, Installation, installed, users_of
from benchmarks.kafka_log import broker
from benchmarks.load import asking
from recommender.settings import Settings
from recommender.shard import warmup

KILLED = "1 of 3 workers killed"
RECOVERY = Metric("until every request is answered again", "s", "lower")
METRICS = [RECOVERY, Metric("the longest wait for a reply", "s", "lower")]
WORKERS, PARTITIONS, RATE = 3, 6, 100
#: A reply had to wait for the recovery if it took longer than so many milliseconds.
LATE = 500.0
SESSION = Settings().session_timeout
#: How long replies are awaited beyond the session's end.
BEYOND = 10.0


def run(options: Options) -> list[Outcome]:
    """Kill a worker of each edition in turns."""
    outcome = Outcome("failover", "A worker is killed", HERE.called(KILLED), METRICS)
    known = options.size(1_000_000, 20_000)
    shape = repeated(ML_100K, round(known * 1.05))
    warmup.warm((Settings().model,))
    with broker() as address, ExitStack() as stack:
        turns: list[tuple[str, Turn]] = []
        for edition in editions(outcome, options):
            installation = stack.enter_context(installed(address, edition, PARTITIONS))
            options.tell(f"failover: {edition.name} learns {known:,} ratings")
            installation.teach(shape, known)
            turns.append((edition.called(KILLED), _Killing(installation, users_of(shape, known)).turn))
        compete(outcome, turns, options)
    took = outcome.median(outcome.ours, RECOVERY.name)
    outcome.goals = [Goal(f"recovery, session {SESSION:g} s", took, SESSION + 1.0, "s", "lower")]
    return [outcome]


class _Killing:
    """One edition's turns; each kills another one of the workers, in the order in which they came."""

    def __init__(self, installation: Installation, users: list[str]) -> None:
        self._installation, self._users = installation, users
        self._turns = 0

    def turn(self) -> Values:
        installation = self._installation
        where = installation.address, installation.prefix, self._users
        with ExitStack() as stack:
            workers = [stack.enter_context(installation.worker().start()) for _ in range(WORKERS)]
            for each in workers:
                each.ready(PATIENCE)
            with asking(*where, rate=RATE):
                time.sleep(3.0)  # the first answers find cold caches, and the group may still move
            with asking(*where, rate=RATE) as replies:
                time.sleep(2.0)
                killed = time.monotonic()
                workers[self._turns % WORKERS].kill()
                time.sleep(SESSION + BEYOND)
        self._turns += 1
        lost = int(np.count_nonzero(np.isinf(replies.took)))
        if lost:
            raise RuntimeError(f"{lost} of {len(replies.due)} requests were never answered")
        after = replies.since(killed - LATE / 1e3)
        return {
            RECOVERY.name: max(0.0, after.late_until(LATE) - killed),
            METRICS[1].name: float(after.took.max()) / 1e3,
        }
