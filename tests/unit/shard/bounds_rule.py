"""The rule of bounds as it is said, written plainly; and logs and shards to compare by it."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from typing import Any

from recommender.messages.ratings import Rating
from recommender.shard.activity import RECENT
from recommender.shard.bounds import Bounds
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard

Log = Sequence[Rating]


def options(bounds: Bounds, model: str = "popular", **more: Any) -> ShardOptions:
    return ShardOptions(
        model, Feedback.parse("graded:4"), test_every=3, test_window=20, bounds=bounds, **more
    )


def learned(bounds: Bounds, log: Log, model: str = "popular") -> Shard:
    shard = Shard(options(bounds, model))
    shard.learn(log)
    return shard


def stream(seed: int, count: int, users: int = 8) -> list[Rating]:
    """Ratings by users of whom each is there for a while, at times that mostly ascend."""
    chance = random.Random(seed)
    time, log = 1e9, []
    for place in range(count):
        time += chance.choice([0.0, 1.0, 5.0])
        user, item = f"u{place // 20 + chance.randrange(users)}", f"i{int(chance.paretovariate(0.8)) % 20}"
        value = None if chance.random() < 0.1 else chance.choice([0.5, 2.0, 4.0, 5.0])
        log.append(Rating(user, item, value, time - chance.choice([0.0, 0.0, 0.0, 9.0])))
    return log


#: What the names of items that left begin with.
GONE = "\0"


class Naive:
    """The rule, as it is said: after each row those leave who are beyond a bound.

    What has more ratings than are withdrawn for a row, about four, lets others wait.
    """

    def __init__(self, bounds: Bounds) -> None:
        assert bounds.rows == 1
        self.bounds = bounds
        self.rated: dict[str, dict[str, float]] = {}  # users by their last event, oldest first
        self.seen: dict[str, float] = {}
        self.items: dict[str, float] = {}  # and items, with when that was
        self.leaving: list[str] = []  # items that left, under other names, whose ratings are to be withdrawn
        self.left = 0
        self.times: list[float] = []
        self.now = -math.inf

    def learn(self, log: Iterable[Rating]) -> Naive:
        for user, item, rating, time in log:
            if rating is not None or (user in self.rated and item in self.items):
                mine = self.rated.pop(user, {})
                mine.pop(item, None)
                if rating is not None:
                    mine[item] = rating
                self.rated[user] = mine
                self.items.pop(item, None)
                self.seen[user] = self.items[item] = math.inf
                assert time is not None
                self.times = [*self.times, time][-RECENT:]
            self._look(user)
        return self

    def _look(self, user: str) -> None:
        if len(self.times) == RECENT:
            self.now = max(self.now, sorted(self.times)[RECENT // 2])
            self.seen = {each: min(seen, self.now) for each, seen in self.seen.items()}
            self.items = {each: min(seen, self.now) for each, seen in self.items.items()}
        if self.bounds.ratings and user in self.rated:
            mine = self.rated[user]
            for item in list(mine)[: max(0, len(mine) - self.bounds.ratings)]:
                del mine[item]
        excess = len(self.rated) - self.bounds.users if self.bounds.users else 0
        ratings, cost = sum(map(len, self.rated.values())), 0
        surplus = ratings - self.bounds.in_all if self.bounds.in_all else 0
        for place, each in enumerate(list(self.rated)):
            expired = self.bounds.user_ttl and self.seen[each] < self.now - self.bounds.user_ttl
            if cost >= 4 or (place >= excess and cost >= surplus and not expired):
                break
            cost += max(1, len(self.rated[each]))
            del self.rated[each], self.seen[each]
        stand = {item for mine in self.rated.values() for item in mine}
        self.items = {item: seen for item, seen in self.items.items() if item in stand}
        self._let_items_leave()

    def _let_items_leave(self) -> None:
        excess = len(self.items) - self.bounds.items if self.bounds.items else 0
        for place, (each, seen) in enumerate(list(self.items.items())[:4]):
            expired = self.bounds.item_ttl and seen < self.now - self.bounds.item_ttl
            if place >= excess and not expired:
                break
            del self.items[each]
            self.left += 1
            other = f"{GONE}{self.left}"
            self.leaving.append(other)
            for user, mine in self.rated.items():
                self.rated[user] = {other if item == each else item: rating for item, rating in mine.items()}
        cost = 0
        while self.leaving and cost < 4:
            gone = self.leaving.pop(0)
            cost += max(1, sum(mine.pop(gone, None) is not None for mine in self.rated.values()))

    def standing(self) -> dict[str, dict[str, float]]:
        """What is known of each user, but for what is leaving."""
        return {
            user: {item: rating for item, rating in mine.items() if not item.startswith(GONE)}
            for user, mine in self.rated.items()
        }


def known(shard: Shard) -> dict[str, dict[str, float]]:
    """What a shard knows of each user."""
    found = {}
    for user in filter(None, shard.users.ids()):
        index = shard.users.find(user)
        assert index is not None
        items, ratings, _ = shard.history.rated(index)
        found[user] = {
            shard.items.id_at(int(item)): float(rating)
            for item, rating in zip(items, ratings, strict=True)
            if shard.items.id_at(int(item))
        }
    return found
