"""The outcome of an experiment: what each arm led to, and whether arms differ by more than chance.

Ratings of one user are alike, so a difference is judged by resampling users, not ratings (Cameron, Gelbach
and Miller, 2008: the bootstrap-t over clusters). Rates of single groups carry Wilson's interval (Wilson,
1927).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.attribution_counts import Counts, Rows

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CONFIDENCE = 0.95
#: Resamples of a bootstrap: a p-value of .05 then has a standard error of .005.
RESAMPLES = 1999
#: Numbers that one block of resamples may hold.
_BLOCK = 1 << 21


@dataclass(frozen=True, slots=True)
class Group:
    """What one arm, or one source, led to.

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
class Difference:
    """How the positive rate of one group differs from the base's.

    Attributes
    ----------
    name, base : str
    difference : float
        Rate of `name` minus rate of `base`.
    interval : (float, float) or None
        At 95 %, allowing for ratings clustering in users; None with fewer than two users.
    p_value : float or None
        Of no difference, against any.
    users : int
        Whose ratings it rests on.
    """

    name: str
    base: str
    difference: float
    interval: tuple[float, float] | None
    p_value: float | None
    users: int


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
    """

    arms: list[Group]
    arm_differences: list[Difference]
    sources: list[Group]
    source_differences: list[Difference]
    positions: dict[str, list[Group]]

    def as_json(self) -> dict[str, Any]:
        """As plain dictionaries and lists."""
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
        The arms in order, the base first; by default those that were shown, sorted.
    resamples : int
        Of the bootstrap, at least 1.
    seed : int
        Of the bootstrap: the same counts and seed give the same report.
    """
    rows, names = counts.rows, counts.names
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
    )


def _number(names: list[str], name: str) -> int:
    return names.index(name) if name in names else -1


def _group(name: str, rows: Rows, user_count: int) -> tuple[Group, Floats]:
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
    return [
        compare(group.name, counts, base.name, base_counts, resamples, seed)
        for group, counts in groups[1:]
        if group.attributed and base.attributed
    ]


def wilson(positive: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a share.

    Raises
    ------
    ValueError
        count is less than 1, or positive is not between 0 and count.
    """
    if count < 1 or not 0 <= positive <= count:
        raise ValueError(f"a share of {positive} in {count} does not exist")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = positive / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    reach = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def compare(
    name: str,
    counts: Floats,
    base: str,
    base_counts: Floats,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Difference:
    """Test whether two groups have one positive rate.

    Users with ratings in either group are drawn with replacement, each with all of theirs; the difference is
    divided by its standard error, in the sample and in each resample.

    Parameters
    ----------
    name, base : str
    counts, base_counts : float arrays, shape (users, 2)
        Positive and all attributed ratings of each user; a user may have some in both.
    resamples, seed : int
    """
    rows = np.concatenate([counts, base_counts], axis=1)
    rows = rows[(rows[:, 1] + rows[:, 3]) > 0]
    users = len(rows)
    # Users with the same counts are alike: a resample only needs how many it drew of each kind.
    kinds, repeats = np.unique(rows, axis=0, return_counts=True)
    moments = _moments(kinds)
    difference, error = (float(value[0]) for value in _difference((repeats @ moments)[np.newaxis], users))
    if users < 2 or not math.isfinite(error):
        return Difference(name, base, difference, None, None, users)
    distances = np.sort(_resampled_distances(moments, repeats, difference, resamples, seed))
    observed = abs(difference) / error if error > 0.0 else (math.inf if difference else 0.0)
    extreme = int(np.count_nonzero(distances >= observed))
    reach = (
        float(distances[math.ceil(CONFIDENCE * (resamples + 1)) - 1 : resamples].min(initial=math.inf))
        * error
    )
    interval = (max(-1.0, difference - reach), min(1.0, difference + reach)) if error > 0.0 else None
    return Difference(name, base, difference, interval, (1 + extreme) / (resamples + 1), users)


def _moments(rows: Floats) -> Floats:
    """What sums over users a difference and its standard error are made of, shape (users, 14)."""
    x, n, base_x, base_n = rows.T
    own = [x, n, x * x, x * n, n * n]
    base = [base_x, base_n, base_x * base_x, base_x * base_n, base_n * base_n]
    return np.stack([*own, *base, x * base_x, x * base_n, n * base_x, n * base_n], axis=1)


def _difference(sums: Floats, users: int) -> tuple[Floats, Floats]:
    """Differences of two rates and their standard errors from `_moments` sums, shape (samples, 14).

    The error is the linearised one of a ratio: the root of the sum over users of squared influences
    (x - rate n) / N minus the same of the base. NaN where a group has no ratings.
    """
    x, n, xx, xn, nn, base_x, base_n, base_xx, base_xn, base_nn, cross_xx, cross_xn, cross_nx, cross_nn = (
        sums.T
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        rate, base_rate = x / n, base_x / base_n
        own = (xx - 2 * rate * xn + rate**2 * nn) / n**2
        base = (base_xx - 2 * base_rate * base_xn + base_rate**2 * base_nn) / base_n**2
        cross = cross_xx - base_rate * cross_xn - rate * cross_nx + rate * base_rate * cross_nn
        variance = own + base - 2 * cross / (n * base_n)
        error = np.sqrt(np.maximum(variance, 0.0) * users / max(1, users - 1))
        # What rounding leaves of no variance at all.
        error[error < 1e-9] = 0.0
        return rate - base_rate, error


def _resampled_distances(
    moments: Floats, repeats: Ints, difference: float, resamples: int, seed: int
) -> Floats:
    """Of each resample, how many standard errors it lies from the sample; infinite where undefined."""
    draws = np.random.Generator(np.random.PCG64(seed))
    users = int(repeats.sum())
    distances = np.empty(resamples)
    height = max(1, _BLOCK // len(repeats))
    for first in range(0, resamples, height):
        size = min(height, resamples - first)
        drawn = draws.multinomial(users, repeats / users, size=size).astype(np.float64)
        # Whole numbers below 2**53: their sums are exact in whatever order they are taken.
        resampled, errors = _difference(drawn @ moments, users)
        away = np.abs(resampled - difference)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = np.where(away < 1e-12, 0.0, away / errors)
        distances[first : first + size] = np.where(np.isnan(distance), np.inf, distance)
    return distances
