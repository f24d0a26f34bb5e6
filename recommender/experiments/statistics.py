"""Tests of whether rates differ by more than chance, where ratings of one user are alike.

Users are resampled, not ratings (Cameron, Gelbach and Miller, 2008: the bootstrap-t over clusters). A single
share has Wilson's interval (Wilson, 1927), and several p-values are adjusted by Holm's rule (1979).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CONFIDENCE = 0.95
#: Resamples of a bootstrap: a p-value of .05 then has a standard error of .005.
RESAMPLES = 1999
#: Numbers that one block of resamples may hold.
_BLOCK = 1 << 21


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of a group's positive rate from the base's.

    Attributes
    ----------
    name, base : str
    difference : float
        Rate of `name` minus rate of `base`.
    interval : (float, float) or None
        Allowing for ratings clustering in users; None with fewer than two users. All intervals that are
        compared with one base hold together with 95 % (Bonferroni).
    p_value : float or None
        Of no difference, against any, as if this were the only comparison.
    users : int
        Whose ratings it rests on.
    adjusted_p_value : float or None
        The same, allowing for how many groups are compared with the base (Holm, 1979): the chance to find
        any difference where there is none stays below it.
    comparisons : int
        How many those are.
    """

    name: str
    base: str
    difference: float
    interval: tuple[float, float] | None
    p_value: float | None
    users: int
    adjusted_p_value: float | None = None
    comparisons: int = 1


def adjusted(differences: list[Difference]) -> list[Difference]:
    """The same with p-values that allow for how many they are (Holm, 1979)."""
    known = [each.p_value for each in differences if each.p_value is not None]
    holm = dict(zip(sorted(known), _holm(sorted(known)), strict=True))
    return [
        replace(
            each,
            adjusted_p_value=None if each.p_value is None else holm[each.p_value],
            comparisons=len(differences),
        )
        for each in differences
    ]


def _holm(ascending: list[float]) -> list[float]:
    """Each p-value times how many do not come before it, at least what the one before got, at most 1."""
    found: list[float] = []
    for place, value in enumerate(ascending):
        found.append(min(1.0, max([value * (len(ascending) - place), *found[-1:]])))
    return found


def wilson(positive: int, count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a share.

    Raises
    ------
    ValueError
        count is less than 1, or positive is not between 0 and count.
    """
    if count < 1 or not 0 <= positive <= count:
        raise ValueError(f"positive must be between 0 and a count of at least 1, got {positive} of {count}")
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
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    confidence: float = CONFIDENCE,
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
    confidence : float
        Of the interval.
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
        float(distances[math.ceil(confidence * (resamples + 1)) - 1 : resamples].min(initial=math.inf))
        * error
    )
    interval = (max(-1.0, difference - reach), min(1.0, difference + reach)) if error > 0.0 else None
    return Difference(name, base, difference, interval, (1 + extreme) / (resamples + 1), users)


def _moments(rows: Floats) -> Floats:
    """The terms whose sums over users give a difference and its standard error, shape (users, 14)."""
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
    """The distance of each resample from the sample, in standard errors; infinite where undefined."""
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
