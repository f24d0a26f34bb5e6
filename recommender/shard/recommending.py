"""Answers requests from what a shard has learned: users, guests, similar and popular items."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from recommender.items.store import NO_ITEMS, ItemStore
from recommender.items.view import ItemFilter, ItemView
from recommender.messages.requests import Request
from recommender.messages.responses import Reason, Recommended, Response
from recommender.models.base import (
    FloatArray,
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
from recommender.shard.candidates import Candidates, Ranking, boosted, candidates_for, entries, excluded
from recommender.shard.exploration import Exploration, request_seed
from recommender.shard.explored_lists import explored
from recommender.shard.learned import POPULAR, Learned
from recommender.shard.plain_lists import recommend_popular, recommend_similar, recommend_to_guest
from recommender.shard.query import AsOf, Hidden, Query, without_hidden


class Recommender:
    """Answers requests; changes nothing.

    Parameters
    ----------
    learned : Learned
    exploration : Exploration
        For requests that ask for none of their own.
    seed : int
        Of what exploration draws.
    """

    def __init__(self, learned: Learned, *, exploration: Exploration, seed: int) -> None:
        self._learned, self._exploration, self._seed = learned, exploration, seed
        #: What the items topic says of the items, once it has said something.
        self._view: ItemView | None = None

    def view(self, store: ItemStore) -> ItemView:
        """The items as a store knows them."""
        if self._view is None or self._view.store is not store:
            self._view = ItemView(store, self._learned.items)
        return self._view

    def recommend(
        self,
        request: Request,
        *,
        identity: bytes,
        as_of: AsOf,
        store: ItemStore = NO_ITEMS,
        sums: FloatArray | None = None,
        hidden: Hidden | None = None,
    ) -> Response:
        """The n best items for a user, or the n most similar ones to an item.

        Parameters
        ----------
        request : Request
        identity : bytes
            What exploration draws by: a request of the same identity is answered the same.
        as_of : AsOf
            The last rating that was learned.
        store : ItemStore
            What is known of the items.
        sums : float array, optional
            How popular each item is in the window of time that is asked for.
        hidden : Hidden, optional
            What the user was shown before.

        Raises
        ------
        Failure
            The request names an arm that there is none of, or asks the model for what it cannot do.
        """
        view = self.view(store)
        passing = view.filter(request.categories, request.not_categories)
        if hidden is not None:
            request, hidden = without_hidden(self._learned, request, hidden)
        query = Query(request=request, identity=identity, as_of=as_of, view=view, passing=passing, sums=sums)
        if request.similar_to is not None:
            response = recommend_similar(self._learned, query)
        elif request.history is not None:
            response = recommend_to_guest(self._learned, query, request.history)
        elif request.popular:
            response = recommend_popular(self._learned, query)
        else:
            response = recommend_to_user(self._learned, query, self._exploration, self._seed)
        return self._dressed(query, response, hidden)

    def _dressed(self, query: Query, response: Response, hidden: Hidden | None) -> Response:
        """A response with what the items topic adds: items that nobody has rated, boosts, titles, and why."""
        request, passing, store, items = query.request, query.passing, query.view.store, response.items
        if len(items) < request.n and (passing or hidden):
            if passing is not None:
                items = items + _unrated(query, items, passing)
            if len(items) < request.n:
                response = response._replace(fewer=self._why_fewer(passing, hidden))
        if store.boosted:
            items = [each._replace(boost=store.boost_of(each.item)) for each in items]
        if request.titles:
            items = [each._replace(title=store.title_of(each.item)) for each in items]
        return response if items is response.items else response._replace(items=items)

    def _why_fewer(self, passing: ItemFilter | None, hidden: Hidden | None) -> str:
        """Explain why a list has become shorter than was asked."""
        known, free = self._learned.history.item_count, self._learned.items.free
        filtered = [] if passing is None else [passing.why_fewer(known, free)]
        return "; ".join([*filtered, *([] if hidden is None else [f"{len(hidden.items)} {hidden.why}"])])


def _unrated(query: Query, items: list[Recommended], passing: ItemFilter) -> list[Recommended]:
    """Items of the categories asked for that nobody has rated, for what is left of the list."""
    request = query.request
    if request.categories is None or request.items is not None:
        return []
    excluded = {*map(str, request.exclude), *(each.item for each in items), str(request.similar_to)}
    lowest = min(0.0, items[-1].score) if items else 0.0
    found = query.view.unrated(passing.allowed, request.n - len(items), excluded)
    return [Recommended(each, lowest, "explore", cold_start=True) for each in found]


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
        candidates = candidates_for(learned, query, rated, model)
        ranking = _ranked(learned, query, user, model, candidates, _asks_again(query, rated, model))
        items = explored(
            learned, query, candidates, ranking, user=user, rated=rated, exploration=exploration, seed=drawn
        )
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


def _exploited(learned: Learned, query: Query, user: int, model: Model, rated: IntArray) -> list[Recommended]:
    """The best items, found in the cheapest way that the model has for such a request."""
    request, boosting = query.request, query.view.store.boosted
    # Where little of a catalogue is left, to score that is the cheapest.
    few = query.passing is not None and query.passing.leaves_few(learned.history.item_count)
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


def _asks_again(query: Query, rated: IntArray, model: Model) -> bool:
    """Return True if the model is asked for what the user takes again."""
    return query.request.include_rated and len(rated) > 0 and isinstance(model, RanksRepeats)


def _best_of_catalog(
    learned: Learned, query: Query, user: int, model: RanksCatalog, rated: IntArray
) -> list[Recommended]:
    """The best items of a model that need not score them all."""
    without, passing, count = excluded(learned, query.request, rated), None, learned.history.item_count
    if query.passing is not None:
        passing = query.passing.of_all(count)
        if passing is None:
            without = query.passing.others(without, count)
    items, scores = model.leading_but(user, without, query.request.n, passing)
    order = best(scores, learned.history.counts_of(items), query.request.n)
    return entries(learned, Candidates(items, []), order, scores[order])


def _ranked(
    learned: Learned, query: Query, user: int, model: Model, candidates: Candidates, again: bool
) -> Ranking:
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
    return Ranking(pool[order], scores, found, neighbours_of)


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
    known = learned.items.find_all(each.item for each in items)
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
