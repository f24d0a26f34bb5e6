"""Measures a request through Kafka and back: idle, and while the worker learns.

Idle, clients of three kinds ask: what confluent-kafka waits for is nearly all the worker and the broker, the
others add what they take themselves. An echo, aiokafka without any work, is what a worker on it could at best
take.

Under half load ratings arrive at half the rate that the worker can learn; under full load a long backlog
waits to be learned, so that learning never stops. Both have workers of their own, so the one that is idle has
learned the same in each round. The worker before the journal is asked in turns with ours, idle and under full
load.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import islice

import numpy as np

from benchmarks.contest import Goal, Metric, Options, Outcome, Turn, Values, compete
from benchmarks.data import ML_100K, repeated
from benchmarks.editions import HERE, Edition, editions
from benchmarks.environments import ask, serving
from benchmarks.installation import users_of
from benchmarks.kafka_log import broker, fill, make_topics, messages, renew
from benchmarks.workers import Worker
from recommender.client import Client
from recommender.settings import Settings
from recommender.shard import warmup

DEFAULT = Settings().model
IDLE_BY, FULL_LOAD = "idle, asked by confluent-kafka", "full load, 50 requests/s"
IDLE, FULL = HERE.called(IDLE_BY), HERE.called(FULL_LOAD)
IDLE_AIOKAFKA, IDLE_CLIENT = "ours, idle, asked by aiokafka", "ours, idle, asked by recommender.client"
ECHO = "aiokafka's echo, asked by confluent-kafka"
HALF = "ours, half load, 50 requests/s"
METRICS = [Metric("p50", "ms", "lower"), Metric("p99", "ms", "lower"), Metric("max", "ms", "lower")]
QUIET, HALF_BUSY, BUSY, MIRROR = "quiet-{}-", "half-busy-{}-", "busy-", "mirror-"
RATE = 50
#: Learned before anybody asks.
KNOWN = 100_000
PATIENCE = 600.0


def run(options: Options) -> list[Outcome]:
    """Start workers and measure their replies in turns."""
    outcome = Outcome("reply", "A request through Kafka and back", IDLE, METRICS)
    known = options.size(KNOWN, 20_000)
    shape = repeated(ML_100K, round(KNOWN * 1.05))
    warmup.warm((DEFAULT,))
    with broker() as address, ExitStack() as stack:
        for each in (BUSY, MIRROR):
            make_topics(address, each, 1)
        options.tell(f"reply: writing a backlog of {_backlog(options):,} ratings")
        long = repeated(ML_100K, round(_backlog(options) * 1.05))
        fill(address, BUSY + "ratings", messages(long, _backlog(options)))
        places: list[_Place] = []
        for edition in editions(outcome, options):
            prefix = QUIET.format(len(places))
            ratings = make_topics(address, prefix, 1).ratings
            settings = {"broker": address, "topic_prefix": prefix, "group": uuid.uuid4().hex}
            worker = stack.enter_context(Worker(edition, **settings).start().ready())
            fill(address, ratings, messages(shape, known))
            worker.learned_up_to(known, PATIENCE)
            places.append(_Place(address, edition, prefix, users_of(shape, known, 200), known, options))
        ours = places[0]
        turns: list[tuple[str, Turn]] = [
            *((each.edition.called(FULL_LOAD), each.full) for each in places),
            (HALF, ours.half),
            *((each.edition.called(IDLE_BY), each.idle) for each in places),
            (ECHO, ours.echo),
            (IDLE_AIOKAFKA, ours.idle_aiokafka),
            (IDLE_CLIENT, ours.idle_client),
        ]
        compete(outcome, turns, options)
    outcome.notes += [note for each in places for note in each.notes]
    _judge(outcome)
    return [outcome]


class _Place:
    """The parts that the turns of one edition share; the topic of the backlog is the same for all."""

    def __init__(
        self, address: str, edition: Edition, prefix: str, users: list[str], known: int, options: Options
    ) -> None:
        self.address, self.edition, self.prefix = address, edition, prefix
        self.users = users
        self.known = known
        self.options = options
        self.notes: list[str] = []
        self.capacity = 0.0
        self._half_loads = 0

    def idle(self) -> Values:
        """One request after the other, by the leanest client."""
        return self._asked_one_by_one(self.prefix)

    def echo(self) -> Values:
        """The same, of who has nothing to do."""
        with serving("aiokafka_echo", self.address, MIRROR):
            return self._asked_one_by_one(MIRROR)

    def idle_aiokafka(self) -> Values:
        """The same by a plain Python client."""
        return self._asked(self._ask(self.prefix, self.options.size(1000, 50), 0))

    def idle_client(self) -> Values:
        """The same by our own client."""
        times = []
        with Client(self.address, self.prefix) as client:
            for number in range(self.options.size(1000, 50) + 3):
                begin = time.perf_counter()
                client.recommend(self.users[number % len(self.users)], timeout=30)
                times.append((time.perf_counter() - begin) * 1e3)
        p50, p99 = np.percentile(times[3:], (50, 99))
        return {"p50": float(p50), "p99": float(p99), "max": max(times[3:])}

    def half(self) -> Values:
        """Measure while ratings arrive at half the rate that `full` found."""
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
        """Measure while a new worker learns a backlog that lasts longer than the requests."""
        seconds, group = self.options.size(10, 2), uuid.uuid4().hex
        # The requests of earlier turns would be answered first, all at once.
        renew(self.address, BUSY, "recommendation-requests")
        settings = {"broker": self.address, "topic_prefix": BUSY, "group": group}
        with Worker(self.edition, **settings).start() as worker:
            worker.ready().learned_up_to(1, PATIENCE, 0.1)
            begin, before = time.perf_counter(), worker.learned()
            asked = self._ask(BUSY, RATE * seconds, RATE)
            learned, took = worker.learned() - before, time.perf_counter() - begin
        self.capacity = learned / took
        over = ", all of the backlog: too little" if before + learned >= _backlog(self.options) else ""
        rate = f"{self.capacity:,.0f} ratings/s learned beside the requests"
        self.notes.append(f"{self.edition.called('full load')}: {rate}{over}")
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


def _backlog(options: Options) -> int:
    return options.size(6_000_000, 200_000)


def _judge(outcome: Outcome) -> None:
    outcome.goals = [
        Goal("idle, p50", outcome.median(IDLE, "p50"), 2.5, "ms", "lower"),
        Goal("idle, p99", outcome.median(IDLE, "p99"), 6.0, "ms", "lower"),
        Goal("full load, p99", outcome.median(FULL, "p99"), 40.0, "ms", "lower"),
    ]
