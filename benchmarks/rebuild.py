"""Learning from the journal alone: a worker without checkpoints, on a log of MovieLens 20M's shape.

By turns a worker learns the ratings from their topic, in JSON, by way of the journal, and another one, of
the same group but without a checkpoint, follows that journal until it is ready. This needs a worker with
a journal, which is the topic ``ratings-journal``; the one before it can only learn from the ratings,
which is shown beside.

One round: a pass is long enough to be its own average.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from confluent_kafka.admin import AdminClient

from benchmarks.contest import Goal, Metric, Options, Outcome, Turn, Values, compete
from benchmarks.data import ML_20M, repeated
from benchmarks.editions import BEFORE, HERE, Edition, editions
from benchmarks.installation import PATIENCE
from benchmarks.kafka_log import JOURNAL, broker, fill, make_topics, messages, renew
from benchmarks.workers import Look, Worker, under_way
from recommender.settings import Settings
from recommender.shard import warmup

REBUILT, LEARNED = "from the journal alone", "from JSON"
RATE = Metric("ratings learned", "1/s", "higher")
READY = Metric("from start to all of it learned, and ready", "s", "lower")
METRICS = [READY, RATE, Metric("processor time in all", "us a rating", "lower")]
PREFIX = "rebuild-"


def run(options: Options) -> list[Outcome]:
    """Learn, then rebuild what was learned."""
    count = options.size(ML_20M.ratings, 200_000)
    title = f"Learning {count:,} ratings of MovieLens 20M's shape"
    outcome = Outcome("rebuild", title, HERE.called(REBUILT), METRICS)
    warmup.warm((Settings().model,))
    with broker() as address:
        topic = make_topics(address, PREFIX, 1).ratings
        options.tell(f"rebuild: writing {count:,} ratings")
        fill(address, topic, messages(repeated(ML_20M, round(count * 1.05)), count))
        once = Options(options.quick, 1, options.cache, options.tell)
        last = _Group()
        turns: list[tuple[str, Turn]] = [
            *(
                (each.called(LEARNED), _learning(address, count, each, last))
                for each in reversed(editions(outcome, options))
            ),
            (HERE.called(REBUILT), _rebuilding(address, count, last)),
        ]
        compete(outcome, turns, once)
    _judge(outcome, count)
    return [outcome]


class _Group:
    """The group that has learned last, and so committed all of the ratings."""

    name = ""


def _learning(address: str, count: int, edition: Edition, last: _Group) -> Turn:
    def turn() -> Values:
        renew(address, PREFIX)
        last.name = f"rebuild-{uuid.uuid4().hex}"
        return _watched(address, count, edition, last.name, lambda worker: None)

    return turn


def _rebuilding(address: str, count: int, last: _Group) -> Turn:
    def turn() -> Values:
        topics = AdminClient({"bootstrap.servers": address}).list_topics(timeout=30).topics
        if PREFIX + JOURNAL not in topics:
            raise RuntimeError(f"needs a worker with a journal: there is no topic {PREFIX}{JOURNAL}")
        return _watched(address, count, HERE, last.name, lambda worker: worker.ready(PATIENCE))

    return turn


def _watched(
    address: str, count: int, edition: Edition, group: str, wait: Callable[[Worker], object]
) -> Values:
    """Start a worker without a checkpoint and wait until it has learned everything and is ready."""
    begin = time.perf_counter()
    settings = {"broker": address, "topic_prefix": PREFIX, "group": group}
    with Worker(edition, **settings).start() as worker:
        seen: list[Look] = worker.learned_up_to(count, PATIENCE, 0.1)
        wait(worker)
        took, busy = time.perf_counter() - begin, worker.cpu_seconds()
    first, last = under_way(seen, count)
    rate = (seen[last][1] - seen[first][1]) / (seen[last][0] - seen[first][0])
    return {READY.name: took, RATE.name: rate, METRICS[2].name: busy / count * 1e6}


def _judge(outcome: Outcome, count: int) -> None:
    rebuilt, learned = HERE.called(REBUILT), HERE.called(LEARNED)
    seconds = outcome.median(rebuilt, READY.name) * ML_20M.ratings / count
    before = outcome.between(rebuilt, f"{BEFORE}, {LEARNED}", RATE)
    outcome.goals = [
        Goal("times learning from JSON", outcome.between(rebuilt, learned, RATE), 2.0, "x", "higher"),
        Goal("MovieLens 20M's shape, from start to ready", seconds, 30.0, "s", "lower"),
    ]
    outcome.notes.append(f"times learning from JSON before the journal: {before:.2f}")
