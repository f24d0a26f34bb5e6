"""The interface of every model."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeGuard, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from recommender.history.arrays import Arrays as Arrays
from recommender.history.events import Events
from recommender.history.history import History

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float64]

#: The answer of `Model.next_observation` where a model never asks to see an event before it is learned.
NEVER = 2**62


@dataclass(frozen=True, slots=True)
class ModelContext:
    """The history and the settings that a model is made with.

    Attributes
    ----------
    history : History
        The ratings of this shard; shared by all its models and read-only to them.
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


class Model(ABC):
    """A recommender over dense user and item indices.

    The vocabulary is FluRS' (register, update, score), but in batches. Users and items are numbered
    0, 1, 2, ... in the order of their first rating; an index in a call may be larger than any before,
    and unknown to the model. One that was forgotten may come again, and is somebody else's then. The state
    after any sequence of events depends on the events and their order alone, never on how they were cut into
    batches.

    A model has `learn`, `score`, `state` and `restore`; the rest has defaults. What only some models can do
    is a protocol of its own: `RanksLeaders`, `RanksCatalog`, `RanksRepeats` and `Estimates` below,
    `Profiling` and `Comparing` in `recommender.models.reasons`. `recommender.models.driver.Driver` calls
    `observe` and `learn` as described here, and `recommender.models.testing.check_model` checks a model
    against all of it.

    Attributes
    ----------
    reads_history_to_learn : bool
        True if `learn` reads the history: then it is called with one event at a time, right after that event
        entered the history.
    answers_unseen_users : bool
        True if the model has an answer of its own for users without ratings; else they get the popular items.
    answers_unseen_items : bool
        True if the model has a score of its own for items that nobody has rated; else a request that names
        them gets none of them.
    """

    reads_history_to_learn: bool = False
    answers_unseen_users: bool = False
    answers_unseen_items: bool = False

    @abstractmethod
    def learn(self, events: Events) -> None:
        """Learn a run of events in log order.

        They have already entered the history. An event may replace an earlier rating of the same user
        and item or withdraw it; then `events.previous_ratings` says what it was.
        """

    @abstractmethod
    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """Scores of `candidates` for `user`; higher is better, always finite, shape (candidates,).

        Never changes the model. Candidates and users that the model has not learned get a score too.
        """

    @abstractmethod
    def state(self) -> Arrays:
        """All that was learned, as named arrays; `restore` of it gives the same model to the bit."""

    @abstractmethod
    def restore(self, state: Arrays) -> None:
        """Take over what `state` gave."""

    def neighbours(self, user: int, candidates: IntArray) -> IntArray | None:
        """The number of neighbours that support each score; None if the model has no such notion."""
        return None

    def next_observation(self, event: int) -> int:
        """The first event number >= `event` that `observe` wants to see; `NEVER` if there is none.

        A pure function of the event number: events are counted from 0 in the shard's learned log.
        """
        return NEVER

    def observes(self, event: int, *, again: bool, fresh: bool) -> bool:
        """Return True if it would learn from observing that event now; asked of those that it asks for.

        It is asked when all events before it were observed, though not all learned, and must depend on
        nothing but what was observed and the arguments: where fewer are observed, events are learned in
        longer runs.

        Parameters
        ----------
        event : int
        again : bool
            The user has the item already.
        fresh : bool
            No event before was about the item, or one of a higher index.
        """
        return True

    def observe(self, user: int, item: int, weight: float) -> None:  # noqa: B027 (nothing is the default)
        """See an event before it enters the history: a model that learns to rank tests itself.

        It sees those that `next_observation` and then `observes` ask for, and only positive ones.
        """

    def forget_user(self, user: int) -> None:  # noqa: B027
        """Forget a user all of whose ratings are withdrawn, and learned as such.

        From now on the user is answered as one who never was, until the index is learned again: then it is a
        new user's. Where all that is known of a user goes with the ratings there is nothing left to do.
        """

    def forget_item(self, item: int) -> None:  # noqa: B027
        """Forget an item all of whose ratings are withdrawn; see `forget_user`."""

    def forget_users(self, users: IntArray) -> None:
        """Forget several users, as `forget_user` does one after the other."""
        if type(self).forget_user is not Model.forget_user:
            for user in users.tolist():
                self.forget_user(user)

    def forget_items(self, items: IntArray) -> None:
        """Forget several items, as `forget_item` does one after the other."""
        if type(self).forget_item is not Model.forget_item:
            for item in items.tolist():
                self.forget_item(item)

    @staticmethod  # noqa: B027
    def warm() -> None:
        """Compile the kernels of this kind of model, or load them from the cache."""

    @staticmethod  # noqa: B027
    def warm_longest() -> None:
        """Compile what of it takes longest: another process does so while `warm` is at the rest."""


@runtime_checkable
class RanksLeaders(Protocol):
    """A model that finds the best candidates without scoring all of them; it has no neighbours."""

    def leading(self, user: int, candidates: IntArray, n: int) -> tuple[NDArray[np.intp], FloatArray]:
        """Positions of all candidates that score as high as the n-th highest, ascending, and their scores."""


class Passing(NamedTuple):
    """The items that a filter lets through; the same arrays for all requests until something changes.

    Attributes
    ----------
    mask : bool array
        By item: it passes.
    listed : int32 array, ascending
        The items that pass if there are `few`, else the others.
    few : bool
    """

    mask: NDArray[np.bool_]
    listed: IntArray
    few: bool

    def size(self, items: int) -> int:
        """The number of items that pass, of so many."""
        return len(self.listed) if self.few else items - len(self.listed)


@runtime_checkable
class RanksCatalog(Protocol):
    """A model that finds the best of all items without scoring all of them; it has no neighbours."""

    def leading_but(
        self, user: int, without: IntArray, n: int, passing: Passing | None = None
    ) -> tuple[IntArray, FloatArray]:
        """All items but `without` that score as high as the n-th highest, ascending, and their scores.

        Of those that a filter lets through, if there is one.
        """


@runtime_checkable
class RanksTargets(Protocol):
    """A model that finds the rank of an item among all without scoring all of them."""

    def ahead_of(self, user: int, item: int, without: IntArray) -> tuple[int, int]:
        """The number of items but `without` that score higher than another one, and of those as high."""


@runtime_checkable
class RanksRepeats(Protocol):
    """A model that knows which of their items users take again."""

    def score_rated(self, user: int, candidates: IntArray) -> FloatArray:
        """Score as `Model.score` does, where candidates may be items that the user has."""


@runtime_checkable
class Estimates(Protocol):
    """A model that finds scores and neighbours at once, at the cost of one of them."""

    def estimate(self, user: int, candidates: IntArray) -> tuple[FloatArray, IntArray]:
        """The result of `Model.score`, and that of `Model.neighbours`."""


def ranks_leaders(model: Any) -> TypeGuard[RanksLeaders]:
    """Return True if it does, as `isinstance` would; as these three are asked for each request."""
    return _is_a(type(model), RanksLeaders)


def ranks_catalog(model: Any) -> TypeGuard[RanksCatalog]:
    """Return True if it does."""
    return _is_a(type(model), RanksCatalog)


def estimates(model: Any) -> TypeGuard[Estimates]:
    """Return True if it does."""
    return _is_a(type(model), Estimates)


#: What was found of classes.
_KNOWN: dict[tuple[type, Any], bool] = {}


def _is_a(kind: type, protocol: Any) -> bool:
    """Python looks for each method of a protocol each time, which takes longer than some models score."""
    known = _KNOWN.get((kind, protocol))
    if known is None:
        known = _KNOWN[kind, protocol] = issubclass(kind, protocol)
    return known
