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
from recommender.history.history import History
from recommender.models import registry
from recommender.models.base import IntArray, Model, ModelContext
from recommender.models.topk import best
from recommender.shard import warmup
from recommender.shard.live_metrics import MISS, TOP, rank_of

#: The least-rated items that together have this share of the ratings are the long tail.
TAIL_SHARE = 0.2

_TAIL_EVERY = 500


@dataclass(slots=True)
class Evaluation:
    """What was measured of one model.

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
    stream: Stream, models: Sequence[str], seed: int = 0, progress: Callable[[int], object] = lambda _: None
) -> list[Evaluation]:
    """Replay a stream to models that share one history.

    Parameters
    ----------
    stream : Stream
    models : sequence of str
        As the registry names them.
    seed : int
    progress : callable
        Told how many events were learned since it was told last.

    Raises
    ------
    ModelError
        A model is not known.
    """
    for name in models:
        registry.check(name)
    warmup.warm(tuple(models))
    return Replay(stream, models, seed).run(progress)


class Replay:
    """One pass of a stream over models; see `evaluate`."""

    def __init__(self, stream: Stream, models: Sequence[str], seed: int = 0) -> None:
        self.stream = stream
        self.history = History()
        context = ModelContext(self.history, seed, stream.positive_weight, stream.scale)
        self.models: list[tuple[Model, Evaluation]] = [
            (registry.create(name, context), Evaluation(name)) for name in models
        ]
        self._step = 1 if any(model.reads_history_to_learn for model, _ in self.models) else 1 << 16
        self._tail: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._tests = 0

    def run(self, progress: Callable[[int], object]) -> list[Evaluation]:
        """Replay all of it."""
        event, length = 0, len(self.stream)
        tests = [*np.flatnonzero(self.stream.tested).tolist(), length]
        looks = [model.next_observation(0) for model, _ in self.models]
        place = 0
        while event < length:
            if tests[place] == event:
                self._test(event)
                place += 1
            for m, (model, result) in enumerate(self.models):
                if looks[m] == event:
                    self._observe(event, model, result)
                    looks[m] = model.next_observation(event + 1)
            stop = min(length, tests[place], event + self._step, *looks)
            self._learn(slice(event, stop))
            progress(stop - event)
            event = stop
        for _, result in self.models:
            result.items = self.history.item_count
        return [result for _, result in self.models]

    def _learn(self, run: slice) -> None:
        s = self.stream
        events = self.history.append(s.users[run], s.items[run], s.ratings[run], s.weights[run], s.times[run])
        for model, result in self.models:
            start = thread_time()
            model.learn(events)
            result.learn_seconds += thread_time() - start
            result.learned += len(events)

    def _observe(self, event: int, model: Model, result: Evaluation) -> None:
        s = self.stream
        start = thread_time()
        model.observe(int(s.users[event]), int(s.items[event]), float(s.weights[event]))
        result.learn_seconds += thread_time() - start

    def _test(self, event: int) -> None:
        user, item = int(self.stream.users[event]), int(self.stream.items[event])
        rated = self.history.rated(user)[0]
        if item in rated:
            return
        open_ = np.ones(self.history.item_count, np.bool_)
        open_[rated] = False
        candidates = np.flatnonzero(open_).astype(np.int32)
        counts = self.history.item_counts
        if self._tests % _TAIL_EVERY == 0:
            self._tail = long_tail(counts)
        self._tests += 1
        seen = item < len(counts)
        for model, result in self.models:
            result.candidates.append(len(candidates))
            result.user_ratings.append(len(rated))
            result.item_ratings.append(int(counts[item]) if seen else 0)
            result.ranks.append(
                self._rank(model, result, user, item, candidates, counts) if seen else int(MISS)
            )

    def _rank(
        self, model: Model, result: Evaluation, user: int, item: int, candidates: IntArray, counts: IntArray
    ) -> int:
        start = thread_time()
        scores = model.score(user, candidates)
        result.score_seconds += thread_time() - start
        result.scored += 1
        self._show(result, user, item, candidates, scores, counts)
        return rank_of(item, candidates, scores)

    def _show(
        self,
        result: Evaluation,
        user: int,
        item: int,
        candidates: IntArray,
        scores: NDArray[np.float64],
        counts: IntArray,
    ) -> None:
        """Count the places of the list."""
        top = candidates[best(scores, counts[candidates], TOP)]
        result.recommended.update(top.tolist())
        result.slots += len(top)
        result.tail_slots += self.in_tail(top)

    def in_tail(self, items: IntArray) -> int:
        """How many of these items are of the long tail, as are those that came since it was last cut."""
        return sum(bool(i >= len(self._tail) or self._tail[i]) for i in items.tolist())


def long_tail(counts: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
    """Which items are the least-rated ones that together have at most `TAIL_SHARE` of the ratings."""
    order = np.argsort(counts, kind="stable")
    tail = np.zeros(len(counts), np.bool_)
    tail[order[np.cumsum(counts[order]) <= TAIL_SHARE * counts.sum()]] = True
    return tail
