"""The parts of a shard's state that lists are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recommender.history.catalog import Catalog
from recommender.history.history import History
from recommender.messages.responses import Failure
from recommender.models.base import IntArray, Model
from recommender.models.topk import all_but
from recommender.shard.arms import ArmError, Arms

#: The model that answers where an arm's knows nothing of a user.
POPULAR = "popular"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Users, items, histories and models, for those that only read them.

    Attributes
    ----------
    users, items : Catalog
    history : History
    models : mapping of str to Model
        By arm.
    popular : Model
        How often each item was rated positively.
    experiment : Arms
        Which arm each user has.
    likes : function
        Tells of a rating whether it says that the user likes the item.
    """

    users: Catalog
    items: Catalog
    history: History
    models: Mapping[str, Model]
    popular: Model
    experiment: Arms
    likes: Callable[[float], bool] = lambda rating: True

    def arm(self, forced: str | None, own: Callable[[], str]) -> str:
        """The arm that a request asks for, else its own.

        Raises
        ------
        Failure
            There is no arm of that name.
        """
        if forced is None:
            return own()
        try:
            return self.experiment.choose("", forced)
        except ArmError as error:
            raise Failure("bad_request", str(error)) from None

    def arm_that(self, can: Callable[[Model], bool]) -> str:
        """The first arm with a model that can do something, else the first arm."""
        names = self.experiment.names
        return next((name for name in names if can(self.models[name])), names[0])

    def model_for(self, arm: str, rated: IntArray) -> Model:
        """An arm's model, or where it knows nothing of a user the popular items."""
        model = self.models[arm]
        # A model that has an answer for users without ratings says so.
        if len(rated) or model.answers_unseen_users:
            return model
        return self.popular

    def index_of(self, user: str) -> int:
        """The index of a user; that of the next new one if the user is unknown, who has no ratings."""
        found = self.users.find(user)
        return self.history.user_count if found is None else found

    def indices_of(self, items: Sequence[str | int]) -> IntArray:
        """The indices of those items that somebody has rated, in their order."""
        found = self.items.find_all(map(str, items))
        return np.array([index for index in found if index is not None], dtype=np.int32)

    def all_but(self, without: IntArray) -> IntArray:
        """Every item but these, ascending."""
        items: IntArray = all_but(self.with_free(without), self.history.item_count)
        return items

    def with_free(self, without: IntArray) -> IntArray:
        """These, and the indices that no item has now: it was forgotten."""
        free = self.items.free
        return np.concatenate([without, free]) if len(free) else without
