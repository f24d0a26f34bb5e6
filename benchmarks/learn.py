"""Measures ratings a second that are read from Kafka and learned; peers beside us only decode them.

Every contestant reads the same ratings from the start of a topic, of one, six or twelve partitions. The clock
runs from the first record that it sees to the last. What ours does with a record: decode, validate, register
user and item, learn, test on a sample, and checkpoint as often as the defaults say.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from benchmarks.contest import Goal, Metric, Options, Outcome, Turn, Values, compete
from benchmarks.data import ML_100K, Shape, repeated
from benchmarks.editions import BEFORE, HERE, Edition, editions
from benchmarks.environments import ask
from benchmarks.kafka_log import broker, fill, make_topics, messages, renew
from benchmarks.polling import AIOKAFKA, CONFLUENT, PEERS, QUIX, Peer, best_of
from benchmarks.workers import Look, Worker, learned_by, under_way
from recommender.models import registry
from recommender.settings import Settings
from recommender.shard import warmup

DEFAULT = Settings().model
OURS = HERE.called(DEFAULT)
MODELS = ("popular", "mf", "blend")
ARTICLE = "the article's worker (Faust, FluRS MF)"
BROKEN = HERE.called("10 % of records broken")
RATE = Metric("ratings learned or decoded", "1/s", "higher")
CPU = Metric("processor time of the process", "us a rating", "lower")
PARTITIONS = (1, 6, 12)
#: Where two workers are measured, and by how much learning shall gain over the worker before the journal.
MANY, GAINS = 6, {1: 1.0, 6: 1.6, 12: 1.6}
PLAIN, DIRTY = "plain-{}-", "dirty-"
#: A stock agent is some thirty times slower, so it reads less.
SLOW = 20
#: Seconds that a worker may take for a run, and between two looks at it.
PATIENCE, PAUSE = 600.0, 0.1


def run(options: Options) -> list[Outcome]:
    """Fill the topics, then let everybody read them in turns."""
    count = options.size(2_000_000, 60_000)
    shape = repeated(ML_100K, round(count * 1.05))  # its length is not exact
    warmup.warm((DEFAULT, *_registered()))
    with broker() as address:
        return [_contest(address, partitions, shape, count, options) for partitions in PARTITIONS]


def _contest(address: str, partitions: int, shape: Shape, count: int, options: Options) -> Outcome:
    said = "1 partition" if partitions == 1 else f"{partitions} partitions"
    outcome = Outcome(f"learn-{partitions}", f"Reading {count:,} ratings of {said}", OURS, [RATE, CPU])
    prefix = PLAIN.format(partitions)
    topic = make_topics(address, prefix, partitions).ratings
    options.tell(f"{outcome.name}: writing {count:,} ratings to {said}")
    fill(address, topic, messages(shape, count))
    turns = [
        (f"{each.name}, decoding only", _polling(each, address, topic, partitions, count, options))
        for each in PEERS
    ]
    worked = editions(outcome, options)
    turns += [(each.called(DEFAULT), _learning(address, prefix, count, edition=each)) for each in worked]
    if partitions == 1:
        turns += _others(address, prefix, shape, count)
    if partitions == MANY:
        turns += [(each.called("2 workers"), _two(address, prefix, count, each)) for each in worked]
    compete(outcome, turns, options)
    _judge(outcome, partitions)
    return outcome


def _polling(peer: Peer, address: str, topic: str, partitions: int, count: int, options: Options) -> Turn:
    return lambda: _named(peer.poll(address, topic, partitions, count, options))


def _others(address: str, prefix: str, shape: Shape, count: int) -> list[tuple[str, Turn]]:
    """Measurements of one partition: the article's worker, other models, broken records."""
    few = max(10_000, count // SLOW)
    fill(address, make_topics(address, DIRTY, 1).ratings, _broken(messages(shape, count)))
    sound = count - count // 10
    article = "article_worker", address, f"{prefix}ratings", few, shape.users, shape.items
    return [
        (ARTICLE, lambda: _named(ask(*article))),
        *((HERE.called(each), _learning(address, prefix, count, model=each)) for each in _registered()),
        (BROKEN, _learning(address, DIRTY, sound, records=count)),
    ]


def _named(values: Values) -> Values:
    return {RATE.name: values["rate"], CPU.name: values["cpu"]}


def _registered() -> list[str]:
    known = {name for name, _ in registry.describe()}
    return [each for each in MODELS if each in known and each != DEFAULT]


def _broken(records: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Every tenth value is cut off."""
    for number, (key, value) in enumerate(records):
        yield key, value[:-5] if number % 10 == 9 else value


def _learning(
    address: str,
    prefix: str,
    count: int,
    model: str = DEFAULT,
    edition: Edition = HERE,
    records: int | None = None,
) -> Turn:
    """A turn of one worker; of `records` records `count` are ratings, by default all."""

    def turn() -> Values:
        renew(address, prefix)
        settings = {"broker": address, "topic_prefix": prefix, "group": f"bench-{uuid.uuid4().hex}"}
        with Worker(edition, **settings, model=model).start() as worker:
            return pace([worker], count, (records or count) / count)

    return turn


def _two(address: str, prefix: str, count: int, edition: Edition) -> Turn:
    """Both together, while each of them has a part of the partitions and neither is at its end.

    Without a journal each learns the partitions it holds; with one, both learn everything.
    """

    def turn() -> Values:
        renew(address, prefix)
        settings = {"broker": address, "topic_prefix": prefix, "group": f"bench-{uuid.uuid4().hex}"}
        with ExitStack() as stack:
            workers = [stack.enter_context(Worker(edition, **settings).start()) for _ in range(2)]
            return pace(workers, round(count * 0.9), 1.0)

    return turn


def pace(workers: Sequence[Worker], count: int, weight: float) -> Values:
    """Records a second that workers learn together, and their processor time for each."""
    seen: list[Look] = []
    busy: list[float] = []
    deadline = time.perf_counter() + PATIENCE
    while not seen or seen[-1][1] < count:
        if time.perf_counter() > deadline:
            raise RuntimeError(f"only {seen[-1][1]} of {count} ratings were learned in {PATIENCE:.0f} s")
        seen.append((time.perf_counter(), learned_by(workers)))
        busy.append(sum(each.cpu_seconds() for each in workers))
        time.sleep(PAUSE)
    first, last = under_way(seen, count)
    learned_between = (seen[last][1] - seen[first][1]) * weight
    rate = learned_between / (seen[last][0] - seen[first][0])
    return {RATE.name: rate, CPU.name: (busy[last] - busy[first]) / learned_between * 1e6}


def _judge(outcome: Outcome, partitions: int) -> None:
    def times(peer: str) -> float:
        return outcome.ratio(f"{best_of(peer)}, decoding only", RATE)

    before = outcome.ratio(f"{BEFORE}, {DEFAULT}", RATE)
    outcome.goals = [
        Goal("the default model", outcome.median(OURS, RATE.name), 200_000, "ratings/s", "higher"),
        Goal("times the worker before the journal", before, GAINS[partitions], "x", "higher"),
        Goal("times aiokafka at its best, decoding only", times(AIOKAFKA), 0.6, "x", "higher"),
        Goal("times confluent-kafka at its best, decoding only", times(CONFLUENT), 0.4, "x", "higher"),
        Goal("times Quix Streams at its best, decoding only", times(QUIX), 1.0, "x", "higher"),
    ]
    if partitions == 1:
        broken = outcome.between(BROKEN, OURS, RATE)
        outcome.goals += [
            Goal("times the article's worker", outcome.ratio(ARTICLE, RATE), 30, "x", "higher"),
            Goal("broken records, share of the speed", broken, 0.5, "x", "higher"),
        ]
