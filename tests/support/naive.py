"""Naive versions of the history and of the sequence neighbours, written to be read."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from recommender.models.elementary import half_powers, powered

RUN_LIMIT = 64


@dataclass
class Entry:
    item: int
    rating: float
    weight: float
    number: int
    run: list[int]  # event numbers of the run, shared by its entries

    @property
    def position(self) -> int:
        return self.run[0] + self.run[-1]


@dataclass
class NaiveUser:
    entries: list[Entry] = field(default_factory=list)
    events: int = 0
    run: list[int] = field(default_factory=list)
    last_time: float = math.nan


class NaiveHistory:
    """What `recommender.history.history.History` says it is, with lists."""

    def __init__(self, raters_per_item: int) -> None:
        self.raters_per_item = raters_per_item
        self.users: dict[int, NaiveUser] = defaultdict(NaiveUser)
        self.rings: dict[int, list[tuple[int, Entry]]] = defaultdict(list)
        self.event_count = 0
        self.first: dict[int, tuple[int, float]] = {}
        self.last: dict[int, tuple[int, float]] = {}

    def append(self, user: int, item: int, rating: float, weight: float, time: float) -> tuple[float, float]:
        """Learn one event; what it replaced."""
        u = self.users[user]
        earlier = self.find(user, item)
        if earlier is not None:
            u.entries.remove(earlier)
        if not math.isnan(rating):
            if time != u.last_time or len(u.run) == RUN_LIMIT:
                u.run = []
            u.run.append(u.events)
            entry = Entry(item, rating, weight, u.events, u.run)
            u.events += 1
            u.last_time = time
            u.entries.append(entry)
            self.rings[item].append((user, entry))
            self.first.setdefault(item, (self.event_count, time))
            self.last[item] = (self.event_count, time)
        self.event_count += 1
        return (math.nan, math.nan) if earlier is None else (earlier.rating, earlier.weight)

    def find(self, user: int, item: int) -> Entry | None:
        return next((entry for entry in self.users[user].entries if entry.item == item), None)

    def count(self, item: int) -> int:
        return sum(any(entry.item == item for entry in u.entries) for u in self.users.values())

    def ring(self, item: int) -> list[tuple[int, Entry | None]]:
        """The newest rating events of the item, oldest first; None for one that no longer stands."""
        newest = self.rings[item][-self.raters_per_item :]
        return [(v, e if any(e is x for x in self.users[v].entries) else None) for v, e in newest]


def naive_sequence_knn(
    history: NaiveHistory,
    user: int,
    candidates: list[int],
    *,
    entries: int = 20,
    decay: float = 0.8,
    window: int = 20,
    window_decay: float = 0.95,
    base: float = 0.15,
    power: float = 1.5,
    raters: int = 256,
    raters_decay: float = 1.0,
    neighbours: int = 1000,
    max_entries: int = 500,
    effort: int = 200_000,
) -> tuple[list[float], list[int]]:
    """Scores and numbers of neighbours, by the formula and in its order of summation.

    Powers are the project's own: the library's have other last bits.
    """
    decays, closeness = half_powers(decay, 8 * entries + 1), half_powers(window_decay, 2 * window + 1)
    strengths: dict[int, float] = {}
    near: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))  # neighbour: event number: m
    met: list[int] = []
    base_of: dict[int, float] = defaultdict(float)
    looked_at = history.users[user].entries[-4 * entries :] if user in history.users else []
    ranks: dict[int, list[int]] = defaultdict(list)
    for rank, entry in enumerate(reversed(looked_at)):
        ranks[entry.position].append(rank)
    lags = {position: ranked[0] + ranked[-1] for position, ranked in ranks.items()}  # doubled means
    for entry in reversed(looked_at):
        if entry.weight > 0 and len(strengths) < entries:
            lag = lags[entry.position] - lags[looked_at[-1].position]
            strengths[entry.item] = float(decays[lag]) * float(np.float32(entry.weight))
    for k, (item, strength) in enumerate(strengths.items()):
        newest = max(math.floor(raters * raters_decay**k), min(raters, 8))
        c = strength / powered(history.count(item) + 20.0, 0.6)
        for v, shared in reversed(history.ring(item)[-newest:]):
            if v == user or shared is None or shared.weight <= 0:
                continue
            if v not in met and len(met) == neighbours:
                continue
            if v not in met:
                met.append(v)
            base_of[v] += c
            for x in history.users[v].entries:
                after = x.position - shared.position
                if abs(after) <= 2 * window:
                    share = closeness[max(round(abs(after)) - 2, 0)] * (0.8 if after < 0 else 1.0)
                    near[v][x.number] += c * share
    max_entries = min(max_entries, effort // max(1, len(met)))
    sums: dict[int, float] = defaultdict(float)
    counts: dict[int, int] = defaultdict(int)
    for v in met:
        b = base * base_of[v]
        ordered = history.users[v].entries
        for place, x in enumerate(ordered):
            m = near[v].get(x.number, 0.0)
            if m == 0.0 and place < len(ordered) - max_entries:
                continue
            value = float(np.float32(x.weight)) * (_raised(m + b, power) + _raised(b, power))
            if value > 0:
                sums[x.item] += value
                counts[x.item] += 1
    scores = [sums[j] / math.sqrt(history.count(j) + 10.0) if sums[j] > 0 else 0.0 for j in candidates]
    return scores, [counts[j] for j in candidates]


def _raised(value: float, power: float) -> float:
    return float(value * math.sqrt(value)) if power == 1.5 else float(powered(value, power))
