"""The interface of every model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recommender.history.events import Events
from recommender.history.history import History

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float64]
Arrays = dict[str, NDArray[np.generic]]

#: What `Model.next_observation` answers when a model never asks to see an event before it is learned.
NEVER = 2**62


@dataclass(frozen=True, slots=True)
class ModelContext:
    """What a model is made with.

    Attributes
    ----------
    history : History
        Who rated what in this shard; shared by all its models and read-only to them.
    seed : int
        The only source of randomness.
    positive_weight : float
        Events of at least this weight are positive: what a recommendation should hit.
    scale : (float, float)
        The lowest and the highest rating there can be.
    """

    history: History
    seed: int = 0
    positive_weight: float = 1.0
    scale: tuple[float, float] = (-math.inf, math.inf)


class Model(Protocol):
    """A recommender over dense user and item indices.

    The vocabulary is FluRS' (register, update, score), but in batches. Users and items are numbered
    0, 1, 2, ... in the order of their first rating; an index in a call may be larger than any before,
    and unknown to the model. The state after any sequence of events depends on the events and their
    order alone, never on how they were cut into batches.
    """

    #: True when `learn` reads the history: then it is called with one event at a time, right after
    #: that event entered the history.
    reads_history_to_learn: bool

    def learn(self, events: Events) -> None:
        """Learn a run of events in log order.

        They have already entered the history. An event may replace an earlier rating of the same user
        and item or withdraw it; then `events.previous_ratings` says what it was.
        """

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """Scores of `candidates` for `user`; higher is better, always finite, shape (candidates,).

        Never changes the model. Candidates and users that the model has not learned get a score too.
        """

    def neighbours(self, user: int, candidates: IntArray) -> IntArray | None:
        """How many neighbours support each score, where the model has such a notion; else None."""

    def next_observation(self, event: int) -> int:
        """The first event number >= `event` that `observe` wants to see; `NEVER` if there is none.

        A pure function of the event number: events are counted from 0 in the shard's learned log.
        """

    def observe(self, user: int, item: int, weight: float) -> None:
        """See a positive event before it enters the history: a model that learns to rank tests itself."""

    def state(self) -> Arrays:
        """What was learned, as named arrays; `restore` of it gives the same model to the bit."""

    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave."""
