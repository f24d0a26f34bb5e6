"""Test-then-learn: each rating asks the models for a ranking before they learn it.

What is learned and what is tested is said in `recommender.evaluation.streams`. Costs are the processor
time of the thread, so that other programs of the machine do not count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import thread_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.evaluation import rank_metrics as metrics
from recommender.evaluation.streams import Stream
from recommender.history.events import Events
from recommender.history.history import History
from recommender.models import registry
from recommender.models.base import FloatArray, IntArray, Model, ModelContext, RanksRepeats
from recommender.models.driver import Driver
from recommender.models.topk import all_but, best
from recommender.shard import warmup
from recommender.shard.live_metrics import MISS, TOP, rank_of

#: The least-rated items that together have this share of the ratings are the long tail.
TAIL_SHARE = 0.2

_TAIL_EVERY = 500
#: Events from one report of progress to the next.
_SLICE = 1000


@dataclass(slots=True)
class Evaluation:
    """Measurements of one model.

    Attributes
    ----------
    model : str
    ranks : list of int
        Of each tested target, in stream order; `MISS` for an item never seen.
    candidates, user_ratings, item_ratings : list of int
        At each test: how many candidates there were, and how many ratings the user and the target had.
    """

    model: str
    ranks: list[int] = field(default_factory=list)
    candidates: list[int] = field(default_factory=list)
    user_ratings: list[int] = field(default_factory=list)
    item_ratings: list[int] = field(default_factory=list)
    recommended: set[int] = field(default_factory=set)
    slots: int = 0
    tail_slots: int = 0
    items: int = 0
    learned: int = 0
    scored: int = 0
    learn_seconds: float = 0.0
    score_seconds: float = 0.0

    def array(self) -> metrics.Ranks:
        """The ranks as an array."""
        return np.array(self.ranks, np.int32)

    def summary(self) -> dict[str, Any]:
        """All metrics by name; None for what was never tested."""
        ranks = self.array()
        cold_users = np.array(self.user_ratings) < metrics.COLD_USER
        counts = np.array(self.item_ratings)
        cold_items = (counts > 0) & (counts < metrics.COLD_ITEM)
        values: dict[str, float] = {
            f"recall@{TOP}": metrics.recall(ranks),
            "mrr": metrics.reciprocal_rank(ranks),
            f"ndcg@{TOP}": metrics.ndcg(ranks),
            "mean_percentile_rank": metrics.percentile_rank(ranks, np.array(self.candidates, np.int32)),
            "item_coverage": len(self.recommended) / max(self.items, 1),
            "long_tail_share": self.tail_slots / max(self.slots, 1),
            f"recall@{TOP}_first_ratings": metrics.recall(ranks[cold_users]),
            f"recall@{TOP}_young_items": metrics.recall(ranks[cold_items]),
            "learn_us": 1e6 * self.learn_seconds / max(self.learned, 1),
            "score_us": 1e6 * self.score_seconds / max(self.scored, 1),
        }
        shown = {name: value if value == value else None for name, value in values.items()}
        return {"model": self.model, "tests": len(ranks), **shown}


def evaluate(
    stream: Stream,
    models: Sequence[str],
    seed: int = 0,
    progress: Callable[[int], object] = lambda _: None,
    *,
    repeats: bool = False,
) -> list[Evaluation]:
    """Replay a stream to models that share one history.

    Parameters
    ----------
    stream : Stream
    models : sequence of str
        As the registry names them.
    seed : int
    progress : callable
        Called with the number of events learned since its last call.
    repeats : bool
        Items that the user has are candidates and targets too, as for requests with `include_rated`.

    Raises
    ------
    ModelError
        A model is not known.

    Examples
    --------
    Eight users rate the same five items one after the other, all with five points:

    >>> numbers = np.arange(40)
    >>> stream = Stream.of(numbers % 8, numbers // 8, np.full(40, 5.0), numbers * 1.0, positive=4.0)
    >>> [result] = evaluate(stream, ["popular"])
    >>> result.summary()["tests"], round(result.summary()["recall@10"], 2)
    (20, 0.9)
    """
    for name in models:
        registry.check(name)
    warmup.warm(tuple(models))
    return Replay(stream, models, seed, repeats=repeats).run(progress)


class _Timed:
    """Lets a model learn, and measures the time that it takes."""

    def __init__(self, model: Model, result: Evaluation) -> None:
        self._model, self._result = model, result
        self.reads_history_to_learn = model.reads_history_to_learn
        self.next_observation, self.observes = model.next_observation, model.observes
        self.forget_users, self.forget_items = model.forget_users, model.forget_items

    def learn(self, events: Events) -> None:
        """Learn, and count the events."""
        start = thread_time()
        self._model.learn(events)
        self._result.learn_seconds += thread_time() - start
        self._result.learned += len(events)

    def observe(self, user: int, item: int, weight: float) -> None:
        """Observe, which is a part of learning."""
        start = thread_time()
        self._model.observe(user, item, weight)
        self._result.learn_seconds += thread_time() - start


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of one model at one test.

    Attributes
    ----------
    user, item : int
        The user and the item of the rating that comes next.
    candidates : int32 array, ascending
    scores : float array, shape (candidates,)
    counts : int32 array, shape (items,)
        Ratings of each item.
    time : float
        When, in seconds since 1970.
    """

    user: int
    item: int
    candidates: IntArray
    scores: FloatArray
    counts: IntArray
    time: float


class Replay:
    """One pass of a stream over models; see `evaluate`.

    Parameters
    ----------
    stream : Stream
    models : sequence of str
    seed : int
    make : callable
        Makes a model of a name and a context.
    scored : callable, optional
        Called with a model's `Evaluation` and `Scored` at each test; by default the ten best of the list are
        counted.
    repeats : bool

    Attributes
    ----------
    models : list of (Model, Evaluation)
    """

    def __init__(
        self,
        stream: Stream,
        models: Sequence[str],
        seed: int = 0,
        *,
        make: Callable[[str, ModelContext], Model] = registry.create,
        scored: Callable[[Evaluation, Scored], object] | None = None,
        repeats: bool = False,
    ) -> None:
        self.stream = stream
        self.history = History()
        context = ModelContext(self.history, seed, stream.positive_weight, stream.scale)
        self.models = [(make(name, context), Evaluation(name)) for name in models]
        timed = [_Timed(model, result) for model, result in self.models]
        self._driver = Driver(self.history, timed, stream.positive_weight)
        self._repeats = repeats
        self._scored = self._count_list if scored is None else scored
        self._tail: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._tests = 0

    def run(self, progress: Callable[[int], object] = lambda _: None) -> list[Evaluation]:
        """Replay all of it."""
        for start in range(0, len(self.stream), _SLICE):
            stop = min(start + _SLICE, len(self.stream))
            self._replay(start, stop)
            progress(stop - start)
        for _, result in self.models:
            result.items = self.history.item_count
        return [result for _, result in self.models]

    def _replay(self, start: int, stop: int) -> None:
        stream, part = self.stream, slice(start, stop)
        self._driver.learn(
            stream.users[part],
            stream.items[part],
            stream.ratings[part],
            stream.weights[part],
            stream.times[part],
            pauses=np.flatnonzero(stream.tested[part]).tolist(),
            paused=lambda position: self._test(start + position),
        )

    def _test(self, event: int) -> None:
        user, item = int(self.stream.users[event]), int(self.stream.items[event])
        rated = self.history.rated(user)[0]
        if item in rated and not self._repeats:
            return
        candidates = all_but(rated[:0] if self._repeats else rated, self.history.item_count)
        counts = self.history.item_counts
        if self._tests % _TAIL_EVERY == 0:
            self._tail = long_tail(counts)
        self._tests += 1
        seen = item < len(counts)
        for model, result in self.models:
            result.candidates.append(len(candidates))
            result.user_ratings.append(len(rated))
            result.item_ratings.append(int(counts[item]) if seen else 0)
            rank = int(MISS)
            if seen:
                start = thread_time()
                scores = self._scores(model, user, candidates)
                result.score_seconds += thread_time() - start
                result.scored += 1
                time = float(self.stream.times[event])
                self._scored(result, Scored(user, item, candidates, scores, counts, time))
                rank = rank_of(item, candidates, scores)
            result.ranks.append(rank)

    def _scores(self, model: Model, user: int, candidates: IntArray) -> FloatArray:
        if self._repeats and isinstance(model, RanksRepeats):
            return model.score_rated(user, candidates)
        return model.score(user, candidates)

    def _count_list(self, result: Evaluation, scored: Scored) -> None:
        """Count the places of a model's list."""
        top = scored.candidates[best(scored.scores, scored.counts[scored.candidates], TOP)]
        result.recommended.update(top.tolist())
        result.slots += len(top)
        result.tail_slots += self.in_tail(top)

    def in_tail(self, items: IntArray) -> int:
        """The number of these items that are of the long tail, or came since it was last cut."""
        return sum(bool(i >= len(self._tail) or self._tail[i]) for i in items.tolist())


def long_tail(counts: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Mark the least-rated items that together have at most `TAIL_SHARE` of the ratings."""
    order = np.argsort(counts, kind="stable")
    tail = np.zeros(len(counts), np.bool_)
    tail[order[np.cumsum(counts[order]) <= TAIL_SHARE * counts.sum()]] = True
    return tail
