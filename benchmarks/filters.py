"""The cost of a filter among 1,000,000 items of 1,000 categories, without Kafka.

What is told is processor time. Lists with each filter take turns with those without one, so that what else
the machine does falls on all alike; only then a third of the items cease to be available.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.contest import Goal, Metric, Options, Outcome
from benchmarks.data import Log, Shape
from benchmarks.recommend import everything
from benchmarks.records import Learning, fetched
from recommender.items.store import ItemStore
from recommender.messages.items import ItemInfo
from recommender.messages.requests import Request
from recommender.settings import Settings
from recommender.shard import warmup
from recommender.shard.shard import Shard

MODELS = ("popular", "mf", Settings().model)
ITEMS, CATEGORIES, USERS = 1_000_000, 1_000, 2_000
METRIC = Metric("p50", "ms of CPU", "lower")
NONE, GONE = "no filter", "a third not available"
FILTERS: dict[str, dict[str, Any]] = {
    NONE: {},
    "a category left out": {"not_categories": ["c7"]},
    "100 categories left out": {"not_categories": [f"c{number}" for number in range(100)]},
    "one of 100 categories": {"categories": [f"c{number}" for number in range(100)]},
    "one category": {"categories": ["c7"]},
}
#: A filter may cost so much of what a request takes without.
SHARE = 0.1


def run(options: Options) -> list[Outcome]:
    """Learn each item once by each model, tell of their categories, and ask in turns."""
    items, calls = options.size(ITEMS, 20_000), options.size(30, 5)
    outcome = Outcome("filters", "A list of ten with a filter", _name(MODELS[0], NONE), [METRIC])
    warmup.warm(MODELS)
    for model in MODELS:
        options.tell(f"filters: {model} learns {items:,} items")
        learning = Learning(model, test_every=0)
        learning.take(list(fetched(everything(items, USERS))))
        learning.learn(Log(Shape(USERS, items, items // 10, shift=2_000.0, cutoff=130_000.0)))
        shard, store = learning.shard, described(items)
        shard.sync_items(store)
        users = [str(number) for number in range(0, USERS, USERS // calls)][:calls]
        for turn in range(options.rounds):
            names = list(FILTERS)
            for name in names if turn % 2 == 0 else reversed(names):
                options.tell(f"filters: round {turn + 1} of {options.rounds}, {model}, {name}")
                outcome.add(_name(model, name), {METRIC.name: _asked(shard, store, users, FILTERS[name])})
        for number in range(0, items, 3):
            store.put(str(number), ItemInfo(available=False))
        shard.sync_items(store)
        for _ in range(options.rounds):
            outcome.add(_name(model, GONE), {METRIC.name: _asked(shard, store, users, {})})
        for name in (*list(FILTERS)[1:], GONE):
            with_it, without = (outcome.median(_name(model, each), METRIC.name) for each in (name, NONE))
            more = with_it / without - 1
            outcome.goals.append(Goal(f"{model}, {name}: more than without", more, SHARE, "x", "lower"))
    return [outcome]


def described(items: int) -> ItemStore:
    """Items of three of the categories each, so that nearly each has a set of its own."""
    store, random = ItemStore(), np.random.default_rng(3)
    for number, chosen in enumerate(random.integers(0, CATEGORIES, (items, 3)).tolist()):
        store.put(str(number), ItemInfo(categories=tuple(sorted({f"c{each}" for each in chosen}))))
    return store


def _name(model: str, name: str) -> str:
    return f"{model}, {name}"


def _asked(shard: Shard, store: ItemStore, users: list[str], wanted: dict[str, Any]) -> float:
    """The median of what a list costs, in milliseconds."""
    times = []
    for user in users:
        begin = time.thread_time()
        shard.recommend(Request(user=user, **wanted), store=store)
        times.append((time.thread_time() - begin) * 1e3)
    return float(np.median(times))
