"""Answers requests from what a shard has learned: whose arm, which candidates, in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.history.catalog import Catalog
from recommender.history.history import History
from recommender.messages.requests import Request
from recommender.messages.responses import Failure, Reason, Recommended, Response
from recommender.models.base import Estimates, IntArray, Model, RanksCatalog, RanksLeaders, RanksRepeats
from recommender.models.reasons import Comparing, Profiling, explain, similar_items
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
    ) -> None:
        self._users, self._items, self._history = users, items, history
        self._models, self._popular = models, popular
        self._experiment, self._exploration, self._seed = experiment, exploration, seed

    def recommend(self, request: Request, identity: bytes, as_of: AsOf) -> Response:
        """The n best items for a user, or the n most similar ones to an item.

        Parameters
        ----------
        request : Request
        identity : bytes
            What exploration draws by: a request of the same identity is answered the same.
        as_of : AsOf

        Raises
        ------
        Failure
            The request names an arm that there is none of.
        """
        if request.similar_to is not None:
            return self._recommend_similar(request, as_of)
        arm = self._arm(request.arm, lambda: self._experiment.arm_of(str(request.user)))
        user = self._users.find(str(request.user))
        index = self._history.user_count if user is None else user
        rated = self._history.items_of(index)
        model = self.model_for(arm, rated)
        exploration = self._exploration.for_request(request.explore)
        seed = request_seed(str(request.user), identity, self._seed) if exploration.kind != "none" else 0
        items = self._list(request, index, model, rated, exploration, seed)
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
        rated: IntArray,
        exploration: Exploration,
        seed: int,
    ) -> list[Recommended]:
        again = request.include_rated and len(rated) > 0 and isinstance(model, RanksRepeats)
        all_new = request.items is None and not again
        if exploration.kind == "none" and all_new and isinstance(model, RanksCatalog):
            return self._best_of_catalog(request, user, model, rated)
        candidates = self._candidates(request, rated, model)
        if exploration.kind == "none" and isinstance(model, RanksLeaders):
            pool, highest = model.leading(user, candidates.indices, request.n)
            counts = self._history.counts_of(candidates.indices[pool])
            order = best(highest, counts, request.n)
            return self._places(candidates, pool[order], highest[order], ["exploit"] * len(order), None)
        scores, neighbours_of = _scored(model, user, candidates.indices, again)
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
        places = mix(ranked, scores, request.n, exploration, seed, positives, negatives, explorable)
        chosen = np.array([place.candidate for place in places], dtype=np.intp)
        found = neighbours_of(chosen)
        return self._places(candidates, chosen, scores[chosen], [place.source for place in places], found)

    def _best_of_catalog(
        self, request: Request, user: int, model: RanksCatalog, rated: IntArray
    ) -> list[Recommended]:
        items, scores = model.leading_but(user, self._without(request, rated), request.n)
        order = best(scores, self._history.counts_of(items), request.n)
        return self._places(Candidates(items, []), order, scores[order], ["exploit"] * len(order), None)

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

    def _recommend_similar(self, request: Request, as_of: AsOf) -> Response:
        """The most similar items; the popular ones where the item is unknown or the model knows none."""
        arm = self._arm(request.arm, self._knowing)
        item = self._items.find(str(request.similar_to))
        known = np.array([] if item is None else [item], dtype=np.int32)
        candidates = self._candidates(request, known, self._popular)
        model = self._models[arm]
        if item is not None and isinstance(model, (Profiling, Comparing)):
            name, scores = arm, similar_items(model, item, candidates.indices)
        else:
            name, scores = POPULAR, self._popular.score(self._history.user_count, candidates.indices)
        chosen = best(scores, self._history.counts_of(candidates.indices), request.n)
        items = self._places(candidates, chosen, scores[chosen], ["exploit"] * len(chosen), None)
        return Response(None, items, name, arm, item is None, *as_of, request.arm is not None)

    def _knowing(self) -> str:
        """The first arm whose model knows what is alike, else the first: who asks for no user has no arm."""
        names = self._experiment.names
        knowing = (name for name in names if isinstance(self._models[name], (Profiling, Comparing)))
        return next(knowing, names[0])

    def _candidates(self, request: Request, rated: IntArray, model: Model) -> Candidates:
        """What may be recommended; ids that nobody has rated only where the model answers for them."""
        without = self._without(request, rated)
        if request.items is None:
            return Candidates(self.all_but(without), [])
        indices = np.setdiff1d(self._known(request.items), without)
        if not model.answers_unseen_items:
            return Candidates(indices, [])
        excluded = set(map(str, request.exclude))
        wanted = dict.fromkeys(str(each) for each in request.items)
        unseen = [each for each in wanted if each not in self._items and each not in excluded]
        beyond = self._history.item_count + np.arange(len(unseen), dtype=np.int32)
        return Candidates(np.concatenate([indices, beyond]), unseen)

    def _without(self, request: Request, rated: IntArray) -> IntArray:
        """What may not be recommended."""
        without = self._known(request.exclude)
        return without if request.include_rated else np.concatenate([without, rated])

    def _known(self, ids: Sequence[str | int]) -> IntArray:
        found = (self._items.find(str(each)) for each in ids)
        return np.array([index for index in found if index is not None], dtype=np.int32)


def _scored(
    model: Model, user: int, items: IntArray, again: bool
) -> tuple[NDArray[np.float64], Callable[[NDArray[np.intp]], IntArray | None]]:
    """Scores of items, and a function that gives the neighbours of those at some positions.

    A model that finds both at once is asked once; one that knows what users take again is asked for that
    where `again` is true.
    """
    if again and isinstance(model, RanksRepeats):
        return model.score_rated(user, items), lambda places: model.neighbours(user, items[places])
    if isinstance(model, Estimates):
        scores, neighbours = model.estimate(user, items)
        return scores, lambda places: neighbours[places]
    return model.score(user, items), lambda places: model.neighbours(user, items[places])
