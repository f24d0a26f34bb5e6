"""Topics that go ahead are fetched over a connection of their own, whatever is fetched of others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState
from aiokafka.structs import TopicPartition

from recommender.kafka.lanes import GROUP, Lane, Lanes, open_lanes

RATINGS, REQUESTS = TopicPartition("ratings", 0), TopicPartition("requests", 0)


class Client:
    """Stands in for aiokafka's client: two brokers lead the partitions, the even and the odd ones."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._metadata_max_age_ms = 1000
        self.leaders: dict[TopicPartition, int | None] = {}
        self.cluster = SimpleNamespace(leader_for_partition=self._leader, brokers=lambda: {1, 2})
        self.sent: list[tuple[int, Any, dict[str, Any]]] = []

    def _leader(self, tp: TopicPartition) -> int | None:
        return self.leaders.get(tp, 1 + tp.partition % 2)

    async def send(self, node: int, request: Any, **options: Any) -> str:
        self.sent.append((node, request, options))
        return "answer"


def test_a_lane_is_not_its_broker() -> None:
    assert Lane(1) == Lane(1) != Lane(2)
    assert Lane(1) != 1
    assert 1 not in {Lane(1)}
    assert Lane(1) in {Lane(1), 1}
    assert repr(Lane(3)) == "Lane(3)"


def test_what_is_sent_to_a_lane_has_a_connection_of_its_own() -> None:
    async def scenario() -> None:
        client = Client()
        lanes = Lanes(client, ["requests"])
        for topic, group in (("ratings", {}), ("requests", {"group": GROUP})):
            leader = lanes.cluster.leader_for_partition(TopicPartition(topic, 1))
            assert await lanes.send(leader, "fetch") == "answer"  # type: ignore[arg-type]
            assert client.sent.pop() == (2, "fetch", group)
        await lanes.send(1, "other", group="coordination")
        assert client.sent.pop() == (1, "other", {"group": "coordination"})

    asyncio.run(scenario())


@pytest.mark.parametrize("unknown", [None, -1])
def test_a_leader_that_is_unknown_stays_unknown(unknown: int | None) -> None:
    async def scenario() -> None:
        client = Client()
        client.leaders[REQUESTS] = unknown
        assert Lanes(client, ["requests"]).cluster.leader_for_partition(REQUESTS) == unknown

    asyncio.run(scenario())


def test_all_else_is_asked_of_the_client() -> None:
    async def scenario() -> None:
        client = Client()
        lanes = Lanes(client, ["requests"])
        assert lanes.sent is client.sent
        assert lanes.cluster.brokers() == {1, 2}

    asyncio.run(scenario())


def test_they_are_fetched_while_others_are_not_taken_yet() -> None:
    async def scenario() -> None:
        client, partitions = (
            Client(),
            [TopicPartition(topic, n) for topic in ("ratings", "requests") for n in (0, 1)],
        )
        fetcher = Fetcher(client, SubscriptionState())
        consumer: Any = SimpleNamespace(_fetcher=fetcher)
        try:
            open_lanes(consumer, ["requests"])
            assignment = Assignment(partitions)
            for tp in partitions:
                assignment.state_value(tp).seek(7)
            asked = dict(fetcher._get_actions_per_node(assignment)[0])
            assert asked.keys() == {1, 2, Lane(1), Lane(2)}
            assert [topic for topic, _ in asked[1].topics] == ["ratings"]
            assert [topic for topic, _ in asked[Lane(1)].topics] == ["requests"]
            # Ratings that wait to be taken hold up fetches of ratings only.
            fetcher._records[RATINGS] = SimpleNamespace(calculate_backoff=lambda: 0.1)
            assert {node for node, _ in fetcher._get_actions_per_node(assignment)[0]} == {2, Lane(1), Lane(2)}
            # So do ratings that are being fetched.
            fetcher._in_flight.add(2)
            assert {node for node, _ in fetcher._get_actions_per_node(assignment)[0]} == {Lane(1), Lane(2)}
        finally:
            await fetcher.close()

    asyncio.run(scenario())
