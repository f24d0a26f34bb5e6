"""Measures requests answered a second, 100,000 ratings of 1,682 items known.

*Saturated*: a client keeps 200 requests under way. *Open loop*: requests come at a rate, whether or not
replies keep up; what is found is the highest rate at which 99 % are answered within 50 ms of when they
were due. Both by one worker, with one partition.

*Pinned*: one worker and two, saturated, with two partitions, each worker on a core of its own. Where
there are four cores or more, the broker and the client have the others, and two workers can be twice as
fast as one. With fewer, all of them share the two cores: then the gain is shown but not judged, and what
counts is that an answer costs two workers no more processor time than one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.contest import Goal, Metric, Options, Outcome, Values, compete
from benchmarks.data import ML_100K, repeated
from benchmarks.editions import BEFORE, HERE, Edition, editions
from benchmarks.installation import PATIENCE, Installation, installed, users_of
from benchmarks.load import answered
from benchmarks.workers import Worker, cores_here, pin
from recommender.kafka.local.broker import LocalBroker
from recommender.settings import Settings
from recommender.shard import warmup

SATURATED, OPEN_LOOP = "1 worker saturated", "1 worker, open loop, p99 <= 50 ms"
PINNED = "{} pinned, saturated, 2 partitions"
ONE, TWO = PINNED.format("1 worker"), PINNED.format("2 workers")
ANSWERS = Metric("answers", "1/s", "higher")
COST = Metric("processor time of the workers", "ms an answer", "lower")
METRICS = [ANSWERS, Metric("p50", "ms", "lower"), Metric("p99", "ms", "lower"), COST]
WINDOW = 200
BOUND = 50.0
KNOWN = 100_000
#: Steps in which the highest rate is looked for; the first guess is what a saturated worker does, or this.
STEPS, GUESS = 6, 2_000.0
#: A rate is kept up with if so much of it is answered while it lasts.
KEPT_UP = 0.98
#: With so many cores two are free for two workers.
CORES = 4


def run(options: Options) -> list[Outcome]:
    """Teach each edition's workers, then ask them in turns."""
    outcome = Outcome("answers", "Requests answered", HERE.called(SATURATED), METRICS)
    known = options.size(KNOWN, 20_000)
    shape = repeated(ML_100K, round(KNOWN * 1.05))
    warmup.warm((Settings().model,))
    with LocalBroker(heap="768m") as broker, ExitStack() as stack:
        stands = []
        for edition in editions(outcome, options):
            plain, pair = (stack.enter_context(installed(broker.address, edition, each)) for each in (1, 2))
            options.tell(f"answers: {edition.name} learns {known:,} ratings")
            for each in (plain, pair):
                each.teach(shape, known)
            stands.append(_Stand(edition, plain, pair, users_of(shape, known), broker, options))
        measures: list[tuple[str, Callable[[_Stand], Values]]] = [
            (SATURATED, _Stand.saturated),
            (OPEN_LOOP, _Stand.open_loop),
            (ONE, lambda stand: stand.pinned(1)),
            (TWO, lambda stand: stand.pinned(2)),
        ]
        turns = [
            (stand.edition.called(name), lambda stand=stand, measure=measure: measure(stand))
            for name, measure in measures
            for stand in stands
        ]
        compete(outcome, turns, options)
    _judge(outcome)
    return [outcome]


class _Stand:
    """One edition's turns."""

    def __init__(
        self,
        edition: Edition,
        plain: Installation,
        pair: Installation,
        users: list[str],
        broker: LocalBroker,
        options: Options,
    ) -> None:
        self.edition = edition
        self._plain, self._pair = plain, pair
        self._users, self._broker, self._options = users, broker, options
        self._guess = GUESS

    def saturated(self) -> Values:
        """Ask for as many answers as one worker gives."""
        with self._plain.worker().start() as worker:
            values = self._measure([worker.ready(PATIENCE)], self._plain)
        self._guess = values[ANSWERS.name]
        return values

    def open_loop(self) -> Values:
        """The highest rate that is answered in time, halving the interval that it lies in."""
        low, high = 0.0, self._guess * 1.1
        best: Values = {}
        with self._plain.worker().start() as worker:
            worker.ready(PATIENCE)
            answered(*self._where(self._plain), 1.0, window=WINDOW)
            for _ in range(self._options.size(STEPS, 2)):
                rate = (low + high) / 2
                values = self._measure([worker], self._plain, rate=rate)
                if values[ANSWERS.name] >= KEPT_UP * rate and values["p99"] <= BOUND:
                    low, best = rate, values
                else:
                    high = rate
        if not best:
            raise RuntimeError(f"not even {high:,.0f} requests a second were answered within {BOUND:g} ms")
        return best

    def pinned(self, count: int) -> Values:
        """Ask for as many answers as workers give that have a core each."""
        cores = cores_here()
        others = cores[2:] if len(cores) >= CORES else cores
        assert self._broker.pid is not None
        pin(self._broker.pid, others)
        try:
            with ExitStack() as stack:
                workers = [stack.enter_context(self._pair.worker().start()) for _ in range(count)]
                for worker, core in zip(workers, cores, strict=False):
                    pin(worker.pid, [core])
                for worker in workers:
                    worker.ready(PATIENCE)
                return self._measure(workers, self._pair, cores=others)
        finally:
            pin(self._broker.pid, cores)

    def _where(self, installation: Installation) -> tuple[str, str, list[str]]:
        return installation.address, installation.prefix, self._users

    def _measure(
        self,
        workers: list[Worker],
        installation: Installation,
        *,
        rate: float = 0.0,
        cores: list[int] | None = None,
    ) -> Values:
        where = self._where(installation)
        window = 0 if rate else WINDOW * len(workers)
        if not rate:
            answered(*where, 1.0, window=window, cores=cores or ())  # the first ones find cold caches
        before, begin = sum(each.cpu_seconds() for each in workers), time.monotonic()
        seconds = float(self._options.size(6 if rate else 8, 2))
        answers, replies = answered(*where, seconds, rate=rate, window=window, cores=cores or ())
        busy = sum(each.cpu_seconds() for each in workers) - before
        asked = replies.since(begin)
        return {
            ANSWERS.name: answers,
            "p50": asked.percentile(50),
            "p99": asked.percentile(99),
            COST.name: busy / len(asked.due) * 1e3,
        }


def _judge(outcome: Outcome) -> None:
    cores = len(cores_here())

    def answers(what: str) -> float:
        return outcome.median(HERE.called(what), ANSWERS.name)

    one, two = HERE.called(ONE), HERE.called(TWO)
    gain, cost = outcome.between(two, one, ANSWERS), outcome.between(two, one, COST)
    before = outcome.ratio(f"{BEFORE}, {SATURATED}", ANSWERS)
    outcome.goals = [
        Goal(SATURATED, answers(SATURATED), 3_500, "1/s", "higher"),
        Goal("times the worker before the journal", before, 1.0, "x", "higher"),
        Goal(OPEN_LOOP, answers(OPEN_LOOP), 2_500, "1/s", "higher"),
        Goal("2 workers over 1", gain if cores >= CORES else float("nan"), 1.7, "x", "higher"),
    ]
    outcome.notes.append(
        f"{cores} cores: 2 workers over 1 {gain:.2f} x, answers for the same processor time {cost:.2f} x"
        + ("" if cores >= CORES else "; the broker and the client share these cores, so this is not judged")
    )
