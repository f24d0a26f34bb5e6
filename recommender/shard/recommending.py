"""Answers requests from what a shard has learned: users, guests, similar and popular items."""

from __future__ import annotations

from recommender.items.store import NO_ITEMS, ItemStore
from recommender.items.view import ItemFilter, ItemView
from recommender.messages.requests import Request
from recommender.messages.responses import Recommended, Response
from recommender.models.base import FloatArray
from recommender.shard import hiding
from recommender.shard.exploration import Exploration
from recommender.shard.hiding import Hidden
from recommender.shard.learned import Learned
from recommender.shard.plain_lists import recommend_popular, recommend_similar, recommend_to_guest
from recommender.shard.query import AsOf, Query
from recommender.shard.user_lists import recommend_to_user


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
            request, hidden = hiding.without(self._learned, request, hidden)
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
