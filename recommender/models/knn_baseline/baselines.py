"""Baselines of users and items by alternating least squares.

    b_i = sum over the item's raters u of (r_ui - mean - b_u) / (reg_i + how many)
    b_u = sum over the user's items i of (r_ui - mean - b_i) / (reg_u + how many)

Items first, then users, `n_epochs` times from zero: as in Surprise 1.1 (`baseline_als`) after MyMediaLite,
in the same order of additions, so equal to the bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recommender.compiled import njit
from recommender.models.rating_rows import RatingRows, gathered


class Baselines(NamedTuple):
    """The terms that are added to the mean for each user and each item.

    `*_trained` is 1 for those whose baseline a training gave: it stays until the next training. Others, who
    are new since then, have theirs by the formula above from their own ratings, given all other baselines.
    """

    mean: NDArray[np.float64]  # shape (1,)
    users: NDArray[np.float64]
    items: NDArray[np.float64]
    users_trained: NDArray[np.int8]
    items_trained: NDArray[np.int8]


def empty_baselines(user_count: int = 0, item_count: int = 0) -> Baselines:
    """Baselines of no users and no items; the mean is 0."""
    return Baselines(
        np.zeros(1),
        np.zeros(user_count),
        np.zeros(item_count),
        np.zeros(user_count, np.int8),
        np.zeros(item_count, np.int8),
    )


def enlarged(baselines: Baselines, user_count: int, item_count: int) -> Baselines:
    """The same with room for more users and items, of baseline 0."""
    larger = empty_baselines(user_count, item_count)
    larger.mean[:] = baselines.mean
    for name in ("users", "items", "users_trained", "items_trained"):
        known = getattr(baselines, name)
        getattr(larger, name)[: len(known)] = known
    return larger


@njit(cache=True, error_model="numpy")
def baseline(rows, row, mean, others, regularization):  # type: ignore[no-untyped-def]
    """One row's baseline, given the `others`."""
    total = 0.0
    for place in range(rows.start[row], rows.start[row] + rows.length[row]):
        total += rows.values[place] - mean - others[rows.others[place]]
    return total / (regularization + rows.length[row])


@njit(cache=True, error_model="numpy")
def refresh(b, user_rows, item_rows, user, item, reg_u, reg_i):  # type: ignore[no-untyped-def]
    """After a rating of `item` by `user` came, changed or went: the baselines of those who are new."""
    if item_rows.length[item] == 0:
        b.items[item] = 0.0
        b.items_trained[item] = 0
    elif not b.items_trained[item]:
        b.items[item] = baseline(item_rows, item, b.mean[0], b.users, reg_i)
    if user_rows.length[user] == 0:
        b.users[user] = 0.0
        b.users_trained[user] = 0
    elif not b.users_trained[user]:
        b.users[user] = baseline(user_rows, user, b.mean[0], b.items, reg_u)


@njit(cache=True, error_model="numpy")
def _solve(b, user_rows, item_rows, n_epochs, reg_u, reg_i):  # type: ignore[no-untyped-def]
    b.users[:] = 0.0
    b.items[:] = 0.0
    for _ in range(n_epochs):
        for item in range(item_rows.start.size):
            if item_rows.length[item] > 0:
                b.items[item] = baseline(item_rows, item, b.mean[0], b.users, reg_i)
        for user in range(user_rows.start.size):
            if user_rows.length[user] > 0:
                b.users[user] = baseline(user_rows, user, b.mean[0], b.items, reg_u)
    for item in range(item_rows.start.size):
        b.items_trained[item] = item_rows.length[item] > 0
    for user in range(user_rows.start.size):
        b.users_trained[user] = user_rows.length[user] > 0


def global_mean(user_rows: RatingRows) -> float:
    """Mean of all ratings, users in the order of their first; 0 if there are none."""
    lengths, entries = gathered(user_rows, len(user_rows.length))
    if not len(entries.values):
        return 0.0
    ends = np.cumsum(lengths)
    occupied = np.flatnonzero(lengths)
    firsts = entries.orders[(ends - lengths)[occupied]]
    rank = np.zeros(len(lengths), np.int64)
    rank[occupied[np.argsort(firsts)]] = np.arange(len(occupied))
    order = np.argsort(np.repeat(rank, lengths), kind="stable")
    return float(np.mean(entries.values[order]))


def train(
    baselines: Baselines,
    user_rows: RatingRows,
    item_rows: RatingRows,
    n_epochs: int,
    reg_u: float,
    reg_i: float,
) -> None:
    """Find the mean and all baselines from scratch, in place."""
    baselines.mean[0] = global_mean(user_rows)
    _solve(baselines, user_rows, item_rows, n_epochs, reg_u, reg_i)
