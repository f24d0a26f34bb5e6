"""Streams of many kinds on which a blend and its components are compared; most of them generated.

A kind is a function that yields pairs of user and item for ever. What a user takes again is kept only where
the kind says so: in all others nobody takes an item twice.
"""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recommender.evaluation.datasets import movielens
from recommender.evaluation.streams import Stream

Pair = tuple[int, int]
Kind = Callable[[np.random.Generator], Iterator[Pair]]


def fashions(life: int) -> Kind:
    """Everybody wants what came up lately; after about `life` events nobody wants it any more."""

    def pairs(rng: np.random.Generator) -> Iterator[Pair]:
        for event in itertools.count():
            yield int(rng.integers(2000)), max(event * 7 // life + 20 - int(rng.geometric(0.15)), 0)

    return pairs


def tastes(rng: np.random.Generator) -> Iterator[Pair]:
    """Each user stays in one of twenty groups of equally popular items."""
    while True:
        user = int(rng.integers(3000))
        yield user, user % 20 * 40 + int(rng.integers(40))


def favourites(rng: np.random.Generator) -> Iterator[Pair]:
    """Everybody draws from one list, the same for all at all times."""
    while True:
        yield int(rng.integers(8000)), min(int(rng.zipf(1.3)) - 1, 3000)


def new_in_groups(rng: np.random.Generator) -> Iterator[Pair]:
    """Users keep to a group, and in each group new items come up and go."""
    for event in itertools.count():
        user, age = int(rng.integers(2000)), int(rng.geometric(0.3)) - 1
        yield user, max(event // 1000 + 4 - age, 0) * 10 + user % 10


def sessions(rng: np.random.Generator) -> Iterator[Pair]:
    """Each user is one session of about five items, each of which leads to one of five others."""
    items = 2000
    following, popular = rng.integers(0, items, (items, 5)), rng.zipf(1.4, 4 * items) % items
    users, open_sessions = itertools.count(), list[Pair]()
    while True:
        if len(open_sessions) < 30:
            open_sessions.append((next(users), int(popular[rng.integers(len(popular))])))
        place = int(rng.integers(len(open_sessions)))
        user, item = open_sessions[place]
        yield user, item
        if rng.random() < 0.2:
            open_sessions.pop(place)
        else:
            open_sessions[place] = user, int(following[item, min(int(rng.geometric(0.5)) - 1, 4)])


def sparse(rng: np.random.Generator) -> Iterator[Pair]:
    """Two events a user, most of them in the user's own group of items."""
    while True:
        user = int(rng.integers(20_000))
        if rng.random() < 0.6:
            yield user, user % 30 * 30 + min(int(rng.zipf(1.5)) - 1, 29)
        else:
            yield user, min(int(rng.zipf(1.3)) - 1, 899)


def drift(rng: np.random.Generator) -> Iterator[Pair]:
    """Tastes of eight dimensions, and items that are new, age, and are withdrawn."""
    items = 3000
    users, tastes_of = rng.normal(size=(1500, 8)), rng.normal(size=(items, 8))
    appeal, births = rng.normal(size=items), np.sort(rng.integers(-10_000, 60_000, items))
    for event in itertools.count():
        user = int(rng.integers(1500))
        first, last = np.searchsorted(births, [event - 8000, event])
        scores = 0.7 * tastes_of[first:last] @ users[user] + appeal[first:last]
        scores += rng.gumbel(size=last - first) - (event - births[first:last]) / 3000.0
        yield user, int(first + scores.argmax())


def latent(rng: np.random.Generator) -> Iterator[Pair]:
    """Tastes of ten dimensions that never change, and a few users who do most."""
    users, items = rng.normal(size=(1000, 10)), rng.normal(size=(1500, 10))
    appeal, activity = 1.5 * rng.normal(size=1500), np.cumsum(rng.pareto(1.2, 1000) + 0.2)
    while True:
        user = int(np.searchsorted(activity, rng.random() * activity[-1]))
        yield user, int((0.6 * items @ users[user] + appeal + rng.gumbel(size=1500)).argmax())


def bursts(rng: np.random.Generator) -> Iterator[Pair]:
    """Every 300 events five new items that most want at once, beside what is popular for ever."""
    for event in itertools.count():
        new = rng.random() < 0.7
        item = event // 300 * 5 + int(rng.integers(5)) if new else -min(int(rng.zipf(1.3)), 2000)
        yield int(rng.integers(3000)), item


def reviews(rng: np.random.Generator) -> Iterator[Pair]:
    """Users about whom their neighbours say nothing, few events each."""
    for event in itertools.count():
        yield (
            int(rng.integers(15_000)),
            (min(int(rng.zipf(1.25)) - 1, 1500) * 7 + event // 20_000 * 13) % 1501,
        )


def check_ins(rng: np.random.Generator) -> Iterator[Pair]:
    """Users who keep going to their own dozen places, near where they live. Repeats are kept."""
    homes, activity = rng.integers(0, 3000, 800), np.cumsum(rng.pareto(1.3, 800) + 0.3)
    own = [(home + rng.zipf(1.6, 12) % 60) % 3000 for home in homes]
    while True:
        user = int(np.searchsorted(activity, rng.random() * activity[-1]))
        if rng.random() < 0.6:
            yield user, int(own[user][min(int(rng.geometric(0.3)) - 1, 11)])
        elif rng.random() < 0.6:
            yield user, int((homes[user] + int(rng.zipf(1.4)) % 200) % 3000)
        else:
            yield user, min(int(rng.zipf(1.3)) - 1, 2999)


#: Generated streams by name: how many events, their kind, and whether repeats are kept.
GENERATED: dict[str, tuple[int, Kind, bool]] = {
    "fashions of 300 events": (30_000, fashions(300), False),
    "fashions of 1,000 events": (30_000, fashions(1000), False),
    "tastes": (30_000, tastes, False),
    "favourites": (30_000, favourites, False),
    "new items in groups": (30_000, new_in_groups, False),
    "sessions": (40_000, sessions, False),
    "sparse users": (40_000, sparse, False),
    "drift": (40_000, drift, False),
    "latent tastes": (40_000, latent, False),
    "bursts": (30_000, bursts, False),
    "reviews": (40_000, reviews, False),
    "check-ins": (40_000, check_ins, True),
}


def generated(name: str, seed: int = 1) -> Stream:
    """The stream of a kind, one event every ten seconds."""
    count, kind, repeats = GENERATED[name]
    pairs = kind(np.random.default_rng(seed))
    if repeats:
        return _stream(np.array(list(itertools.islice(pairs, count))))
    seen: dict[Pair, None] = {}
    while len(seen) < count:
        seen.setdefault(next(pairs))
    return _stream(np.array(list(seen)))


def changed_files(repository: Path) -> Stream:
    """The files that the authors of a git repository changed, in the order of time; repeats are kept."""
    command = ["git", "-C", str(repository), "log", "--no-merges", "--name-only", "--format=@%at %ae"]
    text = subprocess.run(command, capture_output=True, text=True, errors="replace", check=True).stdout
    found: list[tuple[int, str, str]] = []
    for line in text.splitlines():
        if line.startswith("@"):
            when, _, author = line[1:].partition(" ")
        elif line:
            found.append((int(when), author, line))
    found.sort(key=lambda change: change[0])
    times, authors, files = zip(*found, strict=True)
    return Stream.of(
        np.array(authors), np.array(files), np.ones(len(found)), np.array(times, np.float64), 1.0
    )


def rated(source: str, positive: float, say: movielens.Say) -> Stream:
    """The stream of a file of ratings, or of MovieLens 100K by its name."""
    data = movielens.load_arrays(movielens.locate(source, say))
    return Stream.of(data.users, data.items, data.ratings, data.timestamps, positive)


def _stream(pairs: NDArray[np.int64]) -> Stream:
    users, items = pairs.T
    times = 10.0 * np.arange(len(pairs)).astype(np.float64)
    return Stream.of(users, items, np.ones(len(pairs)), times, 1.0)
