# mypy: allow-untyped-defs, allow-untyped-calls, no-check-untyped-defs
# numba types the kernels by what they are called with.
"""The loops of matrix factorization; what they compute is said in `recommender.models.factors.mf`."""

from __future__ import annotations

import math

import numpy as np

from recommender.compiled import dividing_kernel, kernel
from recommender.models.randomness import mix

#: Rows are padded with zeros to a multiple of this, so that dot products use vector instructions.
LANES = 8
#: Added to the length of a factor's gradients, so that none at all divides nothing by nothing.
_LEAST = 1e-8
_LARGEST = np.finfo(np.float64).max
#: Which numbers of the seed the negatives are drawn from; the initial vectors have 0 and 1, BPR has 2.
_DRAWS = 3

# Unsigned places below need no test for a negative index, and then the loops use vector instructions.


@kernel
def product(left, row, right, column):
    """The dot product of two padded rows, in `LANES` partial sums of a fixed order."""
    a, b = np.uint64(row), np.uint64(column)
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    for block in range(np.uint64(left.shape[1]) // np.uint64(LANES)):
        f = block * np.uint64(LANES)
        s0 += left[a, f] * right[b, f]
        s1 += left[a, f + np.uint64(1)] * right[b, f + np.uint64(1)]
        s2 += left[a, f + np.uint64(2)] * right[b, f + np.uint64(2)]
        s3 += left[a, f + np.uint64(3)] * right[b, f + np.uint64(3)]
        s4 += left[a, f + np.uint64(4)] * right[b, f + np.uint64(4)]
        s5 += left[a, f + np.uint64(5)] * right[b, f + np.uint64(5)]
        s6 += left[a, f + np.uint64(6)] * right[b, f + np.uint64(6)]
        s7 += left[a, f + np.uint64(7)] * right[b, f + np.uint64(7)]
    return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))


@kernel
def _step(user_factors, item_factors, user, item, target, rate, shrinkage):
    error = target - product(user_factors, user, item_factors, item)
    for f in range(np.uint64(user_factors.shape[1])):
        p, q = user_factors[user, f], item_factors[item, f]
        user_factors[user, f] = p + rate * 2.0 * (error * q - shrinkage * p)
        item_factors[item, f] = q + rate * 2.0 * (error * p - shrinkage * q)


@dividing_kernel
def _adaptive_step(
    user_factors, item_factors, user_squares, item_squares, user, item, target, rate, shrinkage
):
    error = target - product(user_factors, user, item_factors, item)
    for f in range(np.uint64(user_factors.shape[1])):
        p, q = user_factors[user, f], item_factors[item, f]
        g, h = 2.0 * (error * q - shrinkage * p), 2.0 * (error * p - shrinkage * q)
        user_square, item_square = user_squares[user, f] + g * g, item_squares[item, f] + h * h
        user_squares[user, f], item_squares[item, f] = user_square, item_square
        user_factors[user, f] = p + rate * g / (math.sqrt(user_square) + _LEAST)
        item_factors[item, f] = q + rate * h / (math.sqrt(item_square) + _LEAST)


@kernel
def descend(
    user_factors, item_factors, user_squares, item_squares, users, items, ratings, weights,
    positive, rate, shrinkage, adaptive, negatives, seed, first_event, count, changed, absent,
):  # fmt: skip
    key = mix(seed, np.uint64(_DRAWS))
    for e in range(users.size):
        # Items of later events of the run are not there yet.
        count = max(count, np.int64(items[e]) + 1)
        absent[np.uint64(items[e])] = 0
        if np.isnan(ratings[e]) or weights[e] < positive:
            continue
        user, item, target = np.uint64(users[e]), np.uint64(items[e]), 1.0
        draws = mix(key, np.uint64(first_event + e))
        for n in range(negatives + 1 if count > 1 else 1):
            if n > 0:
                # One of the others: what is drawn counts on from the event's own item.
                drawn = np.int64(mix(draws, np.uint64(n - 1)) % np.uint64(count - 1))
                item = np.uint64((np.int64(items[e]) + 1 + drawn) % count)
                target = 0.0
                if absent[item]:
                    continue
            changed[item] = 1
            if adaptive:
                _adaptive_step(
                    user_factors, item_factors, user_squares, item_squares,
                    user, item, target, rate, shrinkage,
                )  # fmt: skip
            else:
                _step(user_factors, item_factors, user, item, target, rate, shrinkage)


@kernel
def score_all(user_factors, user, item_factors, count, candidates, by_distance, scores):
    """Predictions, or how near they are to 1, in one pass; `user` is -1 for one that is not known.

    Too large a step makes factors grow without bound: a score is finite nevertheless.
    """
    for c in range(candidates.size):
        item = np.int64(candidates[c])
        score = 0.0
        if user >= 0 and item >= 0 and item < count:
            score = product(user_factors, user, item_factors, item)
        if by_distance:
            score = -abs(1.0 - score)
        scores[c] = -1.0 if np.isnan(score) else min(max(score, -_LARGEST), _LARGEST)
