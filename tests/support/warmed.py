"""What is compiled though all was warmed: ``python -m tests.support.warmed MODEL`` prints kernels and types.

It needs a process of its own: in another one, other tests have called kernels before.
"""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Iterable
from typing import Any

from numba.core.dispatcher import Dispatcher

from recommender import settings
from recommender.messages.ratings import Rating
from recommender.messages.requests import Liked, Request
from recommender.shard import warmup
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard

USERS, ITEMS = 60, 200
#: What a request may ask for, beside a user.
REQUESTS: list[dict[str, Any]] = [
    {},
    {"n": 0},
    {"n": 1},
    {"items": ["i1", "i2", "unknown"]},
    {"exclude": ["i1", "unknown"]},
    {"include_rated": True},
    {"explain": True},
    {"explore": 0.5},
    {"user": "unknown"},
    {"user": None, "similar_to": "i1"},
    {"user": None, "popular": True},
    {"user": None, "history": [Liked("i1"), Liked("i2", 4.0)]},
]


def compiled() -> set[tuple[str, str, str]]:
    """All kernels for all types that they were called with: module, name, types."""
    kernels = [each for each in gc.get_objects() if isinstance(each, Dispatcher)]
    return {
        (each.py_func.__module__, each.py_func.__name__, str(types))
        for each in kernels
        for types in each.overloads
    }


def rated(count: int, seed: int) -> Iterable[Rating]:
    """Ratings with some withdrawals and re-ratings among them."""
    draw = random.Random(seed)
    for number in range(count):
        value = None if draw.random() < 0.05 else float(draw.randint(1, 5))
        item = min(int(draw.expovariate(0.05)), ITEMS - 1)
        yield Rating(f"u{draw.randrange(USERS)}", f"i{item}", value, float(number))


def ask(shard: Shard) -> None:
    """Ask for all that can be asked for."""
    for number, each in enumerate(REQUESTS):
        shard.recommend(Request(**{"user": "u1", **each}), str(number).encode())


def main(model: str) -> None:
    """Warm, live, and print what was compiled meanwhile."""
    options = ShardOptions.of(settings.load({}, model=model))
    warmup.warm((model,))
    warmed = compiled()
    shard = Shard(options)
    for count, seed in ((0, 1), (1, 2), (5, 3), (3000, 4)):
        shard.learn(rated(count, seed))
        ask(shard)
    again = Shard(options)
    again.restore(shard.state())
    assert again.digest() == shard.digest()
    ask(again)
    again.learn(rated(300, 5))
    for module, name, types in sorted(compiled() - warmed):
        print(module, name, types)


if __name__ == "__main__":
    main(sys.argv[1])
