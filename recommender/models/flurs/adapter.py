"""Any FluRS recommender behind guards.

What FluRS does, and what the guard makes of it:

* Factors are found by position, so users and items must be registered in the order of their indices, and
  exactly once: a second registration resets a user. Here each event first registers everyone up to its own
  user and item, once.
* An unseen user is a KeyError, an unseen item or an empty catalogue an IndexError. Here they get a neutral
  score.
* MF and FM overwrite the caller's value with 1.0 and log a line about it, to a handler that the import of
  FluRS installs. Here they get events of their own, with 1.0, and that handler is taken away.
* BPRMF raises when a user knows every item. Here such an event teaches nothing.
* UserKNN divides by zero and then answers NaN or infinity. Here scores are always finite.
* Everything random is drawn from numpy's global state. Here that state is put in place for the call, from the
  model's own seed, and the caller's is put back.
* MF, FM and Sketch rank ascending, the others descending. Here higher is always better.

FluRS knows no withdrawal: one changes nothing. Each event costs it what it costs: MF and BPRMF copy all item
factors for each new item, UserKNN visits users times items, FM its whole vector.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import flurs
import numpy as np
from flurs.data.entity import Event, Item, User
from numpy.typing import NDArray

from recommender.history.events import Events
from recommender.models.base import Arrays, FloatArray, IntArray, Model, ModelContext

# FluRS logs at DEBUG to a handler of its own; what is logged where is the program's business.
flurs.logger.removeHandler(flurs.handler)
flurs.logger.setLevel(logging.WARNING)


class Randomness:
    """numpy's global generator, in a state of one's own while one needs it."""

    def __init__(self, seed: int) -> None:
        self._state: Any = np.random.RandomState(seed & 0xFFFFFFFF).get_state()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Draws inside come from this state and move it on; draws outside are as if nothing had happened."""
        outside = np.random.get_state()  # noqa: NPY002 (FluRS draws from it)
        np.random.set_state(self._state)  # noqa: NPY002
        try:
            yield
        finally:
            self._state = np.random.get_state()  # noqa: NPY002
            np.random.set_state(outside)  # noqa: NPY002

    def arrays(self) -> Arrays:
        """The state as arrays."""
        _, keys, position, has_gauss, gauss = self._state
        return {
            "random_keys": np.asarray(keys, np.uint32),
            "random_place": np.array([position, has_gauss], np.int64),
            "random_gauss": np.array([gauss], np.float64),
        }

    def take(self, state: Arrays) -> None:
        """Take the state over."""
        position, has_gauss = (int(value) for value in state["random_place"])
        gauss = float(state["random_gauss"][0])
        self._state = ("MT19937", state["random_keys"].astype(np.uint32), position, has_gauss, gauss)


class GuardedFlurs(Model):
    """The common part of the guarded recommenders. A subclass makes one and says what its state is.

    Attributes
    ----------
    positive_only : bool
        Only positive events teach, with the value 1.0; else every rating does, with its value.
    sign : float
        -1 where FluRS ranks ascending.
    neutral : float
        The score of what FluRS does not know.
    """

    positive_only = True
    sign = 1.0
    neutral = 0.0

    def __init__(self, context: ModelContext, make: Callable[[], Any]) -> None:
        self._positive = np.float32(context.positive_weight)
        self._seed, self._make = context.seed, make
        self._begin()

    def _begin(self) -> None:
        #: Users and items that were forgotten and have not come again.
        self._gone_users: set[int] = set()
        self._gone_items: set[int] = set()
        self._randomness = Randomness(self._seed)
        with self._randomness.in_place():
            self.flurs = self._make()

    def user(self, index: int) -> User:
        """The user as FluRS wants it."""
        return User(index)

    def item(self, index: int) -> Item:
        """The item as FluRS wants it."""
        return Item(index)

    def learn(self, events: Events) -> None:
        """Register who is new, then update with each event that teaches."""
        with self._randomness.in_place(), np.errstate(all="ignore"):
            for e in range(len(events)):
                user, item = int(events.users[e]), int(events.items[e])
                while self.flurs.n_user <= user:
                    self.flurs.register(self.user(self.flurs.n_user))
                while self.flurs.n_item <= item:
                    self.flurs.register(self.item(self.flurs.n_item))
                if user in self._gone_users:
                    self._gone_users.discard(user)
                    self.renew_user(user)
                if item in self._gone_items:
                    self._gone_items.discard(item)
                    self.renew_item(item)
                rating = float(events.ratings[e])
                if rating != rating or (self.positive_only and events.weights[e] < self._positive):
                    continue
                value = 1.0 if self.positive_only else rating
                self.update(Event(self.user(user), self.item(item), value))

    def update(self, event: Event) -> None:
        """One event that teaches."""
        self.flurs.update(event)

    def forget_user(self, user: int) -> None:
        """Let the user be one that FluRS does not know."""
        if 0 <= user < self.flurs.n_user:
            self._gone_users.add(user)
            with self._randomness.in_place():
                self.renew_user(user)

    def forget_item(self, item: int) -> None:
        """Let the item be one that FluRS does not know."""
        if 0 <= item < self.flurs.n_item:
            self._gone_items.add(item)
            with self._randomness.in_place():
                self.renew_item(item)

    def renew_user(self, user: int) -> None:
        """Let a registered user be as one that was registered just now.

        FluRS has no such thing. It is done when a user is forgotten, so that nothing is left of what the user
        taught, and when the index comes again, since what others teach may have moved it meanwhile.
        """

    def renew_item(self, item: int) -> None:
        """The same of an item."""

    def score(self, user: int, candidates: IntArray) -> FloatArray:
        """FluRS' scores, turned so that higher is better."""
        scores = np.full(len(candidates), self.neutral)
        known = (candidates >= 0) & (candidates < self.flurs.n_item)
        if self._gone_items:
            known &= ~np.isin(candidates, list(self._gone_items))
        gone = not 0 <= user < self.flurs.n_user or user in self._gone_users
        if gone or not known.any() or not self.ready():
            return scores
        with self._randomness.in_place(), np.errstate(all="ignore"):
            found = np.asarray(self.flurs.score(self.user(user), np.asarray(candidates)[known]), np.float64)
        found = self.sign * found.ravel()
        scores[known] = np.where(np.isfinite(found), found, self.neutral)
        return scores

    def ready(self) -> bool:
        """Return True if FluRS can score at all."""
        return True

    def state(self) -> Arrays:
        """The recommender's own arrays, how many are registered, and the state of the generator."""
        counts = np.array([self.flurs.n_user, self.flurs.n_item], np.int64)
        state = {"counts": counts, **self._randomness.arrays(), **self.arrays()}
        for name, gone in (("users_gone", self._gone_users), ("items_gone", self._gone_items)):
            if gone:
                state[name] = np.array(sorted(gone), np.int64)
        return state

    def restore(self, state: Arrays) -> None:
        """Take all of that over, into a new recommender."""
        self._begin()
        users, items = (int(count) for count in state["counts"])
        self.flurs.n_user, self.flurs.n_item = users, items
        self.flurs.users = {u: {"known_items": set()} for u in range(users)}
        self.flurs.items = {i: {} for i in range(items)}
        self._gone_users = {int(index) for index in state.get("users_gone", ())}
        self._gone_items = {int(index) for index in state.get("items_gone", ())}
        self._randomness.take(state)
        self.take(state)

    def arrays(self) -> Arrays:
        """All that the recommender learned; copies."""
        raise NotImplementedError

    def take(self, state: Arrays) -> None:
        """Take over what `arrays` gave."""
        raise NotImplementedError


def drawn(k: int) -> NDArray[np.float64]:
    """A vector as FluRS begins with, from the generator that is in place."""
    return np.random.normal(0.0, 0.1, k)  # noqa: NPY002


def copied(recommender: Any, names: tuple[str, ...]) -> Arrays:
    """Attributes of a recommender as named arrays; numbers as arrays of one."""
    return {name: np.atleast_1d(np.array(getattr(recommender, name), np.float64)) for name in names}


def vectors(recommender: Any, k: int) -> NDArray[np.float64]:
    """Users' vectors as one array (users, k)."""
    rows = [recommender.users[user]["vec"] for user in range(recommender.n_user)]
    return np.array(rows, np.float64).reshape(len(rows), k)
