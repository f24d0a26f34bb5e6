"""A client of aiokafka begins when a broker has told it which brokers there are, and not before."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from recommender.worker.transport import aiokafka_clients


class Client:
    """Finds, one after the other, what is said: an error, or so many brokers; as aiokafka does."""

    def __init__(self, *found: int | Exception) -> None:
        self._found = list(found)
        self.closed = 0
        self.cluster = self
        self._brokers = 0

    async def bootstrap(self) -> None:
        found = self._found.pop(0)
        if isinstance(found, Exception):
            raise found
        self._brokers = found

    async def close(self) -> None:
        self.closed += 1

    def brokers(self) -> set[int]:
        return set(range(self._brokers))


async def begin(*found: int | Exception) -> Client:
    client: Any = Client(*found)
    aiokafka_clients.begin_with_brokers(client, retry_seconds=0.0)
    await client.bootstrap()
    made: Client = client
    return made


async def test_a_broker_that_answers() -> None:
    assert (await begin(1)).brokers() == {0}


async def test_it_waits_for_one(caplog: pytest.LogCaptureFixture) -> None:
    assert (await begin(KafkaConnectionError("away"), KafkaConnectionError("away"), 2)).brokers() == {0, 1}
    assert len(caplog.records) == 1


async def test_brokers_that_name_none_are_asked_again() -> None:
    client = await begin(0, 0, 1)
    assert client.brokers() == {0}
    # A new connection each time: a broker that was closed to is not asked again by itself.
    assert client.closed == 2


async def test_another_error_is_one() -> None:
    with pytest.raises(ValueError, match="wrong"):
        await begin(ValueError("wrong"), 1)
