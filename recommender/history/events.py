"""Learned events in log order, as a shard hands them to its history and its models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Events:
    """A run of learned events in log order, as parallel arrays of one length.

    Attributes
    ----------
    users, items : int32 arrays
        Dense indices.
    ratings : float32 array
        What was given; NaN where a rating was withdrawn.
    weights : float32 array
        How strongly it teaches, as the feedback policy says; 0 where a rating was withdrawn.
    times : float64 array
        Seconds; NaN where unknown.
    previous_ratings, previous_weights : float32 arrays
        What the event replaced or withdrew; NaN where nothing stood.
    numbers : int32 array
        How many rating events the user had before.
    previous_positions : int32 array
        The position of what the event replaced or withdrew, as `History` counts it, doubled; -1 where
        nothing stood.
    """

    users: Ints
    items: Ints
    ratings: Floats
    weights: Floats
    times: NDArray[np.float64]
    previous_ratings: Floats
    previous_weights: Floats
    numbers: Ints
    previous_positions: Ints

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, part: slice) -> Events:
        """The events of a slice, as views."""
        return Events(
            self.users[part],
            self.items[part],
            self.ratings[part],
            self.weights[part],
            self.times[part],
            self.previous_ratings[part],
            self.previous_weights[part],
            self.numbers[part],
            self.previous_positions[part],
        )


def events_of(
    users: ArrayLike, items: ArrayLike, ratings: ArrayLike, weights: ArrayLike, times: ArrayLike
) -> Events:
    """Events of which it is not known yet what they replace.

    Raises
    ------
    ValueError
        The arrays' lengths differ.
    """
    rated = np.ascontiguousarray(ratings, np.float32)
    count = len(rated)
    events = Events(
        np.ascontiguousarray(users, np.int32),
        np.ascontiguousarray(items, np.int32),
        rated,
        np.where(np.isnan(rated), np.float32(0), np.asarray(weights, np.float32)),
        np.ascontiguousarray(times, np.float64),
        np.empty(count, np.float32),
        np.empty(count, np.float32),
        np.empty(count, np.int32),
        np.empty(count, np.int32),
    )
    lengths = [len(column) for column in (events.users, events.items, rated, events.weights, events.times)]
    if lengths != [count] * 5:
        raise ValueError(f"users, items, ratings, weights and times must have one length, got {lengths}")
    return events


def joined(runs: Sequence[Events]) -> Events:
    """Runs of events, at least one, as one run."""
    return Events(
        np.concatenate([run.users for run in runs]),
        np.concatenate([run.items for run in runs]),
        np.concatenate([run.ratings for run in runs]),
        np.concatenate([run.weights for run in runs]),
        np.concatenate([run.times for run in runs]),
        np.concatenate([run.previous_ratings for run in runs]),
        np.concatenate([run.previous_weights for run in runs]),
        np.concatenate([run.numbers for run in runs]),
        np.concatenate([run.previous_positions for run in runs]),
    )
