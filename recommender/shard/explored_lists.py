"""Lists in which chance has some places."""

from __future__ import annotations

import numpy as np

from recommender.messages.responses import Recommended
from recommender.models.base import IntArray
from recommender.shard.candidates import Candidates, Ranking, entries
from recommender.shard.exploration import EXPLORE, Exploration, mix
from recommender.shard.learned import Learned
from recommender.shard.query import Query

#: Items that nobody has rated yet that chance may choose: those whose records came last.
FRESH = 1000


def explored(
    learned: Learned,
    query: Query,
    candidates: Candidates,
    ranking: Ranking,
    *,
    user: int,
    rated: IntArray,
    exploration: Exploration,
    seed: int,
) -> list[Recommended]:
    """The best candidates, and some that chance chooses; by epsilon also items that nobody has rated yet.

    Parameters
    ----------
    learned : Learned
    query : Query
    candidates : Candidates
    ranking : Ranking
        Of the candidates.
    user : int
    rated : int32 array
        What the user has rated, which chance does not choose.
    exploration : Exploration
    seed : int
        What chance draws by.
    """
    positives = negatives = explorable = None
    known, fresh = len(candidates.indices), _fresh(query) if exploration.kind == "epsilon" else []
    if exploration.kind == "thompson":
        positives = learned.popular.score(user, candidates.indices)
        negatives = learned.history.counts_of(candidates.indices) - positives
    if query.request.include_rated:
        explorable = np.flatnonzero(~np.isin(candidates.indices, rated))
    scores, ranked = ranking.scores, ranking.chosen
    if fresh:
        # Nothing is known of them, so they come after all others, and chance alone puts them first.
        candidates = candidates.followed_by(fresh, learned.history.item_count)
        scores = np.concatenate([scores, np.full(len(fresh), scores.min(initial=0.0))])
        places = known + np.arange(len(fresh))
        ranked = np.concatenate([ranked, places])
        explorable = None if explorable is None else np.concatenate([explorable, places])
    mixed = mix(
        ranked,
        scores,
        query.request.n,
        exploration,
        seed,
        positives=positives,
        negatives=negatives,
        explorable=explorable,
    )
    chosen = np.array([each.candidate for each in mixed], dtype=np.intp)
    neighbours = ranking.neighbours_of(np.minimum(chosen, known - 1)) if known else None
    return entries(
        learned,
        candidates,
        chosen,
        scores[chosen],
        # Also where one is there because nothing else is left: no model has chosen it.
        sources=[EXPLORE if each.candidate >= known else each.source for each in mixed],
        neighbours=None if neighbours is None else np.where(chosen < known, neighbours, 0),
    )


def _fresh(query: Query) -> list[str]:
    """Items that nobody has rated yet and that may be shown, as far as the items topic knows any."""
    request, view = query.request, query.view
    if request.items is not None or not len(view.store):
        return []
    allowed = None if query.passing is None else query.passing.allowed
    return view.unrated(allowed, FRESH, set(map(str, request.exclude)))
