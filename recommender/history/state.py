"""A saved history: packed into dense arrays, checked, and laid out again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recommender.errors import RecommenderError
from recommender.history import layout, packing
from recommender.history.layout import HistoryArrays

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


def packed(arrays: HistoryArrays, raters_per_item: int) -> State:
    """The content of a history's arrays, as `recommender.history.history.History.state` describes it."""
    meta = arrays.meta
    users, items = arrays.users[: meta[layout.USER_COUNT]], arrays.items[: meta[layout.ITEM_COUNT]]
    state: State = {name: users[field].copy() for name, field in USER_FIELDS.items()}
    state |= {name: items[field].copy() for name, field in ITEM_FIELDS.items()}
    state["counters"] = np.array([meta[layout.EVENT_COUNT], raters_per_item], np.int64)
    entries, ring = int(users["live"].sum()), int(np.minimum(items["events"], raters_per_item).sum())
    state |= {name: np.empty(entries, getattr(arrays, name).dtype) for name in ENTRY_FIELDS}
    state |= {name: np.empty(ring, np.int32) for name in RING_FIELDS}
    # Only users with tombstones write to it, so the pages of all others are never touched.
    ranks = np.empty(int(meta[layout.ENTRIES]), np.int32)
    packing.pack(arrays, ranks, *(state[name] for name in ENTRY_FIELDS + RING_FIELDS))
    return state


def unpacked(state: State, raters_per_item: int) -> HistoryArrays:
    """The arrays of a history that holds this.

    Raises
    ------
    HistoryError
        It was saved with another `raters_per_item`, or its arrays contradict each other.
    """
    _check(state, raters_per_item)
    arrays = layout.empty_arrays()
    meta = arrays.meta
    live = state["user_entries"].astype(np.int32)
    events = state["item_events"].astype(np.int64)
    meta[layout.EVENT_COUNT] = state["counters"][0]
    meta[layout.USER_COUNT], meta[layout.ITEM_COUNT] = len(live), len(events)
    meta[layout.RATING_COUNT] = live.sum(dtype=np.int64)
    ring_sizes = np.minimum(powers_of_two(np.maximum(events, 8)), raters_per_item)
    segments = powers_of_two(np.maximum(live.astype(np.int64), 4)) * (live > 0)
    for lacking, size in (
        (layout.NEED_USERS, len(live)),
        (layout.NEED_ITEMS, len(events)),
        (layout.NEED_ENTRIES, int(segments.sum())),
        (layout.NEED_RINGS, int((powers_of_two(ring_sizes) * (events > 0)).sum())),
        (layout.NEED_INDEX, int(2 * segments[segments > layout.SCANNED].sum())),
    ):
        layout.grow(arrays, lacking, raters_per_item, size)
    for name, field in USER_FIELDS.items():
        arrays.users[field][: len(live)] = state[name]
    for name, field in ITEM_FIELDS.items():
        arrays.items[field][: len(events)] = state[name]
    # Arrays of a file may be read-only, which would be another kernel.
    dense = (np.require(state[name], requirements=["C", "W"]) for name in ENTRY_FIELDS + RING_FIELDS)
    packing.unpack(arrays, live, ring_sizes, *dense)
    return arrays


def powers_of_two(sizes: NDArray[Any]) -> NDArray[np.int64]:
    """The next power of two of each size >= 1."""
    return np.int64(1) << np.frexp(np.maximum(sizes, 1) - 1)[1].astype(np.int64)


def _check(state: State, raters_per_item: int) -> None:
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
