"""One recommender: it learns ratings in the order of a log, and answers requests. It knows no Kafka.

The state of a shard is a pure function of the ratings that it has learned: the same ratings in the same order
give the same state to the bit, however they were cut into batches and whatever was saved and restored in
between.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from recommender.history.arrays import Arrays, digest, flat, parted
from recommender.history.catalog import Catalog, register_bytes
from recommender.history.history import History
from recommender.history.rows import Rows, spanned
from recommender.items.store import NO_ITEMS, ItemStore
from recommender.messages.ratings import Rating
from recommender.messages.requests import Request
from recommender.messages.responses import Response
from recommender.models import registry
from recommender.models.base import FloatArray, IntArray, Model, ModelContext
from recommender.models.driver import Driver
from recommender.shard.forgetting import Forgetting
from recommender.shard.keeper import Keeper
from recommender.shard.learned import POPULAR, Learned
from recommender.shard.leaving import Leaving
from recommender.shard.live_metrics import LiveMetrics, rank_by, sample
from recommender.shard.options import ShardOptions
from recommender.shard.query import NOTHING, AsOf, Hidden
from recommender.shard.recommending import Recommender


class Shard:
    """Users, items, histories and models.

    Parameters
    ----------
    options : ShardOptions
        What is learned from, by which models, and how lists are explored.

    Attributes
    ----------
    models : dict of str to Model
        By arm, in the order of the state. They share one history, and all learn from every rating.
    model : Model
        The first arm's.
    forgetting : Forgetting
        What does the rows that are no ratings.
    """

    def __init__(self, options: ShardOptions) -> None:
        self.options = options
        self.users = Catalog()
        self.items = Catalog()
        self.history = History(highest=options.highest)
        feedback = options.feedback
        scale = (feedback.low, feedback.high)
        self._positive_weight = feedback.positive_weight
        context = ModelContext(self.history, options.seed, self._positive_weight, scale)
        arms = options.arms
        # A state fits whatever order the arms come in, and however their options are spelled.
        ordered = sorted(arms.names, key=registry.canonical)
        self.models: dict[str, Model] = {name: registry.create(name, context) for name in ordered}
        self.model = self.models[arms.names[0]]
        self.popular: Model = registry.create(POPULAR, context)
        learning = [*self.models.values(), self.popular]
        self._driver = Driver(self.history, learning, self._positive_weight)
        leaving = Leaving(self.items, self.history, self._driver)
        self.forgetting = Forgetting(self.users, self.items, self.history, self._driver, leaving)
        self._keeper = Keeper(options.bounds, self.history, self.forgetting, leaving)
        self.live = LiveMetrics(options.test_window, arms.names, ordered)
        self._learned = Learned(
            users=self.users,
            items=self.items,
            history=self.history,
            models=self.models,
            popular=self.popular,
            experiment=arms,
            likes=self._likes,
        )
        self._recommender = Recommender(self._learned, exploration=options.exploration, seed=options.seed)

    @property
    def events(self) -> int:
        """The number of events that it has learned: ratings that teach, and withdrawals."""
        return self.history.event_count

    def learn(self, ratings: Iterable[Rating], times: Iterable[float] | None = None) -> None:
        """Learn ratings in log order.

        Parameters
        ----------
        ratings : iterable of Rating
        times : iterable of float, optional
            When each was given, in seconds; by default the ratings' own timestamps.
        """
        rows = list(ratings)
        text, spans = spanned([part.encode() for row in rows for part in (row.user, row.item)])
        values = np.array([row.rating for row in rows], np.float64)  # None becomes NaN
        # None becomes NaN here, too.
        given = np.array([row.timestamp for row in rows] if times is None else list(times), np.float64)
        self.learn_rows(Rows(text, spans, values, given, np.ones(len(rows), np.bool_)))

    def learn_rows(self, rows: Rows) -> None:
        """Learn ratings in log order, and forget whom rows say; those that are not plain are passed over."""
        first = 0
        for place, kind in rows.others():
            if place > first:
                self._learn_within_bounds(rows.part(first, place))
            self.forgetting.take(rows, place, kind)
            first = place + 1
        if first < len(rows.ratings):
            self._learn_within_bounds(rows if first == 0 else rows.part(first, len(rows.ratings)))

    def _learn_within_bounds(self, rows: Rows) -> None:
        """Learn ratings, and let users and items leave wherever bounds are looked at."""
        first, count = 0, len(rows.ratings)
        # A policy may take a low rating for a withdrawal.
        withdrawn = not self._keeper.idle and bool(
            np.isnan(self.options.feedback.teach(rows.ratings)[0]).any()
        )
        while first < count:
            last = first + self._keeper.stretch(count - first, withdrawn=withdrawn)
            self._learn_ratings(rows if last - first == count else rows.part(first, last))
            self._keeper.pass_rows(last - first)
            first = last

    def _learn_ratings(self, rows: Rows) -> None:
        values, used = self.options.feedback.teach(rows.ratings)
        used &= rows.plain
        if self.options.highest:
            # What a policy drops takes nothing back; only a withdrawal does.
            used &= np.isnan(rows.ratings) | ~np.isnan(values)
        free = self.items.free
        users, items = register_bytes(self.users, self.items, rows.text, rows.spans, values, used)
        if used.all():
            self._learn_events(users, items, values, rows.times, free)
        elif used.any():
            self._learn_events(users[used], items[used], values[used], rows.times[used], free)

    def _learn_events(
        self,
        users: IntArray,
        items: IntArray,
        ratings: NDArray[np.float32],
        times: NDArray[np.float64],
        free: IntArray,
    ) -> None:
        weights = self.options.feedback.weights(ratings)

        def test(position: int) -> None:
            # Until their first event nobody knows of items, also of those that were given an index again.
            later = items[position:]
            unknown = np.setdiff1d(later[np.isin(later, free)], items[:position]) if len(free) else free
            self._test(int(users[position]), int(items[position]), unknown)

        self._driver.learn(
            users,
            items,
            ratings,
            weights,
            times,
            pauses=self._tests(weights),
            paused=test,
        )
        self._keeper.pass_events(users, items, ratings, times)

    def _tests(self, weights: NDArray[np.float32]) -> list[int]:
        """Positions of the coming events that test the models: a sample by their numbers alone."""
        every = self.options.test_every
        if every == 0:
            return []
        sampled = np.flatnonzero(sample(self.events, len(weights), every))
        positions: list[int] = sampled[weights[sampled] >= self._positive_weight].tolist()
        return positions

    def _test(self, user: int, item: int, unknown: IntArray) -> None:
        """Rank the item that a user is about to rate, by each model and by popularity.

        Items that are `unknown` have an index before anybody has rated them: they are no candidates.
        """
        rated = self.history.items_of(user)
        if item in rated:
            return
        without = self._learned.with_free(np.concatenate([rated, unknown]))
        candidates = self._learned.all_but(without)
        asked = [self._learned.model_for(arm, rated) for arm in self.live.arms]
        ranks = [rank_by(model, user, item, without, candidates) for model in (*asked, self.popular)]
        self.live.add(*ranks)

    def recommend(
        self,
        request: Request,
        identity: bytes = b"",
        as_of: AsOf = NOTHING,
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
            The last rating that was learned, for the response.
        store : ItemStore
            What is known of the items; no part of the state.
        sums : float array, optional
            How popular each item is in the window of time that is asked for.
        hidden : Hidden, optional
            What the user was shown before.

        Raises
        ------
        Failure
            The request names an arm that there is none of, or asks the model for what it cannot do.
        """
        return self._recommender.recommend(
            request, identity=identity, as_of=as_of, store=store, sums=sums, hidden=hidden
        )

    def positive(self, rows: Rows) -> NDArray[np.bool_]:
        """True for the rows that say that the user likes the item."""
        values, used = self.options.feedback.teach(rows.ratings)
        weights = self.options.feedback.weights(values)
        found: NDArray[np.bool_] = used & rows.plain & ~np.isnan(values) & (weights >= self._positive_weight)
        return found

    def _likes(self, rating: float) -> bool:
        weights = self.options.feedback.weights(np.array([rating], np.float32))
        return bool(weights[0] >= self._positive_weight)

    @property
    def bounds(self) -> Keeper:
        """The keeper of its bounds, which tells how near they are."""
        return self._keeper

    def sync_items(self, store: ItemStore) -> None:
        """Take over which items a store knows, so that no request has to."""
        self._recommender.view(store).sync()

    def state(self) -> Arrays:
        """Everything it has learned, as named arrays; equal states give equal bytes."""
        kept = {"users": self.users.state(), "items": self.items.state(), "history": self.history.state()}
        return flat(kept) | self.state_beside_history()

    def state_beside_history(self) -> Arrays:
        """All of the state but the history and the catalogs, which can be copied while they grow."""
        models = {part: model.state() for part, model in self._parts().items()}
        bounds = self._keeper.state(self.users.size, self.items.size)
        return flat({**models, "popular": self.popular.state(), "live": self.live.state(), "bounds": bounds})

    def _parts(self) -> dict[str, Model]:
        """The models by what their part of the state is called: by number, since a name may have slashes."""
        models = list(self.models.values())
        if len(models) == 1:
            return {"model": models[0]}
        return {f"model-{number}": model for number, model in enumerate(models)}

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave."""
        parts = parted(state)
        self.users.restore(parts["users"])
        self.items.restore(parts["items"])
        self.history.restore(parts["history"])
        for part, model in self._parts().items():
            model.restore(parts.get(part, {}))
        self.popular.restore(parts.get("popular", {}))
        self.live.restore(parts["live"])
        self._keeper.restore(parts.get("bounds", {}))

    def digest(self) -> str:
        """A fingerprint of the state: equal for equal states, and only for them."""
        return digest(self.state())
