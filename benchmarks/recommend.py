"""The cost of one list, without Kafka: ten of all items that the user has not rated.

Users are drawn by their ratings, so heavy ones are well among them; for knn-baseline evenly, as for Surprise.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.contest import Goal, Metric, Options, Outcome, Turn, Values, compete
from benchmarks.data import ML_20M, ML_100K, Chunk, Log, Shape, repeated
from benchmarks.environments import ask, python_of
from benchmarks.records import Learning, fetched
from recommender.items.store import ItemStore
from recommender.messages.items import ItemInfo
from recommender.messages.requests import Request
from recommender.models.topk import all_but, best, leading
from recommender.settings import Settings
from recommender.shard import warmup
from recommender.shard.shard import Shard

DEFAULT = Settings().model
SMALL, MIDDLE, LARGE = 1_682, 27_000, 1_000_000
SURPRISE = "Surprise KNNBaseline, 1,000 items and a sort"
SAME = "knn-baseline"
#: What is added to a contestant's name where a request excludes so many items, where every so many-th is sold
#: out, and where all are scored.
EXCLUDED, SOLD_OUT = 200, 3
EXCLUDING, FILTERING, SCORING = f", {EXCLUDED} excluded", ", a third sold out", ", each scored"
METRICS = [Metric("p50", "ms", "lower"), Metric("p99", "ms", "lower")]


def ours(model: str, items: int) -> str:
    """The contestant's name."""
    return f"ours, {model}, {items:,} items"


def run(options: Options) -> list[Outcome]:
    """Learn catalogues of three sizes, then ask in turns."""
    calls = options.size(300, 20)
    sizes = {SMALL: ML_100K} | ({} if options.quick else _larger())
    outcome = Outcome("recommend", "One list of ten", ours(DEFAULT, SMALL), METRICS)
    models = list(dict.fromkeys([DEFAULT, "sequence-knn", "mf"]))
    warmup.warm((*models, SAME))
    with tempfile.TemporaryDirectory() as directory:
        path = write_ratings(Path(directory), Log(ML_100K))
        surprise = python_of("surprise", options)
        turns = [
            (SURPRISE, _peer("surprise_knn", path, max(10, calls // 10), python=surprise)),
            (f"EASE row, {SMALL:,} items", _peer("ease", SMALL, calls)),
            *((f"FluRS MF, {items:,} items", _peer("flurs_mf", items, calls)) for items in (SMALL, MIDDLE)),
        ]
        for items, shape in sizes.items():
            for model in models:
                options.tell(f"recommend: {model} learns {shape.ratings:,} ratings of {items:,} items")
                shard, users = _asked(model, items, shape, calls)
                turns.append((ours(model, items), _listing(shard, users)))
                if model == DEFAULT:
                    excluded: list[str | int] = [str(item) for item in range(EXCLUDED)]
                    turns.append((ours(model, items) + EXCLUDING, _listing(shard, users, excluded)))
                    turns.append((ours(model, items) + FILTERING, _filtering(shard, users, items)))
                    turns.append((ours(model, items) + SCORING, _scoring(shard, users)))
        turns.append((ours(SAME, SMALL), _listing(*_asked(SAME, SMALL, ML_100K, calls, evenly=True))))
        compete(outcome, turns, options)
    _judge(outcome)
    return [outcome]


def _larger() -> dict[int, Shape]:
    return {
        MIDDLE: repeated(Shape(ML_20M.users, MIDDLE, ML_20M.ratings), 2_000_000),
        LARGE: Shape(7_000, LARGE, 1_000_000, shift=2_000.0, cutoff=130_000.0),
    }


def write_ratings(directory: Path, log: Log) -> Path:
    """Lines of user, item and rating for Surprise."""
    path = directory / "ratings.csv"
    with path.open("w") as file:
        for chunk in log:
            rows = zip(chunk.users.tolist(), chunk.items.tolist(), chunk.ratings.tolist(), strict=True)
            file.writelines(f"{user},{item},{rating:g}\n" for user, item, rating in rows)
    return path


def _peer(name: str, *arguments: object, python: str | None = None) -> Turn:
    def turn() -> Values:
        values = ask(name, *arguments, python=python)
        return {"p50": values["p50"], "p99": values["p99"]}

    return turn


def everything(items: int, first_user: int) -> Chunk:
    """Ratings that hold each item once, by users who rate 1,000 each."""
    number = np.arange(items, dtype=np.int32)
    return Chunk(
        number // 1000 + first_user,
        number,
        np.full(items, 4, np.float32),
        np.full(items, 900_000_000, np.int64),
    )


def _asked(model: str, items: int, shape: Shape, calls: int, evenly: bool = False) -> tuple[Shard, list[str]]:
    """A shard that has learned, and users who ask."""
    learning = Learning(model, test_every=0)
    learning.take(list(fetched(everything(items, shape.users))))
    log = Log(shape)
    learning.learn(log)
    random = np.random.default_rng(0)
    users = log.head(200_000).users
    return learning.shard, random.choice(np.unique(users) if evenly else users, calls).astype(str).tolist()


def _listing(shard: Shard, users: list[str], exclude: Sequence[str | int] = ()) -> Turn:
    return _timed(lambda user: shard.recommend(Request(user=user, n=10, exclude=list(exclude))), users)


def _filtering(shard: Shard, users: list[str], items: int) -> Turn:
    """The same, but for what the items topic says is sold out."""
    store = ItemStore()
    for item in range(0, items, SOLD_OUT):
        store.put(str(item), ItemInfo(available=False))
    return _timed(lambda user: shard.recommend(Request(user=user, n=10), store=store), users)


def _scoring(shard: Shard, users: list[str]) -> Turn:
    """The same list from the scores of all candidates, as it was made before."""

    def scored(name: str) -> None:
        user = shard.users.find(name)
        index = shard.history.user_count if user is None else user
        candidates = all_but(shard.history.items_of(index), shard.history.item_count)
        places, scores = leading(shard.model.score(index, candidates), 10)
        best(scores, shard.history.counts_of(candidates[places]), 10)

    return _timed(scored, users)


def _timed(ask_for: Callable[[str], object], users: list[str]) -> Turn:
    ask_for(users[0])

    def turn() -> Values:
        times = []
        for user in users:
            begin = time.perf_counter()
            ask_for(user)
            times.append((time.perf_counter() - begin) * 1e3)
        return {"p50": float(np.percentile(times, 50)), "p99": float(np.percentile(times, 99))}

    return turn


def _judge(outcome: Outcome) -> None:
    p50, p99 = METRICS
    faster = outcome.ratio(SURPRISE, p50)
    outcome.goals = [Goal("top over 1,682 items, times Surprise over 1,000", faster, 100, "x", "higher")]
    theirs, same = outcome.median(SURPRISE, p50.name), outcome.median(ours(SAME, SMALL), p50.name)
    outcome.goals.append(Goal(f"the same, {SAME}", theirs / same, 100, "x", "higher"))
    bounds = {
        ours(DEFAULT, MIDDLE): 1.0,
        ours(DEFAULT, MIDDLE) + EXCLUDING: 1.0,
        ours(DEFAULT, LARGE): 5.0,
        ours(DEFAULT, LARGE) + EXCLUDING: 5.0,
        ours(DEFAULT, MIDDLE) + FILTERING: 1.0,
        ours(DEFAULT, LARGE) + FILTERING: 5.0,
        ours("mf", MIDDLE): 1.0,
        ours("mf", LARGE): 25.0,
    }
    for name, bound in bounds.items():
        if name in outcome.values:
            outcome.goals.append(Goal(f"{name}, p99", outcome.median(name, p99.name), bound, "ms", "lower"))
