"""Lists for users: the arm's model, what chance adds, and why."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.messages.responses import Reason, Recommended, Response
from recommender.models.base import (
    IntArray,
    Model,
    RanksCatalog,
    RanksRepeats,
    estimates,
    ranks_catalog,
    ranks_leaders,
)
from recommender.models.reasons import Profiling, explain
from recommender.models.topk import best, contenders
from recommender.shard.candidates import Candidates, candidates_for, excluded
from recommender.shard.exploration import EXPLORE, Exploration, mix, request_seed
from recommender.shard.learned import POPULAR, Learned
from recommender.shard.listing import boosted, entries
from recommender.shard.query import Query

#: Items that nobody has rated yet that chance may choose: those whose records came last.
FRESH = 1000


def recommend_to_user(learned: Learned, query: Query, exploration: Exploration, seed: int) -> Response:
    """The best items for the user whom a request names.

    Parameters
    ----------
    learned : Learned
    query : Query
    exploration : Exploration
        For requests that ask for none of their own.
    seed : int
        Of the shard; what a request draws depends on it, on the user and on the request's identity.
    """
    request = query.request
    name = str(request.user)
    arm = learned.arm(request.arm, lambda: learned.experiment.arm_of(name))
    user = learned.index_of(name)
    rated = learned.history.items_of(user)
    model = learned.model_for(arm, rated)
    exploration = exploration.for_request(request.explore)
    if exploration.kind == "none":
        items = _exploited(learned, query, user, model, rated)
    else:
        drawn = request_seed(name, query.identity, seed)
        items = _explored(learned, query, user, model, rated, exploration, drawn)
    own, explained = learned.models[arm], True
    if request.explain:
        if isinstance(own, Profiling):
            items = _explained(learned, own, user, items)
        else:
            explained = False
    return query.response(
        items,
        user=name,
        model=arm if model is own else POPULAR,
        arm=arm,
        cold_start=not len(rated),
        explained=explained,
    )


class _Ranking(NamedTuple):
    """The best candidates in order, and what is known of all of them.

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


def _exploited(learned: Learned, query: Query, user: int, model: Model, rated: IntArray) -> list[Recommended]:
    """The best items, found in the cheapest way that the model has for such a request."""
    request, boosting = query.request, query.view.store.boosted
    # A model that ranks a catalogue scores all that is left, where that is less than a half.
    few = query.passing is not None and query.passing.few
    if (
        request.items is None
        and not boosting
        and not few
        and not _asks_again(query, rated, model)
        and ranks_catalog(model)
    ):
        return _best_of_catalog(learned, query, user, model, rated)
    candidates = candidates_for(learned, query, rated, model)
    if not boosting and ranks_leaders(model):
        pool, highest = model.leading(user, candidates.indices, request.n)
        order = best(highest, learned.history.counts_of(candidates.indices[pool]), request.n)
        return entries(learned, candidates, pool[order], highest[order])
    ranking = _ranked(learned, query, user, model, candidates, _asks_again(query, rated, model))
    chosen, scores = ranking.chosen, ranking.scores[ranking.chosen]
    return entries(learned, candidates, chosen, scores, neighbours=ranking.neighbours)


def _explored(
    learned: Learned,
    query: Query,
    user: int,
    model: Model,
    rated: IntArray,
    exploration: Exploration,
    seed: int,
) -> list[Recommended]:
    """The best items, and some that chance chooses; by epsilon also such that nobody has rated yet."""
    candidates = candidates_for(learned, query, rated, model)
    ranking = _ranked(learned, query, user, model, candidates, _asks_again(query, rated, model))
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


def _asks_again(query: Query, rated: IntArray, model: Model) -> bool:
    """Return True if the model is asked for what the user takes again."""
    return query.request.include_rated and len(rated) > 0 and isinstance(model, RanksRepeats)


def _best_of_catalog(
    learned: Learned, query: Query, user: int, model: RanksCatalog, rated: IntArray
) -> list[Recommended]:
    """The best items of a model that need not score them all."""
    without = excluded(learned, query.request, rated)
    if query.passing is not None:
        without = query.passing.others(without, learned.history.item_count)
    items, scores = model.leading_but(user, without, query.request.n)
    order = best(scores, learned.history.counts_of(items), query.request.n)
    return entries(learned, Candidates(items, []), order, scores[order])


def _ranked(
    learned: Learned, query: Query, user: int, model: Model, candidates: Candidates, again: bool
) -> _Ranking:
    """The n best candidates by score, then by neighbours, by their number of ratings, and by age."""
    n = query.request.n
    scores, neighbours_of = _scored(model, user, candidates.indices, again)
    boosts = query.view.boosts_of(candidates.indices)
    if boosts is not None:
        scores = boosted(scores, boosts)
    # Neighbours decide between equal scores, so they are asked for wherever the last place is tied.
    pool = contenders(scores, n)
    neighbours = neighbours_of(pool)
    order = best(scores[pool], learned.history.counts_of(candidates.indices[pool]), n, neighbours)
    found = None if neighbours is None else neighbours[order]
    return _Ranking(pool[order], scores, found, neighbours_of)


def _scored(
    model: Model, user: int, items: IntArray, again: bool
) -> tuple[NDArray[np.float64], Callable[[NDArray[np.intp]], IntArray | None]]:
    """Scores of items, and a function that gives the neighbours of those at some positions.

    A model that finds both at once is asked once; one that knows what users take again is asked for that
    where `again` is true.
    """
    if again and isinstance(model, RanksRepeats):
        return model.score_rated(user, items), lambda positions: model.neighbours(user, items[positions])
    if estimates(model):
        scores, neighbours = model.estimate(user, items)
        return scores, lambda positions: neighbours[positions]
    return model.score(user, items), lambda positions: model.neighbours(user, items[positions])


def _explained(learned: Learned, model: Profiling, user: int, items: list[Recommended]) -> list[Recommended]:
    """The list with reasons; an item that nobody has rated has none."""
    known = [learned.items.find(each.item) for each in items]
    indices = np.array([learned.history.item_count if each is None else each for each in known], np.int32)
    reasons = explain(model, user, indices)
    return [
        each._replace(
            because=[
                Reason(learned.items.id_of(own), share) for own, share in found if learned.items.id_at(own)
            ]
        )
        for each, found in zip(items, reasons, strict=True)
    ]
