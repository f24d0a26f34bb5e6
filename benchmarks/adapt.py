"""The cost of one new rating until the next list of recommendations knows of it."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.contest import Goal, Metric, Options, Outcome, Turn, Values, compete
from benchmarks.data import ML_100K, Log
from benchmarks.environments import ask, python_of
from benchmarks.recommend import write_ratings
from benchmarks.records import Learning, fetched
from recommender.models.knn_baseline.knn_baseline import KNNBaseline
from recommender.settings import Settings
from recommender.shard import warmup

DEFAULT = Settings().model
OURS = f"ours, {DEFAULT}, one rating learned"
SURPRISE, FLURS = "Surprise KNNBaseline, refitted", "FluRS MF, one update"
SET_RATING = "ours, knn-baseline, set_rating"
COST = Metric("time", "ms", "lower")


def run(options: Options) -> list[Outcome]:
    """Learn a log, then measure single ratings in turns."""
    count = options.size(2_000, 200)
    models = [each for each in ("mf", "knn-baseline") if each != DEFAULT]
    warmup.warm((DEFAULT, *models))
    outcome = Outcome("adapt", "One rating, after 100,000", OURS, [COST])
    with tempfile.TemporaryDirectory() as directory:
        path = write_ratings(Path(directory), Log(ML_100K))

        def surprise() -> Values:
            return {COST.name: ask("surprise_knn", path, 1, python=python_of("surprise", options))["refit"]}

        turns = [
            (SURPRISE, surprise),
            (FLURS, lambda: {COST.name: ask("flurs_mf", ML_100K.items, count)["update"]}),
            (OURS, _ours(DEFAULT, count)),
            *(
                (f"ours, {each}, one rating learned", _ours(each, count))
                for each in models
                if each != DEFAULT
            ),
        ]
        turns.append((SET_RATING, _set_rating(count)))
        compete(outcome, turns, options)
    faster = outcome.ratio(SURPRISE, COST)
    took = outcome.median(SET_RATING, COST.name)
    outcome.goals = [
        Goal("times a refit of Surprise", faster, 5_000, "x", "higher"),
        Goal("set_rating, times a refit", outcome.median(SURPRISE, COST.name) / took, 5_000, "x", "higher"),
        Goal("set_rating", took, 0.1, "ms", "lower"),
    ]
    return [outcome]


def _ours(model: str, count: int) -> Turn:
    """Ratings one at a time, as a quiet topic brings them: decoded, validated, registered, learned."""
    learning = Learning(model)
    learning.learn(Log(ML_100K))
    more = Log(ML_100K, seed=1).head(100_000)

    def turn() -> Values:
        start = learning.offset % (len(more) - count)
        part = type(more)(*(getattr(more, name)[start : start + count] for name in type(more).__slots__))
        records = list(fetched(part, learning.offset))
        times = []
        for record in records:
            begin = time.perf_counter()
            learning.take([record])
            times.append((time.perf_counter() - begin) * 1e3)
        return {COST.name: float(np.median(times))}

    return turn


def _set_rating(count: int) -> Turn:
    """The plain method: new ratings, changed ones and withdrawals by turns."""
    log = Log(ML_100K)
    rows = [
        (str(user), str(item), float(rating))
        for chunk in log
        for user, item, rating in zip(chunk.users, chunk.items, chunk.ratings, strict=True)
    ]
    knn = KNNBaseline(low=1, high=5)
    knn.train(rows)
    random = np.random.default_rng(0)

    def turn() -> Values:
        times = []
        for number, (one, other) in enumerate(random.integers(0, len(rows), (count, 2)).tolist()):
            user, item, rating = rows[one][0], rows[other][1], rows[other][2]
            if number % 3:
                item = rows[one][1]
            given = None if number % 3 == 2 else rating
            begin = time.perf_counter()
            knn.set_rating(user, item, given)
            times.append((time.perf_counter() - begin) * 1e3)
        return {COST.name: float(np.median(times))}

    return turn
