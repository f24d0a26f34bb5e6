"""Contestants, measured in turns: so that what else the machine does falls on all of them alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

#: What one turn of a contestant gives: a value for each metric.
Values = dict[str, float]
Turn = Callable[[], Values]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """Options of how much is measured.

    Attributes
    ----------
    quick : bool
        Small sizes, to see that everything runs; the figures mean little.
    rounds : int
        Turns of each contestant.
    cache : Path
        Where peers' environments are kept.
    tell : function
        Told what is under way.
    """

    quick: bool
    rounds: int
    cache: Path
    tell: Tell

    def size(self, full: int, quick: int) -> int:
        """The size that this run uses."""
        return quick if self.quick else full


@dataclass(frozen=True, slots=True)
class Metric:
    """A thing that is measured, and which way is better."""

    name: str
    unit: str
    better: Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound that a figure shall keep."""

    what: str
    value: float
    bound: float
    unit: str
    better: Literal["higher", "lower"]

    @property
    def met(self) -> bool:
        """Return True if the value is within the bound."""
        return self.value >= self.bound if self.better == "higher" else self.value <= self.bound


@dataclass(slots=True)
class Outcome:
    """The outcome of a contest.

    Attributes
    ----------
    name, title : str
    ours : str
        The contestant that all others are compared with.
    metrics : list of Metric
        The first one is what the plot shows.
    values : dict
        By contestant and metric, one value for each round.
    failures : dict of str to str
        Contestants that could not be measured, and why.
    goals : list of Goal
    notes : list of str
    """

    name: str
    title: str
    ours: str
    metrics: list[Metric]
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, contestant: str, values: Values) -> None:
        """Take one turn's values."""
        rows = self.values.setdefault(contestant, {})
        for name, value in values.items():
            rows.setdefault(name, []).append(value)

    def median(self, contestant: str, metric: str) -> float:
        """NaN where it was not measured."""
        found = self.values.get(contestant, {}).get(metric)
        return statistics.median(found) if found else float("nan")

    def ratio(self, contestant: str, metric: Metric) -> float:
        """The quotient of the medians, above 1 where ours is better; NaN where one of both is missing."""
        return self.between(self.ours, contestant, metric)

    def between(self, one: str, other: str, metric: Metric) -> float:
        """The factor by which one contestant is better than another, by their medians."""
        a, b = self.median(one, metric.name), self.median(other, metric.name)
        better, worse = (a, b) if metric.better == "higher" else (b, a)
        return better / worse if worse else float("nan")

    def as_json(self) -> dict[str, Any]:
        """Everything, as the result file has it."""
        ratios = {
            metric.name: {each: self.ratio(each, metric) for each in self.values} for metric in self.metrics
        }
        return {
            "benchmark": self.name,
            "title": self.title,
            "ours": self.ours,
            "ratios": ratios,
            "metrics": [{"name": m.name, "unit": m.unit, "better": m.better} for m in self.metrics],
            "values": self.values,
            "failures": self.failures,
            "goals": [
                {"what": g.what, "value": g.value, "bound": g.bound, "unit": g.unit, "met": g.met}
                for g in self.goals
            ],
            "notes": self.notes,
        }


def compete(outcome: Outcome, turns: Sequence[tuple[str, Turn]], options: Options) -> Outcome:
    """Measure contestants in interleaved rounds; each second round in the opposite order.

    One that fails is named with its reason and left out of the rounds that follow.
    """
    for turn in range(options.rounds):
        for name, measure in turns if turn % 2 == 0 else reversed(turns):
            if name in outcome.failures:
                continue
            options.tell(f"{outcome.name}: round {turn + 1} of {options.rounds}, {name}")
            try:
                outcome.add(name, measure())
            except Exception as error:  # a peer that breaks must not take the others with it
                outcome.failures[name] = f"{type(error).__name__}: {error}"
    return outcome
