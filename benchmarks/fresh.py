"""The time until a rating counts, on an idle worker: until it is learned, and until lists know of it.

*Learned*: from the broker's acknowledgement until the worker's status page shows one event more. The page
is asked all the time, so its answer, shown beside, is a part of the figure and a load on the worker.

*Recommended*: from writing a rating, over its acknowledgement, to the reply to a request with `after`; by
the leanest client, and by `recommender.client`.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

import numpy as np

from benchmarks.contest import Goal, Metric, Options, Outcome, Turn, Values, compete
from benchmarks.data import ML_100K, repeated
from benchmarks.editions import HERE, editions
from benchmarks.environments import ask
from benchmarks.installation import PATIENCE, Installation, installed, users_of
from benchmarks.kafka_log import broker
from benchmarks.workers import Worker
from recommender.client import Client
from recommender.settings import Settings
from recommender.shard import warmup

LEARNED, PAGE = "acknowledged until learned", "the status page alone"
RECOMMENDED = "rated, then recommended"
BY_CLIENT = "rated, then recommended, by recommender.client"
METRICS = [Metric("p50", "ms", "lower"), Metric("p99", "ms", "lower")]
KNOWN = 100_000


def run(options: Options) -> list[Outcome]:
    """Let each edition's worker wait idle, and rate in turns."""
    outcome = Outcome("fresh", "A rating counts", HERE.called(LEARNED), METRICS)
    known = options.size(KNOWN, 20_000)
    shape = repeated(ML_100K, round(KNOWN * 1.05))
    warmup.warm((Settings().model,))
    with broker() as address, ExitStack() as stack:
        turns: list[tuple[str, Turn]] = []
        for edition in editions(outcome, options):
            installation = stack.enter_context(installed(address, edition))
            installation.teach(shape, known)
            worker = stack.enter_context(installation.worker().start().ready(PATIENCE))
            rating = _Rating(installation, worker, users_of(shape, known), outcome, options)
            turns += [
                (edition.called(LEARNED), rating.learned),
                (edition.called(BY_CLIENT), rating.by_client),
            ]
        compete(outcome, turns, options)
    outcome.goals = [
        Goal("acknowledged until learned, p50", outcome.median(outcome.ours, "p50"), 3.0, "ms", "lower"),
        Goal("acknowledged until learned, p99", outcome.median(outcome.ours, "p99"), 8.0, "ms", "lower"),
        Goal(RECOMMENDED + ", p50", outcome.median(HERE.called(RECOMMENDED), "p50"), 6.0, "ms", "lower"),
    ]
    return [outcome]


class _Rating:
    """One edition's turns."""

    def __init__(
        self, installation: Installation, worker: Worker, users: list[str], outcome: Outcome, options: Options
    ) -> None:
        self._installation, self._worker = installation, worker
        self._users, self._outcome, self._options = users, outcome, options

    def learned(self) -> Values:
        """Measure by the leanest client; what else it finds is added as contestants of their own."""
        installation, count = self._installation, self._options.size(500, 30)
        where = installation.address, installation.prefix, self._worker.port, count
        found = ask("confluent_fresh", *where, *self._users)
        for name, kind in ((PAGE, "page"), (RECOMMENDED, "recommended")):
            self._outcome.add(installation.edition.called(name), _of(found, kind))
        return _of(found, "learned")

    def by_client(self) -> Values:
        """Measure by our own client."""
        installation, times = self._installation, []
        with Client(installation.address, installation.prefix) as client:
            for number in range(self._options.size(300, 20) + 3):
                user = self._users[number % len(self._users)]
                time.sleep(0.02)
                begin = time.perf_counter()
                written = client.rate(user, str(number % 1682), 4)
                client.recommend(user, after=written.offset, timeout=30)
                times.append((time.perf_counter() - begin) * 1e3)
        p50, p99 = np.percentile(times[3:], (50, 99))
        return {"p50": float(p50), "p99": float(p99)}


def _of(found: Values, kind: str) -> Values:
    return {share: found[f"{kind}_{share}"] for share in ("p50", "p99")}
