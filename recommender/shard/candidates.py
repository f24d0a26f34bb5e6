"""The items that may be recommended."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recommender.messages.requests import Request
from recommender.models.base import IntArray, Model
from recommender.shard.learned import Learned
from recommender.shard.query import Query


@dataclass(frozen=True, slots=True)
class Candidates:
    """Items that may be recommended.

    Attributes
    ----------
    indices : int32 array, ascending
        Those of items that nobody has rated follow on those of all others.
    unseen : list of str
        The ids of those that nobody has rated, in the order of their indices.
    """

    indices: IntArray
    unseen: list[str]

    def followed_by(self, unseen: list[str], first: int) -> Candidates:
        """These, and then items that nobody has rated, whose indices are `first` and those after it."""
        beyond = first + len(self.unseen) + np.arange(len(unseen), dtype=np.int32)
        return Candidates(np.concatenate([self.indices, beyond]), [*self.unseen, *unseen])


def candidates_for(learned: Learned, query: Query, rated: IntArray, model: Model) -> Candidates:
    """The items that a query may be answered with.

    Parameters
    ----------
    learned : Learned
    query : Query
    rated : int32 array
        Items that the user has rated, which are left out unless the request includes them.
    model : Model
        Ids that nobody has rated are candidates only where the model answers for them.
    """
    request, passing = query.request, query.passing
    without = excluded(learned, request, rated)
    if request.items is None and passing is not None:
        return Candidates(passing.all_but(without, learned.history.item_count), [])
    if request.items is None:
        return Candidates(learned.all_but(without), [])
    indices = np.setdiff1d(learned.indices_of(request.items), without)
    if passing is not None:
        indices = passing.of(indices)
    if not model.answers_unseen_items:
        return Candidates(indices, [])
    names = set(map(str, request.exclude))
    wanted = dict.fromkeys(str(each) for each in request.items)
    unseen = [each for each in wanted if each not in learned.items and each not in names]
    if passing is not None:
        unseen = [each for each in unseen if passing.passes(each)]
    beyond = learned.history.item_count + np.arange(len(unseen), dtype=np.int32)
    return Candidates(np.concatenate([indices, beyond]), unseen)


_NOTHING = np.zeros(0, np.int32)


def excluded(learned: Learned, request: Request, rated: IntArray) -> IntArray:
    """The indices that may not be recommended, given those that the user has rated."""
    without = learned.with_free(_NOTHING if request.include_rated else rated)
    return np.concatenate([without, learned.indices_of(request.exclude)]) if request.exclude else without
