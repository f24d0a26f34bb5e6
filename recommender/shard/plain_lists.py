"""Lists in which chance has no part: for guests, of similar items and of popular ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recommender.messages.requests import Liked
from recommender.messages.responses import Failure, Response
from recommender.models.base import Model
from recommender.models.reasons import Comparing, Profiling, profile_of, similar_items
from recommender.shard.candidates import Candidates, best_of, candidates_for
from recommender.shard.learned import POPULAR, Learned
from recommender.shard.query import Query


def recommend_to_guest(learned: Learned, query: Query, history: Sequence[Liked]) -> Response:
    """The best items for a guest with a history; the popular ones if no item of it is known and liked.

    Raises
    ------
    Failure
        The arm's model can recommend only to users that it has learned.
    """
    request = query.request
    arm = learned.arm(request.arm, lambda: learned.arm_that(_profiles))
    model = learned.models[arm]
    if not isinstance(model, Profiling):
        raise Failure("bad_request", f"arm {arm!r} cannot recommend by `history`: its model knows users only")
    ratings = {str(each.item): each.rating for each in history}
    newest_first = list(dict.fromkeys(str(each.item) for each in reversed(history)))
    liked = [item for item in newest_first if (rating := ratings[item]) is None or learned.likes(rating)]
    known = learned.indices_of(liked)
    candidates = candidates_for(learned, query, learned.indices_of(newest_first), model)
    if len(known):
        name, scores = arm, model.score_profile(profile_of(model, known), candidates.indices)
    else:
        name, scores = POPULAR, learned.popular.score(learned.history.user_count, candidates.indices)
    items = best_of(learned, query, candidates, scores)
    return query.response(items, user=None, model=name, arm=arm, cold_start=not len(known))


def recommend_similar(learned: Learned, query: Query) -> Response:
    """The most similar items; the popular ones where the item is unknown or the model compares none."""
    request = query.request
    # A request that is about no user has no arm of its own.
    arm = learned.arm(request.arm, lambda: learned.arm_that(_compares))
    item = learned.items.find(str(request.similar_to))
    itself = np.array([] if item is None else [item], dtype=np.int32)
    candidates = candidates_for(learned, query, itself, learned.popular)
    model = learned.models[arm]
    if item is not None and isinstance(model, (Profiling, Comparing)):
        name, scores = arm, similar_items(model, item, candidates.indices)
    else:
        name, scores = POPULAR, learned.popular.score(learned.history.user_count, candidates.indices)
    items = best_of(learned, query, candidates, scores)
    return query.response(items, user=None, model=name, arm=arm, cold_start=item is None)


def recommend_popular(learned: Learned, query: Query) -> Response:
    """The items with the most positive ratings: their number is the score."""
    request, sums = query.request, query.sums
    arm = learned.arm(request.arm, lambda: learned.experiment.names[0])
    user = None if request.user is None else str(request.user)
    index = learned.history.user_count if user is None else learned.index_of(user)
    candidates = candidates_for(learned, query, learned.history.items_of(index), learned.popular)
    if sums is None:
        scores = learned.popular.score(index, candidates.indices)
    else:
        # An item that nobody rated in that time is not popular in it.
        candidates = Candidates(candidates.indices[sums[candidates.indices] > 0], [])
        scores = sums[candidates.indices]
    items = best_of(learned, query, candidates, scores)
    return query.response(items, user=user, model=POPULAR, arm=arm, cold_start=False, forced=True)


def _profiles(model: Model) -> bool:
    return isinstance(model, Profiling)


def _compares(model: Model) -> bool:
    return isinstance(model, (Profiling, Comparing))
