"""How long a request takes through Kafka and back: idle, and while the worker learns.

Idle, clients of three kinds ask: what confluent-kafka waits for is nearly all the worker and the broker, the
others add what they take themselves. An echo, aiokafka without any work, is what a worker on it could at best
take.

Under half load ratings arrive at half the rate that the worker can learn; under full load a long backlog
waits to be learned, so that learning never stops. Both have workers of their own, so the one that is idle has
learned the same in each round.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import numpy as np

from benchmarks.contest import Goal, Metric, Options, Outcome, Turn, Values, compete
from benchmarks.data import ML_100K, Log, repeated
from benchmarks.environments import ask, serving
from benchmarks.kafka_log import broker, fill, make_topics, messages, pass_over
from benchmarks.learn import slope
from benchmarks.workers import Worker
from recommender.client import Client
from recommender.settings import Settings
from recommender.shard import warmup

DEFAULT = Settings().model
IDLE = "ours, idle, asked by confluent-kafka"
IDLE_AIOKAFKA, IDLE_CLIENT = "ours, idle, asked by aiokafka", "ours, idle, asked by recommender.client"
ECHO = "aiokafka's echo, asked by confluent-kafka"
HALF, FULL = "ours, half load, 50 requests/s", "ours, full load, 50 requests/s"
METRICS = [Metric("p50", "ms", "lower"), Metric("p99", "ms", "lower"), Metric("max", "ms", "lower")]
QUIET, HALF_BUSY, BUSY, MIRROR = "quiet-", "half-busy-{}-", "busy-", "mirror-"
RATE = 50
#: Learned before anybody asks.
KNOWN = 100_000
PATIENCE = 600.0


def run(options: Options) -> list[Outcome]:
    """Start a worker and measure its replies in turns."""
    outcome = Outcome("reply", "A request through Kafka and back", IDLE, METRICS)
    known = options.size(KNOWN, 20_000)
    shape = repeated(ML_100K, round(KNOWN * 1.05))
    users = [str(user) for user in np.unique(Log(shape).head(known).users)[:200]]
    # The worker's start is timed where it was started before: the very first compiles.
    warmup.warm((DEFAULT,))
    with broker() as address:
        names = make_topics(address, QUIET, 1)
        for other in (BUSY, MIRROR):
            make_topics(address, other, 1)
        with Worker(broker=address, topic_prefix=QUIET, group=uuid.uuid4().hex).start() as worker:
            worker.ready()
            fill(address, names.ratings, messages(shape, known))
            worker.learned_up_to(known, PATIENCE)
            place = _Place(address, users, known, options)
            turns: list[tuple[str, Turn]] = [
                (FULL, place.full),
                (HALF, place.half),
                (IDLE, place.idle),
                (ECHO, place.echo),
                (IDLE_AIOKAFKA, place.idle_aiokafka),
                (IDLE_CLIENT, place.idle_client),
            ]
            compete(outcome, turns, options)
    outcome.notes += place.notes
    _judge(outcome, worker.started_in)
    return [outcome]


class _Place:
    """What the turns share."""

    def __init__(self, address: str, users: list[str], known: int, options: Options) -> None:
        self.address = address
        self.users = users
        self.known = known
        self.options = options
        self.notes: list[str] = []
        self.capacity = 0.0
        self._backlog = 0
        self._half_loads = 0

    def idle(self) -> Values:
        """One request after the other, by the leanest client."""
        return self._asked_one_by_one(QUIET)

    def echo(self) -> Values:
        """The same, of who has nothing to do."""
        with serving("aiokafka_echo", self.address, MIRROR):
            return self._asked_one_by_one(MIRROR)

    def idle_aiokafka(self) -> Values:
        """The same by a plain Python client."""
        return self._asked(self._ask(QUIET, self.options.size(1000, 50), 0))

    def idle_client(self) -> Values:
        """The same by our own client."""
        times = []
        with Client(self.address, QUIET) as client:
            for number in range(self.options.size(1000, 50) + 3):
                begin = time.perf_counter()
                client.recommend(self.users[number % len(self.users)], timeout=30)
                times.append((time.perf_counter() - begin) * 1e3)
        p50, p99 = np.percentile(times[3:], (50, 99))
        return {"p50": float(p50), "p99": float(p99), "max": max(times[3:])}

    def half(self) -> Values:
        """While ratings arrive at half the rate that `full` found."""
        rate = max(1000.0, self.capacity / 2)
        self._half_loads += 1
        prefix, seconds = HALF_BUSY.format(self._half_loads), self.options.size(15, 3)
        ratings = make_topics(self.address, prefix, 1).ratings
        shape = repeated(ML_100K, round(rate * (seconds + 60)))
        self.notes.append(f"half load: {rate:,.0f} ratings/s")
        with (
            Worker(broker=self.address, topic_prefix=prefix, group=uuid.uuid4().hex).start() as worker,
            ThreadPoolExecutor(1) as pool,
        ):
            arriving = messages(shape, round(shape.ratings * 0.95))
            fill(self.address, ratings, islice(arriving, self.known))
            worker.learned_up_to(self.known, PATIENCE)
            asked = pool.submit(self._ask, prefix, RATE * seconds, RATE)
            fill(self.address, ratings, _until(asked, arriving), rate)
            return self._asked(asked.result())

    def full(self) -> Values:
        """While a new worker learns a backlog that lasts longer than the requests."""
        backlog = self.options.size(4_000_000, 200_000)
        if self._backlog == 0:
            shape = repeated(ML_100K, round(backlog * 1.05))
            self.options.tell(f"reply: writing a backlog of {backlog:,} ratings")
            self._backlog = fill(self.address, BUSY + "ratings", messages(shape, backlog))
        seconds, group = self.options.size(10, 2), uuid.uuid4().hex
        # The requests of earlier rounds would be answered first, all at once.
        pass_over(self.address, BUSY + "recommendation-requests", group)
        with Worker(broker=self.address, topic_prefix=BUSY, group=group).start() as worker:
            worker.learned_up_to(1, PATIENCE, 0.1)
            before = (time.perf_counter(), sum(worker.offsets().values()))
            asked = self._ask(BUSY, RATE * seconds, RATE)
            after = (time.perf_counter(), sum(worker.offsets().values()))
        self.capacity = slope([(before[0] - 1, 0), before, after], self._backlog)
        over = ", all of the backlog: too little" if after[1] >= self._backlog else ""
        self.notes.append(f"full load: {self.capacity:,.0f} ratings/s learned beside the requests{over}")
        return self._asked(asked)

    def _asked_one_by_one(self, prefix: str) -> Values:
        count = self.options.size(1000, 50)
        return self._asked(ask("confluent_requester", self.address, prefix, count, *self.users))

    def _ask(self, prefix: str, count: int, rate: float) -> Values:
        return ask("aiokafka_requester", self.address, prefix, count, rate, *self.users)

    def _asked(self, values: Values) -> Values:
        if values["failed"]:
            raise RuntimeError(f"{values['failed']:.0f} requests were answered with a failure")
        return {name: values[name] for name in ("p50", "p99", "max")}


def _until(done: Future[Values], records: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    for each in records:
        if done.done():
            return
        yield each


def _judge(outcome: Outcome, started_in: float) -> None:
    outcome.goals = [
        Goal("idle, p50", outcome.median(IDLE, "p50"), 3.0, "ms", "lower"),
        Goal("idle, p99", outcome.median(IDLE, "p99"), 10.0, "ms", "lower"),
        Goal("full load, p99", outcome.median(FULL, "p99"), 50.0, "ms", "lower"),
        Goal("from start to ready, compiled before", started_in, 3.0, "s", "lower"),
    ]
