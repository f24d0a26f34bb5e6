"""A saved history: its arrays, and whether they fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.errors import RecommenderError

State = dict[str, NDArray[np.generic]]

# Names in a saved history, and the fields of the records that they come from.
USER_FIELDS = {
    "user_entries": "live",
    "user_events": "events",
    "user_runs": "run",
    "user_times": "last_time",
}
ITEM_FIELDS = {
    "item_ratings": "count",
    "item_events": "events",
    "item_first_events": "first_event",
    "item_last_events": "last_event",
    "item_first_times": "first_time",
    "item_last_times": "last_time",
}
ENTRY_FIELDS = ("entry_items", "entry_ratings", "entry_weights", "entry_positions")
RING_FIELDS = ("ring_users", "ring_entries")


class HistoryError(RecommenderError):
    """A saved history does not fit: other settings, or arrays that contradict each other."""


def powers_of_two(sizes: NDArray[Any]) -> NDArray[np.int64]:
    """The next power of two of each size >= 1."""
    return np.int64(1) << np.frexp(np.maximum(sizes, 1) - 1)[1].astype(np.int64)


def check(state: State, raters_per_item: int) -> None:
    """Raise a `HistoryError` that says what does not fit; the arrays themselves are trusted."""
    names = {*USER_FIELDS, *ITEM_FIELDS, *ENTRY_FIELDS, *RING_FIELDS, "counters"}
    missing = sorted(names - state.keys())
    if missing:
        raise HistoryError(f"the saved history lacks {', '.join(missing)}")
    saved = int(state["counters"][1])
    if saved != raters_per_item:
        raise HistoryError(
            f"the saved history keeps {saved} raters for each item, expected {raters_per_item}"
        )
    entries = int(state["user_entries"].sum())
    ring = int(np.minimum(state["item_events"].astype(np.int64), saved).sum())
    lengths = dict.fromkeys(ENTRY_FIELDS, entries) | dict.fromkeys(RING_FIELDS, ring)
    lengths |= dict.fromkeys(USER_FIELDS, len(state["user_entries"]))
    lengths |= dict.fromkeys(ITEM_FIELDS, len(state["item_events"]))
    for name, expected in lengths.items():
        if len(state[name]) != expected:
            raise HistoryError(
                f"the saved history's {name} has length {len(state[name])}, expected {expected}"
            )
