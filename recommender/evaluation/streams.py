"""A log of ratings as a protocol of evaluation asks for it.

Two protocols, after Vinagre et al., Evaluation of recommender systems in streaming environments (2014), as
FluRS uses it. In both the targets are the last half of the positive ratings in time order, candidates are
the items seen so far that the user does not have, and an item never seen before counts as a miss.

``flurs``
    Only positive ratings are learned: the first 30 % to train, the next 20 % one by one, the last half each
    after its test. Models here learn one by one all along, so the first two are one. What the user does not
    have is what the user did not rate positively.
``graded``
    Every rating is learned, weighted by its value, and candidates leave out all that the user has rated.

A target that the user has already is no candidate, so it is learned but not tested.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recommender.errors import RecommenderError
from recommender.models.base import IntArray
from recommender.shard.feedback import Feedback

Protocol = Literal["flurs", "graded"]
PROTOCOLS: tuple[Protocol, ...] = ("flurs", "graded")
#: The share of positive ratings that are learned before the first test.
LEARNED_FIRST = 0.5


class EvaluationError(RecommenderError):
    """Nothing to evaluate: too few positive ratings."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A log of ratings, ready to be replayed.

    Attributes
    ----------
    users, items : int32 arrays
        Dense indices in the order of first appearance.
    ratings, weights : float32 arrays
    times : float64 array
    tested : bool array
        Which events are targets.
    positive_weight : float
    scale : (float, float)
        The lowest and the highest rating.
    """

    users: IntArray
    items: IntArray
    ratings: NDArray[np.float32]
    weights: NDArray[np.float32]
    times: NDArray[np.float64]
    tested: NDArray[np.bool_]
    positive_weight: float
    scale: tuple[float, float] = (-math.inf, math.inf)

    def __len__(self) -> int:
        return len(self.users)

    @classmethod
    def of(
        cls,
        users: NDArray[Any],
        items: NDArray[Any],
        ratings: NDArray[np.float64],
        times: NDArray[np.float64],
        positive: float,
        protocol: Protocol = "graded",
    ) -> Stream:
        """The stream of a protocol.

        Parameters
        ----------
        users, items : arrays of anything that can be compared, one length
        ratings, times : float arrays
            In the order in which they are to be learned.
        positive : float
            Ratings of at least this are positive.

        Raises
        ------
        EvaluationError
            Fewer than two ratings are positive.
        """
        given = np.asarray(ratings, np.float64)
        if np.count_nonzero(given >= positive) < 2:
            raise EvaluationError(
                f"{np.count_nonzero(given >= positive)} of {len(given)} ratings are at least {positive:g}: "
                "expected 2 or more positive ones; choose a lower threshold"
            )
        if protocol == "flurs":
            kept = np.flatnonzero(given >= positive)
            users, items, given, times = users[kept], items[kept], given[kept], times[kept]
            weights, weight = np.ones(len(given), np.float32), 1.0
        else:
            low, high = float(given.min()), float(given.max())
            feedback = Feedback.parse(f"graded:{positive!r}", min(low, high - 1.0), high)
            weights, weight = feedback.weights(given.astype(np.float32)), feedback.positive_weight
        positives = np.flatnonzero(given >= positive)
        tested = np.zeros(len(given), np.bool_)
        tested[positives[int(len(positives) * LEARNED_FIRST) :]] = True
        return cls(
            dense(users), dense(items), given.astype(np.float32), weights,
            np.asarray(times, np.float64), tested, weight, (float(given.min()), float(given.max())),
        )  # fmt: skip


def shuffled_ties(times: NDArray[np.float64], seed: int) -> NDArray[np.int64]:
    """An order by time in which events of one timestamp are drawn at random."""
    drawn = np.random.default_rng(seed).random(len(times))
    order: NDArray[np.int64] = np.lexsort((drawn, times))
    return order


def dense(ids: NDArray[Any]) -> IntArray:
    """Numbers from 0 for ids, in the order of their first appearance."""
    _, first, codes = np.unique(ids, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int32)
    order[np.argsort(first, kind="stable")] = np.arange(len(first), dtype=np.int32)
    numbers: IntArray = order[codes]
    return numbers
