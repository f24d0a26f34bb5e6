r"""A blend of sequence neighbours, co-occurrence and popularity that learns on the stream what works there.

No single method is safe: on a drifting stream what was popular lately beats co-occurrence, on a sparse one
even what was popular ever does. So each candidate gets a row of features
(`recommender.models.blend.features`) by two kinds of evidence: what the user's neighbours say
(`recommender.models.blend.neighbourhood`), and what all users say (`recommender.models.blend.popularity`).
Its score is their weighted sum, and the weights are learned from a sample of the positive ratings, each
looked at just before it is learned (`recommender.models.blend.weights`).

Users without history, users with a short one and all others differ in what works; each kind has weights of
its own, drawn towards the common ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recommender.history.events import Events
from recommender.history.history import History
from recommender.models.base import Arrays, FloatArray, IntArray, Model, ModelContext, Passing
from recommender.models.blend import features as kernels
from recommender.models.blend import sample
from recommender.models.blend.blocks import room
from recommender.models.blend.filtered import Filtered, Filters
from recommender.models.blend.leaders import Leaders
from recommender.models.blend.marks import Marks, Sums, clear_supported, empty_marks, mark_told
from recommender.models.blend.neighbourhood import Neighbourhood
from recommender.models.blend.popularity import ROOT, Popularity
from recommender.models.blend.repeated_pairs import empty_pairs, with_room
from recommender.models.blend.repeats import Repeats
from recommender.models.blend.sample import (
    FEW_ITEMS,
    Budget,
    all_candidates,
    next_sampled,
    sampled_candidates,
)
from recommender.models.blend.shortlist import NO_TARGET, leading
from recommender.models.blend.weights import Weights, context_of
from recommender.models.options import between
from recommender.models.sequence.sequence_knn import Profile
from recommender.models.topk import all_but, distinct
from recommender.models.topk import leading as best_of

#: The number of items from which on the best are found without scoring all.
MANY = 4096
#: Up to this number it is found out afterwards of which items neighbours say anything.
UNMARKED = 100_000
#: To learn how much each feature counts, so many times fewer neighbours are asked than for an answer.
FEWER = 2


class Blend(Model):
    """Learns to rank by many kinds of evidence; see the module.

    Parameters
    ----------
    entries : int
        Newest items of the user whose raters are asked.
    raters : int
        Newest raters of the newest that may become neighbours, of each older one fewer; the history may
        keep fewer.
    max_entries : int
        Newest entries of a neighbour that count; those near one of the user's items count in any case.
    effort : int
        Entries read for one request: with more neighbours, fewer of each, equally many.
    memory : float
        Observations until an old one counts 1/e.
    observations : float
        How many observations are learned from at first; after n events four times the root of n more, half
        of that from 100,000 events on, or fewer where they take long.

    Attributes
    ----------
    popularity, neighbourhood : Popularity, Neighbourhood
        The evidence: of all users, and of those who resemble the one who asks.
    weights, budget : Weights, Budget
        How much each feature counts, and how many choices that may be learned from.
    repeats : Repeats
        What users take again.
    marks : Marks
        Notes of a look at a large catalogue; nothing of them is left between looks.
    many, unmarked : int
        The number of items from which on the best are found without scoring all; and the number up to which
        it is found out afterwards of which items neighbours say anything.
    """

    #: It has an answer of its own for users of whom nothing is known.
    answers_unseen_users = True

    def __init__(
        self,
        context: ModelContext,
        *,
        entries: int = 40,
        raters: int = 256,
        max_entries: int = 500,
        effort: int = 200_000,
        memory: float = 1000.0,
        observations: float = 180.0,
    ) -> None:
        between("blend", "entries", entries, 1, 1000)
        between("blend", "raters", raters, 1, 1_000_000)
        between("blend", "max_entries", max_entries, 0, 2**31 - 1)
        between("blend", "effort", effort, 0, 2**40)
        between("blend", "memory", memory, 10.0, 1e12)
        between("blend", "observations", observations, 0.0, 1e9)
        self._history: History = context.history
        self._positive = np.float32(context.positive_weight)
        self.neighbourhood = Neighbourhood(
            context.history, entries=entries, raters=raters, max_entries=max_entries, effort=effort
        )
        self.popularity = Popularity(context.history, self._positive)
        self.weights = Weights(memory)
        self.repeats = Repeats(context.history, self._positive, memory, observations)
        self.budget = Budget(observations)
        self.many, self.unmarked = MANY, UNMARKED
        self._leaders, self._filters = Leaders(), Filters()
        self.marks: Marks = empty_marks(0)
        self._block = room(kernels.ROWS)

    def learn(self, events: Events) -> None:
        """Count the events for their items."""
        if len(events) == 0:
            return
        self.popularity.learn(events)
        self.repeats.learn(events)
        first = self.popularity.events - len(events)
        self._leaders.pass_events(self.popularity.table, events.items, first, self.popularity.items)

    def forget_user(self, user: int) -> None:
        """Forget what the user took again; what all have taught stays."""
        self.forget_users(np.array([user], np.int32))

    def forget_users(self, users: IntArray) -> None:
        """Forget what the users took again."""
        self.repeats.forget_users(users)

    def forget_item(self, item: int) -> None:
        """Let the item be one that nobody has rated yet."""
        self.forget_items(np.array([item], np.int32))

    def forget_items(self, items: IntArray) -> None:
        """Let the items be such as nobody has rated yet."""
        items = items[(items >= 0) & (items < self.popularity.items)]
        self._leaders.leave(items)
        self._filters.clear()
        self.popularity.forget(items)

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """Weighted sums of features; the logarithm of a preference, up to a constant."""
        views, scales = self._surveyed(user, candidates)
        scores, table, now = np.empty(len(candidates)), self.popularity.table, self.popularity.now
        weights = self._weights_of(user)
        kernels.weigh(table, now, candidates, views, scales, weights, *self._block, scores)
        return scores

    def leading_but(
        self, user: int, without: IntArray, n: int, passing: Passing | None = None
    ) -> tuple[IntArray, FloatArray]:
        """All items but these that score as high as the n-th highest, ascending, and their scores.

        As `score` says of all of those, but of a large catalogue without scoring them all.

        Parameters
        ----------
        user : int
        without : int32 array
            Unknown ones, and the same one twice, do no harm.
        n : int
        passing : Passing, optional
            A filter of all items.
        """
        items = self._history.item_count
        if passing is not None:
            return self._leading_of(user, distinct(without, items), n, passing)
        excluded = without if items < self.many else distinct(without, items)
        if self._scores_all(items, len(excluded), n):
            candidates = all_but(excluded, items)
            places, scores = best_of(self.score(user, candidates), n)
            return candidates[places], scores
        return self._leading(user, excluded, n, NO_TARGET)

    def _leading_of(
        self, user: int, excluded: IntArray, n: int, passing: Passing
    ) -> tuple[IntArray, FloatArray]:
        """The leading items of a filter, relative to those that pass."""
        items = self._history.item_count
        excluded = excluded[passing.mask[excluded]]
        left, all_of_it = passing.size(items) - len(excluded), items < self.many
        # Where the user has most of what passes, the rest alone is what is normalised by.
        all_of_it |= left < len(excluded) or items > self.popularity.items
        if all_of_it or n >= left // 4:
            keep = passing.mask[:items].copy()
            keep[excluded] = False
            candidates = np.flatnonzero(keep).astype(np.int32)
            places, scores = best_of(self.score(user, candidates), n)
            return candidates[places], scores
        filtered = self._filters.of(passing, items, self.popularity, self._block)
        return self._leading(user, excluded, n, NO_TARGET, filtered)

    def ahead_of(self, user: int, item: int, without: IntArray) -> tuple[int, int]:
        """The number of items but these that score higher than another one, and of those as high as that.

        As `score` says of all of those, but of a large catalogue without scoring them all.

        Parameters
        ----------
        user : int
        item : int
            Known, and one of those that are counted as equally high.
        without : int32 array
            Unknown ones, and the same one twice, do no harm.
        """
        items = self._history.item_count
        excluded = without if items < self.many else distinct(without, items)
        if self._scores_all(items, len(excluded), 1):
            candidates = all_but(excluded, items)
            scores = self.score(user, candidates)
            own = scores[np.searchsorted(candidates, item)]
        else:
            scores = self._leading(user, excluded, 1, item)[1]
            own = scores.min()
        return int(np.count_nonzero(scores > own)), int(np.count_nonzero(scores == own))

    def _scores_all(self, items: int, excluded: int, n: int) -> bool:
        """Return True if all are to be scored. Where few are left, they alone are what is normalised by."""
        few = items < self.many or 2 * (items - excluded) < items
        return few or items > self.popularity.items or n >= items // 4

    def _leading(
        self, user: int, excluded: IntArray, n: int, target: int, filtered: Filtered | None = None
    ) -> tuple[IntArray, FloatArray]:
        items, popularity = self._history.item_count, self.popularity
        self._make_room(items)
        marks, marked = self.marks, items > self.unmarked
        size, totals = items, popularity.totals
        if filtered is not None:
            marks = marks._replace(excluded=filtered.excluded)
            size, totals = filtered.size, filtered.totals
        try:
            supported = marks.supported if marked else None
            self.neighbourhood.add(self.neighbourhood.profile(user), marks.sums[:items], supported)
            found: tuple[IntArray, FloatArray] = leading(
                popularity.table,
                popularity.now,
                items,
                size,
                totals,
                self._weights_of(user),
                marks,
                marked,
                excluded,
                self._leaders.cells(popularity.table, popularity.events, items),
                n,
                target,
                *self._block,
            )
        except BaseException:
            self.marks = empty_marks(0)
            self._filters.clear()
            raise
        return found

    def score_rated(self, user: int, candidates: IntArray) -> FloatArray:
        """Score candidates that the user may have: logarithms of how likely each is next.

        Of a user who has none of them that is what `score` says.
        """
        new = ~np.isin(candidates, self._history.items_of(user))
        scores = self.score(user, candidates[new])
        return scores if new.all() else self.repeats.score(user, candidates, new, scores)

    def _weights_of(self, user: int) -> FloatArray:
        return self.weights.of(context_of(self._history, user))

    def features(self, user: int, candidates: IntArray) -> FloatArray:
        """The features of each candidate, shape (candidates, features), columns as `FEATURES` names them."""
        views, scales = self._surveyed(user, candidates)
        features = np.empty((len(candidates), len(kernels.FEATURES)))
        table, now = self.popularity.table, self.popularity.now
        kernels.fill(table, now, candidates, views, scales, *self._block, features)
        return features

    def _surveyed(self, user: int, candidates: IntArray) -> tuple[FloatArray, FloatArray]:
        sums = self.neighbourhood.sums(self.neighbourhood.profile(user), self._known())
        return kernels.surveyed(self.popularity, self._history.item_count, candidates, sums, self._block)

    @property
    def longest_profile(self) -> int:
        """More items than this a profile must not have."""
        return self.neighbourhood.near

    def profile(self, user: int) -> Profile:
        """The user's newest items that are looked around, and how strongly each."""
        return self.neighbourhood.near_profile(user)

    def score_profile(self, profile: Profile, candidates: IntArray) -> FloatArray:
        """The scores of sequence neighbours alone, relative to how often each item was rated."""
        sums = self.neighbourhood.sums(profile, self._known())
        scores = np.zeros(len(candidates))
        known = (candidates >= 0) & (candidates < len(sums))
        found = candidates[known]
        scores[known] = sums[found, 0] / np.maximum(self.popularity.table[found, ROOT], 1.0)
        return scores

    def _known(self) -> int:
        """The number of items that are both in the history and counted here."""
        return min(self.popularity.items, self._history.item_count)

    def _make_room(self, items: int) -> None:
        if items > len(self.marks.excluded):
            self.marks = empty_marks(len(self.popularity.table))

    def next_observation(self, event: int) -> int:
        """All of the first events, then a sample that thins out."""
        return int(next_sampled(event))

    def observes(self, event: int, *, again: bool, fresh: bool) -> bool:
        """Return True as long as there may be more observations of its kind; a fresh item is no candidate."""
        budget = self.repeats.budget if again else self.budget
        return not fresh and budget.allows(event - self._history.left)

    def observe(self, user: int, item: int, weight: float) -> None:
        """Learn from what the user is about to choose, if it is positive and among the candidates."""
        given = self.popularity.events - self._history.left
        new, again = self.budget.allows(given), self.repeats.budget.allows(given)
        if weight < self._positive or not (new or again):
            return
        if self._history.rating(user, item) is not None:
            if again:
                self.repeats.observe(user, item)
        elif new and 0 <= item < self.popularity.items:
            self._observe_new(user, item)

    def _observe_new(self, user: int, item: int) -> None:
        items, known = self.popularity.items, self._known()
        if items < 2 * FEW_ITEMS:
            self._learn_choice(user, item, np.zeros((known, 2), np.float32), None)
            return
        self._make_room(items)
        try:
            self._learn_choice(user, item, self.marks.sums[:known], self.marks)
        finally:
            clear_supported(self.marks)

    def _learn_choice(self, user: int, item: int, sums: Sums, marks: Marks | None) -> None:
        """Learn from a choice; among all items, or where there are marks among a part of them."""
        marked = marks is not None and self.popularity.items > self.unmarked
        supported = marks.supported if marks is not None and marked else None
        read = self.neighbourhood.add(self.neighbourhood.profile(user), sums, supported, fewer=FEWER)
        if marks is not None and not marked:
            mark_told(marks, len(sums))
        popularity, turn, rated = self.popularity, self.budget.observed, self._history.items_of(user)
        table, items = popularity.table, popularity.items
        if marks is None:
            candidates, sample_weights, place = all_candidates(table, items, rated, item)
        else:
            candidates, sample_weights, place = sampled_candidates(
                table, items, popularity.events, rated, item, marks, popularity.newest, turn
            )
        if place < 0:
            return
        self.weights.learn(
            table,
            popularity.now,
            candidates,
            sample_weights,
            sums,
            chosen=place,
            turn=turn,
            context=context_of(self._history, user),
        )
        self.budget.take(read, len(candidates))

    def state(self) -> Arrays:
        """The parts' states, and `counters`: events, observations, work."""
        counters: NDArray[np.int64] = np.array(
            [self.popularity.events, self.budget.observed, self.budget.work], np.int64
        )
        return {
            "counters": counters,
            **self.popularity.state(),
            **self.weights.state(),
            **self.repeats.state(),
        }

    def restore(self, state: Arrays) -> None:
        """Take them over."""
        events, self.budget.observed, self.budget.work = (int(count) for count in state["counters"])
        self.popularity.restore(state, events)
        self._leaders, self.marks = Leaders(), empty_marks(0)
        self._filters.clear()
        self.weights.restore(state)
        self.repeats.restore(state)

    @staticmethod
    def warm() -> None:
        """Compile or load the kernels."""
        history = History(4)
        model = Blend(ModelContext(history))
        _teach(model, history, observing=True)
        model.score(0, np.arange(3, dtype=np.int32))
        model.score(0, np.arange(8, dtype=np.int32))
        model.repeats.restore(model.repeats.state())
        with_room(empty_pairs(), 1000)  # moves slots
        for item in (1, 2, 2):
            model.observe(0, item, 1.0)
            model.learn(history.append([0], [item], [1.0], [1.0], [0.0]))
        model.score_rated(0, np.arange(4, dtype=np.int32))
        sample.warm(model.popularity.table)
        Blend.warm_longest()

    @staticmethod
    def warm_longest() -> None:
        """Compile or load the kernels of short lists."""
        history = History(4)
        model = Blend(ModelContext(history))
        _teach(model, history, observing=False)
        model.many = model.unmarked = 0
        model.leading_but(0, np.arange(2, dtype=np.int32), 1)
        model.ahead_of(0, 7, np.arange(2, dtype=np.int32))
        mask = np.arange(8) % 2 == 0
        passing = Passing(mask, np.flatnonzero(mask).astype(np.int32), True)
        model._filters.of(passing, 8, model.popularity, model._block)
        model.learn(history.append([0], [3], [1.0], [1.0], [0.0]))


def _teach(model: Blend, history: History, *, observing: bool) -> None:
    """Let a model learn a few ratings."""
    for user, item in ((0, 0), (1, 0), (1, 1), (0, 2), (1, 7)):
        if observing:
            model.observe(user, item, 1.0)
        model.learn(history.append([user], [item], [1.0], [1.0], [0.0]))
