# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The weighted mean over the k nearest neighbours, without sorting: the compiled loops.

What parts the k nearest from the others is found by counting how many lie above a guess, which is one
vectorised pass; a heap or a quickselect take a comparison that cannot be predicted for each neighbour. The
first guess is where the row before was cut.
"""

from __future__ import annotations

import numpy as np

from recommender.compiled import njit

#: Guesses between two looks at a value.
_STEPS = 4
#: The least number above 0.
_LOWEST = 5e-324
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
def cut(values, count, k, positive, guess):
    """The level where the k largest of the first `count` similarities end; `positive` > k are above 0.

    Returns
    -------
    bound : float
        Values of at least this are among the k largest.
    ties : int
        How many of those that equal the bound still belong to them; -1 for all.
    """
    low, high, above, below = _LOWEST, _HIGHEST, positive, 0
    middle = guess
    while True:
        for step in range(_STEPS):
            found = _count_from(values, count, middle)
            if found == k:
                return middle, -1
            if found > k:
                low, above = middle, found
            else:
                high, below = middle, found
            # Regula falsi, and bisection by turns, which always ends.
            share = 0.5 if step % 2 else min(max((above - k) / (above - below), 0.1), 0.9)
            middle = low + share * (high - low)
        # Neither ends where equal values lie on both sides of the cut: look at one of those left.
        value = _first_within(values, low, high)
        larger = _count_above(values, count, value)
        if larger >= k:
            low, above = np.nextafter(value, 4.0), larger
            if larger == k:
                return low, -1
        else:
            above_or_equal = _count_from(values, count, value)
            if above_or_equal >= k:
                return value, k - larger
            high, below = value, above_or_equal
        middle = 0.5 * (low + high)


@njit(cache=True, error_model="numpy")
def adjustments(sims, rows, residuals, count, k, min_k, changes, neighbours):
    """The k nearest neighbours' weighted mean residual for each row, and how many neighbours that were.

    Only similarities above 0 count. Of equal ones at the k-th place the earlier come first.

    Parameters
    ----------
    sims : float array, shape (at least rows, at least count)
        Not to be used afterwards.
    rows : int
    residuals : float array, shape (at least count,)
    count : int
        How many neighbours there may be.
    k, min_k : int
        With fewer than `min_k` neighbours the mean is 0.
    changes, neighbours : arrays, shape (at least rows,)
        What is found.
    """
    guess = 0.5
    for c in range(rows):
        near = sims[c]
        positive = _count_above(near, count, 0.0)
        changes[c], neighbours[c] = 0.0, min(positive, k)
        if neighbours[c] < min_k or positive == 0:
            continue
        bound = _LOWEST
        if positive > k:
            bound, ties = cut(near, count, k, positive, guess)
            guess = bound
            if ties >= 0:
                for s in range(count):
                    equal = near[s] == bound
                    near[s] = 0.0 if equal and ties <= 0 else near[s]
                    ties -= equal
        changes[c] = _mean_above(near, residuals, count, bound)


@njit(cache=True, error_model="numpy")
def _mean_above(weights, values, count, bound):
    """The mean of values by weights of at least `bound`.

    In four parts, because each sum has to wait for the one before.
    """
    total_0 = total_1 = total_2 = total_3 = 0.0
    weight_0 = weight_1 = weight_2 = weight_3 = 0.0
    whole = count - count % 4
    for s in range(0, whole, 4):
        sim_0 = weights[s] if weights[s] >= bound else 0.0
        sim_1 = weights[s + 1] if weights[s + 1] >= bound else 0.0
        sim_2 = weights[s + 2] if weights[s + 2] >= bound else 0.0
        sim_3 = weights[s + 3] if weights[s + 3] >= bound else 0.0
        total_0 += sim_0 * values[s]
        total_1 += sim_1 * values[s + 1]
        total_2 += sim_2 * values[s + 2]
        total_3 += sim_3 * values[s + 3]
        weight_0 += sim_0
        weight_1 += sim_1
        weight_2 += sim_2
        weight_3 += sim_3
    for s in range(whole, count):
        sim_0 = weights[s] if weights[s] >= bound else 0.0
        total_0 += sim_0 * values[s]
        weight_0 += sim_0
    return ((total_0 + total_1) + (total_2 + total_3)) / ((weight_0 + weight_1) + (weight_2 + weight_3))
