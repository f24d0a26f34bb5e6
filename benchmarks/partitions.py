"""Recall@10 on MovieLens 100K, through many partitions and workers over one of each; tested while it learns.

The ratings come in order of time, through one partition to one worker, and through twelve to three. Every
positive rating is tested before it is learned, and those of the second half count, as in ``recommender
evaluate``: the status page tells tests and recall of all so far, at the half and at the end. The producer
is as fast as it can be, so of twelve partitions workers have a backlog, which is where the order of time
suffers most.

Workers of a journal all learn everything, and must tell the same; those before it share the partitions,
and their shards know nothing of each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np

from benchmarks.contest import Goal, Metric, Options, Outcome, Turn, Values, compete
from benchmarks.editions import HERE, Edition, editions
from benchmarks.installation import PATIENCE, installed
from benchmarks.kafka_log import broker, fill
from benchmarks.workers import Worker, await_learned, follows
from recommender.client.ratings import encode_rating
from recommender.evaluation.datasets import movielens
from recommender.settings import Settings
from recommender.shard import warmup

ONE, MANY = "1 partition, 1 worker", "12 partitions, 3 workers"
LAYOUTS = {ONE: (1, 1), MANY: (12, 3)}
THRESHOLDS = (5, 3)
RECALL = Metric("recall@10", "of the second half", "higher")
#: More than there are ratings: then the recall is that of all tests.
WINDOW = 1_000_000
Record = tuple[bytes, bytes]


def run(options: Options) -> list[Outcome]:
    """Replay MovieLens 100K to every layout in turns."""
    warmup.warm((Settings().model,))
    with broker() as address:
        return [_contest(address, threshold, options) for threshold in THRESHOLDS]


def _contest(address: str, threshold: int, options: Options) -> Outcome:
    title = f"MovieLens 100K, ratings of at least {threshold} are targets"
    outcome = Outcome(f"partitions-{threshold}", title, HERE.called(MANY), [RECALL])
    halves = _halves(threshold, options)
    turns: list[tuple[str, Turn]] = [
        (each.called(layout), _replayed(address, each, layout, threshold, halves))
        for layout in LAYOUTS
        for each in editions(outcome, options)
    ]
    compete(outcome, turns, options)
    share = outcome.between(HERE.called(MANY), HERE.called(ONE), RECALL)
    outcome.goals = [Goal("over 1 partition and 1 worker", share, 0.99, "x", "higher")]
    return outcome


def _halves(threshold: int, options: Options) -> tuple[list[Record], list[Record]]:
    """The ratings in order of time, cut where half of the positive ones have been."""
    data = movielens.load_arrays(movielens.locate("ml-100k", say=options.tell))
    order = np.argsort(data.timestamps, kind="stable")[: options.size(100_000, 5_000)]
    columns = (data.users, data.items, data.ratings, data.timestamps)
    rows = list(zip(*(column[order].tolist() for column in columns), strict=True))
    positive = np.flatnonzero(data.ratings[order] >= threshold)
    half = int(positive[len(positive) // 2])
    records = [(str(user).encode(), encode_rating(user, *rest)) for user, *rest in rows]
    return records[:half], records[half:]


def _replayed(
    address: str, edition: Edition, layout: str, threshold: int, halves: Sequence[list[Record]]
) -> Turn:
    partitions, count = LAYOUTS[layout]
    settings = {"feedback": f"graded:{threshold}", "test_every": 1, "test_window": WINDOW}

    def turn() -> Values:
        with installed(address, edition, partitions) as installation, ExitStack() as stack:
            workers = [stack.enter_context(installation.worker(**settings).start()) for _ in range(count)]
            for each in workers:
                each.ready(PATIENCE)
            found, sent = [], 0
            for half in halves:
                sent += fill(address, installation.topics.ratings, half)
                await_learned(workers, sent, PATIENCE)
                found.append(_tested(workers))
        (tests, hits), (all_tests, all_hits) = found
        return {RECALL.name: (all_hits - hits) / (all_tests - tests)}

    return turn


def _tested(workers: Sequence[Worker]) -> tuple[int, float]:
    """Tests so far, and how many of them were hits."""
    shards = [each.shards() for each in workers]
    told = [_summed(each) for each in shards]
    if not any(follows(each) for each in shards):
        return sum(tests for tests, _ in told), sum(hits for _, hits in told)
    if len(set(told)) > 1:
        raise RuntimeError(f"workers that have learned the same tell different tests and hits: {told}")
    return told[0]


def _summed(shards: dict[str, dict[str, Any]]) -> tuple[int, float]:
    live = [each["live"] for each in shards.values() if each["live"]["tests"]]
    hits = (each["tests"] * each["model"]["recall@10"] for each in live)
    return sum(int(each["tests"]) for each in live), round(sum(hits), 6)
