"""How many ratings a second are read from Kafka and learned; peers beside us only decode them.

Every contestant reads the same topic from its start. The clock runs from the first record that it sees to the
last. What ours does with a record: decode, validate, register user and item, learn, test on a sample, and
checkpoint as often as the defaults say.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator

from benchmarks.contest import Goal, Metric, Options, Outcome, Turn, Values, compete
from benchmarks.data import ML_100K, Shape, repeated
from benchmarks.environments import ask, python_of
from benchmarks.kafka_log import broker, fill, make_topics, messages
from benchmarks.workers import Worker
from recommender.models import registry
from recommender.settings import Settings

DEFAULT = Settings().model
OURS = f"ours, {DEFAULT}"
MODELS = ("popular", "mf", "blend")
ARTICLE, QUIX = "the article's worker (Faust, FluRS MF)", "Quix Streams, decoding only"
AIOKAFKA, CONFLUENT = "aiokafka, decoding only", "confluent-kafka, decoding only"
BROKEN, TWO = "ours, 10 % of records broken", "ours, 2 workers"
#: Topics of one partition, of one with broken records, and of two partitions.
PLAIN, DIRTY, PAIR = "plain-", "dirty-", "pair-"
#: A stock agent is some thirty times slower, so it reads less.
SLOW = 20
#: Seconds that a worker may take for a run.
PATIENCE = 600.0


def run(options: Options) -> list[Outcome]:
    """Fill the topics, then let everybody read them in turns."""
    count = options.size(2_000_000, 60_000)
    shape = repeated(ML_100K, round(count * 1.05))  # its length is not exact
    outcome = Outcome(
        "learn", f"Reading {count:,} ratings", OURS, [Metric("ratings learned or decoded", "1/s", "higher")]
    )
    with broker() as address:
        names = {each: make_topics(address, each, 2 if each == PAIR else 1) for each in (PLAIN, DIRTY, PAIR)}
        options.tell(f"learn: writing {count:,} ratings to three topics")
        fill(address, names[PLAIN].ratings, messages(shape, count))
        fill(address, names[DIRTY].ratings, _broken(messages(shape, count)))
        fill(address, names[PAIR].ratings, messages(shape, count))
        turns = [
            *_peers(address, names[PLAIN].ratings, shape, count, options),
            (OURS, _ours(address, PLAIN, count, DEFAULT)),
            *((f"ours, {each}", _ours(address, PLAIN, count, each)) for each in _registered()),
            (BROKEN, _ours(address, DIRTY, count, DEFAULT)),
            (TWO, _two(address, count)),
        ]
        compete(outcome, turns, options)
    _judge(outcome)
    return [outcome]


def _registered() -> list[str]:
    known = {name for name, _ in registry.describe()}
    return [each for each in MODELS if each in known and each != DEFAULT]


def _broken(records: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
    """Every tenth value is cut off."""
    for number, (key, value) in enumerate(records):
        yield key, value[:-5] if number % 10 == 9 else value


def _peers(address: str, topic: str, shape: Shape, count: int, options: Options) -> list[tuple[str, Turn]]:
    def per_second(values: Values) -> Values:
        return {"ratings learned or decoded": values["rate"]}

    few = max(10_000, count // SLOW)
    return [
        (
            ARTICLE,
            lambda: per_second(ask("article_worker", address, topic, few, shape.users, shape.items)),
        ),
        (
            QUIX,
            lambda: per_second(
                ask("quix_streams", address, topic, count // 2, python=python_of("quix", options))
            ),
        ),
        (AIOKAFKA, lambda: per_second(ask("aiokafka_poll", address, topic, count))),
        (CONFLUENT, lambda: per_second(ask("confluent_poll", address, topic, count))),
    ]


def _ours(address: str, prefix: str, count: int, model: str) -> Turn:
    def turn() -> Values:
        group = f"bench-{uuid.uuid4().hex}"
        with Worker(broker=address, topic_prefix=prefix, group=group, model=model).start() as worker:
            return {"ratings learned or decoded": slope(worker.learned_up_to(count, PATIENCE, 0.1), count)}

    return turn


def slope(seen: list[tuple[float, int]], count: int) -> float:
    """Ratings a second between the first and the last look that found learning under way."""
    under_way = [each for each in seen if 0 < each[1] < count]
    if len(under_way) < 3:  # it was over before it could be watched
        under_way = [max(each for each in seen if each[1] == 0), seen[-1]]
    (begin, first), (end, last) = under_way[0], under_way[-1]
    return (last - first) / (end - begin)


def _two(address: str, count: int) -> Turn:
    """Both together, while each of them holds one of two partitions and neither is at its end."""

    def turn() -> Values:
        settings = {"broker": address, "topic_prefix": PAIR, "group": f"bench-{uuid.uuid4().hex}"}
        with Worker(**settings).start() as one, Worker(**settings).start() as other:
            seen: list[tuple[float, int]] = []
            deadline = time.perf_counter() + PATIENCE
            while time.perf_counter() < deadline:
                offsets = one.offsets(), other.offsets()
                if all(len(each) == 1 for each in offsets):
                    seen.append((time.perf_counter(), sum(sum(each.values()) for each in offsets)))
                if seen and seen[-1][1] >= count * 0.95:
                    break
                time.sleep(0.1)
            return {"ratings learned or decoded": slope(seen, count)}

    return turn


def _judge(outcome: Outcome) -> None:
    rate = outcome.metrics[0]
    ours = outcome.median(OURS, rate.name)
    outcome.goals = [
        Goal("the default model", ours, 200_000, "ratings/s", "higher"),
        Goal("times the article's worker", outcome.ratio(ARTICLE, rate), 30, "x", "higher"),
        Goal("times Quix Streams decoding only", outcome.ratio(QUIX, rate), 1, "x", "higher"),
        Goal("times aiokafka decoding only", outcome.ratio(AIOKAFKA, rate), 1 / 3, "x", "higher"),
        Goal(
            "broken records, share of the speed",
            outcome.median(BROKEN, rate.name) / ours,
            0.5,
            "x",
            "higher",
        ),
    ]
