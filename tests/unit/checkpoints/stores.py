"""Stores with checkpoints of small shards."""

from __future__ import annotations

from pathlib import Path

from recommender.checkpoints.identity import Identity
from recommender.checkpoints.store import CheckpointStore
from recommender.messages.ratings import Rating
from recommender.shard.options import ShardOptions
from recommender.shard.shard import Shard

IDENTITY = Identity("ratings", "topic-id-1", 2, {"model": "popular", "seed": "0"})


def shard_with(count: int) -> Shard:
    shard = Shard(ShardOptions())
    ratings = [Rating(f"u{each % 3}", f"i{each}", 5, None) for each in range(count)]
    shard.learn(ratings, map(float, range(count)))
    return shard


def saved(directory: Path, *counts: int, identity: Identity = IDENTITY) -> CheckpointStore:
    """A store with a checkpoint at each of these offsets."""
    store = CheckpointStore(directory, identity)
    for count in counts:
        store.save(0, count, shard_with(count).state())
    return store


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in (directory / "ratings-0").iterdir())


def name(offset: int) -> str:
    return f"{offset:020d}.npz"
