"""Co-occurrence: what those who liked what you liked also liked. The baseline arm of Findka's experiments."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import njit
from recommender.history.events import Events
from recommender.history.history import History
from recommender.models import rating_rows
from recommender.models.base import Arrays, FloatArray, IntArray, Model, ModelContext
from recommender.models.options import ModelError, between
from recommender.models.pairs import enlarged, pair_count, pair_index
from recommender.models.sequence.sequence_knn import Profile


class Cooc(Model):
    r"""Counts of who liked both.

    .. math:: score(u, j) = \sum_{i \in L(u), i \ne j} |U_i \cap U_j|

    L(u) are the items that the user likes, U_i the users who like i; to like is a rating that stands and
    whose weight is positive as the feedback policy says (+1 of signed ratings). Plain counts, not
    normalised, so that popular items have an advantage: a baseline, as the one that half of the users saw
    in *Serving Findka's recommendations* (2020). Its neighbours are the liked items that were liked
    together with the candidate.

    Counts are integers and exact at every step. They are kept for all pairs of items in 4 bytes each, up to
    `memory`; beyond that they are found for each request from the likes of those who like the same items.

    Parameters
    ----------
    context : ModelContext
    memory : int
        MiB that counts of pairs may take.

    Raises
    ------
    ModelError
        `memory` is negative.
    """

    name = "cooc"

    def __init__(self, context: ModelContext, *, memory: int = 256) -> None:
        between(self.name, "memory", memory, 0)
        self._positive = np.float32(context.positive_weight)
        self._pair_limit = (memory << 20) // 4
        self._clear()

    def _clear(self) -> None:
        self._users, self._items = rating_rows.empty_rows(), rating_rows.empty_rows()
        self._user_count = self._item_count = 0
        self._orders = np.zeros(1, np.int64)
        self._pairs = np.zeros(0, np.int32)

    @property
    def keeps_pairs(self) -> bool:
        """True if counts of pairs are kept; else they are found for each request."""
        return pair_count(self._item_count) <= self._pair_limit

    def learn(self, events: Events) -> None:
        """Count what is liked from now on, and no longer what is not."""
        if not len(events):
            return
        self._make_room(int(events.users.max()) + 1, int(events.items.max()) + 1)
        liked, done = events.weights >= self._positive, 0
        liked &= ~np.isnan(events.ratings)
        while done < len(events):
            done = _learn(
                self._users,
                self._items,
                self._pairs,
                self.keeps_pairs,
                self._orders,
                done,
                events.users,
                events.items,
                liked,
            )
            if done < len(events):
                self._users = rating_rows.enlarged(self._users, self._user_count)
                self._items = rating_rows.enlarged(self._items, self._item_count)

    def _make_room(self, user_count: int, item_count: int) -> None:
        self._user_count = max(self._user_count, user_count)
        self._item_count = max(self._item_count, item_count)
        if self._user_count > len(self._users.start):
            self._users = rating_rows.enlarged(self._users, self._user_count)
        if self._item_count > len(self._items.start):
            self._items = rating_rows.enlarged(self._items, self._item_count)
        if not self.keeps_pairs:
            self._pairs = np.zeros(0, np.int32)
        else:
            self._pairs = enlarged(self._pairs, self._item_count, self._pair_limit)

    def _counts(self, user: int, candidates: IntArray) -> tuple[IntArray, IntArray]:
        scores, neighbours = np.zeros(len(candidates), np.int64), np.zeros(len(candidates), np.int32)
        candidates = np.ascontiguousarray(candidates, np.int32)
        if 0 <= user < self._user_count:
            common = (self._users, user, candidates, scores, neighbours)
            if self.keeps_pairs:
                _add_kept(self._pairs, self._item_count, *common)
            else:
                _add_found(self._items, *common)
        return cast(IntArray, scores), neighbours

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """The counts of likes that the candidates share with what the user likes."""
        return self._counts(user, candidates)[0].astype(np.float64)

    def neighbours(self, user: int, candidates: IntArray) -> IntArray:
        """The number of items that the user likes and that were liked together with each candidate."""
        return self._counts(user, candidates)[1]

    def profile(self, user: int) -> Profile:
        """All items that the user likes, the newest first and each as strong as any other."""
        liked = np.empty(0, np.int32)
        if 0 <= user < self._user_count:
            begin = self._users.start[user]
            liked = self._users.others[begin : begin + self._users.length[user]][::-1].copy()
        return Profile(user, liked, np.ones(len(liked)))

    def score_profile(self, profile: Profile, candidates: IntArray) -> FloatArray:
        """The counts of likes that the candidates share with the profile's items, by their strengths."""
        scores = np.zeros(len(candidates))
        inside = (candidates >= 0) & (candidates < self._item_count)
        asked = candidates[inside]
        for item, strength in zip(profile.items.tolist(), profile.strengths.tolist(), strict=True):
            if 0 <= item < self._item_count:
                both = _liked_with(self._users, self._items, item)
                scores[inside] += strength * self._relative(item, asked, both[asked])
        return scores

    def _relative(self, item: int, others: IntArray, both: NDArray[np.int64]) -> FloatArray:
        """The evidence in how many like an item and each of the others."""
        return both.astype(np.float64)

    def state(self) -> Arrays:
        """The likes, user by user; counts of pairs follow from them."""
        lengths, entries = rating_rows.gathered(self._users, self._user_count)
        numbers = [self._user_count, self._item_count, int(self._orders[0])]
        return {
            "user_lengths": lengths,
            "entry_items": entries.others,
            "entry_orders": entries.orders,
            "counters": np.array(numbers, np.int64),
        }

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave.

        Raises
        ------
        ModelError
            Arrays are missing.
        """
        missing = sorted({"user_lengths", "entry_items", "entry_orders", "counters"} - state.keys())
        if missing:
            raise ModelError(f"the saved state of model {self.name} lacks {', '.join(missing)}")
        self._clear()
        users, items, orders = cast("NDArray[np.int64]", state["counters"]).tolist()
        others = np.ascontiguousarray(state["entry_items"], np.int32)
        entries = (
            np.ascontiguousarray(state["user_lengths"], np.int32),
            others,
            np.ones(len(others)),
            np.ascontiguousarray(state["entry_orders"], np.int64),
        )
        self._users = rating_rows.from_gathered(*entries)
        self._items = rating_rows.transposed(*entries, items)
        self._orders[0] = orders
        self._make_room(users, items)
        if self.keeps_pairs:
            _count_all(self._pairs, self._users)

    @staticmethod
    def warm() -> None:
        """Compile, or load from the cache, every kernel."""
        for memory in (1, 0):
            history = History()
            model = Cooc(ModelContext(history), memory=memory)
            model.learn(
                history.append([0, 0, 0], [0, 1, 0], [1.0, 1.0, np.nan], [1.0, 1.0, 0.0], [0.0, 1.0, 2.0])
            )
            model.score(0, np.zeros(1, np.int32))
            model.score_profile(model.profile(0), np.zeros(1, np.int32))
            model.restore(model.state())


@njit(cache=True)
def _count(pairs, users, user, item, change):  # type: ignore[no-untyped-def]
    for place in range(users.start[user], users.start[user] + users.length[user]):
        if users.others[place] != item:
            pairs[pair_index(users.others[place], item)] += change


@njit(cache=True)
def _count_all(pairs, users):  # type: ignore[no-untyped-def]
    for user in range(users.start.size):
        begin = users.start[user]
        for p in range(begin, begin + users.length[user]):
            for q in range(begin, p):
                pairs[pair_index(users.others[p], users.others[q])] += 1


@njit(cache=True)
def _learn(  # type: ignore[no-untyped-def]
    users, items, pairs, has_pairs, orders, begin, event_users, event_items, liked
):
    """Learn events from `begin`; returns the first that did not fit."""
    for e in range(begin, event_users.size):
        user, item = event_users[e], event_items[e]
        place = rating_rows.find(users, user, item)
        if (place >= 0) == liked[e]:
            continue
        if place >= 0:
            rating_rows.remove(users, user, place)
            rating_rows.remove(items, item, rating_rows.find(items, item, user))
            if has_pairs:
                _count(pairs, users, user, item, -1)
            continue
        if not (rating_rows.has_room(users, user) and rating_rows.has_room(items, item)):
            return e
        if has_pairs:
            _count(pairs, users, user, item, 1)
        rating_rows.append(users, user, item, 1.0, orders[0])
        rating_rows.append(items, item, user, 1.0, orders[0])
        orders[0] += 1
    return event_users.size


@njit(cache=True)
def _liked_with(users, items, liked):  # type: ignore[no-untyped-def]
    """The number of users who like `liked` and each other item; 0 for itself."""
    both = np.zeros(items.start.size, np.int64)
    for p in range(items.start[liked], items.start[liked] + items.length[liked]):
        other = items.others[p]
        for q in range(users.start[other], users.start[other] + users.length[other]):
            both[users.others[q]] += 1
    both[liked] = 0
    return both


@njit(cache=True)
def _add_kept(pairs, item_count, users, user, candidates, scores, neighbours):  # type: ignore[no-untyped-def]
    begin, end = users.start[user], users.start[user] + users.length[user]
    for c in range(candidates.size):
        if not 0 <= candidates[c] < item_count:
            continue
        for place in range(begin, end):
            if users.others[place] != candidates[c]:
                both = pairs[pair_index(users.others[place], candidates[c])]
                scores[c] += both
                neighbours[c] += both > 0


@njit(cache=True)
def _add_found(items, users, user, candidates, scores, neighbours):  # type: ignore[no-untyped-def]
    totals, supporting = np.zeros(items.start.size, np.int64), np.zeros(items.start.size, np.int32)
    both = np.zeros(items.start.size, np.int64)
    for place in range(users.start[user], users.start[user] + users.length[user]):
        liked = users.others[place]
        for p in range(items.start[liked], items.start[liked] + items.length[liked]):
            other = items.others[p]
            for q in range(users.start[other], users.start[other] + users.length[other]):
                both[users.others[q]] += 1
        both[liked] = 0
        for item in range(both.size):
            totals[item] += both[item]
            supporting[item] += both[item] > 0
            both[item] = 0
    for c in range(candidates.size):
        if 0 <= candidates[c] < items.start.size:
            scores[c] = totals[candidates[c]]
            neighbours[c] = supporting[candidates[c]]
