"""Costs and gains of not showing again what was shown: lists of one model, test-then-learn.

Each test is a request. What its list shows counts as shown to the user from then on, so a list that hides
changes from request to request also where the model does not.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recommender.evaluation.prequential import Evaluation, Replay, Scored
from recommender.evaluation.streams import Stream
from recommender.models import registry
from recommender.models.base import IntArray
from recommender.models.topk import best
from recommender.shard import warmup
from recommender.shard.live_metrics import TOP

HOUR = 3600.0
#: Lists of a user that are remembered, as a worker remembers 1,000 places.
LISTS = 1000 // TOP


@dataclass(slots=True)
class Hiding:
    """Measurements of hiding after a number of times.

    Attributes
    ----------
    model : str
    times : int
        After how many times an item is left out; 0: never.
    tests, hits : int
        Lists for which a target was known, and those that held it.
    places, new : int
        Places of lists that were not the user's first, and those whose item was not in the list before.
    hidden : int
        Items that were left out, over all lists.
    recommended : set of int
        The items that were shown.
    items : int
        How many there are.
    """

    model: str
    times: int
    tests: int = 0
    hits: int = 0
    places: int = 0
    new: int = 0
    hidden: int = 0
    recommended: set[int] = field(default_factory=set)
    items: int = 0

    def summary(self) -> dict[str, Any]:
        """All metrics by name; None for what was never tested."""
        return {
            "model": self.model,
            "hide_seen": self.times,
            "tests": self.tests,
            f"recall@{TOP}": self.hits / self.tests if self.tests else None,
            "turnover": self.new / self.places if self.places else None,
            "hidden_per_list": self.hidden / self.tests if self.tests else None,
            "item_coverage": len(self.recommended) / max(1, self.items),
        }


def evaluate(
    stream: Stream,
    model: str,
    times: Sequence[int],
    hours: float,
    seed: int = 0,
    progress: Callable[[int], object] = lambda _: None,
) -> list[Hiding]:
    """Replay a stream to a model, and hide in each of its lists what was shown before, in each way.

    Parameters
    ----------
    stream : Stream
    model : str
        As the registry names it.
    times : sequence of int
        After how many times an item is left out; 0: never.
    hours : float
        What was shown in this many hours counts, by the stream's own times.
    seed : int
        Of the model.
    progress : callable
        Called with the number of events learned since its last call.

    Raises
    ------
    ModelError
        The model is not known.
    """
    registry.check(model)
    warmup.warm((model,))
    hiding = _Replaying(stream, model, times, hours, seed)
    hiding.replay.run(progress)
    for each in hiding.measured:
        each.items = hiding.replay.history.item_count
        each.tests = len(hiding.replay.models[0][1].ranks)
    return hiding.measured


class _Replaying:
    """A pass of one model, with the lists that each way of hiding has shown."""

    def __init__(self, stream: Stream, model: str, times: Sequence[int], hours: float, seed: int) -> None:
        self.replay = Replay(stream, [model], seed, scored=self._list)
        self.measured = [Hiding(model, each) for each in times]
        self._hours = hours
        self._shown: list[defaultdict[int, deque[tuple[float, IntArray]]]] = [
            defaultdict(lambda: deque(maxlen=LISTS)) for _ in times
        ]

    def _list(self, result: Evaluation, scored: Scored) -> None:
        """Make the list in each way, and count it."""
        for each, shown in zip(self.measured, self._shown, strict=True):
            before = shown[scored.user]
            left = self._left(each, before, scored)
            items = scored.candidates[left]
            top = items[best(scored.scores[left], scored.counts[items], TOP)]
            each.hits += int(scored.item in top)
            if before:
                each.places += len(top)
                each.new += int(np.count_nonzero(~np.isin(top, before[-1][1])))
            each.recommended.update(top.tolist())
            before.append((scored.time, top))

    def _left(self, hiding: Hiding, before: Sequence[tuple[float, IntArray]], scored: Scored) -> IntArray:
        """The places among the candidates that are not hidden."""
        since = scored.time - self._hours * HOUR
        counts = Counter(item for time, items in before if time >= since for item in items.tolist())
        hidden = [item for item, count in counts.items() if hiding.times and count >= hiding.times]
        left: IntArray = np.flatnonzero(~np.isin(scored.candidates, hidden)).astype(np.int32)
        hiding.hidden += len(scored.candidates) - len(left)
        return left
