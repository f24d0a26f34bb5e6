"""Answers requests from what a shard has learned: whose arm, which candidates, in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.history.catalog import Catalog
from recommender.history.history import History
from recommender.items.store import NO_ITEMS, ItemStore
from recommender.items.view import ItemFilter, ItemView
from recommender.messages.requests import Liked, Request
from recommender.messages.responses import Failure, Reason, Recommended, Response
from recommender.models.base import Estimates, IntArray, Model, RanksLeaders
from recommender.models.reasons import Comparing, Profiling, explain, profile_of, similar_items
from recommender.models.topk import all_but, best, contenders
from recommender.shard.arms import ArmError, Experiment
from recommender.shard.exploration import Exploration, mix, request_seed

#: Who answers where a model knows nothing of a user.
POPULAR = "popular"


class AsOf(NamedTuple):
    """The last rating that an answer knows of.

    Attributes
    ----------
    partition, offset : int
        In the ratings topic: the partition of the user's key, and the last offset of it that was learned.
        Offset -1 is before the first.
    journal : int
        The last offset of the journal that was followed.
    """

    partition: int
    offset: int
    journal: int


#: Before the first rating.
NOTHING = AsOf(0, -1, -1)


@dataclass(frozen=True, slots=True)
class Candidates:
    """What may be recommended.

    Attributes
    ----------
    indices : int32 array, ascending
        Those of items that nobody has rated follow on those of all others.
    unseen : list of str
        The ids of those that nobody has rated, in the order of their indices.
    """

    indices: IntArray
    unseen: list[str]


class Recommender:
    """Answers requests; changes nothing.

    Parameters
    ----------
    users, items : Catalog
    history : History
    models : mapping of str to Model
        By arm.
    popular : Model
        How often each item was rated positively.
    experiment : Experiment
    exploration : Exploration
        For requests that ask for none of their own.
    seed : int
    likes : function
        Whether who gives a rating likes the item.
    """

    def __init__(
        self,
        users: Catalog,
        items: Catalog,
        history: History,
        models: Mapping[str, Model],
        popular: Model,
        experiment: Experiment,
        exploration: Exploration,
        seed: int,
        likes: Callable[[float], bool] = lambda rating: True,
    ) -> None:
        self._likes = likes
        self._users, self._items, self._history = users, items, history
        self._models, self._popular = models, popular
        self._experiment, self._exploration, self._seed = experiment, exploration, seed
        #: What the items topic says of the items, once it has said something.
        self._view: ItemView | None = None

    def view(self, store: ItemStore) -> ItemView:
        """The items as a store knows them."""
        if self._view is None or self._view.store is not store:
            self._view = ItemView(store, self._items)
        return self._view

    def recommend(
        self, request: Request, identity: bytes, as_of: AsOf, store: ItemStore = NO_ITEMS
    ) -> Response:
        """The n best items for a user, or the n most similar ones to an item.

        Parameters
        ----------
        request : Request
        identity : bytes
            What exploration draws by: a request of the same identity is answered the same.
        as_of : AsOf
        store : ItemStore
            What is known of the items.

        Raises
        ------
        Failure
            The request names an arm that there is none of.
        """
        view = self.view(store)
        chosen = view.filter(request.categories, request.not_categories)
        if request.similar_to is not None:
            response = self._recommend_similar(request, as_of, view, chosen)
        elif request.history is not None:
            response = self._recommend_to_guest(request, request.history, as_of, view, chosen)
        elif request.popular:
            response = self._recommend_popular(request, as_of, view, chosen)
        else:
            response = self._recommend_to_user(request, identity, as_of, view, chosen)
        return self._dressed(request, response, view, chosen)

    def _recommend_to_user(
        self, request: Request, identity: bytes, as_of: AsOf, view: ItemView, chosen: ItemFilter | None
    ) -> Response:
        arm = self._arm(request.arm, lambda: self._experiment.arm_of(str(request.user)))
        user = self._users.find(str(request.user))
        index = self._history.user_count if user is None else user
        rated = self._history.items_of(index)
        model = self.model_for(arm, rated)
        candidates = self._candidates(request, rated, model, chosen)
        exploration = self._exploration.for_request(request.explore)
        seed = request_seed(str(request.user), identity, self._seed) if exploration.kind != "none" else 0
        items = self._list(request, index, model, candidates, rated, exploration, seed, view)
        explained = not request.explain or isinstance(self._models[arm], Profiling)
        if request.explain and explained:
            items = self._explained(arm, index, items)
        name = arm if model is self._models[arm] else POPULAR
        forced = request.arm is not None
        return Response(str(request.user), items, name, arm, not len(rated), *as_of, forced, explained)

    def model_for(self, arm: str, rated: IntArray) -> Model:
        """An arm's model, or where it knows nothing of a user the popular items."""
        model = self._models[arm]
        # A model that has an answer for users without ratings says so.
        if len(rated) or model.answers_unseen_users:
            return model
        return self._popular

    def all_but(self, without: IntArray) -> IntArray:
        """Every item but these, ascending."""
        items: IntArray = all_but(without, self._history.item_count)
        return items

    def _arm(self, forced: str | None, own: Callable[[], str]) -> str:
        """The arm that a request asks for, else its own."""
        if forced is None:
            return own()
        try:
            return self._experiment.choose("", forced)
        except ArmError as error:
            raise Failure("bad_request", str(error)) from None

    def _list(
        self,
        request: Request,
        user: int,
        model: Model,
        candidates: Candidates,
        rated: IntArray,
        exploration: Exploration,
        seed: int,
        view: ItemView,
    ) -> list[Recommended]:
        boosts = view.boosts_of(candidates.indices)
        if exploration.kind == "none" and boosts is None and isinstance(model, RanksLeaders):
            pool, highest = model.leading(user, candidates.indices, request.n)
            counts = self._history.counts_of(candidates.indices[pool])
            order = best(highest, counts, request.n)
            return self._places(candidates, pool[order], highest[order], ["exploit"] * len(order), None)
        scores, neighbours_of = _scored(model, user, candidates.indices)
        if boosts is not None:
            scores = boosted(scores, boosts)
        # Neighbours decide between equal scores, so they are asked for wherever the last place is tied.
        pool = contenders(scores, request.n)
        neighbours = neighbours_of(pool)
        counts = self._history.counts_of(candidates.indices[pool])
        order = best(scores[pool], counts, request.n, neighbours)
        ranked = pool[order]
        if exploration.kind == "none":
            found = None if neighbours is None else neighbours[order]
            return self._places(candidates, ranked, scores[ranked], ["exploit"] * len(ranked), found)
        positives = negatives = explorable = None
        if exploration.kind == "thompson":
            positives = self._popular.score(user, candidates.indices)
            negatives = self._history.counts_of(candidates.indices) - positives
        if request.include_rated:
            explorable = np.flatnonzero(~np.isin(candidates.indices, rated))
        places = mix(
            ranked,
            scores,
            request.n,
            exploration,
            seed,
            positives=positives,
            negatives=negatives,
            explorable=explorable,
        )
        chosen = np.array([place.candidate for place in places], dtype=np.intp)
        found = neighbours_of(chosen)
        return self._places(candidates, chosen, scores[chosen], [place.source for place in places], found)

    def _places(
        self,
        candidates: Candidates,
        chosen: NDArray[np.intp],
        scores: NDArray[np.float64],
        sources: list[str],
        neighbours: IntArray | None,
    ) -> list[Recommended]:
        """The list, in the order of `chosen`, which are places among the candidates, and of their scores."""
        first_unseen = len(candidates.indices) - len(candidates.unseen)
        items = []
        for order, (place, score) in enumerate(zip(chosen.tolist(), scores.tolist(), strict=True)):
            unseen = place >= first_unseen
            if unseen:
                item = candidates.unseen[place - first_unseen]
            else:
                item = self._items.id_of(int(candidates.indices[place]))
            supported = None if neighbours is None else int(neighbours[order])
            items.append(Recommended(item, score, sources[order], supported, cold_start=unseen))
        return items

    def _explained(self, arm: str, user: int, items: list[Recommended]) -> list[Recommended]:
        """The list with reasons; an item that nobody has rated has none."""
        model, known = self._models[arm], [self._items.find(each.item) for each in items]
        assert isinstance(model, Profiling)
        indices = np.array([self._history.item_count if each is None else each for each in known], np.int32)
        reasons = explain(model, user, indices)
        return [
            each._replace(because=[Reason(self._items.id_of(own), share) for own, share in found])
            for each, found in zip(items, reasons, strict=True)
        ]

    def _dressed(
        self, request: Request, response: Response, view: ItemView, chosen: ItemFilter | None
    ) -> Response:
        """A response with what the items topic adds: items that nobody has rated, boosts, titles, and why."""
        store, items = view.store, response.items
        if chosen is not None and len(items) < request.n:
            response = response._replace(fewer=chosen.why_fewer(self._history.item_count))
            items = items + self._unrated(request, items, view, chosen)
            if len(items) == request.n:
                response = response._replace(fewer=None)
        if store.boosted:
            items = [each._replace(boost=store.boost_of(each.item)) for each in items]
        if request.titles:
            items = [each._replace(title=store.title_of(each.item)) for each in items]
        return response if items is response.items else response._replace(items=items)

    def _unrated(
        self, request: Request, items: list[Recommended], view: ItemView, chosen: ItemFilter
    ) -> list[Recommended]:
        """Items of the categories asked for that nobody has rated, for what is left of the list."""
        if request.categories is None or request.items is not None:
            return []
        excluded = {*map(str, request.exclude), *(each.item for each in items), str(request.similar_to)}
        lowest = min(0.0, items[-1].score) if items else 0.0
        found = view.unrated(chosen.allowed, request.n - len(items), excluded)
        return [Recommended(each, lowest, "explore", cold_start=True) for each in found]

    def _recommend_similar(
        self, request: Request, as_of: AsOf, view: ItemView, passing: ItemFilter | None
    ) -> Response:
        """The most similar items; the popular ones where the item is unknown or the model knows none."""
        arm = self._arm(request.arm, self._knowing)
        item = self._items.find(str(request.similar_to))
        known = np.array([] if item is None else [item], dtype=np.int32)
        candidates = self._candidates(request, known, self._popular, passing)
        model = self._models[arm]
        if item is not None and isinstance(model, (Profiling, Comparing)):
            name, scores = arm, similar_items(model, item, candidates.indices)
        else:
            name, scores = POPULAR, self._popular.score(self._history.user_count, candidates.indices)
        items = self._ranked(request, candidates, scores, view)
        return Response(None, items, name, arm, item is None, *as_of, request.arm is not None)

    def _recommend_to_guest(
        self,
        request: Request,
        history: Sequence[Liked],
        as_of: AsOf,
        view: ItemView,
        passing: ItemFilter | None,
    ) -> Response:
        """The best items for one whom only the request describes; the popular ones if it says nothing."""
        arm = self._arm(request.arm, self._profiling)
        model = self._models[arm]
        if not isinstance(model, Profiling):
            raise Failure(
                "bad_request", f"arm {arm!r} cannot recommend by `history`: its model knows users only"
            )
        ratings = {str(each.item): each.rating for each in history}
        names = list(dict.fromkeys(str(each.item) for each in reversed(history)))
        liked = [name for name in names if (rating := ratings[name]) is None or self._likes(rating)]
        known = self._known(liked)
        candidates = self._candidates(request, self._known(names), model, passing)
        if len(known):
            name, scores = arm, model.score_profile(profile_of(model, known), candidates.indices)
        else:
            name, scores = POPULAR, self._popular.score(self._history.user_count, candidates.indices)
        items = self._ranked(request, candidates, scores, view)
        return Response(None, items, name, arm, not len(known), *as_of, request.arm is not None)

    def _recommend_popular(
        self, request: Request, as_of: AsOf, view: ItemView, passing: ItemFilter | None
    ) -> Response:
        """The items with the most positive ratings; the score is their number."""
        arm = self._arm(request.arm, lambda: self._experiment.names[0])
        user = None if request.user is None else self._users.find(str(request.user))
        index = self._history.user_count if user is None else user
        rated = self._history.items_of(index)
        candidates = self._candidates(request, rated, self._popular, passing)
        items = self._ranked(request, candidates, self._popular.score(index, candidates.indices), view)
        shown = None if request.user is None else str(request.user)
        return Response(shown, items, POPULAR, arm, False, *as_of, True)

    def _ranked(
        self, request: Request, candidates: Candidates, scores: NDArray[np.float64], view: ItemView
    ) -> list[Recommended]:
        boosts = view.boosts_of(candidates.indices)
        if boosts is not None:
            scores = boosted(scores, boosts)
        chosen = best(scores, self._history.counts_of(candidates.indices), request.n)
        return self._places(candidates, chosen, scores[chosen], ["exploit"] * len(chosen), None)

    def _profiling(self) -> str:
        """The first arm whose model can score a profile, else the first."""
        names = self._experiment.names
        return next((name for name in names if isinstance(self._models[name], Profiling)), names[0])

    def _knowing(self) -> str:
        """The first arm whose model knows what is alike, else the first: who asks for no user has no arm."""
        names = self._experiment.names
        knowing = (name for name in names if isinstance(self._models[name], (Profiling, Comparing)))
        return next(knowing, names[0])

    def _candidates(
        self, request: Request, rated: IntArray, model: Model, chosen: ItemFilter | None
    ) -> Candidates:
        """What may be recommended; ids that nobody has rated only where the model answers for them."""
        without = self._known(request.exclude)
        if not request.include_rated:
            without = np.concatenate([without, rated])
        if request.items is None and chosen is not None:
            return Candidates(chosen.all_but(without, self._history.item_count), [])
        if request.items is None:
            return Candidates(self.all_but(without), [])
        indices = np.setdiff1d(self._known(request.items), without)
        if chosen is not None:
            indices = chosen.of(indices)
        if not model.answers_unseen_items:
            return Candidates(indices, [])
        excluded = set(map(str, request.exclude))
        wanted = dict.fromkeys(str(each) for each in request.items)
        unseen = [each for each in wanted if each not in self._items and each not in excluded]
        if chosen is not None:
            unseen = [each for each in unseen if chosen.passes(each)]
        beyond = self._history.item_count + np.arange(len(unseen), dtype=np.int32)
        return Candidates(np.concatenate([indices, beyond]), unseen)

    def _known(self, ids: Sequence[str | int]) -> IntArray:
        found = (self._items.find(str(each)) for each in ids)
        return np.array([index for index in found if index is not None], dtype=np.int32)


def boosted(scores: NDArray[np.float64], boosts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores raised or lowered by boosts: a score of 2 with 1.5 becomes 3, and one of -2 becomes -1."""
    return scores + (boosts - 1.0) * np.abs(scores)


def _scored(
    model: Model, user: int, items: IntArray
) -> tuple[NDArray[np.float64], Callable[[NDArray[np.intp]], IntArray | None]]:
    """Scores of items, and a function that gives the neighbours of those at some positions.

    A model that finds both at once is asked once.
    """
    if isinstance(model, Estimates):
        scores, neighbours = model.estimate(user, items)
        return scores, lambda places: neighbours[places]
    return model.score(user, items), lambda places: model.neighbours(user, items[places])
