"""FluRS' recommenders, each with its options and what its state is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from flurs.data.entity import Event, Item, User
from flurs.recommender import (
    BPRMFRecommender,
    FMRecommender,
    MFRecommender,
    SketchRecommender,
    UserKNNRecommender,
)

from recommender.models.base import Arrays, ModelContext
from recommender.models.flurs.adapter import GuardedFlurs, copied, drawn, vectors
from recommender.models.options import ModelError, between, one_of


def initialized(recommender: Any, *args: Any, **options: Any) -> Any:
    """FluRS separates making a recommender from initializing it."""
    recommender.initialize(*args, **options)
    return recommender


class _Factors(GuardedFlurs):
    """State of MF and BPRMF: users' and items' vectors."""

    def renew_user(self, user: int) -> None:
        self.flurs.users[user] = {"known_items": set(), "vec": drawn(self.flurs.k)}

    def renew_item(self, item: int) -> None:
        self.flurs.Q[item] = drawn(self.flurs.k)
        for each in self.flurs.users.values():
            each["known_items"].discard(item)

    def arrays(self) -> Arrays:
        k = self.flurs.k
        return {"users": vectors(self.flurs, k), "items": np.array(self.flurs.Q, np.float64).reshape(-1, k)}

    def take(self, state: Arrays) -> None:
        for user, row in enumerate(state["users"]):
            self.flurs.users[user]["vec"] = row.copy()
        self.flurs.Q = state["items"].copy() if len(state["items"]) else np.array([])


class FlursMF(_Factors):
    """`flurs.recommender.MFRecommender`: ranks by |1 - prediction|, smallest first."""

    sign = -1.0
    neutral = -1.0

    def __init__(
        self, context: ModelContext, *, k: int = 40, l2_reg: float = 0.01, learn_rate: float = 0.003
    ) -> None:
        _check_factors("flurs:mf", k, l2_reg, learn_rate)
        super().__init__(context, lambda: initialized(MFRecommender(k, l2_reg, learn_rate)))


class FlursBPRMF(_Factors):
    """`flurs.recommender.BPRMFRecommender`, which is given the items that each user knows."""

    def __init__(
        self, context: ModelContext, *, k: int = 40, l2_reg: float = 0.01, learn_rate: float = 0.003
    ) -> None:
        _check_factors("flurs:bprmf", k, l2_reg, learn_rate)
        super().__init__(context, lambda: initialized(BPRMFRecommender(k, l2_reg, learn_rate)))

    def update(self, event: Event) -> None:
        known = self.flurs.users[event.user.index]["known_items"]
        known.add(event.item.index)
        if len(known) < self.flurs.n_item:  # else there is no negative to draw
            self.flurs.update(event)

    def arrays(self) -> Arrays:
        known = [sorted(self.flurs.users[user]["known_items"]) for user in range(self.flurs.n_user)]
        return {
            **super().arrays(),
            "known_counts": np.array([len(items) for items in known], np.int64),
            "known_items": np.array([item for items in known for item in items], np.int64),
        }

    def take(self, state: Arrays) -> None:
        super().take(state)
        ends = np.cumsum(state["known_counts"])
        for user, items in enumerate(np.split(state["known_items"], ends[:-1]) if len(ends) else []):
            self.flurs.users[user]["known_items"] = set(items.tolist())


class FlursUserKNN(GuardedFlurs):
    """`flurs.recommender.UserKNNRecommender`: every rating teaches, by its value; 0 is no rating to it."""

    positive_only = False
    _matrices = ("R", "S", "B", "C", "D")

    def __init__(self, context: ModelContext, *, k: int = 5) -> None:
        between("flurs:user-knn", "k", k, 1, 100_000)
        super().__init__(context, lambda: initialized(UserKNNRecommender(k)))

    def update(self, event: Event) -> None:
        if event.value != 0.0:
            self.flurs.update(event)

    def renew_user(self, user: int) -> None:
        self.flurs.R[user] = 0.0
        for name in self._matrices[1:]:
            matrix = getattr(self.flurs, name)
            matrix[user], matrix[:, user] = 0.0, 0.0
        self.flurs.users[user]["mean"], self.flurs.users[user]["count"] = 0.0, 0

    def renew_item(self, item: int) -> None:
        self.flurs.R[:, item] = 0.0

    def arrays(self) -> Arrays:
        users = self.flurs.users
        return {
            **copied(self.flurs, self._matrices),
            "user_counts": np.array([users[user]["count"] for user in range(self.flurs.n_user)], np.int64),
            "user_means": np.array([users[user]["mean"] for user in range(self.flurs.n_user)], np.float64),
        }

    def take(self, state: Arrays) -> None:
        for name in self._matrices:
            setattr(self.flurs, name, state[name].copy())
        for user in range(self.flurs.n_user):
            # numpy's number, as FluRS' own arithmetic leaves it: it divides by zero without an exception.
            self.flurs.users[user]["mean"] = state["user_means"][user]
            self.flurs.users[user]["count"] = int(state["user_counts"][user])


class FlursFM(GuardedFlurs):
    """`flurs.recommender.FMRecommender` on one-hot users and items: without other features it needs these."""

    sign = -1.0
    neutral = -1.0
    _numbers = ("w0", "prev_w0", "l2_reg_w0", "l2_reg_w")
    _parameters = ("w", "V", "prev_w", "prev_V", "l2_reg_V")

    def __init__(
        self,
        context: ModelContext,
        *,
        k: int = 40,
        l2_reg_w0: float = 2.0,
        l2_reg_w: float = 8.0,
        l2_reg_v: float = 16.0,
        learn_rate: float = 0.004,
    ) -> None:
        _check_factors("flurs:fm", k, 0.0, learn_rate)
        for option, value in (("l2_reg_w0", l2_reg_w0), ("l2_reg_w", l2_reg_w), ("l2_reg_v", l2_reg_v)):
            between("flurs:fm", option, value, 0.0, 1e6)

        def make() -> Any:
            recommender = FMRecommender(0, k, l2_reg_w0, l2_reg_w, l2_reg_v, learn_rate)
            return initialized(recommender, use_index=True)

        super().__init__(context, make)

    def renew_user(self, user: int) -> None:
        self._renew(user)

    def renew_item(self, item: int) -> None:
        self._renew(self.flurs.n_user + item)

    def _renew(self, place: int) -> None:
        self.flurs.w[place] = self.flurs.prev_w[place] = 0.0
        vector = drawn(self.flurs.k)
        self.flurs.V[place], self.flurs.prev_V[place] = vector, vector

    def arrays(self) -> Arrays:
        return copied(self.flurs, self._numbers + self._parameters)

    def take(self, state: Arrays) -> None:
        for name in self._numbers:
            setattr(self.flurs, name, float(state[name][0]))
        for name in self._parameters:
            setattr(self.flurs, name, state[name].copy())
        self.flurs.p = self.flurs.n_user + self.flurs.n_item
        items = self.flurs.n_item
        self.flurs.i_mat = sp.csr_matrix(np.identity(items)) if items else sp.csr_matrix([])


class FlursSketch(GuardedFlurs):
    """`flurs.recommender.SketchRecommender` on hashed users and items.

    Its vectors have a length that is fixed beforehand, so each user and each item has one of `buckets`
    places; those that share one look alike to it. What somebody taught to a place stays there after all are
    forgotten who have it, until others teach it something else.
    """

    sign = -1.0
    neutral = -1.0
    _projections = ("Raw", "RandomProjection", "RandomMaclaurinProjection", "TensorSketchProjection")

    def __init__(
        self, context: ModelContext, *, buckets: int = 64, k: int = 40, ell: int = -1, proj: str = "Raw"
    ) -> None:
        between("flurs:sketch", "buckets", buckets, 2, 4096)
        between("flurs:sketch", "k", k, 2, 4096)
        between("flurs:sketch", "ell", ell, -1, k)
        one_of("flurs:sketch", "proj", proj, self._projections)
        self._buckets = buckets
        super().__init__(context, lambda: initialized(SketchRecommender(2 * buckets, k, ell, proj=proj)))

    def user(self, index: int) -> User:
        return User(index, self._one_hot(index))

    def item(self, index: int) -> Item:
        return Item(index, self._one_hot(index))

    def _one_hot(self, index: int) -> Any:
        feature = np.zeros(self._buckets)
        feature[index % self._buckets] = 1.0
        return feature

    def ready(self) -> bool:
        return hasattr(self.flurs, "U_r")

    def arrays(self) -> Arrays:
        if not self.ready():
            return {"B": np.zeros((0, 0)), "U_r": np.zeros((0, 0))}
        return copied(self.flurs, ("B", "U_r"))

    def take(self, state: Arrays) -> None:
        if state["B"].size:
            self.flurs.B, self.flurs.U_r = state["B"].copy(), state["U_r"].copy()
        items = np.arange(self.flurs.n_item)
        ones = np.ones(len(items)), (items % self._buckets, items)
        self.flurs.i_mat = (
            sp.csr_matrix(ones, (self._buckets, len(items))) if len(items) else sp.csr_matrix([])
        )


def _check_factors(name: str, k: int, l2_reg: float, learn_rate: float) -> None:
    between(name, "k", k, 1, 1024)
    between(name, "l2_reg", l2_reg, 0.0, 1.0)
    between(name, "learn_rate", learn_rate, 0.0, 1.0)


NAMES = ("mf", "bprmf", "user-knn", "fm", "sketch")
BY_NAME: dict[str, type[GuardedFlurs]] = {
    "mf": FlursMF,
    "bprmf": FlursBPRMF,
    "userknn": FlursUserKNN,
    "fm": FlursFM,
    "sketch": FlursSketch,
}


def named(name: str) -> type[GuardedFlurs]:
    """The guarded recommender of a FluRS name (`user-knn`) or class name (`UserKNNRecommender`), in any case.

    Raises
    ------
    ModelError
        FluRS has none of that name.
    """
    wanted = "".join(letter for letter in name.lower() if letter.isalnum()).removesuffix("recommender")
    if wanted not in BY_NAME:
        known = ", ".join(f"flurs:{known}" for known in NAMES)
        raise ModelError(f"unknown FluRS recommender: {name!r}. Known: {known}")
    return BY_NAME[wanted]
