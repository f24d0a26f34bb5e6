"""A fourth worker joins a group of three that knows 5 million ratings: does anybody wait for it?

200 requests and 1,000 ratings a second come to twelve partitions all the time. What counts is the reply
that comes latest between the fourth worker's start and three seconds after it is ready; beside it the
latest one of the seconds before, which is what the load alone does.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from threading import Event

from benchmarks.contest import Goal, Metric, Options, Outcome, Turn, Values, compete
from benchmarks.data import ML_100K, Shape, repeated
from benchmarks.editions import HERE, editions
from benchmarks.installation import PATIENCE, Installation, installed, users_of
from benchmarks.kafka_log import broker, fill, messages
from benchmarks.load import asking
from recommender.settings import Settings
from recommender.shard import warmup

JOINS = "a 4th worker joins"
LATEST = Metric("latest reply while it comes", "ms", "lower")
BEFORE_IT = Metric("latest reply before", "ms", "lower")
METRICS = [LATEST, BEFORE_IT, Metric("the 4th is ready after", "s", "lower")]
WORKERS, PARTITIONS, REQUESTS, RATINGS = 3, 12, 200, 1_000
#: Seconds that are looked at before the fourth starts, and after it is ready.
AROUND = 3.0


def run(options: Options) -> list[Outcome]:
    """Let a fourth worker of each edition join in turns."""
    outcome = Outcome("join", "A worker joins", HERE.called(JOINS), METRICS)
    known = options.size(5_000_000, 50_000)
    shape = repeated(ML_100K, round(known * 1.05))
    warmup.warm((Settings().model,))
    with broker() as address, ExitStack() as stack:
        turns: list[tuple[str, Turn]] = []
        for edition in editions(outcome, options):
            installation = stack.enter_context(installed(address, edition, PARTITIONS))
            options.tell(f"join: {edition.name} learns {known:,} ratings")
            installation.teach(shape, known)
            turns.append((edition.called(JOINS), _joining(installation, shape, users_of(shape, known))))
        compete(outcome, turns, options)
    latest = outcome.median(outcome.ours, LATEST.name)
    outcome.goals = [Goal(LATEST.name, latest, 250.0, "ms", "lower")]
    return [outcome]


def _joining(installation: Installation, shape: Shape, users: list[str]) -> Turn:
    where = installation.address, installation.prefix, users

    def turn() -> Values:
        with ExitStack() as stack:
            for each in [stack.enter_context(installation.worker().start()) for _ in range(WORKERS)]:
                each.ready(PATIENCE)
            stack.enter_context(_rated(installation, shape))
            with asking(*where, rate=REQUESTS):
                time.sleep(AROUND)  # the first answers find cold caches, and the group may still move
            with asking(*where, rate=REQUESTS) as replies:
                time.sleep(AROUND)
                began = time.monotonic()
                fourth = stack.enter_context(installation.worker().start()).ready(PATIENCE)
                time.sleep(AROUND)
                ended = time.monotonic()
        return {
            LATEST.name: replies.since(began, ended).percentile(100),
            BEFORE_IT.name: replies.since(0.0, began).percentile(100),
            METRICS[2].name: fourth.started_in,
        }

    return turn


@contextmanager
def _rated(installation: Installation, shape: Shape) -> Iterator[None]:
    """Ratings come at their rate as long as the block runs."""
    enough = Event()

    def ratings() -> Iterator[tuple[bytes, bytes]]:
        for each in messages(shape, round(shape.ratings * 0.95), seed=1):
            if enough.is_set():
                return
            yield each

    with ThreadPoolExecutor(1) as pool:
        rated = pool.submit(
            fill, installation.address, installation.topics.ratings, ratings(), float(RATINGS)
        )
        try:
            yield
        finally:
            enough.set()
            rated.result()
