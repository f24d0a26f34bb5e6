"""Costs and gains of exploring: lists of one model with chance mixed in, test-then-learn.

A list that is explored holds the target less often, and shows items that would never be shown. What the model
would learn from what it has shown is in no log, so it is not measured: that is off-policy evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from recommender.evaluation.prequential import Evaluation, Replay, Scored
from recommender.evaluation.streams import Stream
from recommender.models import registry
from recommender.models.topk import best
from recommender.shard import warmup
from recommender.shard.exploration import EXPLORE, Exploration, mix, request_seed
from recommender.shard.learned import POPULAR
from recommender.shard.live_metrics import TOP


@dataclass(slots=True)
class Explored:
    """Measurements of one way of exploring.

    Attributes
    ----------
    model : str
    exploration : Exploration
    tests, hits : int
        Lists for which a target was known, and those that held it.
    slots, explored, tail_slots : int
        Places of the lists; those given to chance, and those of the long tail.
    recommended : set of int
        The items that were shown.
    items : int
        How many there are.
    """

    model: str
    exploration: Exploration
    tests: int = 0
    hits: int = 0
    slots: int = 0
    explored: int = 0
    tail_slots: int = 0
    recommended: set[int] = field(default_factory=set)
    items: int = 0

    def summary(self) -> dict[str, Any]:
        """All metrics by name; None for what was never tested."""
        return {
            "model": self.model,
            "explore": str(self.exploration),
            "tests": self.tests,
            f"recall@{TOP}": self.hits / self.tests if self.tests else None,
            "item_coverage": len(self.recommended) / max(1, self.items),
            "long_tail_share": self.tail_slots / max(1, self.slots),
            "explored_share": self.explored / max(1, self.slots),
        }


def evaluate(
    stream: Stream,
    model: str,
    explorations: Sequence[Exploration],
    seed: int = 0,
    progress: Callable[[int], object] = lambda _: None,
) -> list[Explored]:
    """Replay a stream to a model, and mix each of its lists in each way.

    Parameters
    ----------
    stream : Stream
    model : str
        As the registry names it.
    explorations : sequence of Exploration
    seed : int
        Of the model, and of what chance shows.
    progress : callable
        Called with the number of events learned since its last call.

    Raises
    ------
    ModelError
        The model is not known.
    """
    registry.check(model)
    warmup.warm((model, POPULAR))
    exploring = _Exploring(stream, model, explorations, seed)
    exploring.replay.run(progress)
    for each in exploring.explored:
        each.items = exploring.replay.history.item_count
        each.tests = len(exploring.replay.models[0][1].ranks)
    return exploring.explored


class _Exploring:
    """A pass of one model, and of popularity, which has the counts that Thompson's rule needs."""

    def __init__(self, stream: Stream, model: str, explorations: Sequence[Exploration], seed: int) -> None:
        self.replay = Replay(stream, [model, POPULAR], seed, scored=self._mix)
        self.explored = [Explored(model, each) for each in explorations]
        self._seed = seed

    def _mix(self, result: Evaluation, scored: Scored) -> None:
        """Make the model's list in each way, and count it."""
        if result is not self.replay.models[0][1]:
            return
        candidates, scores = scored.candidates, scored.scores
        counts = scored.counts[candidates]
        ranked = best(scores, counts, TOP)
        positives = self.replay.models[1][0].score(scored.user, candidates)
        draw = request_seed(str(scored.user), len(result.ranks).to_bytes(8, "big"), self._seed)
        for each in self.explored:
            places = mix(
                ranked,
                scores,
                TOP,
                each.exploration,
                draw,
                positives=positives,
                negatives=counts - positives,
            )
            shown = candidates[[place.candidate for place in places]]
            each.hits += int(scored.item in shown)
            each.slots += len(shown)
            each.explored += sum(place.source == EXPLORE for place in places)
            each.tail_slots += self.replay.in_tail(shown)
            each.recommended.update(shown.tolist())
