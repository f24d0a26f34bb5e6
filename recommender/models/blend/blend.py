r"""A blend of sequence neighbours, co-occurrence and popularity that learns on the stream what works there.

No single method is safe: on a drifting stream what was popular lately beats co-occurrence, on a sparse one
even what was popular ever does. So each candidate gets a row of features
(`recommender.models.blend.features`), its score is their weighted sum, and the weights are learned from a
sample of the positive ratings, each looked at just before it is learned (`recommender.models.blend.ranking`).

How far to trust popularity at the top of the list, and whether a single feature ranks better than all of
them, is tried out (`recommender.models.blend.trials`).

Users without history, users with a short one and all others differ in what works; each kind has weights of
its own, drawn towards the common ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recommender.history.events import Events
from recommender.history.history import History
from recommender.models.base import Arrays, FloatArray, IntArray, Model, ModelContext
from recommender.models.blend import features as kernels
from recommender.models.blend import sample
from recommender.models.blend.blocks import room
from recommender.models.blend.choice import observe_choice
from recommender.models.blend.evidence import evidence
from recommender.models.blend.leaders import Leaders
from recommender.models.blend.marks import Bits, Marks, clear_supported, empty_marks
from recommender.models.blend.ranking import ListwiseRanker
from recommender.models.blend.repeats import Repeats
from recommender.models.blend.sample import (
    FEW_ITEMS,
    Budget,
    all_candidates,
    next_sampled,
    sampled_candidates,
)
from recommender.models.blend.shortlist import leading
from recommender.models.blend.taken import empty_pairs, index
from recommender.models.blend.trials import Trials
from recommender.models.blend.worth import Worth
from recommender.models.elementary import half_powers, powers
from recommender.models.options import between
from recommender.models.sequence.kernels import LOOK_BACK, Scratch, newest
from recommender.models.sequence.sequence_knn import Profile, fading_raters
from recommender.models.topk import all_but, distinct
from recommender.models.topk import leading as best_of

#: Weights before the first observation, in the order of `FEATURES`: about the mean of what was learned on the
#: first halves of nine streams of several kinds (films, purchases, files that developers change, generated
#: ones).
PRIOR = np.array([0.6, 0.0, 0.0, -0.1, -0.4, 0.15, 0.05, 0.4, 0.2, 0.5, -0.15, 0.65])
#: How firmly they are held: two over the variance between those streams, but the two kinds of neighbours less
#: firmly. There are streams where one of them, or both, say nothing, and that must be found out soon.
PRECISION = 2.0 * np.array([5.0, 11.0, 2.0, 20.0, 4.5, 19.0, 28.0, 35.0, 14.0, 6.0, 10.0, 14.0])
#: Users with fewer entries than this have a short history.
SHORT = 6
#: Of each older entry of a user, so much fewer raters are asked: they would say less at the same cost.
RATERS_DECAY = 0.9
#: But never fewer than this.
FEWEST_RATERS = 32
#: So many of the newest entries are looked around; the others only tell who has the same taste.
NEAR = 20
#: What a rating counts for taste: its strength, which fades fast, to this power.
LASTING = 0.1
#: Users that may become neighbours, those of the newest items first.
NEIGHBOURS = 1000

#: From so many items on the best are found without scoring all.
MANY = 4096
#: Up to so many it is found out afterwards of which of them neighbours say anything.
UNMARKED = 100_000
#: Rows of a new table.
LEAST = 64

#: Stands for a one for each candidate.
_EACH = np.empty(0)


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
        How many observations are learned from at first; after n events it is so many and four times the root
        of n, or fewer where they take long.
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
        self._entries, self._max_entries, self._effort = entries, max_entries, effort
        raters = min(raters, context.history.raters_per_item)
        self._raters = np.maximum(fading_raters(raters, RATERS_DECAY, entries), min(raters, FEWEST_RATERS))
        self._links = int(self._raters.sum())
        self._decays = half_powers(0.8, 2 * LOOK_BACK * entries + 1)
        self._scratch = Scratch(NEIGHBOURS)
        self._ranker = ListwiseRanker(PRIOR, PRECISION, contexts=2, firmness=2.0, memory=memory)
        self._trials = Trials(*kernels.POPULARITY, kernels.SINGLES)
        self._worth = Worth(memory)
        self._budget = Budget(observations)
        #: The weights as they are applied, by context; until the next observation.
        self._applied: dict[int, FloatArray] = {}
        self._block = room(kernels.ROWS)
        #: Always larger than there are items: kernels are compiled for an array's layout, and an empty table,
        #: or a part of it that is all of it, has another one.
        self._table = kernels.empty_table(LEAST)
        #: What the fading counts of all items come to, see `count_events`.
        self._totals = np.zeros(kernels.LATELY)
        #: Of each of the last events the item, at the remainder of its number; the table says it, too.
        self._newest = np.zeros(sample.REMEMBERED, np.int32)
        self._repeats = Repeats(context.history, self._positive, memory, observations)
        self._leaders = Leaders()
        self._marks: Marks = empty_marks(0)
        self._many, self._unmarked = MANY, UNMARKED
        self._items = 0
        self._event = 0

    def learn(self, events: Events) -> None:
        """Count the events for their items."""
        if len(events) == 0:
            return
        self._items = max(self._items, int(events.items[0] if len(events) == 1 else events.items.max()) + 1)
        if self._items >= len(self._table):
            larger = kernels.empty_table(max(self._items + 1, 2 * len(self._table)))
            larger[: len(self._table)] = self._table
            self._table = larger
        kernels.count_events(
            self._positive,
            self._event,
            events.items,
            events.ratings,
            events.weights,
            events.previous_weights,
            self._table,
            self._totals,
            self._newest,
        )
        self._repeats.learn(events)
        self._leaders.pass_events(self._table, events.items, self._event, self._items)
        self._event += len(events)

    def forget_user(self, user: int) -> None:
        """Forget what the user took again; what all have taught stays."""
        self.forget_users(np.array([user], np.int32))

    def forget_users(self, users: IntArray) -> None:
        """Forget what the users took again."""
        self._repeats.forget_users(users)

    def forget_item(self, item: int) -> None:
        """Let the item be one that nobody has rated yet."""
        self.forget_items(np.array([item], np.int32))

    def forget_items(self, items: IntArray) -> None:
        """Let the items be such as nobody has rated yet."""
        self._repeats.forget_items()
        items = items[(items >= 0) & (items < self._items)]
        self._leaders.leave(items)
        self._table[items, : kernels.FIRST] = 0.0
        self._table[items, kernels.FIRST] = np.inf

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """Weighted sums of features; the logarithm of a preference, up to a constant."""
        views, scales, now = self._surveyed(candidates, self._evidence(self._profile(user, self._entries)))
        scores = np.empty(len(candidates))
        weights = self._weights(self._context(user))
        kernels.weigh(self._table, now, candidates, views, scales, weights, *self._block, scores)
        return scores

    def leading_but(self, user: int, without: IntArray, n: int) -> tuple[IntArray, FloatArray]:
        """All items but these that score as high as the n-th highest, ascending, and their scores.

        As `score` says of all of those, but of a large catalogue without scoring them all.

        Parameters
        ----------
        user : int
        without : int32 array
            Unknown ones, and the same one twice, do no harm.
        n : int
        """
        items = self._history.item_count
        excluded = without if items < self._many else distinct(without, items)
        # Where few are left, they alone are what is normalised by.
        if (
            items < self._many
            or items > self._items
            or 2 * (items - len(excluded)) < items
            or n >= items // 4
        ):
            candidates = all_but(excluded, items)
            places, scores = best_of(self.score(user, candidates), n)
            return candidates[places], scores
        self._make_room(items)
        marks, marked = self._marks, items > self._unmarked
        try:
            supported = marks.supported if marked else None
            self._accumulate(self._profile(user, self._entries), marks.sums[:items], supported)
            now, cells = float(self._event), self._leaders.cells(self._table, self._event, items)
            weights = self._weights(self._context(user))
            found: tuple[IntArray, FloatArray] = leading(
                self._table,
                now,
                items,
                self._totals,
                weights,
                marks,
                marked,
                excluded,
                cells,
                n,
                *self._block,
            )
        except BaseException:
            self._marks = empty_marks(0)
            raise
        return found

    def score_rated(self, user: int, candidates: IntArray) -> FloatArray:
        """Score candidates that the user may have: logarithms of how likely each is next.

        Of a user who has none of them that is what `score` says.
        """
        new = ~np.isin(candidates, self._history.items_of(user))
        scores = self.score(user, candidates[new])
        return scores if new.all() else self._repeats.score(user, candidates, new, scores)

    def _weights(self, context: int) -> FloatArray:
        found = self._applied.get(context)
        if found is None:
            found = self._applied[context] = self._trials.applied(self._ranker.weights(context))
        return found

    def features(self, user: int, candidates: IntArray) -> FloatArray:
        """The features of each candidate, shape (candidates, features), columns as `FEATURES` names them."""
        views, scales, now = self._surveyed(candidates, self._evidence(self._profile(user, self._entries)))
        features = np.empty((len(candidates), len(kernels.FEATURES)))
        kernels.fill(self._table, now, candidates, views, scales, *self._block, features)
        return features

    def _surveyed(self, candidates: IntArray, sums: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        views, scales = np.empty((kernels.VIEWS, len(candidates))), np.empty(kernels.VIEWS + 3)
        now, items, table = float(self._event), self._history.item_count, self._table
        if 2 * len(candidates) < items or items > self._items:
            kernels.survey(table, now, candidates, _EACH, sums, *self._block, views, scales)
            return views, scales, now
        # Of most items the totals are known but for what those add that are missing.
        missing, left = all_but(candidates, items), np.empty(kernels.LATELY)
        kernels.totals_without(table, now, missing, self._totals, *self._block, left)
        size = float(len(candidates))
        kernels.survey_most(table, now, candidates, size, left, sums, *self._block, views, scales)
        return views, scales, now

    @property
    def longest_profile(self) -> int:
        """More items than this a profile must not have."""
        return min(NEAR, self._entries)

    def profile(self, user: int) -> Profile:
        """The user's newest items that are looked around, and how strongly each."""
        return self._profile(user, min(NEAR, self._entries))

    def _profile(self, user: int, entries: int) -> Profile:
        items, strengths = newest(self._history.arrays, user, entries, self._decays)
        return Profile(user, items, strengths)

    def score_profile(self, profile: Profile, candidates: IntArray) -> FloatArray:
        """The scores of sequence neighbours alone, relative to how often each item was rated."""
        sums = self._evidence(profile)
        scores = np.zeros(len(candidates))
        known = (candidates >= 0) & (candidates < len(sums))
        found = candidates[known]
        scores[known] = sums[found, 0] / np.maximum(self._table[found, kernels.ROOT], 1.0)
        return scores

    def _evidence(self, profile: Profile) -> FloatArray:
        sums = np.zeros((min(self._items, self._history.item_count), 2))
        self._accumulate(profile, sums, None)
        return sums

    def _make_room(self, items: int) -> None:
        if items > len(self._marks.excluded):
            self._marks = empty_marks(len(self._table))

    def _accumulate(self, profile: Profile, sums: FloatArray, supported: Bits | None) -> int:
        """Add what other users' histories say to `sums`, and mark their items in `supported` if given.

        Returns how many of their entries were read.
        """
        arrays = self._history.arrays
        count = len(profile.items)
        if not count or profile.items.max() >= len(sums):
            return 0
        room = self._scratch.room(arrays, self._links)
        return int(
            evidence(
                arrays,
                profile.user,
                profile.items,
                profile.strengths,
                powers(profile.strengths, LASTING - 1.0),
                self._raters,
                NEAR,
                self._max_entries,
                self._effort,
                room,
                sums,
                supported,
            )
        )

    def _context(self, user: int) -> int:
        """0 for a user without history, 1 for a short one, -1 for all others."""
        entries = int(self._history.arrays.users["live"][user]) if 0 <= user < self._history.user_count else 0
        if entries == 0:
            return 0
        return 1 if entries < SHORT else -1

    def next_observation(self, event: int) -> int:
        """All of the first events, then a sample that thins out."""
        return int(next_sampled(event))

    def observes(self, event: int, *, again: bool, fresh: bool) -> bool:
        """Return True as long as there may be more observations of its kind; a fresh item is no candidate."""
        return not fresh and (self._repeats.budget if again else self._budget).allows(event)

    def observe(self, user: int, item: int, weight: float) -> None:
        """Learn from what the user is about to choose, if it is positive and among the candidates."""
        new, again = self._budget.allows(self._event), self._repeats.budget.allows(self._event)
        if weight < self._positive or not (new or again):
            return
        if self._history.rating(user, item) is not None:
            if again:
                self._repeats.observe(user, item)
        elif new and 0 <= item < self._items:
            self._observe_new(user, item)

    def _observe_new(self, user: int, item: int) -> None:
        known = min(self._items, self._history.item_count)
        if self._items < 2 * FEW_ITEMS:
            self._learn_choice(user, item, np.zeros((known, 2)), None)
            return
        self._make_room(self._items)
        try:
            self._learn_choice(user, item, self._marks.sums[:known], self._marks)
        finally:
            clear_supported(self._marks)

    def _learn_choice(self, user: int, item: int, sums: FloatArray, marks: Marks | None) -> None:
        """Learn from a choice; among all items, or where there are marks among a part of them."""
        supported = None if marks is None else marks.supported
        read = self._accumulate(self._profile(user, self._entries), sums, supported)
        table, items, rated = self._table, self._items, self._history.items_of(user)
        trials, context, turn = self._trials, self._context(user), self._budget.observed
        if marks is None:
            candidates, sample_weights, place = all_candidates(table, items, rated, item)
        else:
            candidates, sample_weights, place = sampled_candidates(
                table, items, self._event, rated, item, marks, self._newest, turn
            )
        if place < 0:
            return
        features, row_weights, row, ahead = observe_choice(
            table,
            float(self._event),
            candidates,
            sample_weights,
            sums,
            place,
            turn,
            self._ranker.weights(context),
            trials.first,
            trials.last,
            trials.singles,
            trials.keep,
            trials.leads,
            trials.squares,
            *self._block,
        )
        self._ranker.learn(features, row_weights, row, context, self._worth.of(ahead))
        self._applied.clear()
        self._budget.take(read, len(candidates))

    def state(self) -> Arrays:
        """The item `table`, `totals`, `counters` (events, observations, work), and its parts' states."""
        counters: NDArray[np.int64] = np.array(
            [self._event, self._budget.observed, self._budget.work], np.int64
        )
        return {
            "table": self._table[: self._items, : kernels.FIRST].copy(),
            "counters": counters,
            "totals": self._totals.copy(),
            **self._ranker.state(),
            **self._trials.state(),
            **self._worth.state(),
            **self._repeats.state(),
        }

    def restore(self, state: Arrays) -> None:
        """Take them over."""
        self._items = len(state["table"])
        self._table = kernels.empty_table(max(self._items + 1, LEAST))
        self._table[: self._items, : kernels.FIRST] = state["table"]
        known = self._history.arrays.items[: self._items]
        first = np.where(known["events"] > 0, known["first_event"], np.inf)
        self._table[: self._items, kernels.FIRST] = first
        self._event, self._budget.observed, self._budget.work = (int(count) for count in state["counters"])
        self._totals = state["totals"].astype(np.float64)
        updated, rated = self._table[: self._items, kernels.UPDATED], self._table[: self._items, kernels.ROOT]
        lately = np.flatnonzero((rated > 0.0) & (updated >= self._event - len(self._newest)))
        self._newest[:] = 0
        self._newest[updated[lately].astype(np.int64) % len(self._newest)] = lately
        self._leaders, self._marks = Leaders(), empty_marks(0)
        self._ranker.restore(state)
        self._trials.restore(state)
        self._worth.restore(state)
        self._repeats.restore(state)
        self._applied.clear()

    @staticmethod
    def warm() -> None:
        """Compile or load the kernels."""
        history = History(4)
        model = Blend(ModelContext(history))
        for user, item in ((0, 0), (1, 0), (1, 1), (0, 2), (1, 7)):
            model.observe(user, item, 1.0)
            model.learn(history.append([user], [item], [1.0], [1.0], [0.0]))
        model.score(0, np.arange(3, dtype=np.int32))
        model.score(0, np.arange(8, dtype=np.int32))
        index(empty_pairs(4))
        model._many = model._unmarked = 0
        model.leading_but(0, np.arange(2, dtype=np.int32), 1)
        model.learn(history.append([0], [3], [1.0], [1.0], [0.0]))
        for item in (1, 2, 2):
            model.observe(0, item, 1.0)
            model.learn(history.append([0], [item], [1.0], [1.0], [0.0]))
        model.score_rated(0, np.arange(4, dtype=np.int32))
        sample.warm(model._table)
