"""The quality of checkpoints by the tests that are part of their state, compared with that of new ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recommender.checkpoints.checkpoint import Checkpoint
from recommender.shard.live_metrics import TOP
from recommender.shard.shard import Shard

#: Below this many tests a recall says little.
FEW = 100
POPULAR = "popular"


@dataclass(frozen=True, slots=True)
class Quality:
    """Tests in the window, and of these the hits among the first ten.

    Attributes
    ----------
    tests : int
    hits : dict of str to int
        By arm.
    """

    tests: int
    hits: dict[str, int]

    def __add__(self, other: Quality) -> Quality:
        names = {*self.hits, *other.hits}
        hits = {name: self.hits.get(name, 0) + other.hits.get(name, 0) for name in names}
        return Quality(self.tests + other.tests, hits)

    def recall(self, arm: str) -> float:
        """Recall@10 of an arm; NaN without tests."""
        return self.hits[arm] / self.tests if self.tests else math.nan

    @property
    def best(self) -> str:
        """The arm of the highest recall."""
        return max(sorted(self.hits), key=lambda arm: self.hits[arm])


def of_shard(shard: Shard) -> Quality:
    """The quality of a shard's models."""
    return _of(shard.options.arms.names, shard.live.state()["ranks"])


def of_checkpoint(checkpoint: Checkpoint) -> Quality:
    """The quality of a checkpoint's models, which its header names."""
    return _of(str(checkpoint.header["settings"]["model"]).split(", "), checkpoint.state["live/ranks"])


def _of(arms: Sequence[str], ranks: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> Quality:
    # One column for each arm in the order of their names, then popularity.
    hits = (np.asarray(ranks, np.int32) < TOP).sum(axis=0).tolist()
    return Quality(len(ranks), dict(zip(sorted(arms), hits, strict=False)))


def total(qualities: Sequence[Quality]) -> Quality:
    """The quality of several partitions together."""
    return sum(qualities, Quality(0, {}))


def compared(
    partitions: Sequence[tuple[Quality, Quality | None]], tolerance: float
) -> tuple[list[str], list[str]]:
    """Compare new checkpoints with running ones.

    An arm that both have must not be worse; where they have none in common, the best of the new ones must
    not be worse than the best of the running ones.

    Parameters
    ----------
    partitions : sequence of (Quality, Quality or None)
        New and running, of each partition.
    tolerance : float
        By how much recall@10 may be lower.

    Returns
    -------
    objections, notes : list of str
    """
    pairs = [(new, running) for new, running in partitions if running is not None]
    if not pairs:
        return [], ["there is no running checkpoint to compare with"]
    new, running = total([each for each, _ in pairs]), total([each for _, each in pairs])
    if not (new.tests and running.tests):
        return [], ["nothing is compared: no rating has been used as a test yet"]
    notes = []
    if min(new.tests, running.tests) < FEW:
        notes.append(f"recall was compared over {min(new.tests, running.tests)} tests only")
    common = sorted(new.hits.keys() & running.hits.keys())
    objections = []
    for ours, theirs in [(arm, arm) for arm in common] or [(new.best, running.best)]:
        found, expected = new.recall(ours), running.recall(theirs)
        told = f"recall@{TOP} of {ours} is {found:.4f}, of the running {theirs} {expected:.4f}"
        if found < expected - tolerance:
            objections.append(f"{told}: worse by more than {tolerance:g}")
        else:
            notes.append(told)
    return objections, notes
