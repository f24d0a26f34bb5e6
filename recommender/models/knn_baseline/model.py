"""KNNBaseline over dense indices: Surprise's estimates, over ratings that come, change and go."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
from numpy.typing import NDArray

from recommender.history.events import Events
from recommender.history.history import History
from recommender.models import rating_rows
from recommender.models.base import Arrays, FloatArray, IntArray, Model, ModelContext
from recommender.models.knn_baseline import (
    baselines,
    estimating,
    found_similarities,
    kept_pairs,
    learning,
    saved,
    similarities,
)
from recommender.models.options import ModelError, between, one_of
from recommender.models.sequence.sequence_knn import Profile

_NAME = learning.NAME


class KNNBaselineModel(Model):
    r"""Koren's neighbourhood model around baselines, as Surprise's `KNNBaseline` (Koren 2010, formula 3).

    .. math:: \hat r_{ui} = b_{ui} + \sum_j s_{ij} (r_{uj} - b_{uj}) / \sum_j s_{ij}

    over the `k` items j most similar to i that the user rated (`user_based`: the users most similar to u
    who rated i). After `train`, estimates and neighbours equal Surprise's fit on the ratings that stand, in
    the order in which each first came. Between trainings

    * ratings and all four similarities are exact at every step (`pearson_baseline` given the baselines);
    * who was rated or rated for the first time since the last training has a baseline by the formula of
      alternating least squares, given all others'; who has no ratings left has none;
    * the mean and the baselines of everyone else are those of the last training. It trains itself after
      every `retrain` events, counted in the log; before the first `retrain`, after 1, 2, 4, 8, ...

    Item-based, similarities and the sums that they are made of are kept for all pairs of items: a rating
    costs one step for each other item of its user. They take 34 (msd), 50 (cosine) or 66 (pearson) bytes
    for each pair of items that were ever rated, up to `memory`. Beyond that, for `pearson_baseline` and for
    ratings that are not multiples of 1/256, similarities alone are kept, in 18 bytes for each pair, and those
    that changed are found from the ratings when a request needs them. Beyond `memory` that is done for each
    request, as it is user-based: slower, the same numbers.

    Users and items without ratings are answered with what is known of the baseline, as Surprise does.

    Parameters
    ----------
    context : ModelContext
    similarity : str
        `msd`, `cosine`, `pearson` or `pearson_baseline`.
    user_based : bool
        Neighbours are users instead of items.
    k, min_k : int
        How many neighbours an estimate uses at most; with fewer than `min_k` it is the baseline.
    min_support : int
        How many common raters (items) a similarity needs.
    shrinkage : float
        Of `pearson_baseline`.
    n_epochs, reg_u, reg_i : int, float, float
        Rounds of alternating least squares, and its regularisation of users and items.
    low, high : float
        Estimates are clipped to this scale, as Surprise's `predict` does; by default to that of the context.
    retrain : int
        Events until it trains itself again, as in `knn-baseline/retrain=5000`; 0: never.
    memory : int
        MiB that pairs of items may take.

    Raises
    ------
    ModelError
        An option is out of range.

    References
    ----------
    Y. Koren, "Factor in the neighbors: Scalable and accurate collaborative filtering", TKDD 4(1), 2010.
    """

    answers_unseen_users = True
    answers_unseen_items = True

    def __init__(
        self,
        context: ModelContext,
        *,
        similarity: str = "msd",
        user_based: bool = False,
        k: int = 40,
        min_k: int = 1,
        min_support: int = 1,
        shrinkage: float = 100.0,
        n_epochs: int = 10,
        reg_u: float = 15.0,
        reg_i: float = 10.0,
        low: float = math.nan,
        high: float = math.nan,
        retrain: int = 10_000,
        memory: int = 256,
    ) -> None:
        one_of(_NAME, "similarity", similarity, similarities.SIMILARITIES)
        between(_NAME, "k", k, 1)
        between(_NAME, "min_k", min_k, 1, k)
        between(_NAME, "min_support", min_support, 1)
        between(_NAME, "shrinkage", shrinkage, 0)
        between(_NAME, "n_epochs", n_epochs, 1)
        between(_NAME, "reg_u", reg_u, 0)
        between(_NAME, "reg_i", reg_i, 0)
        between(_NAME, "retrain", retrain, 0)
        between(_NAME, "memory", memory, 0)
        low = context.scale[0] if math.isnan(low) else low
        high = context.scale[1] if math.isnan(high) else high
        if not low < high:
            raise ModelError(f"model {_NAME}: low={low:g}, high={high:g}: the first must be smaller")
        kind = similarities.SIMILARITIES.index(similarity)
        self._user_based, self._retrain, self._n_epochs = user_based, retrain, n_epochs
        self._low, self._high = low, high
        pairwise = (float(min_support), float(shrinkage))
        self._learning = learning.LearningParameters(kind, float(reg_u), float(reg_i), *pairwise)
        self._estimating = similarities.Parameters(kind, k, min_k, *pairwise)
        self._memory = memory
        self._clear()

    def _clear(self) -> None:
        self._users, self._items = rating_rows.empty_rows(), rating_rows.empty_rows()
        self._baselines = baselines.empty_baselines()
        self._counters = np.zeros(1, np.int64)
        self._events = self._user_count = self._item_count = 0
        self._exact = True
        self._pairs, self._kept = kept_pairs.no_pairs(self._learning.kind), kept_pairs.NOTHING

    @property
    def _learned(self) -> estimating.Learned:
        return self._users, self._items, self._baselines, self._estimating

    @property
    def events(self) -> int:
        """The number of events learned, withdrawals included."""
        return self._events

    @property
    def keeps(self) -> int:
        """The kind of data that is kept for pairs of items: `kept_pairs.SUMMED`, `FOUND` or `NOTHING`."""
        if self._user_based or self._item_count > self._most_items(kept_pairs.FOUND):
            return kept_pairs.NOTHING
        exact = self._exact and self._learning.kind != similarities.PEARSON_BASELINE
        kept = exact and self._item_count <= self._most_items(kept_pairs.SUMMED)
        return kept_pairs.SUMMED if kept else kept_pairs.FOUND

    def _most_items(self, what: int) -> int:
        return kept_pairs.most_items(what, self._learning.kind, self._memory)

    def knows(self, user: int) -> bool:
        """Return True if any rating of the user stands; else estimates are baselines."""
        return 0 <= user < self._user_count and bool(self._users.length[user] > 0)

    def knows_items(self, items: IntArray) -> NDArray[np.bool_]:
        """Return True for each item of which any rating stands, shape as `items`."""
        inside = (items >= 0) & (items < self._item_count)
        return inside & (self._items.length[np.where(inside, items, 0)] > 0) if self._item_count else inside

    def learn(self, events: Events) -> None:
        """Learn events in log order; trains itself where their numbers say so."""
        self.learn_ratings(events.users, events.items, events.ratings.astype(np.float64))

    def learn_ratings(self, users: IntArray, items: IntArray, ratings: FloatArray) -> None:
        """The same from plain arrays; NaN withdraws."""
        if not len(users):
            return
        user, item, exact = similarities.survey(users, items, ratings)
        self._make_room(user + 1, item + 1, exact)
        done = 0
        while done < len(users):
            training = learning.next_training(self._events, self._retrain)
            stop = min(len(users), done + training - self._events)
            self._learn_run(done, stop, users, items, ratings)
            self._events += stop - done
            done = stop
            if self._events == training:
                self.train()

    def _learn_run(self, begin: int, end: int, users: IntArray, items: IntArray, ratings: FloatArray) -> None:
        while begin < end:
            into = self._users, self._items, self._baselines, self._learning
            kept = self._pairs, self._kept, self._counters
            begin = learning.learn(*into, *kept, begin, end, users, items, ratings)
            if begin < end:
                self._users = rating_rows.enlarged(self._users, self._user_count)
                self._items = rating_rows.enlarged(self._items, self._item_count)

    def _make_room(self, user_count: int, item_count: int, exact: bool) -> None:
        self._user_count = max(self._user_count, user_count)
        self._item_count = max(self._item_count, item_count)
        self._exact = self._exact and exact
        if self._user_count > len(self._users.start):
            self._users = rating_rows.enlarged(self._users, self._user_count)
        if self._item_count > len(self._items.start):
            self._items = rating_rows.enlarged(self._items, self._item_count)
        b, sizes = self._baselines, (len(self._users.start), len(self._items.start))
        if sizes != (len(b.users), len(b.items)):
            self._baselines = baselines.enlarged(b, *sizes)
        keeps, kind = self.keeps, self._learning.kind
        if keeps != self._kept:
            self._pairs, self._kept = kept_pairs.no_pairs(kind), keeps
        if keeps != kept_pairs.NOTHING:
            most = self._most_items(keeps)
            self._pairs = kept_pairs.enlarged(self._pairs, keeps, kind, self._item_count, most)

    def train(self) -> None:
        """Find the mean and all baselines from the ratings that stand."""
        p = self._learning
        baselines.train(self._baselines, self._users, self._items, self._n_epochs, p.reg_u, p.reg_i)
        if p.kind == similarities.PEARSON_BASELINE:
            kept_pairs.mark_all(self._pairs)

    def estimate(self, user: int, candidates: IntArray) -> tuple[FloatArray, IntArray]:
        """Estimated ratings and actual neighbours of `candidates`, both of shape (candidates,).

        An unknown user or item is answered as Surprise does: with what of the baseline is known.
        """
        candidates = np.ascontiguousarray(candidates, np.int32)
        if self._user_based:
            scores, neighbours = estimating.by_users(self._learned, user, candidates)
        elif self._kept == kept_pairs.NOTHING:
            scores, neighbours = estimating.by_items(self._learned, user, candidates)
        else:
            if self._kept == kept_pairs.FOUND:
                kept = self._pairs, self._item_count
                found_similarities.bring_up_to_date(*self._learned, *kept, user, candidates)
            scores, neighbours = estimating.by_kept_pairs(self._learned, self._pairs, user, candidates)
        return np.clip(scores, self._low, self._high, out=scores), neighbours

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """Estimated ratings."""
        return self.estimate(user, candidates)[0]

    def neighbours(self, user: int, candidates: IntArray) -> IntArray:
        """The number of neighbours that each estimate rests on: Surprise's `actual_k`."""
        return self.estimate(user, candidates)[1]

    def profile(self, user: int) -> Profile:
        """All items that the user rated, the newest first; none where neighbours are users."""
        rated = found_similarities.items_of(self._users, -1 if self._user_based else user)[::-1].copy()
        return Profile(user, rated, np.ones(len(rated)))

    def score_profile(self, profile: Profile, candidates: IntArray) -> FloatArray:
        """The similarities of the candidates to the profile's items, added up by their strengths.

        Only similarities above 0 count, as in an estimate; which own items are among the `k` nearest of a
        candidate is not asked.
        """
        known = (profile.items >= 0) & (profile.items < self._item_count)
        own = Profile(profile.user, profile.items[known], profile.strengths[known])
        return estimating.summed_similarities(self._learned, own, candidates)

    def state(self) -> Arrays:
        """The ratings that stand, user by user, and the baselines; sums of pairs follow from them."""
        users, items = self._user_count, self._item_count
        counters = [self._events, users, items, self._exact, *self._counters]
        return saved.arrays_of(self._users, self._baselines, users, items, counters)

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave.

        Raises
        ------
        ModelError
            Arrays are missing, or their lengths contradict each other.
        """
        saved.check(state)
        self._clear()
        entries = saved.rows_in(state)
        numbers = cast("NDArray[np.int64]", state["counters"]).tolist()
        self._events, user_count, item_count, exact = numbers[:4]
        self._counters[:] = numbers[4:]
        self._users = rating_rows.from_gathered(*entries)
        self._items = rating_rows.transposed(*entries, item_count)
        self._make_room(user_count, item_count, bool(exact))
        for name in baselines.Baselines._fields:
            getattr(self._baselines, name)[: len(state[name])] = state[name]
        if self._kept == kept_pairs.SUMMED:
            p = self._learning
            kept_pairs.recount(self._pairs, p.kind, p.min_support, p.shrinkage, self._users, self._item_count)

    @staticmethod
    def warm() -> None:
        """Compile, or load from the cache, every kernel."""
        users, items = np.array([[0, 0, 1, 1, 0], [0, 1, 1, 0, 0]], np.int32)
        ratings = np.array([1.0, -1.0, 1.0, 1.0, np.nan])
        for similarity, user_based in (("msd", False), ("pearson_baseline", False), ("msd", True)):
            model = KNNBaselineModel(ModelContext(History()), similarity=similarity, user_based=user_based)
            model.learn_ratings(users, items, ratings)
            model.score(0, items[:2])
            model.restore(model.state())
