"""Turns scores into a list: boosts, the order, and the entry of each item."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recommender.messages.responses import Recommended
from recommender.models.base import IntArray
from recommender.models.topk import best
from recommender.shard.candidates import Candidates
from recommender.shard.learned import Learned
from recommender.shard.query import Query


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
