"""Learning in log order as the interface of models promises it, for shards, evaluation and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recommender.history.events import Events, joined
from recommender.history.history import History
from recommender.models.base import NEVER

#: So many events at most are looked through at once for those that models observe.
_AHEAD = 4096

Columns = tuple[NDArray[Any], ...]


class Learner(Protocol):
    """The part of `recommender.models.base.Model` that learns, which is described there."""

    reads_history_to_learn: bool

    def learn(self, events: Events) -> None:
        """Learn a run of events that have entered the history."""

    def next_observation(self, event: int) -> int:
        """The next event to observe."""

    def observes(self, event: int, *, again: bool, fresh: bool) -> bool:
        """Return True if it would learn anything from observing that event."""

    def observe(self, user: int, item: int, weight: float) -> None:
        """Observe an event that will enter the history next."""

    def forget_users(self, users: NDArray[np.int32]) -> None:
        """Forget users without ratings."""

    def forget_items(self, items: NDArray[np.int32]) -> None:
        """Forget items without ratings."""


class Driver:
    """Lets models learn events in log order.

    * An event enters the history before it is learned.
    * An event that a model asks to observe is observed before it enters the history, after all before it were
      learned; and only if it is positive, and the model says right then that it would learn from it.
    * A model that reads the history to learn gets one event at a time; all others get runs.
    * Who is forgotten takes all ratings along: each is withdrawn, as an event like any other, in the order in
      which the user gave them, or of an item in the order of the users' indices. Then the models forget the
      index, and the history does.

    So the models' state depends on the events and their order alone, however they are cut into calls.

    Parameters
    ----------
    history : History
        The one that the models were made with.
    models : sequence of Learner
        In the order in which they observe and learn.
    positive_weight : float
        Events of at least this weight are positive.
    """

    def __init__(self, history: History, models: Sequence[Learner], positive_weight: float) -> None:
        self._history, self._positive = history, positive_weight
        self._models = list(models)
        self._readers = [each for each in models if each.reads_history_to_learn]
        self._others = [each for each in models if not each.reads_history_to_learn]
        self._observing = [each for each in models if each.next_observation(0) != NEVER]

    def learn(
        self,
        users: NDArray[np.int32],
        items: NDArray[np.int32],
        ratings: NDArray[np.float32],
        weights: NDArray[np.float32],
        times: NDArray[np.float64],
        *,
        pauses: Iterable[int] = (),
        paused: Callable[[int], object] = lambda position: None,
    ) -> None:
        """Learn the next events of the log.

        Parameters
        ----------
        users, items, ratings, weights, times : arrays of one length
            As `History.append` takes them.
        pauses : iterable of int
            Positions in these arrays where the models are tested: `paused` is called with the position after
            all events before it were learned, and before a model observes it.
        paused : callable
        """
        columns = users, items, ratings, weights, times
        wanted, size = set(pauses), len(users)
        step = _AHEAD if self._observing else max(size, 1)
        for begin in range(0, size, step):
            self._learn_part(columns, begin, min(begin + step, size), wanted, paused)
        if size in wanted:
            paused(size)

    def _learn_part(
        self,
        columns: Columns,
        begin: int,
        stop: int,
        pauses: set[int],
        paused: Callable[[int], object],
    ) -> None:
        users, items, ratings, weights, _ = columns
        observers, first = self._observers(columns, begin, stop), self._history.event_count - begin
        places, start = sorted(observers), begin
        kinds: dict[int, tuple[bool, bool]] = {}
        if places:
            found = self._history.standing(users, items, ratings, begin, np.array(places))
            kinds = dict(zip(places, zip(*(each.tolist() for each in found), strict=True), strict=True))
        for position in sorted(observers.keys() | {each for each in pauses if begin <= each < stop}):
            # A model is asked when it knows all that it observed before.
            again, fresh = kinds.get(position, (False, False))
            asked = [
                model
                for model in observers.get(position, ())
                if model.observes(first + position, again=again, fresh=fresh)
            ]
            if not asked and position not in pauses:
                continue
            if position > start:
                self._learn_run(columns, start, position)
            if position in pauses:
                paused(position)
            for model in asked:
                model.observe(int(users[position]), int(items[position]), float(weights[position]))
            start = position
        self._learn_run(columns, start, stop)

    def forget_user(self, user: int) -> None:
        """Withdraw all ratings of a user, and forget the index."""
        self.forget_users(np.array([user], np.int32))

    def forget_users(self, users: NDArray[np.int32]) -> NDArray[np.int32]:
        """Withdraw all ratings of some users, one after the other, and forget their indices.

        Returns
        -------
        int32 array
            The items of these ratings.
        """
        if self._readers:
            rated = [self._history.items_of(user) for user in users.tolist()]
            items = np.concatenate([np.zeros(0, np.int32), *rated])
            self.withdraw(np.repeat(users, [len(each) for each in rated]), items)
        else:
            events = self._history.withdraw_all(users)
            items = events.items
            if len(events):
                for model in self._others:
                    model.learn(events)
        for model in self._models:
            model.forget_users(users)
        self._history.forget_users(users)
        return items

    def learn_known(
        self,
        users: NDArray[np.int32],
        items: NDArray[np.int32],
        ratings: NDArray[np.float32],
        weights: NDArray[np.float32],
        times: NDArray[np.float64],
    ) -> None:
        """Learn ratings that were learned before, as another user's: nobody is tested by them."""
        self._learn_run((users, items, ratings, weights, times), 0, len(users))

    def forget_item(self, item: int) -> None:
        """Withdraw all ratings of an item, and forget the index."""
        users = self._history.raters_of(item)
        self.withdraw(users, np.full(len(users), item, np.int32))
        self.forget_unrated(np.array([item], np.int32))

    def forget_unrated(self, items: NDArray[np.int32]) -> None:
        """Forget the indices of items all of whose ratings are withdrawn."""
        for model in self._models:
            model.forget_items(items)
        self._history.forget_items(items)

    def withdraw(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> None:
        """Withdraw the rating that each user gave the item in the same place."""
        count = len(users)
        if count:
            nothing, weights = np.full(count, np.nan, np.float32), np.zeros(count, np.float32)
            self._learn_run((users, items, nothing, weights, np.zeros(count)), 0, count)

    def _observers(self, columns: Columns, begin: int, stop: int) -> dict[int, list[Learner]]:
        """The models that may observe an event, by its position."""
        first, weights = self._history.event_count - begin, columns[3]
        observers: dict[int, list[Learner]] = {}
        for model in self._observing:
            event = _next_observation(model, first + begin)
            while event < first + stop:
                if weights[event - first] >= self._positive:
                    observers.setdefault(event - first, []).append(model)
                event = _next_observation(model, event + 1)
        return observers

    def _learn_run(self, columns: Columns, start: int, stop: int) -> None:
        if start > 0 or stop < len(columns[0]):
            columns = tuple(column[start:stop] for column in columns)
        events = self._learn_singly(columns) if self._readers else self._history.append(*columns)
        for model in self._others:
            model.learn(events)

    def _learn_singly(self, columns: tuple[NDArray[np.generic], ...]) -> Events:
        """Let the models that read the history learn event by event; returns all the events."""
        runs = []
        for position in range(len(columns[0])):
            runs.append(self._history.append(*(column[position : position + 1] for column in columns)))
            for model in self._readers:
                model.learn(runs[-1])
        return joined(runs)


def _next_observation(model: Learner, event: int) -> int:
    wanted = model.next_observation(event)
    if wanted < event:
        raise ValueError(f"next_observation({event}) is {wanted}: expected at least {event}")
    return wanted
