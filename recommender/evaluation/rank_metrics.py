"""Metrics of where in a ranking the targets stood.

Ranks are counted from 0; `recommender.shard.live_metrics.MISS` stands for a target that could not have been
recommended.

Examples
--------
Three targets stood first, third and nowhere:

>>> ranks = np.array([0, 2, MISS], np.int32)
>>> round(recall(ranks), 3), round(reciprocal_rank(ranks), 3), round(ndcg(ranks), 3)
(0.667, 0.444, 0.5)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recommender.shard.live_metrics import MISS, TOP

Ranks = NDArray[np.int32]
#: Ratings of a user, and of an item, below which both count as cold.
COLD_USER, COLD_ITEM = 5, 100


def recall(ranks: Ranks) -> float:
    """The share of targets among the first ten; NaN without targets."""
    return float((ranks < TOP).mean()) if len(ranks) else math.nan


def reciprocal_rank(ranks: Ranks) -> float:
    """The mean of 1 / (rank + 1), a miss being 0; NaN without targets."""
    if not len(ranks):
        return math.nan
    return float(np.where(ranks == MISS, 0.0, 1.0 / (ranks.astype(np.float64) + 1.0)).mean())


def ndcg(ranks: Ranks) -> float:
    """nDCG@10 of single targets: the mean of 1 / log2(rank + 2), 0 beyond the tenth; NaN without targets."""
    if not len(ranks):
        return math.nan
    return float(np.where(ranks < TOP, 1.0 / np.log2(ranks.astype(np.float64) + 2.0), 0.0).mean())


def percentile_rank(ranks: Ranks, candidates: Ranks) -> float:
    """The mean of rank / (candidates - 1): 0 is first, 1 is last or a miss; NaN without targets."""
    if not len(ranks):
        return math.nan
    places = np.minimum(ranks.astype(np.float64) / np.maximum(candidates.astype(np.float64) - 1.0, 1.0), 1.0)
    return float(places.mean())


def windows(ranks: Ranks, window: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Recall@10 over a sliding window.

    Returns
    -------
    ends, recalls : arrays
        The number of tests up to each point, and the recall of the `window` newest of them; twenty points a
        window.
    """
    hits = np.concatenate([[0], np.cumsum(ranks < TOP)])
    ends = np.arange(min(window, len(ranks)), len(ranks) + 1, max(1, window // 20))
    ends = ends[ends > 0]
    starts = np.maximum(ends - window, 0)
    return ends, (hits[ends] - hits[starts]) / np.maximum(ends - starts, 1)


@dataclass(frozen=True, slots=True)
class McNemar:
    """McNemar's test of two models on the same targets.

    Attributes
    ----------
    first_only, second_only : int
        Targets that one of them had among its first ten and the other had not.
    statistic : float
        (first_only - second_only)^2 / (first_only + second_only); 0 where they never differ.
    p : float
        How likely it is to see as much between equal models: the tail of a chi-squared with one degree of
        freedom.
    """

    first_only: int
    second_only: int
    statistic: float
    p: float


def mcnemar(first: Ranks, second: Ranks) -> McNemar:
    """Compare two models by the ranks they gave to the same targets.

    McNemar: Note on the sampling error of the difference between correlated proportions, 1947; on streams:
    Vinagre et al., Evaluation of recommender systems in streaming environments, 2014.
    """
    a, b = first < TOP, second < TOP
    first_only, second_only = int((a & ~b).sum()), int((b & ~a).sum())
    differing = first_only + second_only
    statistic = (first_only - second_only) ** 2 / differing if differing else 0.0
    return McNemar(first_only, second_only, statistic, math.erfc(math.sqrt(statistic / 2.0)))


def better_windows(first: Ranks, second: Ranks, window: int, level: float = 0.05) -> tuple[int, int, int]:
    """Count the windows, cut one after the other, in which each is better by McNemar's test.

    Returns
    -------
    first, second, undecided : int
    """
    counts = [0, 0, 0]
    for start in range(0, len(first), window):
        test = mcnemar(first[start : start + window], second[start : start + window])
        if test.p >= level:
            counts[2] += 1
        else:
            counts[int(test.first_only < test.second_only)] += 1
    return counts[0], counts[1], counts[2]
