"""Records that wait to be taken hold up no fetch of other partitions, and an idle broker is asked seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from aiokafka.consumer import fetcher as fetcher_module
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState
from aiokafka.structs import TopicPartition

from recommender.kafka import consumer_thread
from recommender.kafka.consumer_thread import FETCH_WAIT, pass_what_waits

RATINGS, REQUESTS = TopicPartition("ratings", 0), TopicPartition("requests", 0)


class Client:
    """Stands in for aiokafka's client: one broker leads both partitions."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._metadata_max_age_ms = 1000
        self.cluster = SimpleNamespace(leader_for_partition=lambda tp: 1)


def scenario(steps: Callable[[Fetcher, Callable[[], dict[str, int]], Callable[[], None]], Any]) -> None:
    """Run steps on a fetcher; they may ask what it fetches next, for how long, and let ratings wait."""

    async def run() -> None:
        fetcher = Fetcher(Client(), SubscriptionState())
        try:
            pass_what_waits(fetcher)
            fetcher._fetch_task.cancel()  # else it would fetch
            assignment = Assignment([RATINGS, REQUESTS])
            for tp in (RATINGS, REQUESTS):
                assignment.state_value(tp).seek(7)

            def fetches() -> dict[str, int]:
                requests = fetcher._get_actions_per_node(assignment)[0]
                return {topic: request._max_wait_ms for _, request in requests for topic, _ in request.topics}

            def arrive() -> None:
                fetcher._set_error(RATINGS, RuntimeError("stands in for records"))

            await steps(fetcher, fetches, arrive)
        finally:
            await fetcher.close()

    asyncio.run(run())


def test_nothing_waits() -> None:
    async def steps(fetcher: Fetcher, fetches: Callable[[], dict[str, int]], arrive: object) -> None:
        assert fetches() == {"ratings": FETCH_WAIT, "requests": FETCH_WAIT}

    scenario(steps)


def test_what_is_taken_at_once_is_waited_for(monkeypatch: Any) -> None:
    monkeypatch.setattr(consumer_thread, "PASS_SECONDS", 60.0)

    async def steps(
        fetcher: Fetcher, fetches: Callable[[], dict[str, int]], arrive: Callable[[], None]
    ) -> None:
        arrive()
        assert fetches() == {}
        del fetcher._records[RATINGS]
        assert fetches() == {"ratings": FETCH_WAIT, "requests": FETCH_WAIT}

    scenario(steps)


def test_what_waits_long_is_passed_now_and_then_and_the_others_are_not_waited_for(monkeypatch: Any) -> None:
    now = 1000.0
    monkeypatch.setattr(fetcher_module.time, "monotonic", lambda: now)

    async def steps(
        fetcher: Fetcher, fetches: Callable[[], dict[str, int]], arrive: Callable[[], None]
    ) -> None:
        nonlocal now
        arrive()
        for _ in range(3):
            assert fetches() == {}
            now += consumer_thread.PASS_SECONDS * 1.01
            assert fetches() == {"requests": 0}
        assert fetches() == {}

    scenario(steps)
