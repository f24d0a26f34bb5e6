"""Records that wait to be taken hold up no fetch of other partitions, and an idle broker is asked seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from aiokafka.consumer import fetcher as fetcher_module
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState
from aiokafka.structs import TopicPartition

from recommender.worker.demand import LATELY, Demand
from recommender.worker.transport.fetcher_patch import CALM_SECONDS, FETCH_WAIT, PASS_SECONDS, Passing

RATINGS, REQUESTS = TopicPartition("ratings", 0), TopicPartition("requests", 0)


class Client:
    """Stands in for aiokafka's client: one broker leads both partitions."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._metadata_max_age_ms = 1000
        self.cluster = SimpleNamespace(leader_for_partition=lambda tp: 1)


class Setup:
    """A fetcher that may be asked what it fetches next, at a time that the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(fetcher_module.time, "monotonic", lambda: self.now)
        self.demand = Demand()
        self.fetcher = Fetcher(Client(), SubscriptionState())
        self.fetcher._fetch_task.cancel()  # else it would fetch
        Passing(self.demand).change(self.fetcher)
        self._assignment = Assignment([RATINGS, REQUESTS])
        for tp in (RATINGS, REQUESTS):
            self._assignment.state_value(tp).seek(7)

    def fetches(self) -> dict[str, int]:
        """The topics that are asked for now, and how long the broker may wait, in milliseconds."""
        requests = self.fetcher._get_actions_per_node(self._assignment)[0]
        return {topic: request._max_wait_ms for _, request in requests for topic, _ in request.topics}

    def seconds_to_wait(self) -> float:
        """How long the fetcher waits for something to happen."""
        return float(self.fetcher._get_actions_per_node(self._assignment)[2])

    def ratings_arrive(self) -> None:
        """Something was fetched that waits to be taken."""
        self.fetcher._set_error(RATINGS, RuntimeError("stands in for records"))

    def seconds_until_passed(self) -> float:
        """How long requests wait from now until they are asked for, in whole milliseconds."""
        began = self.now
        while not (found := self.fetches()):
            self.now += 0.001
        assert found == {"requests": 0}
        return round(self.now - began, 3)


def scenario(monkeypatch: pytest.MonkeyPatch, steps: Callable[[Setup], None]) -> None:
    async def run() -> None:
        setup = Setup(monkeypatch)
        try:
            steps(setup)
        finally:
            await setup.fetcher.close()

    asyncio.run(run())


def test_nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(setup: Setup) -> None:
        assert setup.fetches() == {"ratings": FETCH_WAIT, "requests": FETCH_WAIT}

    scenario(monkeypatch, steps)


def test_what_is_taken_at_once_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(setup: Setup) -> None:
        setup.fetches()
        setup.ratings_arrive()
        assert setup.fetches() == {}
        del setup.fetcher._records[RATINGS]
        assert setup.fetches() == {"ratings": FETCH_WAIT, "requests": FETCH_WAIT}

    scenario(monkeypatch, steps)


def test_what_waits_long_is_passed_now_and_then_and_the_others_are_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def steps(setup: Setup) -> None:
        setup.fetches()
        setup.ratings_arrive()
        for _ in range(3):
            assert setup.seconds_until_passed() == pytest.approx(CALM_SECONDS, abs=0.0011)
        assert setup.fetches() == {}

    scenario(monkeypatch, steps)


def test_it_is_passed_more_often_while_requests_come(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(setup: Setup) -> None:
        setup.demand.asked()
        for seconds in (PASS_SECONDS, CALM_SECONDS):
            setup.fetches()
            setup.ratings_arrive()
            assert setup.seconds_until_passed() == pytest.approx(seconds, abs=0.0011)
            del setup.fetcher._records[RATINGS]
            setup.now += LATELY

    scenario(monkeypatch, steps)


def test_a_fetch_that_has_just_ended_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(setup: Setup) -> None:
        fetcher = setup.fetcher
        # As aiokafka leaves it when what was fetched is taken in the turn of the event loop in which a fetch
        # ends: its task is done with, and the broker counts as asked until the next turn.
        fetcher._in_flight.add(1)
        assert setup.fetches() == {}
        assert setup.seconds_to_wait() == 0.0
        fetcher._in_flight.clear()
        assert setup.fetches() == {"ratings": FETCH_WAIT, "requests": FETCH_WAIT}

    scenario(monkeypatch, steps)


def test_a_fetch_under_way_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(setup: Setup) -> None:
        setup.fetcher._in_flight.add(1)
        setup.fetcher._pending_tasks.add(setup.fetcher._fetch_task)
        assert setup.fetches() == {}
        assert setup.seconds_to_wait() > 0.0
        setup.fetcher._pending_tasks.clear()

    scenario(monkeypatch, steps)
