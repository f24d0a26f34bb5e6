# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The weighted mean over the k nearest neighbours, without sorting: the compiled loops.

What parts the k nearest from the others is found by bisection. A step of it counts in one vectorised pass; a
heap or a quickselect take a comparison that cannot be foretold for each neighbour.
"""

from __future__ import annotations

import numpy as np
from numba import njit

#: Steps of bisection between two looks at a value.
_STEPS = 4
#: Above every similarity, also above 1 as it comes out of rounding.
_HIGHEST = 1.0 + 2.0**-20


@njit(cache=True)
def _count_from(values, count, bound):
    found = 0
    for s in range(count):
        found += values[s] >= bound
    return found


@njit(cache=True)
def _count_above(values, count, bound):
    found = 0
    for s in range(count):
        found += values[s] > bound
    return found


@njit(cache=True)
def _first_within(values, low, high):
    """The first value in [low, high); there is one."""
    s = 0
    while not low <= values[s] < high:
        s += 1
    return values[s]


@njit(cache=True)
def cut(values, count, k):
    """Where the k largest of the first `count` > k positive similarities end.

    Returns
    -------
    bound : float
        Values of at least this are among the k largest.
    ties : int
        How many of those that equal the bound still belong to them; -1 for all.
    """
    low, high = 0.0, _HIGHEST
    while True:
        for _ in range(_STEPS):
            middle = 0.5 * (low + high)
            found = _count_from(values, count, middle)
            if found == k:
                return middle, -1
            if found > k:
                low = middle
            else:
                high = middle
        # Bisection never ends where equal values lie on both sides of the cut: look at one of those left.
        value = _first_within(values, low, high)
        above = _count_above(values, count, value)
        if above >= k:
            low = np.nextafter(value, 4.0)
            if above == k:
                return low, -1
        elif _count_from(values, count, value) >= k:
            return value, k - above
        else:
            high = value


@njit(cache=True, error_model="numpy")
def adjustments(sims, rows, residuals, count, k, min_k, near, far, changes, neighbours):
    """The k nearest neighbours' weighted mean residual for each row, and how many neighbours that were.

    Only similarities above 0 count. Of equal ones at the k-th place the earlier come first.

    Parameters
    ----------
    sims : float array, shape (at least rows, at least count)
    rows : int
    residuals : float array, shape (at least count,)
    count : int
        How many neighbours there may be.
    k, min_k : int
        With fewer than `min_k` neighbours the mean is 0.
    near, far : float arrays, shape (at least count + 1,)
        To work with.
    changes, neighbours : arrays, shape (at least rows,)
        What is found.
    """
    for c in range(rows):
        positive = 0
        for s in range(count):
            near[positive] = sims[c, s]
            far[positive] = residuals[s]
            positive += sims[c, s] > 0.0
        changes[c], neighbours[c] = 0.0, min(positive, k)
        if neighbours[c] < min_k or positive == 0:
            continue
        bound = 0.0
        if positive > k:
            bound, ties = cut(near, positive, k)
            if ties >= 0:
                for s in range(positive):
                    equal = near[s] == bound
                    near[s] = 0.0 if equal and ties <= 0 else near[s]
                    ties -= equal
        total = weight = 0.0
        for s in range(positive):
            sim = near[s] if near[s] >= bound else 0.0
            total += sim * far[s]
            weight += sim
        changes[c] = total / weight
