"""The saved state of KNNBaseline: ratings that stand, user by user, and the baselines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from recommender.models import rating_rows
from recommender.models.base import Arrays, FloatArray
from recommender.models.knn_baseline.baselines import Baselines
from recommender.models.knn_baseline.learning import NAME
from recommender.models.options import ModelError
from recommender.models.rating_rows import RatingRows

_SAVED = ("user_lengths", "entry_items", "entry_ratings", "entry_orders", "counters")


def arrays_of(rows: RatingRows, b: Baselines, users: int, items: int, counters: Sequence[int]) -> Arrays:
    """The arrays of a state, whose first users and items have rows."""
    lengths, entries = rating_rows.gathered(rows, users)
    return {
        "user_lengths": lengths,
        "entry_items": entries.others,
        "entry_ratings": entries.values,
        "entry_orders": entries.orders,
        "mean": b.mean.copy(),
        "users": b.users[:users].copy(),
        "items": b.items[:items].copy(),
        "users_trained": b.users_trained[:users].copy(),
        "items_trained": b.items_trained[:items].copy(),
        "counters": np.array(counters, np.int64),
    }


def rows_in(state: Arrays) -> tuple[NDArray[np.int32], NDArray[np.int32], FloatArray, NDArray[np.int64]]:
    """Lengths of the users' rows, and items, ratings and orders of their entries."""
    return (
        np.ascontiguousarray(state["user_lengths"], np.int32),
        np.ascontiguousarray(state["entry_items"], np.int32),
        np.ascontiguousarray(state["entry_ratings"], np.float64),
        np.ascontiguousarray(state["entry_orders"], np.int64),
    )


def check(state: Arrays) -> None:
    """Refuse a saved state that lacks arrays, or whose arrays contradict each other.

    Raises
    ------
    ModelError
        It names the array.
    """
    missing = sorted({*_SAVED, *Baselines._fields} - state.keys())
    if missing:
        raise ModelError(f"the saved state of model {NAME} lacks {', '.join(missing)}")
    _, users, items = (int(number) for number in cast("NDArray[np.int64]", state["counters"])[:3])
    entries = int(cast("NDArray[np.int32]", state["user_lengths"]).sum())
    lengths = {"counters": 5, "mean": 1} | dict.fromkeys(("user_lengths", "users", "users_trained"), users)
    lengths |= dict.fromkeys(("items", "items_trained"), items)
    lengths |= dict.fromkeys(("entry_items", "entry_ratings", "entry_orders"), entries)
    for name, expected in lengths.items():
        if len(state[name]) != expected:
            found = len(state[name])
            raise ModelError(f"the saved {name} of model {NAME} has length {found}, expected {expected}")
