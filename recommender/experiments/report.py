"""The outcome of an experiment: what each arm led to, and whether arms differ by more than chance.

Where several arms are compared with the base, p-values are Holm's and intervals Bonferroni's; see
`recommender.experiments.statistics`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from recommender.experiments.attribution_tables import Counts, StructArray
from recommender.experiments.statistics import (
    CONFIDENCE,
    RESAMPLES,
    Difference,
    Floats,
    adjusted,
    compare,
    wilson,
)


@dataclass(frozen=True, slots=True)
class Group:
    """The results of one arm or one source.

    Attributes
    ----------
    name : str
    users : int
        To whom something was recommended.
    recommendations : int
        Places of lists.
    attributed : int
        Ratings that they led to.
    positive : int
        How many of those are positive.
    rate : float or None
        positive / attributed; None without ratings.
    interval : (float, float) or None
        Wilson's 95 % interval of the rate, as if each rating stood alone.
    """

    name: str
    users: int
    recommendations: int
    attributed: int
    positive: int
    rate: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Report:
    """An experiment's outcome.

    Attributes
    ----------
    arms : list of Group
    arm_differences : list of Difference
        Of each arm from the first.
    sources : list of Group
        Exploit and explore.
    source_differences : list of Difference
    positions : dict of str to list of Group
        For each arm the positions in its lists, from 0, as names of groups.
    forced : list of Group
        For each arm what was shown because a request named it. All else leaves that out: a user who names an
        arm was not given it by chance.
    """

    arms: list[Group]
    arm_differences: list[Difference]
    sources: list[Group]
    source_differences: list[Difference]
    positions: dict[str, list[Group]]
    forced: list[Group]

    def as_json(self) -> dict[str, Any]:
        """Convert to plain dictionaries and lists."""
        return asdict(self)


def report(
    counts: Counts,
    arms: tuple[str, ...] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Report:
    """Sum up what was recommended and what became of it.

    Parameters
    ----------
    counts : Counts
        From `Attribution.counts`, of one experiment.
    arms : tuple of str, optional
        The arms in order, the base first; by default those that were shown without being named, sorted.
    resamples : int
        Of the bootstrap, at least 1.
    seed : int
        Of the bootstrap: the same counts and seed give the same report.
    """
    names, forced = counts.names, counts.rows[counts.rows["forced"] != 0]
    rows = counts.rows[counts.rows["forced"] == 0]
    shown = tuple(names["arm"][number] for number in np.unique(rows["arm"]))
    user_count = len(names["user"])
    by_arm = {name: rows[rows["arm"] == _number(names["arm"], name)] for name in arms or shown}
    sources = [names["source"][number] for number in np.unique(rows["source"])]
    by_source = {
        name: rows[rows["source"] == _number(names["source"], name)]
        for name in sorted(sources, key=lambda name: (name != "exploit", name))
    }
    arm_groups = [_group(name, mine, user_count) for name, mine in by_arm.items()]
    source_groups = [_group(name, mine, user_count) for name, mine in by_source.items()]
    positions = {
        name: [
            _group(str(position), mine[mine["position"] == position], user_count)[0]
            for position in np.unique(mine["position"])
        ]
        for name, mine in by_arm.items()
    }
    return Report(
        [group for group, _ in arm_groups],
        _differences(arm_groups, resamples, seed),
        [group for group, _ in source_groups],
        _differences(source_groups, resamples, seed),
        positions,
        [
            _group(names["arm"][number], forced[forced["arm"] == number], user_count)[0]
            for number in np.unique(forced["arm"])
        ],
    )


def _number(names: list[str], name: str) -> int:
    return names.index(name) if name in names else -1


def _group(name: str, rows: StructArray, user_count: int) -> tuple[Group, Floats]:
    """A group, and its positive and all ratings by user, shape (users, 2)."""
    counts = np.stack(
        [
            np.bincount(rows["user"], rows[column], minlength=user_count)
            for column in ("positive", "attributed")
        ],
        axis=1,
    ).astype(np.float64)
    positive, attributed = (int(total) for total in counts.sum(axis=0))
    rate = positive / attributed if attributed else None
    interval = wilson(positive, attributed) if attributed else None
    users, places = len(np.unique(rows["user"])), int(rows["places"].sum())
    return Group(name, users, places, attributed, positive, rate, interval), counts


def _differences(groups: list[tuple[Group, Floats]], resamples: int, seed: int) -> list[Difference]:
    if not groups:
        return []
    base, base_counts = groups[0]
    others = [(group.name, counts) for group, counts in groups[1:] if group.attributed and base.attributed]
    confidence = 1 - (1 - CONFIDENCE) / max(1, len(others))
    return adjusted(
        [
            compare(
                name, counts, base.name, base_counts, resamples=resamples, seed=seed, confidence=confidence
            )
            for name, counts in others
        ]
    )
