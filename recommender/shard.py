"""One partition's recommender: it learns a log and answers requests. It knows no Kafka.

The state of a shard is a pure function of the log it has read: the same ratings in the same order give
the same state to the bit, however they were cut into batches and whatever was saved and restored in
between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recommender.catalog import Catalog
from recommender.feedback import Feedback
from recommender.forwarded import Forwarded
from recommender.history import History
from recommender.live import LiveMetrics, rank_of
from recommender.messages import Columns, Failure, Rating, Reason, Recommended, Request, Response
from recommender.models import registry
from recommender.models.base import IntArray, Model, ModelContext
from recommender.models.reasons import Profiling, explain, similar_items
from recommender.settings import Settings
from recommender.top import best

Arrays = dict[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class ShardOptions:
    """What decides how a shard learns.

    Attributes
    ----------
    model : str
        The model's name, with options, as the registry reads it.
    feedback : Feedback
    seed : int
    test_every : int
        One in so many positive ratings tests the model before it is learned; 0: none.
    test_window : int
        How many tests the live metrics look back.
    """

    model: str = "popular"
    feedback: Feedback = field(default_factory=lambda: Feedback.parse("graded:4"))
    seed: int = 0
    test_every: int = 10
    test_window: int = 1000

    @classmethod
    def of(cls, settings: Settings) -> ShardOptions:
        """The options that `settings` ask for."""
        feedback = Feedback.parse(settings.feedback, settings.rating_min, settings.rating_max)
        return cls(settings.model, feedback, settings.seed, settings.test_every, settings.test_window)


class Shard:
    """One partition's users, items, histories and models, and the offset up to which it has learned.

    Parameters
    ----------
    partition : int
    options : ShardOptions

    Attributes
    ----------
    offset : int
        The next offset of the partition; everything before it is in the state.
    forwarded : Forwarded
        Which ratings that other partitions forward were here already.
    """

    def __init__(self, partition: int, options: ShardOptions) -> None:
        self.partition = partition
        self.options = options
        self.offset = 0
        self.forwarded = Forwarded()
        self.users = Catalog()
        self.items = Catalog()
        self.history = History()
        context = ModelContext(self.history, options.seed, options.feedback.positive_weight)
        self.model: Model = registry.create(options.model, context)
        self.popular: Model = registry.create("popular", context)
        self.live = LiveMetrics(options.test_window)

    @property
    def events(self) -> int:
        """How many events it has learned: ratings that teach, and withdrawals."""
        return self.history.event_count

    def learn(self, ratings: Iterable[Rating], times: Iterable[float]) -> None:
        """Learn ratings in log order.

        Parameters
        ----------
        ratings : iterable of Rating
        times : iterable of float
            When each was given, in seconds.
        """
        rows = list(ratings)
        self.learn_columns(
            Columns(
                [row.user for row in rows],
                [row.item for row in rows],
                [row.rating for row in rows],
                list(times),
            )
        )

    def learn_columns(self, ratings: Columns) -> None:
        """Learn ratings in log order, given field by field."""
        values, used = self.options.feedback.teach(ratings.ratings)
        if used.all() and not np.isnan(values).any():
            users = self.users.register_all(ratings.users)
            items = self.items.register_all(ratings.items)
        else:
            users, items = self._register(ratings, values, used)
        if used.any():
            self._learn_events(
                np.array(users, dtype=np.int32)[used],
                np.array(items, dtype=np.int32)[used],
                values[used],
                np.array(ratings.times, dtype=np.float64)[used],
            )

    def _register(
        self, ratings: Columns, values: NDArray[np.float32], used: NDArray[np.bool_]
    ) -> tuple[list[int], list[int]]:
        """Indices of users and items where some ratings do not teach; these register nobody.

        What takes back a rating of somebody or something unseen is not used: it is unmarked in `used`.
        """
        users, items = [0] * len(used), [0] * len(used)
        for place in np.flatnonzero(used).tolist():
            user, item = ratings.users[place], ratings.items[place]
            if np.isnan(values[place]) and not (user in self.users and item in self.items):
                used[place] = False
            else:
                users[place], items[place] = self.users.register(user), self.items.register(item)
        return users, items

    def _learn_events(
        self,
        users: IntArray,
        items: IntArray,
        ratings: NDArray[np.float32],
        times: NDArray[np.float64],
    ) -> None:
        weights = self.options.feedback.weights(ratings)
        start = 0
        for stop in [*self._looks(weights), len(users)]:
            run = slice(start, stop)
            if stop > start:
                self._learn_run(users[run], items[run], ratings[run], weights[run], times[run])
            if stop < len(users):
                self._look(int(users[stop]), int(items[stop]), float(weights[stop]))
            start = stop

    def _learn_run(self, *columns: NDArray[np.generic]) -> None:
        single = self.model.reads_history_to_learn
        step = 1 if single else len(columns[0])
        for start in range(0, len(columns[0]), step):
            events = self.history.append(*(column[start : start + step] for column in columns))
            self.model.learn(events)
            self.popular.learn(events)

    def _looks(self, weights: NDArray[np.float32]) -> list[int]:
        """Where in a run of coming events the model is looked at before it learns the event."""
        first, count = self.events, len(weights)
        looks = set(self._tests(first, weights).tolist())
        event = self.model.next_observation(first)
        while event < first + count:
            looks.add(event - first)
            event = self.model.next_observation(event + 1)
        return sorted(looks)

    def _tests(self, first: int, weights: NDArray[np.float32]) -> NDArray[np.int64]:
        """The events that test the model: a sample that depends on their number alone."""
        every = self.options.test_every
        if every == 0:
            return np.zeros(0, dtype=np.int64)
        numbers = np.arange(first, first + len(weights), dtype=np.uint64)
        sampled = _scatter(numbers) % np.uint64(every) == 0
        return np.flatnonzero(sampled & (weights >= self.options.feedback.positive_weight))

    def _look(self, user: int, item: int, weight: float) -> None:
        event = self.events
        if self._tests(event, np.array([weight], dtype=np.float32)).size:
            self._test(user, item)
        if self.model.next_observation(event) == event:
            self.model.observe(user, item, weight)

    def _test(self, user: int, item: int) -> None:
        """Where the model would have placed what the user is about to rate, beside the popular items."""
        rated = self._rated(user)
        if item in rated:
            return
        candidates = self._all_but(rated)
        ranks = []
        for model in (self._model_for(rated), self.popular):
            scores = model.score(user, candidates)
            ranks.append(rank_of(item, candidates, scores))
        self.live.add(*ranks)

    def recommend(self, request: Request) -> Response:
        """The n best items for a user, or the n most similar ones to an item.

        Raises
        ------
        Failure
            The request names an arm that there is none of, or asks the model for what it does not know.
        """
        arm = self.options.model
        if request.arm is not None and request.arm != arm:
            raise Failure("bad_request", f"arm {request.arm!r} does not exist: expected {arm!r}")
        if request.similar_to is not None:
            return self._recommend_similar(request)
        user = self.users.find(str(request.user))
        index = self.history.user_count if user is None else user
        rated = self._rated(index)
        candidates = self._candidates(request, rated)
        model = self._model_for(rated)
        scores = model.score(index, candidates)
        chosen = best(scores, self.history.item_counts[candidates], request.n)
        neighbours = model.neighbours(index, candidates[chosen])
        reasons = explain(self._explaining(), index, candidates[chosen]) if request.explain else None
        items = [
            Recommended(
                self.items.id_of(int(candidates[place])),
                float(scores[place]),
                "exploit",
                None if neighbours is None else int(neighbours[order]),
                None
                if reasons is None
                else [Reason(self.items.id_of(own), share) for own, share in reasons[order]],
            )
            for order, place in enumerate(chosen.tolist())
        ]
        name = arm if model is self.model else "popular"
        return Response(str(request.user), items, name, arm, not len(rated), self.partition, self.offset - 1)

    def _recommend_similar(self, request: Request) -> Response:
        """The most similar items; the popular ones where the item is unknown."""
        arm = self.options.model
        item = self.items.find(str(request.similar_to))
        known = np.array([] if item is None else [item], dtype=np.int32)
        candidates = self._candidates(request, known)
        if item is None:
            scores = self.popular.score(self.history.user_count, candidates)
        else:
            scores = similar_items(self._explaining(), item, candidates)
        chosen = best(scores, self.history.item_counts[candidates], request.n)
        items = [
            Recommended(self.items.id_of(int(candidates[place])), float(scores[place]))
            for place in chosen.tolist()
        ]
        name = "popular" if item is None else arm
        return Response(None, items, name, arm, item is None, self.partition, self.offset - 1)

    def _explaining(self) -> Profiling:
        """The model, if it knows what is alike and why.

        Raises
        ------
        Failure
            It does not.
        """
        if not isinstance(self.model, Profiling):
            raise Failure(
                "bad_request", f"model {self.options.model!r} knows neither `similar_to` nor `explain`"
            )
        return self.model

    def _rated(self, user: int) -> IntArray:
        return self.history.rated(user)[0]

    def _model_for(self, rated: IntArray) -> Model:
        """The model, or where it knows nothing of a user the popular items."""
        # A model that has an answer for users without ratings says so.
        if len(rated) or getattr(self.model, "answers_unseen_users", False):
            return self.model
        return self.popular

    def _all_but(self, without: IntArray) -> IntArray:
        """Every item but these, ascending."""
        keep = np.ones(self.history.item_count, dtype=np.bool_)
        keep[without] = False
        return np.flatnonzero(keep).astype(np.int32)

    def _candidates(self, request: Request, rated: IntArray) -> IntArray:
        """The indices that may be recommended, ascending; ids that were never rated are left out."""
        without = self._known(request.exclude)
        if not request.include_rated:
            without = np.concatenate([without, rated])
        if request.items is None:
            return self._all_but(without)
        return np.setdiff1d(self._known(request.items), without)

    def _known(self, ids: Sequence[str | int]) -> IntArray:
        found = (self.items.find(str(each)) for each in ids)
        return np.array([index for index in found if index is not None], dtype=np.int32)

    def state(self) -> Arrays:
        """Everything it has learned, as named arrays; equal states give equal bytes."""
        kept = {"users": self.users.state(), "items": self.items.state(), "history": self.history.state()}
        return flat(kept) | self.state_beside_history()

    def state_beside_history(self) -> Arrays:
        """All of the state but the history and the catalogs, which can be copied while they grow."""
        own: Arrays = {"offset": np.array([self.offset], dtype=np.int64), "forwarded": self.forwarded.state()}
        return flat(
            {
                "shard": own,
                "model": self.model.state(),
                "popular": self.popular.state(),
                "live": self.live.state(),
            }
        )

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave."""
        parts: dict[str, Arrays] = {}
        for path, array in state.items():
            part, _, name = path.partition("/")
            parts.setdefault(part, {})[name] = array
        self.offset = int(parts["shard"]["offset"][0])
        self.forwarded.restore(parts["shard"]["forwarded"])
        self.users.restore(parts["users"])
        self.items.restore(parts["items"])
        self.history.restore(parts["history"])
        self.model.restore(parts.get("model", {}))
        self.popular.restore(parts.get("popular", {}))
        self.live.restore(parts["live"])

    def digest(self) -> str:
        """A fingerprint of the state: equal for equal states, and only for them."""
        return digest(self.state())


def flat(parts: dict[str, Arrays]) -> Arrays:
    """The arrays of all parts, each named ``part/name``."""
    return {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}


def digest(state: Arrays) -> str:
    """BLAKE2b of all arrays with their names, types and shapes, in hexadecimal."""
    sum_ = hashlib.blake2b(digest_size=16)
    for name in sorted(state):
        array = np.ascontiguousarray(state[name])
        sum_.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        sum_.update(array.data if array.size else b"")
    return sum_.hexdigest()


def _scatter(numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Well-mixed bits of consecutive numbers (the finaliser of SplitMix64, Steele et al., 2014)."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
