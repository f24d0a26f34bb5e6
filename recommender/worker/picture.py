"""A worker's knowledge, as its live page shows it."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from recommender.items.store import NO_ITEMS, ItemStore
from recommender.shard.live_metrics import TOP
from recommender.worker.metrics import Metrics
from recommender.worker.replicas import HeldReplica, Replicas

#: Ratings of a user that are shown.
HISTORY = 50
#: Users that are offered to be looked at.
EXAMPLES = 5
#: Items that are found by a part of their title, and how many are looked at for it.
FOUND, LOOKED_AT = 8, 200_000
#: Categories that may be chosen.
CATEGORIES = 200
#: The deviations within which a share lies 19 times in 20.
DEVIATIONS = 1.96


class Picture:
    """Says what is known.

    Parameters
    ----------
    metrics : Metrics
    replicas : Replicas
    items : ItemStore
        What items are called, and their categories.
    """

    def __init__(
        self,
        metrics: Metrics,
        replicas: Replicas,
        items: ItemStore = NO_ITEMS,
    ) -> None:
        self._metrics, self._replicas, self._items = metrics, replicas, items

    def fixed(self) -> dict[str, Any]:
        """The part that does not change while a page is open."""
        feedback = self._replicas.options.feedback
        return {
            "scale": {
                "kind": feedback.kind,
                "low": feedback.low,
                "high": feedback.high,
                "threshold": feedback.threshold,
            },
            "categories": self._items.categories[:CATEGORIES],
        }

    def shown(self) -> dict[str, Any]:
        """The part that changes."""
        held = list(self._replicas)
        options = held[0].replica.shard.options if held else self._replicas.options
        letters = self._metrics.counters.refusals
        return {
            "model": options.model if len(options.arms.names) < 2 else "",
            "quality": [self._quality(each) for each in held],
            "journal": [self._journal(each) for each in held],
            "sources": self._sources(),
            "counts": self._metrics.counters.counts(),
            "topics": self._metrics.counters.source_counts.summary(),
            "reasons": letters.reasons(),
            "letters": letters.last(time.time()),
        }

    def _quality(self, held: HeldReplica) -> dict[str, Any]:
        live = held.replica.shard.live
        count = min(live.tests, live.window)
        recalls = live.recalls()
        shares = {arm.name: arm.share for arm in held.replica.shard.options.arms.arms}
        whole = sum(shares.values()) or 1.0
        arms = [
            {"name": name, "share": shares[name] / whole, **estimate(recall, count)}
            for name, recall in zip(live.arms, recalls, strict=False)
        ]
        return {"tests": count, "top": TOP, "arms": arms, "popular": estimate(recalls[-1], count)}

    def _journal(self, held: HeldReplica) -> dict[str, Any]:
        replica, shard = held.replica, held.replica.shard
        lag, seconds = self._metrics.journal_lag(replica.partition)
        return {
            "partition": replica.partition,
            "position": replica.position,
            "lag": lag,
            "lag_seconds": round(seconds, 1),
            "caught_up": held.caught_up,
            "users": len(shard.users),
            "items": len(shard.items),
            "events": shard.events,
            "saved": held.saved if held.saved >= 0 else None,
            "saved_ago": None if math.isnan(held.saved_at) else round(max(0.0, time.time() - held.saved_at)),
            "bytes": held.saved_bytes,
        }

    def _sources(self) -> list[dict[str, Any]]:
        return [
            {"topic": each.topic, "partition": int(partition), **told}
            for each in self._metrics.topics()
            for partition, told in each.partitions(self._metrics.learned(each.topic_id)).items()
        ]

    def examples(self) -> list[str]:
        """Some users to try it with: those who rated much, of the newest."""
        for held in self._replicas:
            shard = held.replica.shard
            newest = range(max(0, shard.users.size - 200), shard.users.size)
            known = [user for user in newest if shard.users.id_at(user)]
            counts = [(len(shard.history.items_of(user)), user) for user in known]
            return [shard.users.id_of(user) for _, user in sorted(counts, reverse=True)[:EXAMPLES]]
        return []

    def history(self, user: str) -> dict[str, object] | None:
        """A user's ratings, newest first; None where another worker knows them."""
        held = self._replicas.get(self._replicas.partition_of(user))
        if held is None:
            return None
        shard = held.replica.shard
        index = shard.users.find(user)
        if index is None:
            return {"user": user, "known": False, "count": 0, "ratings": []}
        items, values, _ = shard.history.rated(index)
        newest = np.arange(len(items))[::-1][:HISTORY].tolist()
        ratings = [
            {**self._named(shard.items.id_of(int(items[place]))), "rating": round(float(values[place]), 3)}
            for place in newest
            if shard.items.id_at(int(items[place]))  # else it is leaving
        ]
        return {"user": user, "known": True, "count": len(items), "ratings": ratings}

    def _named(self, item: str) -> dict[str, str | None]:
        return {"item": item, "title": self._items.title_of(item)}

    def items(self, part: str) -> list[dict[str, str | None]]:
        """Some items whose title or id has a part, those of which it is the beginning first."""
        wanted = part.casefold()
        found: list[tuple[bool, str]] = []
        for held in self._replicas:
            for item in filter(None, held.replica.shard.items.ids_between(0, LOOKED_AT)):
                named = (self._items.title_of(item) or item).casefold()
                if wanted in named or wanted == item.casefold():
                    found.append((not named.startswith(wanted) and wanted != item.casefold(), item))
            break
        return [self._named(item) for _, item in sorted(found)[:FOUND]]

    def named(self, shown: dict[str, Any]) -> dict[str, Any]:
        """The answers in `JustNow`, with titles."""
        ratings = [{**each, **self._named(each["item"])} for each in shown["ratings"]]
        answers = [
            {**each, "items": [self._named(item) for item in each["items"]]} for each in shown["answers"]
        ]
        return {"ratings": ratings, "answers": answers}


def estimate(share: float, count: int) -> dict[str, float | None]:
    """A share of `count` tests, and the range in which it lies 19 times in 20 (Wilson's interval)."""
    if not count:
        return {"recall": None, "low": None, "high": None}
    square = DEVIATIONS * DEVIATIONS / count
    middle = (share + square / 2) / (1 + square)
    spread = DEVIATIONS / (1 + square) * math.sqrt(share * (1 - share) / count + square / (4 * count))
    return {"recall": share, "low": max(0.0, middle - spread), "high": min(1.0, middle + spread)}
