"""The driver gives models what their interface promises, however the log is cut."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recommender.history.events import Events
from recommender.history.history import History
from recommender.models.base import NEVER
from recommender.models.driver import Driver
from recommender.models.testing import random_log
from tests.support.doubles import few
from tests.unit.history.test_history import Log, columns


class Watcher:
    """Notes what it is given, and when: before or after which event of the history."""

    def __init__(self, history: History, *, every: int, reads: bool) -> None:
        self.reads_history_to_learn = reads
        self._history, self._every = history, every
        self.learned: list[tuple[int, int, float]] = []
        self.observed: list[tuple[int, int, int, float]] = []
        self.runs: list[tuple[int, int]] = []
        self.forgotten: list[tuple[str, int, int]] = []

    def next_observation(self, event: int) -> int:
        return NEVER if self._every == 0 else -(-event // self._every) * self._every

    def observes(self, event: int, *, again: bool, fresh: bool) -> bool:
        return True

    def observe(self, user: int, item: int, weight: float) -> None:
        assert self._history.event_count == len(self.learned)
        self.observed.append((len(self.learned), user, item, weight))

    def learn(self, events: Events) -> None:
        self.runs.append((len(events), self._history.event_count))
        self.learned += zip(
            events.users.tolist(), events.items.tolist(), events.weights.tolist(), strict=True
        )
        assert self._history.event_count == len(self.learned)

    def forget_users(self, users: NDArray[np.int32]) -> None:
        for user in users.tolist():
            assert not self._history.has(user)
            self.forgotten.append(("user", user, len(self.learned)))

    def forget_items(self, items: NDArray[np.int32]) -> None:
        for item in items.tolist():
            assert not len(self._history.raters_of(item))
            self.forgotten.append(("item", item, len(self.learned)))


def driven(log: Log, cuts: list[int], watchers: list[tuple[int, bool]], pauses: set[int]) -> tuple[Any, Any]:
    history = History(8)
    paused: list[tuple[int, int]] = []

    def pause(position: int) -> None:
        paused.append((start + position, history.event_count))

    models = [Watcher(history, every=every, reads=reads) for every, reads in watchers]
    driver = Driver(history, models, 1.0)
    start = 0
    for stop in [*sorted(cuts), len(log)]:
        users, items, ratings, weights, times = columns(log[start:stop])
        driver.learn(
            users.astype(np.int32),
            items.astype(np.int32),
            ratings.astype(np.float32),
            weights.astype(np.float32),
            times,
            pauses=[each - start for each in pauses if start <= each < stop],
            paused=pause,
        )
        start = stop
    return models, paused


@few
@given(
    st.lists(st.integers(0, 60), max_size=6),
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=3),
    st.sets(st.integers(0, 59), max_size=10),
)
def test_models_see_each_event_as_promised(
    cuts: list[int], watchers: list[tuple[int, bool]], pauses: set[int]
) -> None:
    log = random_log(60, seed=3)
    models, paused = driven(log, cuts, watchers, pauses)
    assert paused == [(each, each) for each in sorted(pauses)]
    for model, (every, reads) in zip(models, watchers, strict=True):
        assert model.learned == [(user, item, weight) for user, item, _, weight, _ in log]
        # Of the events that it asks for only positive ones, each right before it is learned.
        assert model.observed == [
            (event, user, item, weight)
            for event, (user, item, _, weight, _) in enumerate(log)
            if every and event % every == 0 and weight >= 1.0
        ]
        if reads:
            assert model.runs == [(1, event + 1) for event in range(60)]


def test_events_come_in_runs_where_nobody_interrupts() -> None:
    (model,), paused = driven(random_log(60, seed=3), [], [(0, False)], {20})
    assert model.runs == [(20, 20), (40, 60)]
    assert paused == [(20, 20)]


@few
@given(st.lists(st.integers(0, 60), max_size=6), st.booleans())
def test_a_model_is_told_what_the_user_has_and_may_decline(cuts: list[int], highest: bool) -> None:
    class Choosy(Watcher):
        def observes(self, event: int, *, again: bool, fresh: bool) -> bool:
            told.append((event, again, fresh))
            return again and len(self.observed) < 5

    told: list[tuple[int, bool, bool]] = []
    log = random_log(60, seed=5, users=3, items=4)
    history = History(8, highest=highest)
    model = Choosy(history, every=1, reads=False)
    driver = Driver(history, [model], 1.0)
    for start, stop in itertools.pairwise([0, *sorted(cuts), len(log)]):
        users, items, ratings, weights, times = columns(log[start:stop])
        indices = users.astype(np.int32), items.astype(np.int32)
        driver.learn(*indices, ratings.astype(np.float32), weights.astype(np.float32), times)
    had: set[tuple[int, int]] = set()
    expected, highest_item = [], -1
    for event, (user, item, rating, weight, _) in enumerate(log):
        if weight >= 1.0:
            expected.append((event, (user, item) in had, item > highest_item))
        highest_item = max(highest_item, item)
        if math.isnan(rating):
            had.discard((user, item))
        else:
            had.add((user, item))
    assert told == expected
    assert {(again, fresh) for _, again, fresh in told} == {(True, False), (False, False), (False, True)}
    assert [event for event, *_ in model.observed] == [event for event, again, _ in expected if again][:5]
    # Only what is observed, and a cut, ends a run.
    assert len(model.runs) <= 5 + len(cuts) + 1


def test_a_pause_comes_before_an_observation() -> None:
    order: list[str] = []

    class First(Watcher):
        def observe(self, user: int, item: int, weight: float) -> None:
            order.append("observed")

    history = History(8)
    one = np.zeros(1, np.int32)
    Driver(history, [First(history, every=1, reads=False)], 1.0).learn(
        one, one, np.ones(1, np.float32), np.ones(1, np.float32), np.zeros(1),
        pauses=[0], paused=lambda _: order.append("paused"),
    )  # fmt: skip
    assert order == ["paused", "observed"]


@pytest.mark.parametrize("readers", [(False, True), (False,)])
def test_who_is_forgotten_takes_all_ratings_along(readers: tuple[bool, ...]) -> None:
    history = History(8)
    models = [Watcher(history, every=0, reads=reads) for reads in readers]
    driver = Driver(history, models, 1.0)
    given_ = np.array([0, 0, 1, 1, 2], np.int32), np.array([4, 3, 3, 4, 3], np.int32)
    driver.learn(*given_, np.ones(5, np.float32), np.ones(5, np.float32), np.zeros(5))
    driver.forget_user(0)
    driver.forget_item(3)
    driver.forget_user(9)
    for model in models:
        assert model.learned[5:] == [(0, 4, 0.0), (0, 3, 0.0), (1, 3, 0.0), (2, 3, 0.0)]
        assert model.forgotten == [("user", 0, 7), ("item", 3, 9), ("user", 9, 9)]
    assert history.items_of(1).tolist() == [4]
