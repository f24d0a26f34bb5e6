"""Logs in which some are forgotten and guests become users, and shards that have learned them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Any

import numpy as np

from recommender.history.rows import FORGET_ITEM, FORGET_USER, MERGE, NOBODY, RATING, Rows, spanned
from recommender.messages.ratings import Forget, Merge, Rating
from recommender.messages.requests import Request
from recommender.shard.feedback import Feedback
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard

Event = Rating | Forget | Merge


def options(model: str, **more: Any) -> ShardOptions:
    return ShardOptions(model, Feedback.parse("graded:4"), test_every=3, test_window=20, **more)


def kind_of(event: Event) -> int:
    if isinstance(event, Rating):
        return RATING
    if isinstance(event, Merge):
        return MERGE
    return FORGET_ITEM if event.user is None else FORGET_USER


def rows_of(events: Iterable[Event], first: int = 0) -> Rows:
    """Events as arrays; each a second after the one before."""
    events = list(events)
    ids: list[bytes] = []
    for event in events:
        other = event.guest if isinstance(event, Merge) else event.item
        ids += [NOBODY if each is None else each.encode() for each in (event.user, other)]
    text, spans = spanned(ids)
    ratings = [event.rating if isinstance(event, Rating) else None for event in events]
    values = np.array([math.nan if each is None else each for each in ratings])
    times = 1e9 + first + np.arange(len(events), dtype=np.float64)
    marked = np.array([kind_of(event) for event in events], np.uint8)
    return Rows(text, spans, values, times, np.ones(len(events), np.bool_), marked if marked.any() else None)


def learned(model: str, events: Iterable[Event]) -> Shard:
    shard = Shard(options(model))
    shard.learn_rows(rows_of(events))
    return shard


def stream(seed: int, count: int, forgets: float = 0.05) -> list[Event]:
    """Ratings by few users of few items, some withdrawn, and now and then one of them is forgotten."""
    chance = random.Random(seed)
    events: list[Event] = []
    for _ in range(count):
        user, item = f"u{chance.randrange(8)}", f"i{int(chance.paretovariate(0.8)) % 20}"
        if chance.random() < forgets:
            other = f"u{(int(user[1:]) + chance.randrange(1, 8)) % 8}"
            said: list[Event] = [Forget(user, None), Forget(None, item), Merge(user, other)]
            events.append(chance.choice(said))
        else:
            value = None if chance.random() < 0.1 else chance.choice([0.5, 1.0, 2.0, 3.0, 4.0, 4.5, 5.0])
            events.append(Rating(user, item, value))
    return events


def answer(shard: Shard, **fields: Any) -> list[tuple[str, float]]:
    return [(each.item, each.score) for each in shard.recommend(Request(**{"n": 1000, **fields})).items]
