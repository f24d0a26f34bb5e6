"""The items that may be recommended, and the lists that they become."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.messages.requests import Request
from recommender.messages.responses import Recommended
from recommender.models.base import IntArray, Model
from recommender.models.topk import best
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


class Ranking(NamedTuple):
    """The best candidates in order, and what a model says of all of them.

    Attributes
    ----------
    chosen : int array
        Positions among the candidates, the best first.
    scores : float array
        Of all candidates.
    neighbours : int array or None
        Of those chosen, if the model has such a notion.
    neighbours_of : function
        The neighbours of the candidates at some positions.
    """

    chosen: NDArray[np.intp]
    scores: NDArray[np.float64]
    neighbours: IntArray | None
    neighbours_of: Callable[[NDArray[np.intp]], IntArray | None]


def best_of(
    learned: Learned, query: Query, candidates: Candidates, scores: NDArray[np.float64]
) -> list[Recommended]:
    """The n best candidates by score, then by their number of ratings, then by age."""
    boosts = query.view.boosts_of(candidates.indices)
    if boosts is not None:
        scores = boosted(scores, boosts)
    chosen = best(scores, learned.history.counts_of(candidates.indices), query.request.n)
    return entries(learned, candidates, chosen, scores[chosen])


def entries(
    learned: Learned,
    candidates: Candidates,
    chosen: NDArray[np.intp],
    scores: NDArray[np.float64],
    *,
    sources: list[str] | None = None,
    neighbours: IntArray | None = None,
) -> list[Recommended]:
    """The list of some candidates, in their order.

    Parameters
    ----------
    learned : Learned
    candidates : Candidates
    chosen : int array
        Positions among the candidates.
    scores : float array
        The score of each that was chosen.
    sources : list of str, optional
        ``exploit`` or ``explore`` for each; by default all are the best that was left.
    neighbours : int array, optional
        How many neighbours support each.
    """
    first_unseen = len(candidates.indices) - len(candidates.unseen)
    indices = candidates.indices[chosen].tolist()
    items = []
    for order, (position, index, score) in enumerate(
        zip(chosen.tolist(), indices, scores.tolist(), strict=True)
    ):
        unseen = position >= first_unseen
        item = candidates.unseen[position - first_unseen] if unseen else learned.items.id_of(index)
        source = "exploit" if sources is None else sources[order]
        supported = None if neighbours is None else int(neighbours[order])
        items.append(Recommended(item, score, source, supported, cold_start=unseen))
    return items


def boosted(scores: NDArray[np.float64], boosts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores raised or lowered by boosts: a score of 2 with 1.5 becomes 3, and one of -2 becomes -1."""
    return scores + (boosts - 1.0) * np.abs(scores)
